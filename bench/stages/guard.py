"""The invariants of plugin outputs, checked in one place after every plugin call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bench.errors import NotApplicable, PluginFault, StorageError
from bench.geometry import Norm, distances

TOLERANCE = 1e-6
"""Float32 rounding allowed on [0, 1] and on the epsilon ball."""

_LONGEST_REASON = 300


@contextmanager
def plugin_call(who: str) -> Iterator[None]:
    """Turn whatever a plugin raises into a fault that names it."""
    try:
        yield
    except (PluginFault, StorageError, NotApplicable):
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:_LONGEST_REASON]
        raise PluginFault(
            f"{who} raised {type(error).__name__}: {text or '(no message)'}"
        ) from error


def checked_images(who: str, output: object, like: Tensor) -> Tensor:
    """The output as images, float rounding beyond [0, 1] removed.

    Raises:
        PluginFault: not a tensor, another shape, type or device, NaN or infinite values, values
            outside [0, 1].
    """
    tensor = _checked_tensor(who, output, tuple(like.shape), like)
    low, high = float(tensor.min()), float(tensor.max())
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise PluginFault(f"{who} returned values in [{low:.4g}, {high:.4g}], outside [0, 1]")
    return tensor.clamp(0, 1)


def checked_logits(who: str, output: object, images: Tensor, classes: int) -> Tensor:
    """The output as logits (n, classes), finite.

    Raises:
        PluginFault: it is something else.
    """
    return _checked_tensor(who, output, (len(images), classes), images)


def _checked_tensor(who: str, output: object, shape: tuple[int, ...], like: Tensor) -> Tensor:
    if not isinstance(output, Tensor):
        raise PluginFault(f"{who} returned {type(output).__name__} instead of a tensor")
    if tuple(output.shape) != shape:
        raise PluginFault(f"{who} returned shape {tuple(output.shape)} instead of {shape}")
    if output.dtype != torch.float32 or output.device != like.device:
        raise PluginFault(
            f"{who} returned {output.dtype} on {output.device} instead of torch.float32 on {like.device}"
        )
    if not bool(torch.isfinite(output).all()):
        raise PluginFault(f"{who} returned NaN or infinite values")
    return output


def check_ball(who: str, images: Tensor, adversarial: Tensor, eps: float, norm: Norm) -> None:
    """Raise where an adversarial image is farther than eps from its original.

    Raises:
        PluginFault: the largest distance exceeds eps by more than float rounding.
    """
    slack = (
        TOLERANCE if norm == "linf" else TOLERANCE * max(1.0, eps) * 10
    )  # a sum over pixels rounds more
    largest = float(distances(images, adversarial, norm).max())
    if not largest <= eps + slack:
        raise PluginFault(f"{who} moved an image by {largest:.6g} in {norm}, beyond eps {eps:g}")


class Guarded(nn.Module):
    """A plugin's module with its outputs checked: images for a purifier, logits for a classifier."""

    def __init__(self, who: str, module: nn.Module, classes: int | None) -> None:
        super().__init__()
        self.who, self.module, self.classes = who, module, classes

    def forward(self, images: Tensor) -> Tensor:
        """The module's output, checked."""
        with plugin_call(self.who):
            output = self.module(
                images.clone()
            )  # a plugin that works in place must not reach the test images
        if self.classes is None:
            return checked_images(self.who, output, images)
        return checked_logits(self.who, output, images, self.classes)
