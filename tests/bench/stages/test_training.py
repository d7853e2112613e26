"""The context of a fit, and trainings that fail."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.contracts import DataInfo
from bench.errors import PluginFault
from bench.progress import Silent
from bench.stages.pixels import Split
from bench.stages.training import TrainingContext


def context(n: int = 10, **changes: object) -> TrainingContext:
    arguments: dict[str, object] = {
        "title": "train x",
        "data": DataInfo((1, 2, 2), 2),
        "split": Split.of(torch.arange(4.0 * n).view(n, 1, 2, 2) / (4 * n), torch.arange(n) % 2),
        "seed": "key",
        "progress": Silent(),
    }
    return TrainingContext(**{**arguments, **changes})  # type: ignore[arg-type]


def test_an_epoch_shows_every_image_once_and_batches_are_full() -> None:
    batches = list(context().batches(5, epochs=3))
    assert [len(labels) for _, labels in batches] == [5] * 6
    for epoch in range(3):
        seen = torch.cat([images for images, _ in batches[2 * epoch : 2 * epoch + 2]])
        assert sorted(seen.flatten(1)[:, 0].tolist()) == sorted(
            context().split.images.flatten(1)[:, 0].tolist()
        )
    assert not torch.equal(batches[0][0], batches[2][0])


def test_the_order_is_that_of_the_seed() -> None:
    first, second, other = (
        next(iter(context(seed=seed).batches(5, steps=1)))[0] for seed in ("a", "a", "b")
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_steps_may_be_cut_and_a_large_batch_is_cut_to_the_data() -> None:
    assert len(list(context(max_steps=2).batches(4, steps=100))) == 2
    assert len(next(iter(context().batches(1000, steps=1)))[1]) == 10


def test_a_data_set_without_training_images_trains_nothing() -> None:
    nothing = context(n=0)
    assert nothing.steps_in(3, 5) == 0
    with pytest.raises(PluginFault, match="train x: the data set has no training images"):
        next(iter(nothing.batches(5, epochs=1)))


def test_exactly_one_of_steps_and_epochs() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        next(context().batches(5))
    with pytest.raises(ValueError, match="exactly one"):
        next(context().batches(5, steps=1, epochs=1))


def test_losses_are_kept_with_their_steps() -> None:
    subject = context()
    for step, _ in enumerate(subject.batches(5, steps=4), start=1):
        subject.report(loss=torch.tensor(float(step)))
    assert subject.history == {"loss": [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_diverged_loss_ends_the_training(value: float) -> None:
    subject = context()
    batches = subject.batches(5, steps=3)
    next(batches)
    subject.report(mse=torch.tensor(value))
    with pytest.raises(PluginFault, match=r"train x: the loss 'mse' diverged to .* at step 1"):
        next(batches)


def test_the_classifier_is_there_only_for_those_who_ask() -> None:
    with pytest.raises(PluginFault, match="uses_classifier"):
        _ = context().classifier
    classifier = nn.Identity()
    assert context(classifier=classifier).classifier is classifier
