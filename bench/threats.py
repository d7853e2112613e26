"""Threat models: which differentiable model the attacker is given.

Each is a pure function of (purifier, classifier); any attack runs under any of them without knowing it. Evaluation is
always on the real defended pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from bench.errors import unknown

if TYPE_CHECKING:
    from torch import nn

Surrogate: TypeAlias = "Callable[[nn.Module | None, nn.Module], nn.Module]"


@dataclass(frozen=True)
class Threat:
    """A threat model.

    Attributes:
        name: as the field calls it.
        summary: one line for people.
        surrogate: the model whose gradient the attack follows, from (purifier, classifier).
        sees_defense: the purifier takes part, so an adversarial set serves one defense only.
    """

    name: str
    summary: str
    surrogate: Surrogate
    sees_defense: bool


def _graybox(_purifier: nn.Module | None, classifier: nn.Module) -> nn.Module:
    return classifier


THREATS = {
    threat.name: threat
    for threat in (
        Threat(
            "graybox", "the bare classifier's gradient; the attacker does not know of the purifier", _graybox, False
        ),
    )
}


def threat_named(name: str) -> Threat:
    """The threat model of that name.

    Raises:
        RequestError: there is none.
    """
    if name not in THREATS:
        raise unknown("threat model", name, THREATS)
    return THREATS[name]
