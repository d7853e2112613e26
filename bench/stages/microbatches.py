"""Evaluation of a batch in parts where the device lacks the memory for all of it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bench.contracts import Decision
from bench.errors import PluginFault
from bench.failures import device_memory_error, named
from bench.stages.batch_draws import BatchDraws, Indivisible
from bench.stages.draw_observation import check_draws_nothing, check_first_draw, observed_draws
from bench.stages.seeding import TorchState
from bench.text import LONGEST_NAME, one_line

T = TypeVar("T", Tensor, Decision)

_TRIED = 3
"""Number of images on which a model shows its draws; 2 if no more fit, or 1 that has none."""

logger = logging.getLogger("bench")


class FittingSizes:
    """The numbers of images that fit into the memory of the device at once, by model.

    They are found by failures, and kept for the rest of the process.
    """

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._unsaid: dict[str, int] = {}
        self._latest: tuple[str, int, torch.device] | None = None

    def begin(self) -> None:
        """Forget which model was evaluated last, because another task begins."""
        self._latest = None

    def take(self, model: str, images: Tensor) -> int:
        """The number of images that a model is given at once, noted as the latest evaluation."""
        size = min(len(images), self._sizes.get(model, len(images)))
        self._latest = (model, size, images.device)
        return size

    def halve(self) -> bool:
        """Halve the number of images of the latest evaluation, and free what the device caches.

        Returns:
            whether there is a smaller number.
        """
        if self._latest is None or self._latest[1] < 2:
            return False

        model, size, device = self._latest
        self._sizes[model] = size // 2
        self._unsaid.setdefault(model, size)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        return True

    def say(self, model: str, device: torch.device) -> None:
        """Say once that a model is given fewer images, when it is known that they will do."""
        if (size := self._unsaid.pop(model, None)) is not None:
            logger.warning(
                "out of memory on %s at %d images of %s: goes on with %d at once",
                *(device, size, model, self._sizes[model]),
            )

    def forget(self, model: str) -> None:
        """Give a model whole batches again."""
        self._sizes.pop(model, None)
        self._unsaid.pop(model, None)


class Microbatches:
    """Evaluation of one function of a model, in parts where the memory is used up.

    The numbers are those of the whole batch, up to the rounding that depends on the size of a
    batch: each part has the random draws that it has in the whole, see
    `bench.stages.batch_draws`.
    A gradient is followed part by part too: the parts are computed again when it passes them (Chen
    et al. 2016, arXiv:1604.06174), so that the memory is that of one part.

    Args:
        model: name of the model in messages.
        sizes: numbers of images that fit, which models of the same name share.
    """

    def __init__(self, model: str, sizes: FittingSizes) -> None:
        self._model = model
        self._sizes = sizes
        self._draws: dict[bool, BatchDraws] = {}
        self._checked: set[tuple[bool, int]] = set()

    def __call__(self, function: Callable[[Tensor], T], images: Tensor) -> T:
        """The output of the function for images (n, ...), the same function in every call.

        Raises:
            PluginFault: not even one image fits, or the parts would give other numbers.
        """
        state = TorchState.now(images.device)
        while True:
            size = self._sizes.take(self._model, images)
            try:
                if size == len(images):
                    return function(images)
                return self._in_parts(function, images, size, state)
            except (RuntimeError, PluginFault) as error:
                memory = device_memory_error(error)
                if memory is None or len(images) < 2:
                    raise
                if size < 2:
                    raise self._fault(memory, images) from memory
                traceback.clear_frames(memory.__traceback__)  # they would keep tensors alive

            self._sizes.halve()
            state.restore()

    def _in_parts(
        self, function: Callable[[Tensor], T], images: Tensor, size: int, state: TorchState
    ) -> T:
        """The output, computed of so many images at a time."""
        try:
            draws = self._known_draws(function, images, size, state)
            self._sizes.say(self._model, images.device)
            return _joined(list(self._parts(function, images, size, state, draws)))
        except Indivisible as error:
            self._sizes.forget(self._model)
            raise PluginFault(
                f"{self._model}: out of memory on {images.device} at {len(images)} images, and "
                f"fewer at once would give other numbers, because {error}; try a smaller "
                "--batch-size"
            ) from None

    def _parts(
        self,
        function: Callable[[Tensor], T],
        images: Tensor,
        size: int,
        state: TorchState,
        draws: BatchDraws,
    ) -> Iterator[T]:
        """The outputs of parts of so many images; each begins where the whole batch does."""
        for start in range(0, len(images), size):
            part = images[start : start + size]
            state.restore()
            yield _part(function, part, draws, start, len(images))

    def _known_draws(
        self, function: Callable[[Tensor], T], images: Tensor, size: int, state: TorchState
    ) -> BatchDraws:
        """The draws of the function, observed once with a gradient and once without."""
        followed = _is_followed(images)
        if followed not in self._draws:
            state.restore()
            self._draws[followed] = _observed(function, images, size)
        if (followed, len(images)) not in self._checked:
            state.restore()
            check_first_draw(self._draws[followed], function, images)
            self._checked.add((followed, len(images)))

        return self._draws[followed]

    def _fault(self, memory: BaseException, images: Tensor) -> PluginFault:
        """The fault of a model that cannot be given fewer images at once."""
        traceback.clear_frames(memory.__traceback__)
        return PluginFault(
            f"{self._model} raised {one_line(named(memory), LONGEST_NAME)}: a single image "
            f"needs more memory than {images.device} has left"
        )


def _observed(function: Callable[[Tensor], Any], images: Tensor, size: int) -> BatchDraws:
    """The draws of a function, observed on as many of the images as fit, and two at least."""
    try:
        return observed_draws(function, images[: min(max(size, 2), _TRIED)])
    except (RuntimeError, PluginFault) as error:
        memory = device_memory_error(error)
        if memory is None or size > 1:
            raise
        traceback.clear_frames(memory.__traceback__)

    # Two images do not fit, so that draws could not be told apart. A model without any needs none.
    check_draws_nothing(function, images[:1])
    return BatchDraws(())


def _part(
    function: Callable[[Tensor], T], images: Tensor, draws: BatchDraws, start: int, whole: int
) -> T:
    """The output for a part of a batch, whose gradient computes it again."""

    def replayed() -> Any:
        is_drawn = bool(draws.draws)
        return draws.of_part(start, start + len(images), whole) if is_drawn else nullcontext()

    if _is_followed(images):
        output: T = checkpoint(
            function,
            images,
            use_reentrant=False,
            context_fn=lambda: (replayed(), replayed()),
        )
        return output

    with replayed():
        return function(images)


def _joined(outputs: list[T]) -> T:
    """The output of a whole batch from those of its parts."""
    first = outputs[0]
    if isinstance(first, Tensor):
        return torch.cat(_of_type(outputs, Tensor))

    decisions = _of_type(outputs, Decision)
    names = set.intersection(*(set(decision.extras) for decision in decisions))
    return Decision(
        torch.cat([decision.logits for decision in decisions]),
        {
            name: torch.cat([decision.extras[name] for decision in decisions])
            for name in first.extras
            if name in names
        },
    )


def _of_type(outputs: Iterable[Any], kind: type[T]) -> list[T]:
    return [output for output in outputs if isinstance(output, kind)]


def _is_followed(images: Tensor) -> bool:
    """Whether a gradient is followed to the images."""
    return torch.is_grad_enabled() and images.requires_grad
