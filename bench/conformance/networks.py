"""The checks of defenses and classifiers."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.conformance.devices import judged, network_uses
from bench.conformance.stand_ins import STAND_IN_CHECKS
from bench.conformance.subject import GLOBAL_GENERATORS, Checks, Subject
from bench.contracts import Eager
from bench.errors import PluginFault
from bench.plugins.faults import plugin_call
from bench.stages.context import weights_of
from bench.stages.decisions import makes_images
from bench.stages.seeding import seeded

_ATOL = 1e-4
"""Largest allowed difference of outputs; sums over a batch may round differently."""


def _inference_parameters(subject: Subject) -> None:
    """Inference parameters are parameters of the plugin."""
    extra = set(subject.configured.plugin.inference_parameters) - set(subject.configured.parameters)
    if extra:
        names = ", ".join(sorted(extra))
        raise PluginFault(
            f"inference_parameters has names that are not parameters of the class: {names}"
        )


def _output(subject: Subject) -> None:
    """Output has the right shape, type and range, for several images and for one."""
    with subject.first_use():
        _ = subject.result
        subject.output(subject.module, subject.images[:1])


def _extremes(subject: Subject) -> None:
    """Output is valid for a black and a white image."""
    image = subject.images[0]
    subject.output(subject.module, torch.stack([torch.zeros_like(image), torch.ones_like(image)]))


def _input_kept(subject: Subject) -> None:
    """Input images are left unchanged."""
    images = subject.images.clone()
    if subject.family == "defense" and not makes_images(subject.module):
        return  # what it decides by is checked on its own
    with seeded(subject.device, "conformance"), torch.no_grad(), plugin_call(subject.description):
        # Not through `Subject.output`, whose guard passes on a copy.
        subject.module(images)

    if not torch.equal(images, subject.images):
        raise PluginFault("the module changes its input images in place: work on a copy")


def _repeatable(subject: Subject) -> None:
    """Output is the same in two calls under the same seed."""
    if not torch.equal(subject.output(subject.module, subject.images), subject.result):
        raise PluginFault(f"the output differs under the same seed: {GLOBAL_GENERATORS}")


def _fit_repeatable(subject: Subject) -> None:
    """Trained weights are the same in two trainings under the same seed."""
    first = weights_of(subject.module)
    second = weights_of(subject.fit())
    if any(not (first[name] == second[name]).all() for name in first):
        raise PluginFault(f"the trained weights differ under the same seed: {GLOBAL_GENERATORS}")


def _reloads(subject: Subject) -> None:
    """Output is the same after the weights are loaded into a new module."""
    module = subject.configured.plugin.build(subject.info)
    module.load_state_dict(subject.module.state_dict())
    module = module.to(subject.images.device).eval().requires_grad_(False)

    reloaded = subject.output(module, subject.images)
    if not torch.equal(reloaded, subject.result):
        raise PluginFault(
            "the output differs after the weights are loaded into a module from a new build(): "
            "keep all state in the state dict"
        )


def _images_independent(subject: Subject) -> None:
    """Output for an image does not depend on its batch, unless the plugin is stochastic."""
    if subject.configured.plugin.stochastic:
        return

    alone = torch.cat([subject.output(subject.module, image[None]) for image in subject.images])
    if not torch.allclose(subject.result, alone, atol=_ATOL):
        raise PluginFault("the output for an image depends on the other images of its batch")


def _stochastic_declared(subject: Subject) -> None:
    """Output that changes with the seed is declared as stochastic."""
    another = subject.output(subject.module, subject.images, draw=1)
    if not torch.equal(subject.result, another) and not subject.configured.plugin.stochastic:
        raise PluginFault("the output changes with the seed: set stochastic = True")


def _independent(subject: Subject) -> None:
    """Copies of an image in one call get draws of their own, if the defense declares it."""
    if not subject.configured.plugin.independent_draws:
        return

    image = subject.images[:1]
    first, second = (subject.output(subject.module, image, draw) for draw in (0, 1))
    copies = subject.output(subject.module, image.repeat(2, 1, 1, 1))
    if not torch.equal(first, second) and torch.equal(copies[0], copies[1]):
        raise PluginFault(
            "two copies of an image in one call share their draw: leave independent_draws False"
        )


def _decides(subject: Subject) -> None:
    """Logits of classify(), if there is one, are valid, and the same under the same seed."""
    if not hasattr(subject.module, "classify"):
        return

    first, second = (_decided(subject) for _ in range(2))
    if not torch.equal(first, second):
        raise PluginFault(f"classify() differs under the same seed: {GLOBAL_GENERATORS}")


def _decided(subject: Subject) -> Tensor:
    """The checked logits (n, classes) that the defense gives for the subject's images."""
    images = subject.images.clone()
    with (
        seeded(subject.device, "conformance", 0),
        torch.no_grad(),
        plugin_call(subject.description),
    ):
        # Not through the guard, which passes on a copy.
        subject.module.classify(images, subject.classifier)  # type: ignore[operator]
    if not torch.equal(images, subject.images):
        raise PluginFault("classify() changes its input images in place: work on a copy")

    return subject.decision(subject.module, images)


def _classifier_kept(subject: Subject) -> None:
    """Training leaves the classifier unchanged."""
    _ = subject.module  # trained with the classifier
    if not subject.keeps_classifier:
        raise PluginFault("fit() changed the weights of the classifier")


def _accelerated(subject: Subject) -> None:
    """Accelerated function, if there is one, gives the output of the module."""
    accelerated = getattr(subject.module, "accelerated", None)
    if accelerated is None:
        return

    # The seed of `Subject.output`, so that both make the same random draws.
    with (
        seeded(subject.device, "conformance", 0),
        torch.no_grad(),
        plugin_call(subject.description),
    ):
        images = accelerated(Eager())(subject.images.clone())
    if not torch.allclose(images, subject.result, atol=_ATOL):
        raise PluginFault("the function from accelerated() and forward() give different images")


def _differentiable(subject: Subject) -> None:
    """Logits have a finite gradient with respect to the images."""
    images = subject.images.clone().requires_grad_(True)
    with torch.enable_grad():
        logits = subject.module(images)
        if not logits.requires_grad:
            raise PluginFault("the logits have no gradient with respect to the images")
        (gradient,) = torch.autograd.grad(logits.sum(), images)

    if not bool(torch.isfinite(gradient).all()):
        raise PluginFault("the gradient with respect to the images is NaN or infinite")


def _on_a_device(subject: Subject) -> str:
    """Tensors stay on the device of the images, whichever it is, in training and in calls."""
    return judged(network_uses(subject), subject.configured.plugin.host_work)


_NETWORK_CHECKS: Checks = {
    _inference_parameters: (),
    _output: (),
    _extremes: (_output,),
    _input_kept: (_output,),
    _repeatable: (_output,),
    _fit_repeatable: (_output,),
    _reloads: (_repeatable,),
    _stochastic_declared: (_repeatable,),
    _images_independent: (_stochastic_declared,),
    _on_a_device: (_output, _fit_repeatable),
}

DEFENSE_CHECKS: Checks = {
    **_NETWORK_CHECKS,
    _independent: (_stochastic_declared,),
    _classifier_kept: (_fit_repeatable,),
    _accelerated: (_repeatable,),
    _decides: (_repeatable,),
    **{check: (_output, *before) for check, before in STAND_IN_CHECKS.items()},
}
CLASSIFIER_CHECKS: Checks = {**_NETWORK_CHECKS, _differentiable: (_output,)}
