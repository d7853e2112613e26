"""The forms of the transposed convolution against PyTorch's, and its automatic gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv_transpose2d

from defenses import _folded_generator
from defenses._folded_generator import FoldedGenerator, _fastest_form
from defenses._minimal_filtering import MinimalFiltering
from defenses._transposed_convolution import (
    LibraryConvolution,
    TransposedConvolution,
    row_major,
)
from defenses._wgan import Generator
from defenses._window_convolution import WindowConvolution
from defenses.defensegan import DefenseGAN

SIZES = [((4, 4), (7, 7)), ((3, 5), (6, 10)), ((1, 2), (1, 3)), ((7, 7), (14, 14))]


@pytest.mark.parametrize("form", [MinimalFiltering, LibraryConvolution, WindowConvolution])
@pytest.mark.parametrize(("size", "crop"), SIZES)
def test_it_is_the_transposed_convolution(
    form: type, size: tuple[int, int], crop: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(6, 4, 5, 5, dtype=torch.float64), torch.randn(4, dtype=torch.float64)

    # One row more than the map has, in a random order.
    positions = row_major(size[0] + 1, size[1])
    positions = [positions[i] for i in torch.randperm(len(positions))]
    maps = torch.randn(3, len(positions), 6, dtype=torch.float64, requires_grad=True)
    in_order = [maps[:, positions.index(position)] for position in row_major(*size)]
    image = torch.stack(in_order, dim=2).unflatten(2, size)
    doubled = conv_transpose2d(image, weight, bias, stride=2, padding=2, output_padding=1)
    expected = doubled[..., : crop[0], : crop[1]]

    layer: TransposedConvolution = (
        MinimalFiltering(weight, bias, positions, size)
        if form is MinimalFiltering
        else form(weight, bias, positions, size, crop)
    )
    output = layer.forward(maps)
    index = [layer.positions.index(position) for position in row_major(*crop)]
    torch.testing.assert_close(
        output[:, index].mT.unflatten(2, crop), expected, rtol=1e-10, atol=1e-12
    )

    slope = torch.randn_like(expected)
    gradient = torch.zeros_like(output)
    gradient[:, index] = slope.flatten(2).mT
    (automatic,) = torch.autograd.grad(expected, maps, slope)
    torch.testing.assert_close(layer.backward(gradient), automatic, rtol=1e-10, atol=1e-12)


@pytest.fixture(params=["as on a CPU", "as on a GPU"])
def _forms(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The forms of the layers; those of a GPU run on a CPU too."""
    if request.param == "as on a GPU":
        monkeypatch.setattr(_folded_generator, "_fastest_form", WindowConvolution)
        monkeypatch.setattr(
            _folded_generator,
            "_last_form",
            lambda weight, bias, order, crop: WindowConvolution(
                weight, bias, row_major(*order.size), order.size, crop
            ),
        )


@pytest.mark.usefixtures("_forms")
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 20, 24), (1, 12, 13)])
def test_the_written_out_gradient_is_autograds(
    shape: tuple[int, int, int], batch_norm: bool
) -> None:
    torch.manual_seed(0)
    generator = Generator(shape, 8, 6, batch_norm).double()
    for _ in range(3):
        generator(torch.randn(16, 8, dtype=torch.float64))
    for weight in generator.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    generator.eval().requires_grad_(False)
    z = torch.randn(4, 8, dtype=torch.float64, requires_grad=True)
    target = torch.rand(4, *shape, dtype=torch.float64)
    error = (generator(z) - target).square().flatten(1).mean(dim=1).sum()
    (automatic,) = torch.autograd.grad(error, z)
    with torch.no_grad():
        written_out = FoldedGenerator(generator).gradient(z, target)
    torch.testing.assert_close(written_out, automatic, rtol=1e-9, atol=1e-14)


def test_reduced_precision_takes_the_librarys_convolution() -> None:
    def form(weight: Tensor) -> type:
        return type(_fastest_form(weight, weight.new_zeros(2), row_major(4, 4), (4, 4), (7, 7)))

    weight = torch.randn(2, 2, 5, 5)
    assert form(weight) is MinimalFiltering
    assert form(weight.double()) is MinimalFiltering
    assert form(weight.bfloat16()) is LibraryConvolution
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert form(weight) is LibraryConvolution
    finally:
        torch.set_float32_matmul_precision(before)


def test_it_rounds_like_the_plain_generator() -> None:
    """At the published sizes the float32 error is at most three times that of the plain layers."""
    settings = DefenseGAN()
    torch.manual_seed(0)
    generator = Generator((1, 28, 28), settings.latent, settings.width, batch_norm=False)
    generator.requires_grad_(False)
    for weight in generator.parameters():
        weight.mul_(3)
    z = torch.randn(16, settings.latent)
    folded = FoldedGenerator(generator)(z)
    layers = generator(z)
    exact = generator.double()(z.double())
    assert float((folded - exact).abs().max()) < 3 * float((layers - exact).abs().max())
