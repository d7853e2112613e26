"""The models that members of a cascade attack."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from bench.contracts import HasStandIns, StandIn
from bench.errors import NotApplicable, PluginFault
from bench.geometry import Norm
from bench.plugins.faults import plugin_call
from bench.stages.cascade_budgets import AttackedThrough
from bench.stages.decisions import check_makes_images
from bench.stages.learned_stand_in import FITTED_IMAGES, learned_stand_in
from bench.stages.surrogates import (
    AttackedModel,
    DefendedClassifier,
    NoGradient,
    StandInClassifier,
    backward_through,
)
from bench.stages.threats import THREATS
from bench.text import LONGEST_NAME, one_line


def stand_ins_of(description: str, purifier: nn.Module) -> Mapping[str, StandIn]:
    """The stand-ins that a purifier's module offers, by name; none for most.

    Raises:
        PluginFault: the module raises, or offers something else.
    """
    with plugin_call(description):
        if not isinstance(purifier, HasStandIns):
            return {}

        offered = dict(purifier.stand_ins())
        for name, stand_in in offered.items():
            is_name = isinstance(name, str) and name and one_line(name, LONGEST_NAME) == name
            if not is_name or not isinstance(stand_in, StandIn):
                raise PluginFault(
                    f"{description}: stand_ins() must map short names to StandIn, not "
                    f"{type(name).__name__} to {type(stand_in).__name__}"
                )
        return offered


def model_through(
    through: AttackedThrough,
    purifier: nn.Module,
    classifier: nn.Module,
    stand_in: StandIn | None = None,
) -> AttackedModel | NoGradient:
    """The model that a member attacks, other than through a learned stand-in.

    Args:
        through: kind of the model.
        purifier: trained purifier.
        classifier: trained classifier.
        stand_in: stand-in of the purifier, for a member that attacks through one.

    Raises:
        NotApplicable: there is no such model.
    """
    if through != "stand-in":
        surrogate = THREATS[through].surrogate
        if surrogate is None:
            raise NotApplicable(f"threat model {through} has no model to attack")
        model = surrogate(purifier, classifier, classifier)
        if not isinstance(model, AttackedModel | NoGradient):
            raise TypeError(f"threat model {through} gives a {type(model).__name__}")
        return model

    if stand_in is None:
        raise NotApplicable("the purifier offers no stand-in of this name")
    if stand_in.backward_only:
        return DefendedClassifier(backward_through(purifier, stand_in.function), classifier)
    return StandInClassifier(purifier, classifier, stand_in.function)


def learned_model(
    purifier: nn.Module, classifier: nn.Module, images: Tensor, eps: float, norm: Norm
) -> AttackedModel:
    """The real purifier forward, backward the gradient of a network fitted to it.

    Args:
        purifier: trained purifier.
        classifier: trained classifier.
        images: training images, float32 (n, c, h, w) in [0, 1].
        eps: budget of the attack, on the [0, 1] scale.
        norm: norm of the budget.
    """
    check_makes_images(purifier, "a network fitted to it")
    learned = learned_stand_in(purifier, classifier, images, eps, norm)
    model = DefendedClassifier(backward_through(purifier, learned), classifier)
    model.forward_images = min(len(images), FITTED_IMAGES)  # those that it was fitted to
    return model
