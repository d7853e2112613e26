"""Threat models: the model that an attacker is given.

Each threat model is a small pure function of (purifier, classifier, substitute), so an attack needs
no code of its own for any of them. The adversarial images are always evaluated on the real defended
pipeline, with fresh randomness. Torch is imported when a model is made, so that the names can be
listed without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from bench.contracts import Attack, Classifier
from bench.errors import NotApplicable, RequestError, unknown
from bench.plugins.configured import Configured, Overrides, configure
from bench.registry import CLASSIFIERS
from bench.spec import Spec
from bench.stages.cascade_budgets import BUDGETS, DEFAULT_BUDGET

if TYPE_CHECKING:
    from torch import nn

    from bench.stages.surrogates import AttackedModel, NoGradient

AnyAttackedModel: TypeAlias = "AttackedModel | NoGradient"
"""A model under attack, with or without a gradient."""

Surrogate: TypeAlias = "Callable[[nn.Module, nn.Module, nn.Module], AnyAttackedModel]"
"""A function of (purifier, classifier, substitute) that makes the model under attack."""

DEFAULT_SUBSTITUTE = "cnn"
"""Spec of the substitute classifier that `transfer` attacks by default."""

PARAMETERS = {
    "eot": "number of draws over which the gradient of a stochastic defense is averaged, default 1",
    "draw": "fixed if the attacker knows the draw of a stochastic defense, default fresh",
    "budget": f"cost of the cascade: {', '.join(BUDGETS)}; default {DEFAULT_BUDGET}",
    "substitute": f"spec of the substitute classifier, default {DEFAULT_SUBSTITUTE}",
}
"""Parameters that the spec of a threat model may set, with their descriptions."""


@dataclass(frozen=True)
class ThreatKind:
    """A kind of threat model, before its parameters are set.

    Attributes:
        name: name of the threat model in the field, such as `whitebox`.
        summary: one line for `bench list`.
        surrogate: function of (purifier, classifier, substitute) that makes the attacked model;
            None for random noise in place of an attack.
        uses: names of the networks that `surrogate` uses; an adversarial set is shared by all
            pipelines that agree in these.
        gradient: whether the attacked model has a gradient to follow.
        stronger_than: threat models whose attacker knows no more than this one's, and should
            therefore never be more successful.
        cascade: whether the threat model brings its own attack, a cascade of many, in place of the
            attacks of the run.
    """

    name: str
    summary: str
    surrogate: Surrogate | None
    uses: frozenset[str] = frozenset()
    gradient: bool = True
    stronger_than: tuple[str, ...] = ()
    cascade: bool = False

    @property
    def sees_defense(self) -> bool:
        """Whether the attacked model contains the purifier, so that each defense needs a set."""
        return "purifier" in self.uses

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that a spec may set; `PARAMETERS` describes them."""
        if self.cascade:
            return ("budget",)

        follows_defense = ("eot", "draw") if self.sees_defense and self.gradient else ()
        substitute = ("substitute",) if "substitute" in self.uses else ()

        return (*follows_defense, *substitute)


def _graybox(
    _purifier: nn.Module, classifier: nn.Module, _substitute: nn.Module
) -> AnyAttackedModel:
    from bench.stages.surrogates import DefendedClassifier

    return DefendedClassifier(None, classifier)


def _transfer(
    _purifier: nn.Module, _classifier: nn.Module, substitute: nn.Module
) -> AnyAttackedModel:
    from bench.stages.surrogates import DefendedClassifier

    return DefendedClassifier(None, substitute)


def _bpda(purifier: nn.Module, classifier: nn.Module, _substitute: nn.Module) -> AnyAttackedModel:
    from bench.stages.surrogates import DefendedClassifier, backward_through

    return DefendedClassifier(backward_through(purifier), classifier)


def _whitebox(
    purifier: nn.Module, classifier: nn.Module, _substitute: nn.Module
) -> AnyAttackedModel:
    from bench.stages.surrogates import DefendedClassifier

    return DefendedClassifier(purifier, classifier)


def _query(purifier: nn.Module, classifier: nn.Module, _substitute: nn.Module) -> AnyAttackedModel:
    from bench.stages.surrogates import DefendedClassifier, NoGradient

    return NoGradient(DefendedClassifier(purifier, classifier))


_DEFENDED = frozenset({"purifier", "classifier"})

