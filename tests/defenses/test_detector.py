"""MagNet's detectors: marks against SciPy, thresholds against counts, and who is rejected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense
from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.registry import DEFENSES
from bench.spec import Spec
from bench.stages.decisions import folded
from tests.defenses.finite_differences import assert_gradient_is_exact

INFO = DataInfo((1, 10, 12), 4)
ALL = "detector:divergence=[median]:temperature=3"


@dataclass
class Given:
    """What a fit is given: clean images, a classifier, and networks by their spec."""

    plugin: Defense

    @cached_property
    def images(self) -> Tensor:
        return torch.rand(400, *INFO.shape, generator=torch.Generator().manual_seed(4))

    @cached_property
    def classifier(self) -> nn.Module:
        torch.manual_seed(5)
        return nn.Sequential(nn.Flatten(), nn.Linear(120, 4)).requires_grad_(False)

    def build(self, spec: Spec) -> nn.Module:
        torch.manual_seed(6)
        return self.plugin.member(spec).build(INFO).eval().requires_grad_(False)

    def batches(self, size: int, *, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
        assert epochs == 1
        yield from ((part, torch.zeros(len(part))) for part in self.images.split(size))


def fitted(spec: str) -> tuple[Any, Given]:
    plugin = configure(DEFENSES, spec).plugin
    given, module = Given(plugin), plugin.build(INFO).train()
    plugin.fit(module, given)  # type: ignore[arg-type]
    return module.eval().requires_grad_(False), given


def plain_marks(given: Given, images: Tensor) -> Tensor:
    """The squared error, the absolute error and the divergence of each image."""
    first = given.build(given.plugin.l2)(images)  # type: ignore[attr-defined]
    second = given.build(given.plugin.l1)(images)  # type: ignore[attr-defined]
    third = given.build(given.plugin.divergence)(images)  # type: ignore[attr-defined]
    answers = [(given.classifier(shown) / 3).softmax(1).double() for shown in (images, third)]
    rows = [
        (
            float(((image - one) ** 2).mean()),
            float((image - two).abs().mean()),
            float(jensenshannon(before, after)) ** 2,
        )
        for image, one, two, before, after in zip(images, first, second, *answers, strict=True)
    ]
    return torch.tensor(rows)


def test_marks_are_the_plain_ones() -> None:
    module, given = fitted(ALL)
    images = given.images[:20]
    marks = module.marks(images, given.classifier)
    torch.testing.assert_close(marks, plain_marks(given, images), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.01, 0.25, 1.0])
def test_each_threshold_rejects_its_share_of_the_clean_images(rate: float) -> None:
    module, given = fitted(f"{ALL}:false_positives={rate}:batch_size=37")
    rejected = module.marks(given.images, given.classifier) > module.thresholds
    assert rejected.sum(dim=0).tolist() == [min(int(rate * 400), 399)] * 3
    assert "thresholds" in module.state_dict()


@pytest.mark.parametrize("reformer", ["none", "median"])
def test_an_image_is_rejected_where_a_mark_is_above_its_threshold(reformer: str) -> None:
    module, given = fitted(f"{ALL}:false_positives=0.1:reformer={reformer}")
    images = torch.cat([given.images, given.images.round(), torch.zeros(1, *INFO.shape)])
    logits = module.classify(images, given.classifier)

    is_rejected = (plain_marks(given, images) > module.thresholds + 1e-6).any(dim=1)
    is_accepted = (plain_marks(given, images) < module.thresholds - 1e-6).all(dim=1)
    assert bool((logits[is_rejected].argmax(1) == 4).all())
    assert bool((logits[is_accepted].argmax(1) < 4).all())
    assert min(int(is_rejected.sum()), int(is_accepted.sum())) > 40

    reformed = (
        images if reformer == "none" else configure(DEFENSES, "median").plugin.build(INFO)(images)
    )
    assert torch.equal(module(images), reformed)
    expected = given.classifier(reformed).log_softmax(1)
    torch.testing.assert_close(logits[:, :4], expected)


def test_a_network_that_several_parameters_name_is_one() -> None:
    module, _ = fitted("detector:l1=reformer:divergence=reformer")
    assert len(module.networks) == 1
    assert len(fitted("detector")[0].networks) == 2


@pytest.mark.parametrize(
    ("spec", "stochastic", "uses_classifier"),
    [
        ("detector", False, False),
        ("detector:divergence=[reformer]", False, True),
        ("detector:reformer=[gaussian_noise]", True, False),
        ("detector:l2=[convae]", False, True),
    ],
)
def test_it_is_as_random_as_its_parts(spec: str, stochastic: bool, uses_classifier: bool) -> None:
    plugin = configure(DEFENSES, spec).plugin
    assert (plugin.stochastic, plugin.uses_classifier) == (stochastic, uses_classifier)
    assert plugin.independent_draws


@pytest.mark.parametrize("label", range(4))
def test_the_gradient_is_that_of_finite_differences(label: int) -> None:
    module, given = fitted(f"{ALL.replace('median', 'reformer')}:false_positives=0.5")
    module, classifier = module.double(), given.classifier.double()
    images = 0.2 + 0.6 * given.images[:6].double()
    assert_gradient_is_exact(lambda at: module.classify(at, classifier), images)

    def margin(at: Tensor) -> Tensor:
        """What an attacker who wants a wrong and accepted image follows."""
        labels = torch.full((len(at),), label)
        logits = folded(module.classify(at, classifier), labels, rejecting=True)
        others = logits.scatter(1, labels[:, None], -torch.inf).amax(1, keepdim=True)
        return others - logits.gather(1, labels[:, None])

    inputs = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(margin(inputs).sum(), inputs)
    assert bool((gradient.flatten(1).norm(dim=1) > 0).all())


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.floats(1e-3, 1e3))
def test_marks_are_finite_for_any_answer(value: float, scale: float) -> None:
    module, given = fitted("detector:l1=none:divergence=[median]:reformer=none")

    def sure(images: Tensor) -> Tensor:
        logits: Tensor = scale * given.classifier(images)
        return logits

    flat = torch.full((1, *INFO.shape), value)
    images = torch.cat([flat, given.images[:5]]).requires_grad_(True)
    logits = module.classify(images, sure)
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    assert bool(logits.isfinite().all())
    assert bool(gradient.isfinite().all())


def test_perfect_reconstructions_reject_nothing_else() -> None:
    module, given = fitted("detector:l2=[bitdepth:bits=8]:l1=none:reformer=none")
    module.thresholds.zero_()
    levels = (255 * given.images).round() / 255
    assert bool((module.classify(levels, given.classifier).argmax(1) < 4).all())
    assert module.classify(levels + 0.001, given.classifier).isfinite().all()


def test_requests_that_make_no_detector_are_refused() -> None:
    with pytest.raises(RequestError, match="name an auto-encoder in l2, l1 or divergence"):
        configure(DEFENSES, "detector:l1=none:l2=none")
    plugin = configure(DEFENSES, "detector:l2=[smoothing]").plugin
    with pytest.raises(ValueError, match="smoothing decides by itself"):
        plugin.build(INFO)
