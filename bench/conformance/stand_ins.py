"""The checks of the stand-ins that a purifier offers to an attacker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.conformance.subject import Checks, Subject
from bench.contracts import HasStandIns, Mixture, StandIn
from bench.errors import PluginFault
from bench.spec import NAME
from bench.stages.guard import checked_images
from bench.stages.seeding import seeded

_NEAR = 0.1
"""Largest allowed mean difference of a pixel between stand-in and purifier, on real images."""

_WEIGHT_ERROR = 1e-4
"""Largest allowed difference between one and the sum of a mixture's weights."""


@dataclass(frozen=True)
class _Approximation:
    """What a stand-in makes of images.

    Attributes:
        description: name of the plugin and of the stand-in in messages.
        output: images (n, c, h, w) or a mixture, as the stand-in returns it.
        images: images that the stand-in was given, as leaves of the graph.
    """

    description: str
    output: Tensor | Mixture
    images: Tensor

    @property
    def expected(self) -> Tensor:
        """The images (n, c, h, w); of a mixture, the mean of the candidates by their weights."""
        if not isinstance(self.output, Mixture):
            return self.output
        return torch.einsum("nk,nkchw->nchw", self.output.log_weights.exp(), self.output.images)


def _declared(subject: Subject) -> None:
    """Stand-ins, if there are any, are a mapping from names to instances of StandIn."""
    stand_ins = _stand_ins(subject)
    if not isinstance(stand_ins, Mapping):
        raise PluginFault(f"stand_ins() returned {type(stand_ins).__name__} instead of a mapping")

    for name, stand_in in stand_ins.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise PluginFault(
                f"stand_ins() has the name {name!r}: use letters, digits, '-' and '_', a letter "
                "first"
            )
        if not isinstance(stand_in, StandIn) or not callable(stand_in.function):
            raise PluginFault(f"stand-in {name}: it is not a StandIn with a function")
        if not isinstance(stand_in.backward_only, bool):
            raise PluginFault(f"stand-in {name}: backward_only is not True or False")


def _valid(subject: Subject) -> None:
    """Output of a stand-in is images, or candidates and weights, of the right shape and range."""
    for approximation in _approximations(subject):
        output, images = approximation.output, approximation.images
        if isinstance(output, Mixture):
            _check_mixture(approximation.description, output, images)
        else:
            checked_images(approximation.description, output.detach(), images)


def _alone(subject: Subject) -> None:
    """Mixture is followed alone: it cannot give the gradient of the purifier's own images."""
    stand_ins = _stand_ins(subject)
    for approximation, stand_in in zip(_approximations(subject), stand_ins.values(), strict=True):
        if isinstance(approximation.output, Mixture) and stand_in.backward_only:
            raise PluginFault(
                f"{approximation.description} is a mixture with backward_only = True, which "
                "several candidates cannot be"
            )


def _near(subject: Subject) -> None:
    """Output of a stand-in is near that of the purifier: 0.1 for a pixel, in the mean."""
    purified = subject.result
    for approximation in _approximations(subject):
        difference = float((approximation.expected.detach() - purified).abs().mean())
        if not difference <= _NEAR:
            raise PluginFault(
                f"{approximation.description} differs from the purifier by {difference:.3g} for a "
                f"pixel in the mean (at most {_NEAR})"
            )


def _differentiable(subject: Subject) -> None:
    """Stand-in has a finite gradient, which is not zero for any image."""
    for approximation in _approximations(subject):
        description, expected = approximation.description, approximation.expected
        if not expected.requires_grad:
            raise PluginFault(f"{description} cuts the graph: it has no gradient")

        with seeded(subject.device, "conformance", "direction"):
            direction = torch.randn_like(expected)
        (gradient,) = torch.autograd.grad((expected * direction).sum(), approximation.images)
        if not bool(torch.isfinite(gradient).all()):
            raise PluginFault(f"{description} has a gradient that is NaN or infinite")
        if not bool(gradient.flatten(1).any(dim=1).all()):
            raise PluginFault(f"{description} has a gradient of zero, so it leads nowhere")


def _stand_ins(subject: Subject) -> Mapping[str, StandIn]:
    module = subject.module
    return module.stand_ins() if isinstance(module, HasStandIns) else {}


def _approximations(subject: Subject) -> Iterator[_Approximation]:
    """What each stand-in makes of the subject's images, under the seed of the purifier's output."""
    for name, stand_in in _stand_ins(subject).items():
        images = subject.images.clone().requires_grad_(True)
        with seeded(subject.device, "conformance", 0), torch.enable_grad():
            output = stand_in.function(images)

        description = f"stand-in {name} of {subject.description}"
        if not isinstance(output, (Tensor, Mixture)):
            raise PluginFault(
                f"{description} returned {type(output).__name__}, neither images nor a Mixture"
            )
        yield _Approximation(description, output, images)


def _check_mixture(description: str, mixture: Mixture, images: Tensor) -> None:
    """Check shapes, range and weights of a mixture.

    Raises:
        PluginFault: one of them is wrong.
    """
    candidates, log_weights = mixture.images.detach(), mixture.log_weights.detach()
    shape = tuple(log_weights.shape)
    if len(shape) != 2 or shape[0] != len(images) or tuple(candidates.shape[:2]) != shape:
        raise PluginFault(
            f"{description} returned log_weights of shape {shape} for images of shape "
            f"{tuple(candidates.shape)}: they are (n, candidates) and (n, candidates, ...)"
        )

    repeated = images.repeat_interleave(shape[1], dim=0)
    checked_images(description, candidates.flatten(0, 1), repeated)
    error = float((log_weights.exp().sum(dim=1) - 1).abs().max())
    if not error <= _WEIGHT_ERROR:
        raise PluginFault(
            f"{description} has weights whose sum differs from 1 by {error:.3g}: "
            "log_weights are logarithms of probabilities"
        )


STAND_IN_CHECKS: Checks = {
    _declared: (),
    _valid: (_declared,),
    _alone: (_declared,),
    _near: (_valid,),
    _differentiable: (_valid,),
}
