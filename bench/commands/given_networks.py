"""The trained networks that a run is given: which it asks for, and whether its cells used them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.errors import RequestError
from bench.records.folder import RunFolder
from bench.stages.references import NetworkRef
from bench.stages.train import Train
from bench.store.artifacts import NAME_DIGITS
from bench.store.weights import Weights
from bench.sweep.cell import Cell
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.grid import Grid
from bench.sweep.plan import Plan


def requested_weights(weights: Weights, plan: Plan, name: str) -> dict[str, str]:
    """The digests of the trained networks that a whole grid uses, by key.

    Args:
        weights: trained networks of a folder.
        plan: plan of the whole grid.
        name: name of the preset or configuration, for the message.

    Raises:
        RequestError: the grid uses none of the networks.
    """
    keys = {key[:NAME_DIGITS] for key in plan.networks}
    used = {key: entry.digest for key, entry in weights.entries.items() if key in keys}

    if not used:
        networks = ", ".join(
            f"{entry.name} on {entry.dataset}, seed {entry.seed}"
            for entry in weights.entries.values()
        )
        raise RequestError(
            f"none of the weights in {weights.folder} is one that this run ({name}) asks for: "
            "data set, parameters, seed and classifier must be the same; "
            f"the folder has: {networks or 'none'}"
        )

    return used


def check_recorded(
    folder: RunFolder, grid: Grid, tasks: CellTasks, given: Mapping[str, str]
) -> None:
    """Check that the cells which a run has used the networks that it is given now.

    A folder may have been given fewer networks before, as one that grows; then it has trained the
    others.

    Args:
        folder: folder of the run.
        grid: cells of the run.
        tasks: builder of the cells' tasks.
        given: digests of the networks by key, see `requested_weights`.

    Raises:
        RequestError: a cell was computed with other weights.
    """
    for cell in grid.cells() if given else ():
        record = folder.record(tasks.cell_key(cell))
        networks = record.networks if record else {}

        for role, task in _trainings(cell, tasks, networks):
            digest = given.get(task.key[:NAME_DIGITS])
            if digest not in (None, networks.get(role, digest)):
                raise RequestError(
                    f"{folder.path} has cells that used other weights of {role} "
                    f"{task.plugin.label} than this run is given: choose another folder with --out"
                )


def _trainings(
    cell: Cell, tasks: CellTasks, networks: Mapping[str, str]
) -> Iterator[tuple[str, Train]]:
    """The trainings of those networks of a recorded cell that it used, by role."""
    if "classifier" not in networks:
        return

    task = tasks.classifier_task(cell)
    yield "classifier", task
    reference = NetworkRef(task.plugin, task.split.info, task.key, networks["classifier"])
    yield "defense", tasks.defense_task(cell, reference)

    substitute = tasks.substitute_task(cell)
    if substitute is not None:
        yield "substitute", substitute
