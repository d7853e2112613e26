"""The cascade of the threat model `adaptive`: its members, its named budgets, its pseudo attack.

Torch is not imported, so that the budgets can be listed without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from bench.contracts import Access, Attack
from bench.errors import NotApplicable
from bench.plugins.configured import Configured, configure
from bench.registry import ATTACKS
from bench.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor, nn

CASCADE = "cascade"
"""Name of the pseudo attack of cells under the threat model `adaptive`."""

CascadeNorm = Literal["linf", "l2"]
"""Norms in which there is a cascade."""

AttackedThrough = Literal["graybox", "whitebox", "bpda", "query", "stand-in", "learned"]
"""Model that a step attacks: that of a threat model, a declared stand-in, or a learned one."""


@dataclass(frozen=True)
class Member:
    """One attack of a cascade.

    Attributes:
        name: name in tables.
        through: model that is attacked. `stand-in` stands for a member for each stand-in that the
            purifier offers; without one there is none. `strongest` is the model of the member by
            gradient that broke most images so far.
        attack: spec of the attack; `{norm}` stands for the norm of the budget.
        norms: norms in which the member takes part.
    """

    name: str
    through: AttackedThrough | Literal["strongest"]
    attack: str
    norms: tuple[CascadeNorm, ...] = ("linf", "l2")


@dataclass(frozen=True)
class CascadeBudget:
    """A named budget of the cascade, the same for every defense, so that ranks compare.

    Attributes:
        summary: cost in one line.
        members: attacks in their order, the cheapest first.
        eot: number of draws over which a gradient of a randomized pipeline is averaged; searches by
            scores or decisions ask once.
        confirm: number of fresh draws of a randomized pipeline that judge each candidate; an image
            leaves the cascade when it is wrong in all of them.
    """

    summary: str
    members: tuple[Member, ...]
    eot: int
    confirm: int


def _members(steps: int, *more: Member) -> tuple[Member, ...]:
    """The members that every budget has, with `steps` steps, and further ones."""
    apgd = f"apgd:norm={{norm}}:steps={steps}"
    return (
        Member("gray-box, one step", "graybox", "fgsm", ("linf",)),
        Member("gray-box", "graybox", "pgd:norm={norm}"),
        Member("exact gradient", "whitebox", apgd),
        Member("identity backward", "bpda", apgd),
        Member("stand-in", "stand-in", apgd),
        *more,
    )


def _learned(steps: int) -> Member:
    return Member("learned stand-in", "learned", f"apgd:norm={{norm}}:steps={steps}")


def _strongest(parameters: str) -> Member:
    return Member("strongest gradient", "strongest", f"apgd:norm={{norm}}:{parameters}")


BUDGETS: Mapping[str, CascadeBudget] = {
    "quick": CascadeBudget("gradient attacks of 10 steps", _members(10), eot=1, confirm=4),
    "standard": CascadeBudget(
        "gradient attacks of 30 steps, a learned stand-in, targets, 500 queries, latent codes",
        _members(
            30,
            _learned(30),
            _strongest("steps=30:loss=targeted:target_classes=3"),
            Member("scores", "query", "square:norm={norm}:queries=500"),
            Member(
                "decisions",
                "query",
                "hopskipjump:norm={norm}:steps=2:initial_gradient_eval_steps=50",
            ),
            Member("latent codes", "whitebox", "latent:steps=100", ("linf",)),
        ),
        eot=2,
        confirm=8,
    ),
    "full": CascadeBudget(
        "gradient attacks of 100 steps, three losses, 20 draws, 5000 queries",
        _members(
            100,
            _learned(100),
            _strongest("steps=100:loss=dlr"),
            _strongest("steps=100:loss=targeted"),
            Member("scores", "query", "square:norm={norm}:queries=5000"),
            Member("decisions", "query", "hopskipjump:norm={norm}:steps=20"),
            Member("latent codes", "whitebox", "latent", ("linf",)),
        ),
        eot=20,
        confirm=16,
    ),
}
"""The budgets by name."""

DEFAULT_BUDGET = "standard"


@dataclass(frozen=True)
class Cascade(Attack):
    """The pseudo attack of cells under the threat model `adaptive`, which runs the cascade.

    Attributes:
        norm: norm that eps bounds.
        budget: name of the budget.
    """

    norm: CascadeNorm
    budget: str

    returns_unbroken: ClassVar[bool] = True
    access: ClassVar[Access] = "gradient"

    @property
    def members(self) -> tuple[tuple[Member, Configured[Attack]], ...]:
        """The members in this norm, each with its attack."""
        return tuple(
            (member, configure(ATTACKS, member.attack.format(norm=self.norm)))
            for member in BUDGETS[self.budget].members
            if self.norm in member.norms
        )

    def perturb(
        self,
        model: nn.Module,  # noqa: ARG002 - the contract's signature
        images: Tensor,  # noqa: ARG002
        labels: Tensor,  # noqa: ARG002
        eps: float,  # noqa: ARG002
    ) -> Tensor:
        """Not defined: the members attack different models.

        Raises:
            NotApplicable: always.
        """
        raise NotApplicable("the cascade is not an attack on one model")

    def describe(self, eps: float) -> Mapping[str, float | int | str]:  # noqa: ARG002 - same at every budget
        """Number of members, before the stand-ins of the purifier are counted one by one."""
        return {"members": len(self.members)}


def cascade_spec(norm: CascadeNorm) -> Spec:
    """The spec of the cascade in a norm, whose text names the attack of its cells."""
    return Spec(CASCADE, () if norm == "linf" else (("norm", norm),))


def cascade_attack(norm: CascadeNorm, budget: str) -> Configured[Attack]:
    """The pseudo attack of the cascade in a norm, as an attack of the grid.

    Raises:
        RequestError: an attack of the cascade is not available.
    """
    plugin = Cascade(norm, budget)
    chosen = BUDGETS[budget]
    members = [
        {"name": member.name, "through": member.through, "attack": dict(attack.identity)}
        for member, attack in plugin.members
    ]
    spec = cascade_spec(norm)
    parameters = {"norm": norm, "budget": budget}

    return Configured(
        spec,
        plugin,
        parameters,
        {"name": CASCADE, "members": members, "eot": chosen.eot, "confirm": chosen.confirm},
    )
