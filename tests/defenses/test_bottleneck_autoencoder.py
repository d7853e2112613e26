"""The ConvAE with a short code: no path around it, soft thresholds, its stand-in, resistance."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, HasStandIns
from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.progress import Silent
from bench.registry import ATTACKS, DEFENSES
from bench.stages.pixels import Split
from bench.stages.training import TrainingContext
from defenses._bottleneck_autoencoder import BottleneckAutoencoder, Thresholds
from defenses.convae import ConvAE

SETTINGS = ConvAE(
    arch="bottleneck", width=4, code=8, noise=5.0, thresholds=(0.3, 0.6), steepness=10.0
)


def built(settings: ConvAE = SETTINGS, shape: tuple[int, int, int] = (1, 13, 10)) -> nn.Module:
    torch.manual_seed(0)
    return settings.build(DataInfo(shape, 10)).eval()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 15, 17), (2, 1, 5)])
@pytest.mark.parametrize("settings", [SETTINGS, ConvAE(arch="bottleneck", width=2, code=3)])
def test_images_keep_their_shape(settings: ConvAE, shape: tuple[int, int, int]) -> None:
    module = built(settings, shape)
    images = torch.rand(2, *shape)
    output = module(images)
    assert output.shape == images.shape
    assert 0 <= float(output.min().detach()) <= float(output.max().detach()) <= 1


def test_noise_and_no_clamp_in_training_only() -> None:
    module = built()
    images = torch.rand(2, 1, 13, 10)
    assert not torch.equal(module.train()(images), module(images))
    assert float(module(images).detach().min()) < 0
    assert torch.equal(module.eval()(images), module(images))


def test_nothing_leads_around_the_code() -> None:
    module = built()
    assert isinstance(module, BottleneckAutoencoder)
    images = torch.rand(3, 1, 13, 10)
    assert not torch.equal(module(images)[0], module(images)[1])
    nn.init.zeros_(module.encode.weight)
    restored = module(images)
    assert torch.equal(restored, restored[:1].expand_as(restored))


def test_thresholds_are_those_of_a_plain_loop() -> None:
    layer = Thresholds(2, (0.25, 0.5, 0.75), 12.0)
    images = torch.rand(2, 2, 3, 4)
    maps = layer(images).detach()
    assert maps.shape == (2, 6, 3, 4)
    for number in range(6):
        channel, value = number // 3, (0.25, 0.5, 0.75)[number % 3]
        for row in range(3):
            for column in range(4):
                pixel = float(images[1, channel, row, column])
                expected = 1 / (1 + math.exp(-12.0 * (pixel - value)))
                assert float(maps[1, number, row, column]) == pytest.approx(expected, rel=1e-4)


def test_the_stand_in_has_the_images_of_the_purifier_and_a_gradient_through_the_clamp() -> None:
    module = built().double()
    nn.init.constant_(module.up1.bias, -1e3)  # every pixel leaves [0, 1]
    assert isinstance(module, HasStandIns)
    (stand_in,) = module.stand_ins().values()
    images = torch.rand(2, 1, 13, 10, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(2, 1, 13, 10, dtype=torch.float64)

    def slope(output: Tensor) -> Tensor:
        return torch.autograd.grad((output * direction).sum(), images)[0]

    assert torch.equal(stand_in.function(images), module(images))
    assert float(slope(module(images)).abs().max()) == 0

    with torch.no_grad():
        module.up1.bias.fill_(0.5)
        module.up1.weight.mul_(1e-3)  # no pixel leaves [0, 1], and the clamp does nothing
        expected = module(images)
        assert 0 < float(expected.min()) < float(expected.max()) < 1
    torch.testing.assert_close(slope(stand_in.function(images)), slope(module(images)))
    through = slope(stand_in.function(images))
    nn.init.constant_(module.up1.bias, 7.0)
    torch.testing.assert_close(slope(stand_in.function(images)), through)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("convae:thresholds=[0.5]", "parameter thresholds: only for arch=bottleneck, .* is unet"),
        ("convae:arch=bottleneck:steepness=5", "parameter steepness: only with thresholds"),
        (
            "convae:arch=bottleneck:thresholds=[0.5,1.5]",
            "parameter thresholds=.*less than or equal to 1",
        ),
        ("convae:arch=author:code=8", "parameter code: only for arch=bottleneck, .* is author"),
        ("convae:arch=bottleneck:skips=false", "parameter skips: .*arch=bottleneck has none"),
        ("convae:code=0", "parameter code=0: .*greater than or equal to 1"),
    ],
)
def test_a_parameter_that_would_do_nothing_is_refused(spec: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        configure(DEFENSES, spec)


def test_only_options_that_are_taken_count() -> None:
    plain = configure(DEFENSES, "convae").identity["parameters"]
    coded = configure(DEFENSES, "convae:arch=bottleneck:code=8").identity["parameters"]
    assert coded == {**plain, "arch": "bottleneck", "code": 8}
    whole = configure(DEFENSES, "convae:arch=bottleneck:code=8:thresholds=0.5").identity[
        "parameters"
    ]
    assert whole == {**coded, "thresholds": [0.5], "steepness": 20.0}


def blobs() -> TrainingContext:
    """Two patterns of dark and bright pixels, and a linear classifier that half of eps breaks."""
    torch.manual_seed(0)
    patterns = torch.rand(2, 1, 8, 8).round()
    labels = torch.arange(256) % 2
    images = (patterns[labels] + 0.2 * torch.rand(256, 1, 8, 8) - 0.1).clamp(0, 1)
    weight = (patterns[1] - patterns[0]).flatten() + 0.5 * torch.randn(64)
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    with torch.no_grad():
        classifier[1].weight.copy_(torch.stack([-weight, weight]))
        scores = images.flatten(1) @ weight
        middle = (scores[labels == 0].max() + scores[labels == 1].min()) / 2
        classifier[1].bias.copy_(torch.stack([middle, -middle]))

    return TrainingContext(
        title="x",
        data=DataInfo((1, 8, 8), 2),
        split=Split.of(images, labels),
        seed="s",
        progress=Silent(),
        classifier=classifier.requires_grad_(False).eval(),
    )


def accuracy_under_attack(spec: str) -> float:
    """Accuracy under APGD on purifier and classifier, of a purifier trained on `blobs`."""
    context = blobs()
    settings = configure(DEFENSES, f"convae:width=4:steps=60:batch_size=32:{spec}").plugin
    module = settings.build(context.data).train()
    settings.fit(module, context)
    pipeline = nn.Sequential(module, context.classifier).eval().requires_grad_(False)
    images, labels = context.split.images, context.split.labels
    attack = configure(ATTACKS, "apgd:steps=10").plugin
    adversarial = attack.perturb(pipeline, images, labels, 0.4)
    return float((pipeline(adversarial).argmax(1) == labels).float().mean())


def test_what_is_trained_through_itself_resists_what_breaks_the_ordinary_purifier() -> None:
    shared = "learning_rate=5e-3:eps=0.4:arch=bottleneck:code=8:thresholds=0.5"
    itself = "attack=[pgd:steps=3]:through=true:classifier_weight=1"
    assert accuracy_under_attack(shared) < 0.7  # chance is 0.5
    assert accuracy_under_attack(f"{shared}:{itself}") > 0.9
