"""The invariants after every plugin call."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import PluginFault
from bench.geometry import distances
from bench.stages.guard import check_ball, checked_images, checked_logits

IMAGES = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, "returned NoneType instead of a tensor"),
        (IMAGES[..., 1:], r"returned shape \(3, 1, 4, 3\) instead of \(3, 1, 4, 4\)"),
        (IMAGES.double(), "returned torch.float64"),
        (IMAGES * float("nan"), "NaN or infinite"),
        (IMAGES + float("inf"), "NaN or infinite"),
        (IMAGES + 1, r"outside \[0, 1\]"),
        (IMAGES - 1e-4 - IMAGES.min(), r"outside \[0, 1\]"),
        (IMAGES.to_sparse(), "returned a tensor of layout torch.sparse_coo"),
        (IMAGES.to("meta"), "returned torch.float32 on meta"),
        (torch.nested.nested_tensor([IMAGES[0]]), "defense x (raised RuntimeError|returned)"),
        (IMAGES.bool(), "returned torch.bool"),
        (IMAGES.to(torch.complex64), "returned torch.complex64"),
        ([IMAGES], "returned list"),
    ],
)
def test_what_is_no_image_is_a_fault(output: object, message: str) -> None:
    with pytest.raises(PluginFault, match=message):
        checked_images("defense x", output, IMAGES)


class Disguised(torch.Tensor):
    """A tensor whose operations are the plugin's code."""

    @classmethod
    def __torch_function__(cls, *_: object, **__: object) -> object:
        raise SystemExit(0)


def test_a_tensor_that_runs_code_is_a_plain_tensor_or_a_fault() -> None:
    plain = checked_images("x", IMAGES.as_subclass(torch.nn.Buffer), IMAGES)
    assert type(plain) is torch.Tensor
    with pytest.raises(PluginFault, match="x raised SystemExit: 0"):
        checked_images("x", IMAGES.as_subclass(Disguised), IMAGES)
    with pytest.raises(PluginFault, match="x raised SystemExit: 0"):
        checked_logits("x", torch.zeros(3, 10).as_subclass(Disguised), IMAGES, 10)


def test_the_checked_images_share_no_memory_with_the_output() -> None:
    output = IMAGES.clone()
    checked = checked_images("x", output, IMAGES)
    output.zero_()
    assert torch.equal(checked, IMAGES)


def test_float_rounding_is_forgiven_and_removed() -> None:
    images = torch.tensor([[[[-1e-7, 1 + 1e-7]]]])
    assert checked_images("x", images, images).tolist() == [[[[0.0, 1.0]]]]


def test_logits_have_one_column_a_class() -> None:
    assert checked_logits("x", torch.zeros(3, 10), IMAGES, 10).shape == (3, 10)
    with pytest.raises(PluginFault, match=r"\(3, 9\) instead of \(3, 10\)"):
        checked_logits("x", torch.zeros(3, 9), IMAGES, 10)


@given(st.sampled_from(["linf", "l2", "l1"]), st.floats(0.01, 0.5))
def test_the_ball_is_closed_and_no_larger(norm: str, eps: float) -> None:
    delta = torch.zeros(2, 1, 2, 2)
    delta[0, 0, 0, 0] = eps
    images = torch.full_like(delta, 0.25)
    check_ball("attack x", images, images + delta, eps, norm)  # type: ignore[arg-type]
    with pytest.raises(PluginFault, match=f"attack x moved an image by .* in {norm}, beyond eps"):
        check_ball("attack x", images, images + 1.01 * delta, eps, norm)  # type: ignore[arg-type]


def test_distances_are_those_of_the_definition() -> None:
    others = IMAGES + torch.tensor([0.0, 0.1, -0.2]).view(3, 1, 1, 1)
    torch.testing.assert_close(distances(IMAGES, others, "linf"), torch.tensor([0.0, 0.1, 0.2]))
    torch.testing.assert_close(distances(IMAGES, others, "l1"), torch.tensor([0.0, 1.6, 3.2]))
    torch.testing.assert_close(distances(IMAGES, others, "l2"), torch.tensor([0.0, 0.4, 0.8]))
