"""What every defense and every classifier must keep."""

from __future__ import annotations

import torch

from bench.conformance.subject import CPU, Check, Subject
from bench.contracts import Eager
from bench.errors import PluginFault
from bench.stages.context import weights_of
from bench.stages.guard import plugin_call
from bench.stages.seeding import seeded

_ATOL = 1e-4
"""A batch may be summed in another order than its images alone."""


def _inference_parameters(subject: Subject) -> None:
    """What it calls inference parameters are parameters."""
    extra = set(subject.configured.plugin.inference_parameters) - set(subject.configured.parameters)
    if extra:
        raise PluginFault(
            f"inference_parameters names what is no parameter: {', '.join(sorted(extra))}"
        )


def _output(subject: Subject) -> None:
    """Its output has the right shape, type and range, for several images and for one."""
    subject.output(subject.module, subject.images)
    subject.output(subject.module, subject.images[:1])


def _extremes(subject: Subject) -> None:
    """Black and white images go through."""
    subject.output(
        subject.module,
        torch.stack([torch.zeros_like(subject.images[0]), torch.ones_like(subject.images[0])]),
    )


def _input_kept(subject: Subject) -> None:
    """It does not change its input."""
    images = subject.images.clone()
    with seeded(CPU, "conformance"), torch.no_grad(), plugin_call(subject.who):
        subject.module(images)  # not through the guard, which hands on a copy
    if not torch.equal(images, subject.images):
        raise PluginFault("it changes the images it is given, in place")


def _repeatable(subject: Subject) -> None:
    """The same seed gives the same output."""
    first, second = (subject.output(subject.module, subject.images) for _ in range(2))
    if not torch.equal(first, second):
        raise PluginFault(
            "two calls under the same seed differ: draw randomness from torch's global generators only"
        )


def _fit_repeatable(subject: Subject) -> None:
    """The same seed gives the same weights."""
    first, second = weights_of(subject.module), weights_of(subject.fit())
    if any(not (first[name] == second[name]).all() for name in first):
        raise PluginFault(
            "two trainings under the same seed differ: draw randomness from torch's global generators only"
        )


def _reloads(subject: Subject) -> None:
    """A module built anew with the trained weights gives the same output."""
    module = subject.configured.plugin.build(subject.context().data)
    module.load_state_dict(subject.module.state_dict())
    module = module.eval().requires_grad_(False)
    if not torch.equal(
        subject.output(module, subject.images), subject.output(subject.module, subject.images)
    ):
        raise PluginFault(
            "with its weights loaded into a new build() its output differs: keep all state in the state dict"
        )


def _classifier_kept(subject: Subject) -> None:
    """Training does not change the classifier."""
    before = weights_of(subject.classifier)
    subject.fit()
    after = weights_of(subject.classifier)
    if any(not (before[name] == after[name]).all() for name in before):
        raise PluginFault("fit() changed the classifier")


def _stochastic_declared(subject: Subject) -> None:
    """An output that changes with the seed is declared."""
    first, second = (subject.output(subject.module, subject.images, draw) for draw in (0, 1))
    if not torch.equal(first, second) and not subject.configured.plugin.stochastic:
        raise PluginFault("its output changes from call to call: set stochastic = True")


def _images_independent(subject: Subject) -> None:
    """What becomes of an image does not depend on its batch (where no randomness is drawn per batch)."""
    if getattr(subject.configured.plugin, "stochastic", False):
        return
    whole = subject.output(subject.module, subject.images)
    alone = torch.cat([subject.output(subject.module, image[None]) for image in subject.images])
    if not torch.allclose(whole, alone, atol=_ATOL):
        raise PluginFault("an image's output depends on the other images of its batch")


def _differentiable(subject: Subject) -> None:
    """Its logits have a finite gradient with respect to the images."""
    images = subject.images.clone().requires_grad_(True)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(subject.module(images).sum(), images)
    if not bool(torch.isfinite(gradient).all()):
        raise PluginFault("the gradient with respect to the images is NaN or infinite")


def _accelerated(subject: Subject) -> None:
    """What it hands to an engine does what it does itself."""
    own = getattr(subject.module, "accelerated", None)
    if own is None:
        return
    with (
        seeded(CPU, "conformance", 0),
        torch.no_grad(),
        plugin_call(subject.who),
    ):  # as Subject.output
        found = own(Eager())(subject.images.clone())
    if not torch.allclose(found, subject.output(subject.module, subject.images), atol=_ATOL):
        raise PluginFault("accelerated() gives other images than forward()")


_NETWORK: tuple[Check, ...] = (
    _inference_parameters, _output, _extremes, _input_kept, _repeatable, _fit_repeatable, _reloads, _images_independent,
)  # fmt: skip
DEFENSE_CHECKS = (*_NETWORK, _stochastic_declared, _classifier_kept, _accelerated)
CLASSIFIER_CHECKS = (*_NETWORK, _differentiable)
