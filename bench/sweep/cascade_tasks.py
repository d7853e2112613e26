"""The tasks of a cell under the threat model `adaptive`: the steps of its cascade."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.contracts import Attack
from bench.plugins.configured import Configured
from bench.records.cell import CascadeMember
from bench.stages.cascade import CascadeStep
from bench.stages.cascade_budgets import BUDGETS, AttackedThrough, Cascade
from bench.stages.cascade_member import MemberAttack
from bench.stages.cascade_models import stand_ins_of
from bench.stages.context import TaskContext
from bench.stages.craft import Craft
from bench.stages.executor import Executor
from bench.stages.references import AdversarialRef, CellNetworks, SplitRef
from bench.stages.threats import threat_model
from bench.store.artifacts import Artifact
from bench.sweep.cell import Cell
from bench.sweep.config import RunConfig


@dataclass(frozen=True)
class Cascaded:
    """What the cascade of a cell left.

    Attributes:
        reference: adversarial set of the last step.
        artifact: its arrays.
        members: members in their order, the clean images first.
    """

    reference: AdversarialRef
    artifact: Artifact
    members: tuple[CascadeMember, ...]


class CascadeTasks:
    """Builds the steps of cascades and asks an executor for their artifacts.

    Args:
        executor: executor that runs the tasks.
        context: data sets and networks.
        config: number of test images and size of batches.
        gray_box: function that makes the task of a gray-box cell, whose set other cells share.
    """

    def __init__(
        self,
        executor: Executor,
        context: TaskContext,
        config: RunConfig,
        gray_box: Callable[[Cell, CellNetworks], Craft],
    ) -> None:
        self._executor = executor
        self._context = context
        self._config = config
        self._gray_box = gray_box

    def run(self, cell: Cell, networks: CellNetworks) -> Cascaded:
        """The cascade of a cell, each step made now where the cache lacks it.

        Raises:
            PluginFault: a plugin raised or broke its contract.
        """
        step = self._first_step(cell, networks)
        artifact = self._executor.artifact(step)
        members = [_member_of(artifact)]
        tried: dict[int, _Attacked] = {}

        for name, attacked, attack in self._members(cell, networks):
            if not bool(np.any(artifact.tensors["wrong"] < 1)):
                members.append(CascadeMember(name, attack.label, 0, 0, 0, 0))
                continue
            chosen = attacked or _strongest(tried, members, artifact)
            title = name if attacked else f"{name} ({chosen.name})"
            step = self._next_step(cell, networks, step, artifact, title, chosen, attack)
            artifact = self._executor.artifact(step)
            tried[step.index] = chosen
            members.append(_member_of(artifact))

        return Cascaded(AdversarialRef(step.key, artifact.digest), artifact, tuple(members))

    def first_step_is_cached(self, cell: Cell, networks: CellNetworks) -> bool:
        """Whether the cache has the first step, and so probably the whole cascade."""
        step = self._first_step(cell, networks)
        return self._context.store.digest(step.kind, step.key) is not None

    def _members(
        self, cell: Cell, networks: CellNetworks
    ) -> Iterator[tuple[str, _Attacked | None, Configured[Attack]]]:
        """The members: name, attacked model and attack.

        There is one for each stand-in that the purifier offers. The model is None where earlier
        members decide which one it is.
        """
        cascade = cell.attack.plugin
        if not isinstance(cascade, Cascade):
            raise TypeError("only the pseudo attack of a cascade has members")

        for member, attack in cascade.members:
            name, through = member.name, member.through
            if through == "strongest":
                yield name, None, attack
            elif through == "stand-in":
                purifier = self._context.network(networks.defense)
                for offered in stand_ins_of(networks.defense.description, purifier):
                    named = f"{name} {offered}"
                    yield named, _Attacked(named, through, offered), attack
            else:
                yield name, _Attacked(name, through), attack

    def _first_step(self, cell: Cell, networks: CellNetworks) -> CascadeStep:
        budget = BUDGETS[cell.threat.budget]

        return CascadeStep(
            member=None,
            index=0,
            previous=None,
            eps=cell.eps,
            eot=budget.eot,
            confirm=budget.confirm,
            split=self._context.split(cell.dataset, self._config.n),
            train=None,
            classifier=networks.classifier,
            purifier=networks.defense,
            batch_size=self._config.batch_size,
            seed=cell.seed,
        )

    def _next_step(
        self,
        cell: Cell,
        networks: CellNetworks,
        step: CascadeStep,
        artifact: Artifact,
        name: str,
        attacked: _Attacked,
        attack: Configured[Attack],
    ) -> CascadeStep:
        through = attacked.through
        given = self._given(cell, networks, attack) if through == "graybox" else None
        train: SplitRef | None = None
        if through == "learned":
            train = self._context.split(cell.dataset, None)

        return replace(
            step,
            member=MemberAttack(name, through, attack, attacked.stand_in, given),
            index=step.index + 1,
            previous=AdversarialRef(step.key, artifact.digest),
            train=train,
        )

    def _given(
        self, cell: Cell, networks: CellNetworks, attack: Configured[Attack]
    ) -> AdversarialRef:
        """The gray-box set of an attack, which other cells share."""
        task = self._gray_box(replace(cell, attack=attack, threat=_GRAY_BOX), networks)
        return AdversarialRef(task.key, self._executor.artifact(task).digest)


_GRAY_BOX = threat_model("graybox")

_BY_GRADIENT = ("whitebox", "bpda", "stand-in", "learned")
"""Models that a step attacks by following a gradient through the defense."""


@dataclass(frozen=True)
class _Attacked:
    """The model that a member of the cascade attacks, with the member's name in tables."""

    name: str
    through: AttackedThrough
    stand_in: str = ""


def _strongest(
    tried: Mapping[int, _Attacked], members: Sequence[CascadeMember], artifact: Artifact
) -> _Attacked:
    """The model followed by gradient that broke most images so far.

    Among equals it is the one whose images are kept most often, and then the first.

    Args:
        tried: models of the earlier steps, by the index of the step.
        members: accounts of the earlier steps.
        artifact: set that the last step left.
    """
    kept = np.bincount(artifact.tensors["broken_by"], minlength=1 + max(tried))
    by_gradient = [index for index, model in tried.items() if model.through in _BY_GRADIENT]
    return tried[max(by_gradient, key=lambda index: (members[index].broken, int(kept[index])))]


def _member_of(artifact: Artifact) -> CascadeMember:
    """The account of a step, from its artifact's description."""
    return CascadeMember(**artifact.meta["member"])