THREATS: Mapping[str, ThreatKind] = {
    threat.name: threat
    for threat in (
        ThreatKind("noise", "random noise of the same size, no attack", None, gradient=False),
        ThreatKind(
            "transfer",
            "gradient of a substitute classifier that is trained independently",
            _transfer,
            frozenset({"substitute"}),
            stronger_than=("noise",),
        ),
        ThreatKind(
            "graybox",
            "gradient of the bare classifier, by an attacker who does not know the purifier",
            _graybox,
            frozenset({"classifier"}),
            stronger_than=("noise",),
        ),
        ThreatKind(
            "query",
            "scores or decisions of the defended pipeline, without a gradient",
            _query,
            _DEFENDED,
            gradient=False,
            stronger_than=("noise",),
        ),
        ThreatKind(
            "bpda",
            "real purifier forward, gradient of the identity backward (Athalye et al. 2018)",
            _bpda,
            _DEFENDED,
            stronger_than=("noise", "transfer", "graybox", "query"),
        ),
        ThreatKind(
            "whitebox",
            "exact gradient through purifier and classifier",
            _whitebox,
            _DEFENDED,
            stronger_than=("noise", "transfer", "graybox", "query", "bpda"),
        ),
        ThreatKind(
            "adaptive",
            "a cascade of attacks by an attacker who knows the defense, on what still stands",
            _whitebox,
            _DEFENDED,
            stronger_than=("noise", "transfer", "graybox", "query", "bpda", "whitebox"),
            cascade=True,
        ),
    )
}


@dataclass(frozen=True)
class ThreatModel:
    """A threat model with its parameters, made from a spec.

    Attributes:
        label: text of the spec, which names the row in tables.
        kind: kind of threat model.
        eot: number of draws over which the gradient of a stochastic defense is averaged
            (expectation over transformation).
        substitute: classifier that `transfer` attacks; None for the other kinds.
        fixed_draw: whether the draw of a stochastic defense is fixed and known to the attacker; the
            evaluation then uses the same draw.
        budget: named budget of the cascade of `adaptive`; empty for the other kinds.
    """

    label: str
    kind: ThreatKind
    eot: int = 1
    substitute: Configured[Classifier] | None = None
    fixed_draw: bool = False
    budget: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        """Everything in the threat model that changes a cell, as JSON values."""
        return {
            "name": self.kind.name,
            "eot": self.eot,
            "substitute": self.substitute.identity if self.substitute else None,
            **self.options,
        }

    @property
    def options(self) -> dict[str, Any]:
        """The parts of the identity that only some threat models have."""
        # What follows a gradient through the pipeline keeps each image's worst iterate on it.
        keeps_worst = self.kind.sees_defense and self.kind.gradient
        return {
            **({"iterate": "worst"} if keeps_worst else {}),
            **({"draw": "fixed"} if self.fixed_draw else {}),
            **({"budget": self.budget} if self.budget else {}),
        }

    def check_applies(self, attack: Configured[Attack]) -> None:
        """Check that the attack can run under this threat model.

        Raises:
            NotApplicable: the attack cannot, for the reason given.
        """
        access = attack.plugin.access
        is_noise = self.kind.surrogate is None

        if access == "gradient" and not self.kind.gradient and not is_noise:
            raise NotApplicable(
                f"attack {attack.name} follows a gradient, and query access gives none"
            )
        if self.kind.sees_defense and self.kind.gradient and access != "gradient":
            raise NotApplicable(
                f"attack {attack.name} uses only {access}s: its threat model is query"
            )
        if is_noise and attack.plugin.ball() is None:
            raise NotApplicable(
                f"the budget of attack {attack.name} is not a norm, "
                "so there is no random noise of the same size"
            )


def threat_model(text: str, overrides: Overrides | None = None) -> ThreatModel:
    """The threat model of a spec such as `whitebox:eot=10` or `transfer:substitute=[cnn:width=16]`.

    Args:
        text: spec of the threat model.
        overrides: parameters by plugin name that replace the defaults of the substitute.

    Raises:
        RequestError: a name or parameter is unknown, or a value is out of range.
    """
    spec = Spec.parse(text)
    if spec.name not in THREATS:
        raise unknown("threat model", spec.name, THREATS)

    kind = THREATS[spec.name]
    given = dict(spec.parameters)
    for name in given:
        if name not in kind.parameters:
            raise unknown(f"parameter of threat model '{kind.name}':", name, kind.parameters)

    eot = given.get("eot", "1")
    if not eot.isdecimal() or int(eot) < 1:
        raise _wrong(text, "eot", eot, "must be a whole number of at least 1")
    draw = given.get("draw", "fresh")
    if draw not in ("fresh", "fixed"):
        raise _wrong(text, "draw", draw, "must be fresh or fixed")
    if draw == "fixed" and int(eot) > 1:
        raise _wrong(text, "eot", eot, "a fixed draw leaves nothing to average over")

    substitute = None
    if "substitute" in kind.uses:
        substitute = configure(CLASSIFIERS, given.get("substitute", DEFAULT_SUBSTITUTE), overrides)

    budget = given.get("budget", DEFAULT_BUDGET) if kind.cascade else ""
    if budget and budget not in BUDGETS:
        raise unknown(f"budget of threat model '{kind.name}':", budget, BUDGETS)

    return ThreatModel(str(spec), kind, int(eot), substitute, draw == "fixed", budget)


def _wrong(text: str, name: str, value: str, reason: str) -> RequestError:
    return RequestError(f"threat model '{text}': parameter {name}={value}: {reason}")
