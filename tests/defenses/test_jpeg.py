"""JPEG, compared with the arithmetic of the standard."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch import Tensor

from bench.contracts import DataInfo
from defenses.jpeg import JPEG

GRAY = DataInfo((1, 8, 8), 10)
LUMINANCE = np.fromstring(
    """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56
       14 17 22 29 51 87 80 62 18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92
       49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99
    """,
    sep=" ",
).reshape(8, 8)
"""Quantization table of ITU-T T.81, annex K.1, which libjpeg scales with the quality.

At quality 50 it is used unchanged.
"""


def compressed(images: Tensor, quality: int) -> Tensor:
    result: Tensor = JPEG(quality=quality).build(GRAY)(images)
    return result


def test_each_frequency_of_a_block_is_rounded_to_a_multiple_of_its_step() -> None:
    torch.manual_seed(0)
    # In this range nothing is clipped at 0 or 255.
    pixels = torch.randint(64, 192, (50, 1, 8, 8)).float()
    before = dctn(pixels.numpy() - 128, axes=(2, 3), norm="ortho") / LUMINANCE
    output = 255 * compressed(pixels / 255, 50).numpy()
    after = dctn(output - 128, axes=(2, 3), norm="ortho") / LUMINANCE

    # Rounding to pixels moves the smallest steps, and libjpeg transforms in integers.
    assert np.abs(after - np.round(after)).max() < 0.15
    assert np.abs(np.round(after) - before).max() < 0.53
    assert np.abs(before - np.round(before)).max() > 0.49


@pytest.mark.parametrize(("quality", "step"), [(75, 1), (10, 10)])
def test_a_flat_image_is_rounded_to_a_step_of_the_mean(quality: int, step: int) -> None:
    """The mean's coefficient is 8 times the mean; its step is 8 at quality 75, and 80 at 10."""
    values = torch.arange(256.0)
    output = (
        compressed((values / 255).view(-1, 1, 1, 1).expand(-1, 1, 8, 8), quality)[:, 0, 3, 3] * 255
    )
    middle = (values - 128) % step == step / 2  # A tie may be rounded up or down.
    expected = (128 + step * torch.round((values - 128) / step)).clamp(0, 255)
    torch.testing.assert_close(output[~middle], expected[~middle], atol=1e-3, rtol=0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_colour_keeps_its_channels_in_order(layout: torch.memory_format) -> None:
    images = (
        torch.tensor([0.9, 0.5, 0.1])
        .view(1, 3, 1, 1)
        .repeat(2, 1, 9, 13)
        .contiguous(memory_format=layout)
    )
    output = JPEG(quality=95).build(DataInfo((3, 9, 13), 10))(images)
    assert output.shape == images.shape
    torch.testing.assert_close(output, images, atol=0.02, rtol=0)


def test_it_is_outside_autograd() -> None:
    images = torch.rand(2, 1, 8, 8).requires_grad_(True)
    assert not compressed(images, 75).requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_images_come_back_on_their_device() -> None:
    images = torch.rand(2, 1, 8, 8)
    output = compressed(images.cuda(), 75)
    assert output.is_cuda
    torch.testing.assert_close(output.cpu(), compressed(images, 75))


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_refused(channels: int) -> None:
    with pytest.raises(ValueError, match=f"1 or 3 channels, not {channels}"):
        JPEG().build(DataInfo((channels, 8, 8), 10))


@pytest.mark.parametrize("quality", [0, 101])
def test_quality_is_1_to_100(quality: int) -> None:
    from bench.errors import RequestError
    from bench.plugins.configured import configure
    from bench.registry import DEFENSES

    with pytest.raises(RequestError, match=f"parameter quality={quality}: "):
        configure(DEFENSES, f"jpeg:quality={quality}")
