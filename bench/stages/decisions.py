"""Defenses that decide by themselves: what they make, and what their rejections mean.

A defense that rejects has one more logit, the last. An attack on it succeeds where an image is
accepted and wrong, so that for an attacker a rejection is as bad as the true class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.contracts import Decision
from bench.errors import NotApplicable
from bench.records.outcome import REJECTED


def decides(purifier: nn.Module | None) -> bool:
    """Whether a purifier gives the logits of a pipeline by itself, as one that votes."""
    return callable(getattr(purifier, "classify", None))


def rejects(module: nn.Module | None) -> bool:
    """Whether the logits of a module end with that of a rejection."""
    return bool(getattr(module, "rejects", False))


def makes_images(purifier: nn.Module) -> bool:
    """Whether a purifier makes images, or only decides."""
    return not decides(purifier) or type(purifier).forward is not nn.Module.forward


def check_makes_images(purifier: nn.Module, purpose: str) -> None:
    """Check that a purifier makes images.

    Args:
        purifier: module of a defense.
        purpose: what needs the images, for the message.

    Raises:
        NotApplicable: it only decides.
    """
    if not makes_images(purifier):
        raise NotApplicable(f"the defense decides without making an image, which {purpose} needs")


def decision_of(output: Any) -> tuple[Any, Mapping[str, Any]]:
    """Logits and further numbers of what `classify` returned."""
    if isinstance(output, Decision):
        return output.logits, output.extras
    return output, {}


def decisions(logits: Tensor, *, rejecting: bool) -> Tensor:
    """Predicted classes, int64 (n,), `REJECTED` for a rejected image.

    Args:
        logits: (n, classes), with one more column of a model that rejects.
        rejecting: whether there is one.
    """
    predicted = logits.argmax(1)
    if not rejecting:
        return predicted
    return predicted.masked_fill(predicted == logits.shape[1] - 1, REJECTED)


def confidences(logits: Tensor, *, rejecting: bool) -> Tensor:
    """The largest softmax probability of a class, (n,) in [0, 1].

    Args:
        logits: (n, classes), with one more column of a model that rejects, which is left out.
        rejecting: whether there is one.
    """
    of_classes = logits[:, :-1] if rejecting else logits
    return of_classes.softmax(dim=1).amax(dim=1).clamp(max=1)


def folded(logits: Tensor, labels: Tensor, *, rejecting: bool) -> Tensor:
    """Logits (n, classes) that an attack must beat: a rejection counts with the true class.

    Args:
        logits: (n, classes), with one more column of a model that rejects.
        labels: int64 (n,), the true classes.
        rejecting: whether there is one.
    """
    if not rejecting:
        return logits

    index = labels[:, None]
    kept = torch.maximum(logits.gather(1, index), logits[:, -1:])
    return logits[:, :-1].scatter(1, index, kept)


class OfOneClass(nn.Module):
    """A model that rejects, as an attacker on images of one class sees it: without a rejection.

    An image is misclassified by this model where the real one accepts it as another class. What an
    attack may ask of a model, such as `eot`, is that of the real one.

    Args:
        model: attacked model, from images to logits (n, classes + 1).
        label: true class of all images.
        index: positions of these images among those that the model was prepared for.
    """

    def __init__(self, model: nn.Module, label: int, index: Tensor) -> None:
        super().__init__()
        self._held = (model,)  # in a tuple, so that it is no part of this module
        self._label = label
        self._index = index
        self.train(model.training)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_held"][0], name)

    @property
    def rejects(self) -> bool:
        """False: a rejection counts with the true class."""
        return False

    @property
    def start(self) -> Tensor | None:
        """Images of this class from which a search may start; None for none."""
        start: Tensor | None = getattr(self._held[0], "start", None)
        return None if start is None else start[self._index]

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of the images."""
        logits: Tensor = self._held[0](images)
        labels = torch.full((len(images),), self._label, device=images.device)
        return folded(logits, labels, rejecting=True)


Attacked = Callable[[nn.Module, Tensor], Tensor]
"""A function from a model and the positions of its images to their adversarial versions."""


def class_by_class(model: nn.Module, images: Tensor, labels: Tensor, attacked: Attacked) -> Tensor:
    """Adversarial versions of images, where a model that rejects is attacked class by class.

    No function of the logits alone can tell an attack that a rejection is no success: that depends
    on the true class, which the model under attack does not know.

    Args:
        model: attacked model.
        images: float32 (n, c, h, w) in [0, 1].
        labels: int64 (n,), the true classes.
        attacked: function that attacks.
    """
    everything = torch.arange(len(labels), device=labels.device)
    if not rejects(model):
        return attacked(model, everything)

    adversarial = images.clone()
    for label in labels.unique().tolist():
        index = everything[labels == label]
        adversarial[index] = attacked(OfOneClass(model, label, index), index)

    return adversarial
