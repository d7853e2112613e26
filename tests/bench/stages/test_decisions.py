"""Tests of what a rejection means, against the definition image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.contracts import Decision
from bench.errors import NotApplicable, PluginFault
from bench.plugins.configured import configure
from bench.records.outcome import REJECTED
from bench.registry import ATTACKS
from bench.stages.crafting import perturb
from bench.stages.decisions import OfOneClass, decisions, folded
from bench.stages.guard import Guarded, GuardedPipeline
from bench.stages.surrogates import DefendedClassifier, backward_through
from bench.stages.threats import THREATS

LOGITS = st.lists(
    st.lists(st.integers(-9, 9).map(lambda number: number / 4), min_size=4, max_size=4),
    min_size=1,
    max_size=5,
)


@given(LOGITS, st.integers(0, 2))
def test_an_attack_succeeds_where_an_image_is_accepted_and_wrong(
    rows: list[list[float]], label: int
) -> None:
    logits = torch.tensor(rows)
    labels = torch.full((len(rows),), label)
    fails = folded(logits, labels, rejecting=True).argmax(1) == labels

    for row, failed in zip(rows, fails.tolist(), strict=True):
        best_wrong = max(value for index, value in enumerate(row[:3]) if index != label)
        kept = max(row[label], row[3])
        if best_wrong != kept:  # among equals either class may be predicted
            assert failed == (best_wrong < kept)


@given(LOGITS)
def test_a_rejected_image_has_no_class(rows: list[list[float]]) -> None:
    predicted = decisions(torch.tensor(rows), rejecting=True)
    expected = [row.index(max(row)) for row in rows]
    assert predicted.tolist() == [REJECTED if best == 3 else best for best in expected]


class Rejecting(nn.Module):
    """A defense that rejects images brighter than a threshold."""

    rejects = True

    def classify(self, images: Tensor, classifier: nn.Module) -> Tensor:
        logits = classifier(images)
        surplus = 100 * (images.flatten(1).mean(dim=1, keepdim=True) - 0.6)
        return torch.cat([logits, logits.amax(dim=1, keepdim=True) + surplus], dim=1)


class Brightness(nn.Module):
    """Three classes by brightness: dark, medium, bright."""

    def forward(self, images: Tensor) -> Tensor:
        brightness = images.flatten(1).mean(dim=1, keepdim=True)
        return -20 * (brightness - torch.tensor([0.2, 0.5, 0.8])) ** 2


@pytest.mark.parametrize("attack", ["pgd:steps=20", "fgsm", "apgd", "square:queries=400", "fmn"])
def test_attacks_look_for_images_that_are_accepted_and_wrong(attack: str) -> None:
    torch.manual_seed(0)
    images = torch.cat([torch.full((4, 1, 4, 4), 0.45), torch.full((3, 1, 4, 4), 0.25)])
    images = images + 0.01 * torch.randn_like(images)
    labels = torch.tensor(4 * [1] + 3 * [0])
    model = DefendedClassifier(Rejecting(), Brightness()).eval()
    assert decisions(model(images), rejecting=True).tolist() == labels.tolist()

    # Brighter images are rejected: only darker ones are accepted and wrong.
    eps = 0.8 if attack == "fmn" else 0.25
    found = perturb(configure(ATTACKS, attack), model, images[:4], labels[:4], eps)
    assert decisions(model(found), rejecting=True).tolist() == [0, 0, 0, 0]
    found = perturb(configure(ATTACKS, attack), model, images[4:], labels[4:], eps)
    assert decisions(model(found), rejecting=True).tolist() == [1, 1, 1]


def test_an_attack_on_one_class_may_ask_what_it_may_ask_of_the_model() -> None:
    model = DefendedClassifier(Rejecting(), Brightness()).eval()
    model.eot, model.evaluated = 7, True
    model.start = torch.rand(5, 1, 4, 4)
    index = torch.tensor([1, 3])
    seen = OfOneClass(model, 1, index)

    assert (seen.eot, seen.evaluated, seen.rejects) == (7, True, False)
    assert seen.start is not None
    assert torch.equal(seen.start, model.start[index])
    assert seen(torch.rand(2, 1, 4, 4)).shape == (2, 3)
    with pytest.raises(AttributeError):
        _ = seen.nothing_of_the_kind


def test_what_needs_an_image_does_not_apply_to_a_defense_that_makes_none() -> None:
    with pytest.raises(NotApplicable, match="without making an image"):
        backward_through(Rejecting())
    surrogate = THREATS["bpda"].surrogate
    assert surrogate is not None
    with pytest.raises(NotApplicable, match="without making an image"):
        surrogate(Rejecting(), Brightness(), Brightness())


def pipeline(output: object) -> GuardedPipeline:
    """A pipeline whose defense returns something."""
    module = nn.Module()
    module.classify = lambda images, classifier: output  # type: ignore[assignment]
    return GuardedPipeline(Guarded("defense x", module, None), Guarded("c", Brightness(), 3))


IMAGES = torch.rand(2, 1, 4, 4)


def test_further_numbers_of_images_come_with_the_decision() -> None:
    given = Decision(torch.zeros(2, 3), {"radius": torch.tensor([0.5, torch.nan])})
    decision, shown = pipeline(given).decided(IMAGES, 1)
    assert np.array_equal(decision.extras["radius"].numpy(), [0.5, np.nan], equal_nan=True)
    assert torch.equal(shown, IMAGES[:1])


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(2, 4), "shape (2, 4) instead of (2, 3)"),
        (Decision(torch.zeros(2, 3), {"Radius": torch.zeros(2)}), "the name 'Radius'"),
        (Decision(torch.zeros(2, 3), {"radius": torch.zeros(3)}), "(3,) instead of (2,)"),
        (Decision(torch.zeros(2, 3), {"radius": 3.0}), "float instead of (2,)"),  # type: ignore[dict-item]
        (Decision(torch.zeros(2, 3), {"r": torch.full((2,), torch.inf)}), "infinite extra 'r'"),
        (Decision(torch.zeros(2, 3), {f"r{i}": torch.zeros(2) for i in range(11)}), "11 extras"),
        ("logits", "returned str instead of a tensor"),
    ],
)
def test_a_decision_of_another_form_is_a_fault(output: object, message: str) -> None:
    with pytest.raises(PluginFault) as raised:
        pipeline(output).decided(IMAGES, 1)
    assert message in str(raised.value)
