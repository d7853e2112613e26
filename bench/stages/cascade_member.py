"""What one step of the cascade attacks with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.contracts import Attack
from bench.plugins.configured import Configured
from bench.stages.cascade_budgets import AttackedThrough
from bench.stages.references import AdversarialRef

_FITTED = 2
"""Version of the learned stand-in; another one is another attack."""


@dataclass(frozen=True)
class MemberAttack:
    """What one step of a cascade attacks with.

    Attributes:
        name: name of the member in tables.
        through: model that is attacked.
        attack: attack to run.
        stand_in: name of the purifier's stand-in that is attacked; empty for none.
        given: adversarial set that other cells use too; None where the step crafts its own.
    """

    name: str
    through: AttackedThrough
    attack: Configured[Attack]
    stand_in: str = ""
    given: AdversarialRef | None = None

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything in the member that changes the result, as JSON values."""
        return {
            "through": self.through,
            "attack": self.attack.identity,
            "stand_in": self.stand_in,
            "given": self.given.digest if self.given else None,
            **({"fitted": _FITTED} if self.through == "learned" else {}),
        }
