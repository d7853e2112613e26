"""Threat models: which model the attacker is given. Any attack runs under any of them without
knowing it.

Each is a small pure function of (purifier, classifier, substitute). Evaluation is always on the
real defended pipeline, with fresh randomness. Torch is imported when a model is made, so that the
names can be listed without it.
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

if TYPE_CHECKING:
    from torch import nn

Surrogate: TypeAlias = "Callable[[nn.Module, nn.Module, nn.Module], nn.Module]"

DEFAULT_SUBSTITUTE = "cnn"

PARAMETERS = {
    "eot": "draws over which the gradient of a randomised defense is averaged, default 1",
    "substitute": f"spec of the classifier attacked in place of the real one, default {DEFAULT_SUBSTITUTE}",
}
"""What a threat model's spec may set."""


@dataclass(frozen=True)
class Threat:
    """A threat model.

    Attributes:
        name: as the field calls it.
        summary: one line for people.
        surrogate: the model the attack is run on, from (purifier, classifier, substitute); None
            where there is no attack, but noise of the same size.
        uses: which of the three it looks at; the others leave the adversarial set unchanged, which
            is then shared.
        gradient: the model has a gradient to follow.
        stronger_than: threat models whose attacker knows no more, so that it should never do
            better.
    """

    name: str
    summary: str
    surrogate: Surrogate | None
    uses: frozenset[str] = frozenset()
    gradient: bool = True
    stronger_than: tuple[str, ...] = ()

    @property
    def sees_defense(self) -> bool:
        """The purifier takes part, so an adversarial set serves one defense only."""
        return "purifier" in self.uses

    @property
    def parameters(self) -> tuple[str, ...]:
        """What a spec of it may set, see `PARAMETERS`."""
        eot = ("eot",) if self.sees_defense and self.gradient else ()
        return (*eot, *(("substitute",) if "substitute" in self.uses else ()))


def _graybox(_purifier: nn.Module, classifier: nn.Module, _substitute: nn.Module) -> nn.Module:
    from bench.stages.surrogates import DefendedClassifier

    return DefendedClassifier(None, classifier)


def _transfer(_purifier: nn.Module, _classifier: nn.Module, substitute: nn.Module) -> nn.Module:
    from bench.stages.surrogates import DefendedClassifier

    return DefendedClassifier(None, substitute)


def _bpda(purifier: nn.Module, classifier: nn.Module, _substitute: nn.Module) -> nn.Module:
    from bench.stages.surrogates import DefendedClassifier, IdentityBackward

    return DefendedClassifier(IdentityBackward(purifier), classifier)


def _whitebox(purifier: nn.Module, classifier: nn.Module, _substitute: nn.Module) -> nn.Module:
    from bench.stages.surrogates import DefendedClassifier

    return DefendedClassifier(purifier, classifier)


def _query(purifier: nn.Module, classifier: nn.Module, _substitute: nn.Module) -> nn.Module:
    from bench.stages.surrogates import DefendedClassifier, NoGradient

    return NoGradient(DefendedClassifier(purifier, classifier))


_DEFENDED = frozenset({"purifier", "classifier"})

THREATS: Mapping[str, Threat] = {
    threat.name: threat
    for threat in (
        Threat("noise", "random noise of the same size; no attack", None, gradient=False),
        Threat(
            "transfer",
            "the gradient of a substitute classifier trained apart",
            _transfer,
            frozenset({"substitute"}),
            stronger_than=("noise",),
        ),
        Threat(
            "graybox",
            "the bare classifier's gradient; the attacker does not know of the purifier",
            _graybox,
            frozenset({"classifier"}),
            stronger_than=("noise",),
        ),
        Threat(
            "query",
            "the decisions of the defended pipeline, no gradient; for decision-based attacks",
            _query,
            _DEFENDED,
            gradient=False,
            stronger_than=("noise",),
        ),
        Threat(
            "bpda",
            "through the real purifier at every step, its gradient taken as the identity's (Athalye et al. 2018)",
            _bpda,
            _DEFENDED,
            stronger_than=("noise", "transfer", "graybox", "query"),
        ),
        Threat(
            "whitebox",
            "the exact gradient through purifier and classifier",
            _whitebox,
            _DEFENDED,
            stronger_than=("noise", "transfer", "graybox", "query", "bpda"),
        ),
    )
}


@dataclass(frozen=True)
class ThreatModel:
    """A threat model made from a spec.

    Attributes:
        label: the spec's text, the row's name in tables.
        kind: which threat model.
        eot: draws over which the gradient of a stochastic defense is averaged (expectation over
            transformation).
        substitute: the classifier that `transfer` attacks.
    """

    label: str
    kind: Threat
    eot: int = 1
    substitute: Configured[Classifier] | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What of it changes a cell, as JSON."""
        return {
            "name": self.kind.name,
            "eot": self.eot,
            "substitute": self.substitute.identity if self.substitute else None,
        }

    def check_applies(self, attack: Configured[Attack]) -> None:
        """Whether this attack makes sense under this threat model.

        Raises:
            NotApplicable: it does not, and why.
        """
        access, is_noise = attack.plugin.access, self.kind.surrogate is None
        if access == "gradient" and not self.kind.gradient and not is_noise:
            raise NotApplicable(
                f"attack {attack.name} follows a gradient, and query access gives none"
            )
        if self.kind.sees_defense and self.kind.gradient and access == "decision":
            raise NotApplicable(
                f"attack {attack.name} takes only decisions: its threat model is query"
            )
        if is_noise and attack.plugin.ball() is None:
            raise NotApplicable(
                f"the budget of attack {attack.name} is no norm of a perturbation: no noise of that size"
            )


def threat_model(text: str, overrides: Overrides | None = None) -> ThreatModel:
    """The threat model a spec names, such as `whitebox:eot=10` or
    `transfer:substitute=[cnn:width=16]`.

    Raises:
        RequestError: an unknown name or parameter, or a value out of range.
    """
    spec = Spec.parse(text)
    if spec.name not in THREATS:
        raise unknown("threat model", spec.name, THREATS)
    kind, given = THREATS[spec.name], dict(spec.parameters)
    for name in given:
        if name not in kind.parameters:
            raise unknown(f"parameter of threat model '{kind.name}':", name, kind.parameters)
    eot = given.get("eot", "1")
    if not eot.isdecimal() or int(eot) < 1:
        raise RequestError(
            f"threat model '{text}': parameter eot={eot}: must be a whole number of at least 1"
        )
    substitute = None
    if "substitute" in kind.uses:
        substitute = configure(CLASSIFIERS, given.get("substitute", DEFAULT_SUBSTITUTE), overrides)
    return ThreatModel(str(spec), kind, int(eot), substitute)
