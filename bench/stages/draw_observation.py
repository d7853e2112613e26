"""Observation of the random draws of a model on a few images, before its batch is divided."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.stages.batch_draws import BatchDraws, Draw, Indivisible, Recorded
from bench.stages.decisions import decision_of
from bench.stages.seeding import TorchState

_ROUNDING = 1e-3
"""Difference that another size of the batch may make, as a share of the largest number."""

_LEAST_ROUNDING = 1e-5
"""Such a difference that is rounding, however little the draws change."""

_DRAWN = 0.1
"""The difference must be at most this fraction of the one that other draws make."""

_Shape = tuple[int, ...]


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


def check_draws_nothing(function: Callable[[Tensor], Any], image: Tensor) -> None:
    """Check that a model draws no random numbers.

    Args:
        function: model, of images (n, ...).
        image: a single image, (1, ...).

    Raises:
        Indivisible: it draws some.
    """
    host = _host_state()
    recorded = Recorded()
    with recorded:
        function(image)

    if recorded.shapes or _host_state() != host:
        raise Indivisible("two images do not fit, without which its random draws are unknown")


def check_first_draw(draws: BatchDraws, function: Callable[[Tensor], Any], images: Tensor) -> None:
    """Check that the first draw for a whole batch has the shape that a few images let expect.

    A model that draws for so many images at a time shows it here. The call ends with the draw.
    Where the memory is used up before, the shape is found without numbers, which needs none.

    Raises:
        Indivisible: the draw has another shape, or none was reached.
    """
    if not draws.draws:
        return

    shapes = _first_shapes(function, images)
    if not shapes:
        with FakeTensorMode(allow_non_fake_inputs=True) as without_numbers:
            shapes = _first_shapes(function, without_numbers.from_tensor(images))
    if shapes != [draws.draws[0].sizes(len(images))]:
        raise Indivisible("the draws of a large batch are not those of a small one")


def _first_shapes(function: Callable[[Tensor], Any], images: Tensor) -> Sequence[_Shape]:
    """The shape of the first draw for images, alone; nothing if none was reached."""
    recorded = Recorded(most=1)
    try:
        with recorded:
            function(images)
    except Exception:  # noqa: BLE001, S110 - the end of the call, or used-up memory before the draw
        pass

    return recorded.shapes


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
