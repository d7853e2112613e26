"""The conformance suite: what every plugin must keep, checked on small real data; `bench check` and the tests run it.

Each check is a function in a table by family. A plugin's `fit` is cut to a few batches, so a check takes seconds
whatever the training budget; whether a network gets good is for a run to show.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.configure import Configured, configure
from bench.contracts import Attack
from bench.crafting import perturb
from bench.datasets import load_dataset
from bench.errors import PluginFault, RequestError
from bench.guard import Guarded, check_ball, plugin_call
from bench.progress import Silent
from bench.registry import ATTACKS, CLASSIFIERS, DEFENSES, Registry
from bench.seeding import seeded
from bench.spec import Spec
from bench.stages.base import weights_of
from bench.stages.train import fitted
from bench.training import TrainingContext

_STEPS = 2
_IMAGES = 3
_CPU = torch.device("cpu")
_ATOL = 1e-4
"""A batch may be summed in another order than its images alone."""


class _Linear(nn.Module):
    """A differentiable classifier that needs no training: it knows the mean image of each class."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        super().__init__()
        means = torch.stack([images[labels == label].mean(dim=0).flatten() for label in labels.unique()])
        self.weight = nn.Parameter(means, requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        """Minus half the squared distance to each class's mean, up to what is common to all classes."""
        return images.flatten(1) @ self.weight.T - 0.5 * (self.weight**2).sum(dim=1)


@dataclass(frozen=True, eq=False)
class Subject:
    """A plugin under test, with what the checks need."""

    family: str
    configured: Configured[Any]

    @cached_property
    def split(self) -> tuple[Tensor, Tensor]:
        """The digits' training images and labels."""
        train = load_dataset("digits", Path()).train
        return train.images, train.labels

    @cached_property
    def images(self) -> Tensor:
        """A few images."""
        return self.split[0][:_IMAGES]

    @cached_property
    def labels(self) -> Tensor:
        """Their classes."""
        return self.split[1][:_IMAGES]

    @cached_property
    def classifier(self) -> nn.Module:
        """A frozen classifier to train against and to attack."""
        return _Linear(*self.split).eval()

    def context(self) -> TrainingContext:
        """A training context cut to a few steps."""
        return TrainingContext(
            title=self.who,
            data=load_dataset("digits", Path()).info,
            images=self.split[0],
            labels=self.split[1],
            seed="conformance",
            progress=Silent(),
            classifier=self.classifier if getattr(self.configured.plugin, "uses_classifier", False) else None,
            max_steps=_STEPS,
        )

    @property
    def who(self) -> str:
        """The plugin in messages."""
        return f"{self.family} {self.configured.label}"

    def fit(self) -> nn.Module:
        """A freshly built and briefly fitted module, the same every time."""
        with seeded(_CPU, "conformance", "fit"):
            return fitted(self.configured.plugin, self.who, self.context(), _CPU)

    @cached_property
    def module(self) -> nn.Module:
        """The fitted module."""
        return self.fit()

    def output(self, module: nn.Module, images: Tensor, draw: int = 0) -> Tensor:
        """The module's checked output under a fixed seed."""
        classes = self.context().data.classes if self.family == "classifier" else None
        with seeded(_CPU, "conformance", draw), torch.no_grad():
            result: Tensor = Guarded(self.who, module, classes)(images)
        return result


def _documented(subject: Subject) -> None:
    """It has a docstring whose first line says what it is."""
    doc = inspect.cleandoc(type(subject.configured.plugin).__doc__ or "")
    if not doc or doc.startswith(f"{type(subject.configured.plugin).__name__}("):
        raise PluginFault("the class has no docstring: its first line is what `bench list` shows")


def _frozen(subject: Subject) -> None:
    """It is a frozen dataclass."""
    parameters = getattr(type(subject.configured.plugin), "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise PluginFault("the class is not a frozen dataclass: decorate it with @dataclass(frozen=True)")


def _round_trip(subject: Subject) -> None:
    """Its parameters, written out as a spec, make the same plugin."""
    again = configure(_REGISTRIES[subject.family], Spec.parse(str(subject.configured.resolved)))
    if again.identity != subject.configured.identity:
        raise PluginFault(f"its spec {subject.configured.resolved} makes another plugin")


def _inference_parameters(subject: Subject) -> None:
    """What it calls inference parameters are parameters."""
    extra = set(subject.configured.plugin.inference_parameters) - set(subject.configured.parameters)
    if extra:
        raise PluginFault(f"inference_parameters names what is no parameter: {', '.join(sorted(extra))}")


def _output(subject: Subject) -> None:
    """Its output has the right shape, type and range, for several images and for one."""
    subject.output(subject.module, subject.images)
    subject.output(subject.module, subject.images[:1])


def _extremes(subject: Subject) -> None:
    """Black and white images go through."""
    subject.output(
        subject.module, torch.stack([torch.zeros_like(subject.images[0]), torch.ones_like(subject.images[0])])
    )


def _input_kept(subject: Subject) -> None:
    """It does not change its input."""
    images = subject.images.clone()
    with seeded(_CPU, "conformance"), torch.no_grad(), plugin_call(subject.who):
        subject.module(images)  # not through the guard, which hands on a copy
    if not torch.equal(images, subject.images):
        raise PluginFault("it changes the images it is given, in place")


def _repeatable(subject: Subject) -> None:
    """The same seed gives the same output."""
    first, second = (subject.output(subject.module, subject.images) for _ in range(2))
    if not torch.equal(first, second):
        raise PluginFault("two calls under the same seed differ: draw randomness from torch's global generators only")


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
    if not torch.equal(subject.output(module, subject.images), subject.output(subject.module, subject.images)):
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


def _within_ball(subject: Subject) -> None:
    """Its images are in [0, 1] and within the budget, at small and at full range."""
    attack: Configured[Attack] = subject.configured
    for eps in (0.1, 1.0):
        images = _attacked(subject, eps)
        norm = attack.plugin.norm()
        if norm is not None:
            check_ball(subject.who, subject.images, images, eps, norm)


def _moves(subject: Subject) -> None:
    """It changes images."""
    if torch.equal(_attacked(subject, 0.3), subject.images):
        raise PluginFault("it returns the images unchanged on a model with a gradient")


def _attack_repeatable(subject: Subject) -> None:
    """The same seed gives the same images, and the model is left as it was."""
    before = weights_of(subject.classifier)
    if not torch.equal(_attacked(subject, 0.2), _attacked(subject, 0.2)):
        raise PluginFault("two calls under the same seed differ: draw randomness from torch's global generators only")
    after = weights_of(subject.classifier)
    if any(not (before[name] == after[name]).all() for name in before):
        raise PluginFault("it changed the model it attacks")


def _raises_loss(subject: Subject) -> None:
    """It raises the model's loss above that of the clean images."""
    loss = nn.CrossEntropyLoss()
    clean, adversarial = (
        loss(subject.classifier(x), subject.labels) for x in (subject.images, _attacked(subject, 0.3))
    )
    if not float(adversarial) > float(clean):
        raise PluginFault(f"the loss went from {float(clean):.3g} to {float(adversarial):.3g}: it does not attack")


def _attacked(subject: Subject, eps: float) -> Tensor:
    with seeded(_CPU, "conformance", eps):
        return perturb(subject.configured, subject.classifier, subject.images, subject.labels, eps)


Check = Callable[[Subject], None]

_ALL: tuple[Check, ...] = (_documented, _frozen, _round_trip)
_NETWORK: tuple[Check, ...] = (
    _inference_parameters, _output, _extremes, _input_kept, _repeatable, _fit_repeatable, _reloads, _images_independent,
)  # fmt: skip
CHECKS: Mapping[str, tuple[Check, ...]] = {
    "defense": (*_ALL, *_NETWORK, _stochastic_declared, _classifier_kept),
    "classifier": (*_ALL, *_NETWORK, _differentiable),
    "attack": (*_ALL, _within_ball, _moves, _attack_repeatable, _raises_loss),
}
_REGISTRIES: Mapping[str, Registry[Any]] = {"defense": DEFENSES, "attack": ATTACKS, "classifier": CLASSIFIERS}


def conformance(family: str, spec: Spec | str) -> Iterator[tuple[str, str]]:
    """Run the suite on one plugin.

    Args:
        family: defense, attack or classifier.
        spec: the plugin, with parameters if it needs some.

    Yields:
        each check's description and the reason it failed, empty where it passed.
    """
    subject = Subject(family, configure(_REGISTRIES[family], spec))
    for check in CHECKS[family]:
        yield (inspect.getdoc(check) or check.__name__), _reason(check, subject)


def _reason(check: Check, subject: Subject) -> str:
    try:
        check(subject)
    except (PluginFault, RequestError) as fault:
        return str(fault)
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises is its failure of this check
        return f"{type(error).__name__}: {error}"
    return ""
