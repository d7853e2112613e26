"""The Bayesian forms of an auto-encoder, by name, and the parameters that choose among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, get_args

from torch import nn

from defenses._bayesian_purifier import BayesianDecision, BayesianDetector, BayesianPurifier
from defenses._dropout_posterior import DropoutPosterior
from defenses._ensemble_posterior import EnsemblePosterior
from defenses._posterior import Posterior
from defenses._swag_posterior import SwagPosterior
from defenses._variational_posterior import VariationalPosterior

Bayes = Literal["dropout", "ensemble", "swag", "variational"]

INFERENCE_PARAMETERS = frozenset({"draws", "control", "reject"})
"""Parameters that a trained distribution does not depend on."""

COUNTS_WITH: Mapping[str, tuple[Bayes, ...]] = {
    **dict.fromkeys(sorted(INFERENCE_PARAMETERS), get_args(Bayes)),
    "dropout_rate": ("dropout",),
    "ensemble_size": ("ensemble",),
    "rank": ("swag",),
}
"""Values of `bayes` with which a parameter counts, by the name of the parameter."""


class BayesianForm(Protocol):
    """The parameters of a defense with Bayesian forms."""

    @property
    def bayes(self) -> Bayes | None:
        """Distribution over the weights; None for a single network."""

    @property
    def dropout_rate(self) -> float:
        """Probability that an input of a decoder's layer is dropped."""

    @property
    def ensemble_size(self) -> int:
        """Number of networks of an ensemble."""

    @property
    def rank(self) -> int:
        """Number of snapshots whose deviations SWAG keeps."""

    @property
    def draws(self) -> int | None:
        """Number of draws for each image; None for a purifier that does not decide."""

    @property
    def control(self) -> bool:
        """Whether plain noise of the same amount replaces the draws of the weights."""

    @property
    def reject(self) -> float | None:
        """Disagreement of the draws above which an image is rejected; None to reject none."""


def check_form(form: BayesianForm) -> None:
    """Check that the parameters of a form count, and suit each other.

    Raises:
        ValueError: one is set that does not count, or beyond what the others allow.
    """
    for name, forms in COUNTS_WITH.items():
        is_set = getattr(form, name) != getattr(type(form), name)
        if is_set and form.bayes not in forms:
            raise ValueError(f"parameter {name}: it counts only with bayes={'|'.join(forms)}")

    if form.bayes == "ensemble" and (form.draws or 0) > form.ensemble_size:
        raise ValueError(
            f"parameter draws={form.draws}: an ensemble has one draw for each of its "
            f"{form.ensemble_size} members"
        )
    if form.reject is not None and (form.draws or 0) < 2:
        raise ValueError("parameter reject: it needs several draws, such as draws=10")


def draws_at_random(form: BayesianForm) -> bool:
    """Whether weights or noise are drawn: all members of an ensemble are no random choice."""
    is_whole = form.bayes == "ensemble" and form.draws == form.ensemble_size
    return form.bayes is not None and (form.control or not is_whole)


def draws_for_each_image(form: BayesianForm) -> bool:
    """Whether each image of a call gets a draw of its own, as dropout and noise give it."""
    return form.control or form.bayes == "dropout"


def bayesian_purifier(
    bayes: Bayes, form: BayesianForm, network: Callable[[], nn.Module], decoder: Sequence[str]
) -> BayesianPurifier:
    """The purifier of a form.

    Args:
        bayes: distribution over the weights.
        form: the other parameters.
        network: function that makes an untrained auto-encoder.
        decoder: names of its layers behind the latent code.
    """
    posterior = _POSTERIORS[bayes](form, network, decoder)
    if form.draws is None:
        return BayesianPurifier(posterior, control=form.control)
    if form.reject is None:
        return BayesianDecision(posterior, form.draws, control=form.control)
    return BayesianDetector(posterior, form.draws, control=form.control, threshold=form.reject)


_Maker = Callable[[BayesianForm, Callable[[], nn.Module], Sequence[str]], Posterior]

_POSTERIORS: Mapping[Bayes, _Maker] = {
    "dropout": lambda form, network, decoder: DropoutPosterior(
        network(), decoder, form.dropout_rate
    ),
    "ensemble": lambda form, network, _: EnsemblePosterior(
        network() for _ in range(form.ensemble_size)
    ),
    "swag": lambda form, network, _: SwagPosterior(network(), form.rank),
    "variational": lambda _form, network, _: VariationalPosterior(network()),
}
"""Makers of the distributions, with the arguments of `bayesian_purifier`."""
