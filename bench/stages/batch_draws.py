"""Random draws of a part of a batch: those that its images have when the whole batch is evaluated.

A module draws its random numbers for all images of a call together, so that a call with fewer
images draws other numbers. Here each draw is made for the whole batch, and the part takes its rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bench.errors import PluginFault

_ROW_BY_ROW = {
    f"aten::{name}"
    for name in (
        *("rand", "randn", "randint", "normal", "bernoulli"),
        *("rand_like", "randn_like", "randint_like"),
        *("uniform_", "normal_", "bernoulli_", "exponential_", "random_", "log_normal_"),
        *("cauchy_", "geometric_"),
    )
}
"""Draws that take a fixed count of random numbers for each element, whatever the parameters."""

_Shape = tuple[int, ...]


class Indivisible(PluginFault):
    """A batch that cannot be evaluated in parts with the same numbers."""


@dataclass(frozen=True)
class Draw:
    """The shape of one random draw, by the number of images.

    Attributes:
        shape: shape for a single image.
        axis: axis whose size grows with the number of images; None if the images share the draw.
    """

    shape: _Shape
    axis: int | None

    @classmethod
    def of(cls, few: _Shape, more: _Shape, images: int) -> Self | None:
        """The draw that has these shapes for a number of images and for one more; None for none."""
        if few == more:
            return cls(few, None)
        axes = [
            axis for axis, sizes in enumerate(zip(few, more, strict=False)) if len(set(sizes)) > 1
        ]
        if len(few) != len(more) or len(axes) != 1:
            return None

        (axis,) = axes
        factor = more[axis] - few[axis]
        if few[axis] != factor * images:
            return None
        return cls((*few[:axis], factor, *few[axis + 1 :]), axis)

    def sizes(self, images: int) -> _Shape:
        """The shape for a number of images."""
        return tuple(
            size * images if axis == self.axis else size for axis, size in enumerate(self.shape)
        )


@dataclass(frozen=True)
class BatchDraws:
    """The random draws of a call of a model.

    Attributes:
        draws: draws in their order.
        copies: number of copies of the batch, one after the other, that each draw is made for.
    """

    draws: tuple[Draw, ...]
    copies: int = 1

    def of_part(self, start: int, stop: int, whole: int) -> Replayed:
        """The draws of the images from `start` to `stop` of a whole batch."""
        return Replayed(self, start, stop, whole)


class Recorded(TorchDispatchMode):
    """A context that records the shapes of random draws.

    Args:
        most: number of draws after which the call is ended by `Enough`; None for no end.
    """

    def __init__(self, most: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shapes: list[_Shape] = []
        self._most = most

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The operation, as it is."""
        result = func(*args, **(kwargs or {}))
        if _is_random(func):
            self.shapes.append(tuple(result.shape) if isinstance(result, Tensor) else ())
            if self._most is not None and len(self.shapes) >= self._most:
                raise Enough
        return result


class Enough(Exception):
    """The end of a call of which enough is known."""


class Replayed(TorchDispatchMode):
    """A context in which a part of a batch draws the numbers that it has in the whole batch.

    The random generators must be where they are when the whole batch is evaluated.

    Args:
        draws: draws of the model.
        start: position of the first image of the part.
        stop: position after its last image.
        whole: number of images of the batch.
    """

    def __init__(self, draws: BatchDraws, start: int, stop: int, whole: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._draws = draws
        self._start = start
        self._images = stop - start
        self._whole = whole
        self._next = iter(draws.draws)

    def __enter__(self) -> Self:
        """Begin with the first draw, also where the part is evaluated again."""
        self._next = iter(self._draws.draws)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The operation; of a random one, the rows of the part.

        Raises:
            Indivisible: the model draws something else than it did before.
        """
        kwargs = kwargs or {}
        if not _is_random(func):
            return func(*args, **kwargs)

        draw = next(self._next, None)
        if draw is None:
            raise Indivisible("its random draws differ from call to call")
        if draw.axis is None:
            return func(*args, **kwargs)
        return self._rows(func, args, kwargs, draw, draw.axis)

    def _rows(self, func: Any, args: Any, kwargs: Any, draw: Draw, axis: int) -> Tensor:
        """A draw for the whole batch, of which the part is taken."""
        name = func._schema.name
        if name not in _ROW_BY_ROW or kwargs.get("generator") is not None:
            raise Indivisible(f"its images share the generator of {name}")

        drawn: Tensor = func(*(self._widened(value, draw, axis) for value in args), **kwargs)
        if tuple(drawn.shape) != draw.sizes(self._whole):
            raise Indivisible("its random draws differ from call to call")

        rows = self._of_part(drawn, axis).flatten(axis, axis + 2).clone()
        return args[0].copy_(rows) if name.endswith("_") else rows

    def _widened(self, value: Any, draw: Draw, axis: int) -> Any:
        """An argument for the whole batch: its shape, or a tensor with zeros beside the part."""
        part = draw.sizes(self._images)
        if isinstance(value, list | tuple) and tuple(value) == part:
            return list(draw.sizes(self._whole))
        if not isinstance(value, Tensor) or tuple(value.shape) != part:
            return value

        wide = value.new_zeros(draw.sizes(self._whole))
        self._of_part(wide, axis).copy_(
            value.unflatten(axis, (self._draws.copies, self._images, -1))
        )
        return wide

    def _of_part(self, wide: Tensor, axis: int) -> Tensor:
        """The part of a tensor of the whole batch, its axis split in copies, images and others."""
        split: Tensor = wide.unflatten(axis, (self._draws.copies, self._whole, -1))
        return split.narrow(axis + 1, self._start, self._images)


def _is_random(func: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in func.tags
