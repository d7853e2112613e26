"""Tests of the ResNet-18 for small images, against torchvision's."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import resnet18

from bench.contracts import DataInfo
from classifiers.resnet18 import ResNet18


def test_it_is_torchvisions_network_behind_another_stem() -> None:
    torch.manual_seed(0)
    theirs = resnet18(num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    theirs.eval()
    ours = ResNet18().build(DataInfo((3, 32, 32), 10)).eval()

    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    ours.get_submodule("normalize").eps = 0.0

    images = torch.rand(2, 3, 32, 32)
    assert all(name.startswith("normalize") for name in missing)
    assert not unexpected
    assert torch.allclose(ours(images), theirs(images), atol=1e-4)


def test_training_learns_mean_and_deviation_of_the_images() -> None:
    module = ResNet18(width=2).build(DataInfo((1, 8, 8), 2)).train()
    images = 0.3 + 0.1 * torch.randn(64, 1, 8, 8)
    for _ in range(200):
        module(images)

    buffers = dict(module.named_buffers())
    assert torch.allclose(buffers["normalize.running_mean"], images.mean(dim=(0, 2, 3)), atol=1e-3)
    assert torch.allclose(buffers["normalize.running_var"], images.var(dim=(0, 2, 3)), atol=1e-3)
