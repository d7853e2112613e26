"""Random draws of a part of a batch: those that its images have when the whole batch is evaluated.

A module draws its random numbers for all images of a call together, so that a call with fewer
images draws other numbers. Here each draw is made for the whole batch, and the part takes its rows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bench.errors import PluginFault
from bench.stages.decisions import decision_of
from bench.stages.seeding import TorchState

_ROUNDING = 1e-3
"""Difference that another size of the batch may make, as a share of the largest number."""

_LEAST_ROUNDING = 1e-5
"""Such a difference that is rounding, however little the draws change."""

_DRAWN = 0.1
"""The difference must be at most this fraction of the one that other draws make."""

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
        drawn = args[0].copy_(rows) if name.endswith("_") else rows
        return drawn

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


def observed_draws(function: Callable[[Tensor], Any], images: Tensor) -> BatchDraws:
    """The draws of a model, shown by two images or three.

    The model is called with these images, and with all of them but the first. Both calls must
    agree on what these have in common, with the draws of the first call.

    Args:
        function: model, of images (n, ...).
        images: the images; a gradient to them is followed if they require one.

    Raises:
        Indivisible: a part of the batch cannot be given the numbers that it has in the whole.
    """
    state = TorchState.now(images.device)
    host = _host_state()
    tried = images.detach().requires_grad_(images.requires_grad)
    more, few = Recorded(), Recorded()

    with more:
        expected = function(tried)
    state.restore()
    with few:
        others = function(tried[1:])
    if _host_state() != host:
        raise Indivisible("it draws random numbers outside PyTorch")

    draws = _draws(few.shapes, more.shapes, len(tried) - 1)
    factors = [draw.shape[draw.axis] for draw in draws if draw.axis is not None]
    differences = {}
    for copies in _divisors(math.gcd(*factors)):
        found = BatchDraws(draws, copies)
        state.restore()
        with found.of_part(1, len(tried), len(tried)):
            differences[found] = _difference(expected, function(tried[1:]))

    # Other draws must differ more, or a model that hardly depends on them would show nothing.
    by_draws = _DRAWN * _difference(expected, others) if factors else _ROUNDING
    best = min(differences, key=differences.__getitem__)
    if not differences[best] <= min(_ROUNDING, max(_LEAST_ROUNDING, by_draws)):
        raise Indivisible("the output for an image depends on the other images")
    return best


def check_first_draw(draws: BatchDraws, function: Callable[[Tensor], Any], images: Tensor) -> None:
    """Check that the first draw for a whole batch has the shape that a few images let expect.

    A model that draws for so many images at a time shows it here. The call ends with the draw,
    before it needs much memory.

    Raises:
        Indivisible: the draw has another shape, or none was reached.
    """
    if not draws.draws:
        return

    recorded = Recorded(most=1)
    try:
        with recorded:
            function(images)
    except Exception:  # noqa: BLE001, S110 - the end of the call, or used-up memory before the draw
        pass
    if recorded.shapes != [draws.draws[0].sizes(len(images))]:
        raise Indivisible("the draws of a large batch are not those of a small one")


def _draws(few: Sequence[_Shape], more: Sequence[_Shape], images: int) -> tuple[Draw, ...]:
    """The draws that have these shapes for a number of images, and for one more."""
    draws = [Draw.of(*shapes, images) for shapes in zip(few, more, strict=False)]
    known = tuple(draw for draw in draws if draw is not None)
    if len(few) != len(more) or len(known) != len(draws):
        raise Indivisible("its random draws do not grow with the number of images")
    return known


def _divisors(number: int) -> Iterator[int]:
    """The divisors of a number, from the smallest on; 1 for 0."""
    return (divisor for divisor in range(1, max(1, number) + 1) if number % divisor == 0)


def _difference(expected: Any, part: Any) -> float:
    """The largest difference of a part from the end of a batch, as a share of the largest number.

    Args:
        expected: logits or images of the batch, or a decision.
        part: the same of its last images.
    """
    part = decision_of(part)[0].detach()
    expected = decision_of(expected)[0].detach()[-len(part) :]
    return float((expected - part).abs().amax() / expected.abs().amax().clamp_min(1e-6))


def _host_state() -> tuple[Any, ...]:
    """The state of the global generators of NumPy and `random`."""
    numpy_state = np.random.get_state(legacy=False)
    return (
        random.getstate(),
        repr(numpy_state["state"]["pos"]),
        numpy_state["state"]["key"].tobytes(),
    )


def _is_random(func: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in func.tags
