"""The sweep: cell after cell, then latency alone. A failing cell is recorded and the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from bench.artifacts import ArtifactStore, Tensors
from bench.config import RunConfig
from bench.errors import PluginFault
from bench.evaluate import Evaluator, Networks
from bench.grid import Cell, Grid
from bench.latency import EAGER, time_defense, wanted
from bench.runs import Result, RunFolder, timing_key
from bench.stages.base import Lab, SplitRef, Task, Trained
from bench.stages.executor import Executor


@dataclass
class Plan:
    """What a run will do, before it does it.

    Attributes:
        cells: how many in all.
        recorded: how many the run's folder already holds.
        networks: (title, cached) of every network the remaining cells need.
        crafted: how many adversarial sets the remaining cells need.
        crafted_cached: how many of those lie in the cache.
    """

    cells: int = 0
    recorded: int = 0
    networks: dict[str, bool] = field(default_factory=dict)
    crafted: int = 0
    crafted_cached: int = 0


class Runner:
    """Runs a grid into a folder."""

    def __init__(self, grid: Grid, config: RunConfig, lab: Lab, executor: Executor, folder: RunFolder) -> None:
        self.grid, self.config, self.lab, self.folder = grid, config, lab, folder
        self._evaluator = Evaluator(executor, lab, config)

    def plan(self) -> Plan:
        """Count what there is to do; nothing is computed. Loads the data, so that a missing set is told first."""
        plan = Plan()
        sets: dict[str, bool] = {}
        for cell in self.grid.cells():
            plan.cells += 1
            if self._recorded(cell):
                plan.recorded += 1
                continue
            classifier_task = self._evaluator.classifier_task(cell)
            classifier = self._stored(classifier_task, plan)
            defense = self._stored(self._evaluator.defense_task(cell, classifier), plan) if classifier else None
            if classifier is None:
                plan.networks.setdefault(f"defense {cell.defense.label} on {cell.dataset}, seed {cell.seed}", False)
                sets[f"{cell.dataset}{cell.seed}{cell.classifier.label}{cell.attack.label}{cell.eps}"] = False
                continue
            task = self._evaluator.craft_task(cell, classifier, defense)
            sets[task.key] = _is_stored(self.lab.store, task)
        plan.crafted, plan.crafted_cached = len(sets), sum(sets.values())
        return plan

    def run(self, environment: str) -> Iterator[Result]:
        """Run every cell and yield its record as soon as it is written.

        Args:
            environment: id of this machine's environment in the folder.

        Raises:
            StorageError: the disk is full or the folder not writable; earlier results are intact.
        """
        for cell in self.grid.cells():
            recorded = self._recorded(cell)
            if recorded:
                yield recorded
                continue
            result, outcome = self._evaluate(cell)
            result = replace(result, environment=environment)
            self.folder.save(result, outcome)
            yield result

    def time(self, environment: str) -> None:
        """Measure latency, defense by defense, with nothing else running. Failed defenses are passed over."""
        todo = [
            (cell, target, size) for cell in self._representatives() for target, size in wanted(self.config.latency)
        ]
        missing = [entry for entry in todo if not self._timed(*entry)]
        if not missing:
            return
        with self.lab.progress.step("measure latency", len(missing)) as step:
            for cell, target, size in missing:
                self._time(cell, target, size, environment)
                step.advance(1, f"{cell.defense.label} {target} batch {size}")

    def _time(self, cell: Cell, target: str, size: int, environment: str) -> None:
        try:
            networks = self._evaluator.networks(cell)
            split = SplitRef.test(self.lab.dataset(cell.dataset), self.config.n)
            timing = time_defense(self.lab, networks, _timing_labels(cell), split, target, size, self.config.latency)
        except PluginFault:
            return  # its cells have failed with the reason
        self.folder.save_timing(replace(timing, environment=environment))

    def _evaluate(self, cell: Cell) -> tuple[Result, Tensors | None]:
        networks: Networks | None = None
        try:
            networks = self._evaluator.networks(cell)
            outcome = self._evaluator.outcome(cell, networks)
        except PluginFault as fault:
            return self._result(cell, networks, str(fault)), None
        return self._result(cell, networks, ""), outcome

    def _result(self, cell: Cell, networks: Networks | None, reason: str) -> Result:
        return Result(
            key=self._evaluator.cell_key(cell),
            labels=cell.labels(),
            n=self.config.n,
            status="failed" if reason else "ok",
            reason=reason,
            parameters=cell.parameters(),
            networks=networks.digests() if networks else {},
            environment="",
        )

    def _recorded(self, cell: Cell) -> Result | None:
        """The cell's record, where it was ok: a failure is tried again."""
        found = self.folder.result(self._evaluator.cell_key(cell))
        return found if found is not None and found.status == "ok" else None

    def _stored(self, task: Any, plan: Plan) -> Trained | None:
        """The network, where the cache has it; noted in the plan either way."""
        digest = self.lab.store.digest(task.kind, task.key)
        plan.networks[f"{task.who} on {task.split.dataset}, seed {task.seed}"] = digest is not None
        return Trained(task.plugin, task.split.info, task.key, digest) if digest else None

    def _representatives(self) -> list[Cell]:
        """One cell per dataset, classifier and defense: latency depends on nothing else."""
        first: dict[tuple[str, str, str], Cell] = {}
        for cell in self.grid.cells():
            first.setdefault((cell.dataset, cell.classifier.label, cell.defense.label), cell)
        return list(first.values())

    def _timed(self, cell: Cell, target: str, size: int) -> bool:
        key = timing_key(_timing_labels(cell), target, size, EAGER, str(self.lab.device))
        return self.folder.timing(key) is not None


def _timing_labels(cell: Cell) -> dict[str, Any]:
    return {name: cell.labels()[name] for name in ("dataset", "classifier", "defense")}


def _is_stored(store: ArtifactStore, task: Task) -> bool:
    return store.digest(task.kind, task.key) is not None
