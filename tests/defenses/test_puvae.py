"""PuVAE against a plain form, and that its classifier loss is really in the loss."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from bench.contracts import DataInfo
from bench.progress import Silent
from bench.stages.pixels import Split
from bench.stages.training import TrainingContext
from defenses._conditional_vae import ConditionalVAE
from defenses.puvae import PuVAE

INFO = DataInfo((1, 28, 28), 10)


def small(**changes: object) -> PuVAE:
    return PuVAE(**{"channels": 4, "hidden": 16, "latent": 6, "noise": 0.0, **changes})  # type: ignore[arg-type]


def built(settings: PuVAE) -> ConditionalVAE:
    torch.manual_seed(0)
    module = settings.build(INFO).eval().requires_grad_(False)
    assert isinstance(module, ConditionalVAE)
    return module


@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_once_and_all_classes_at_once_is_the_plain_loop(stride: int) -> None:
    module = built(small(stride=stride))
    images = torch.rand(5, 1, 28, 28)
    chosen = []
    for image in images:
        candidates = []
        for label in range(10):
            condition = one_hot(torch.tensor([label]), 10).float()
            joined = torch.cat([module.convolutions(image[None]), condition], dim=1)
            hidden = torch.relu(module.hidden(torch.relu(module.joined(joined))))
            z = module.mean(hidden)
            candidates.append(
                torch.sigmoid(module.decoder(module.expand(torch.cat([z, condition], dim=1))))[0]
            )
        errors = [float(((candidate - image) ** 2).mean().sqrt()) for candidate in candidates]
        chosen.append(candidates[min(range(10), key=errors.__getitem__)])
    torch.testing.assert_close(module(images), torch.stack(chosen), atol=1e-5, rtol=1e-5)


def test_without_noise_it_is_deterministic_and_with_noise_it_is_not() -> None:
    images = torch.rand(3, 1, 28, 28)
    assert [small(noise=noise).stochastic for noise in (0.0, 0.5)] == [False, True]
    still, noisy = built(small()), built(small(noise=0.5))
    assert torch.equal(still(images), still(images))
    assert not torch.equal(noisy(images), noisy(images))


def test_the_encoder_is_the_published_one() -> None:
    module = built(PuVAE())
    assert tuple(module.joined.weight.shape) == (1024, 32 * 28 * 28 + 10)
    assert tuple(module.mean.weight.shape) == (32, 1024)
    first = module.convolutions[0]
    assert isinstance(first, nn.Conv2d)
    assert (first.kernel_size, first.dilation, first.stride) == ((7, 7), (2, 2), (1, 1))


def test_the_classifiers_cross_entropy_reaches_the_weights() -> None:
    """Every public port logs it and optimizes something else; here it alone trains the decoder."""
    torch.manual_seed(0)
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).requires_grad_(False).eval()
    settings = small(
        reconstruction_weight=0.0,
        kl_weight=0.0,
        classifier_weight=1.0,
        epochs=100,
        batch_size=10,
        learning_rate=1e-2,
    )
    context = TrainingContext(
        title="x",
        data=INFO,
        split=Split.of(torch.rand(10, 1, 28, 28), torch.arange(10)),
        seed="s",
        progress=Silent(),
        classifier=classifier,
    )
    module = settings.build(INFO).train()
    settings.fit(module, context)
    losses = [value for _, value in context.history["classification"]]
    assert losses[-1] < 0.5 * losses[0]


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel=4"):
        PuVAE(kernel=4)
