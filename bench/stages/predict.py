"""Predicting: the classes a pipeline gives to clean or adversarial images, and what its purifier made of the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.errors import PluginFault
from bench.stages.context import TaskContext
from bench.stages.references import AdversarialRef, NetworkRef, SplitRef, is_stochastic
from bench.stages.seeding import seeded
from bench.stages.task import Task
from bench.store.artifacts import Meta, Tensors

SAMPLES = 10
"""Purified images kept for pictures, and looked at for collapse."""

_COLLAPSED = 0.05


@dataclass(frozen=True)
class Predict(Task):
    """Classify images through a pipeline.

    Attributes:
        split: the test images.
        crafted: the adversarial versions to classify instead; None for the clean images.
        classifier: the classifier.
        purifier: the defense in front of it; None for the bare classifier.
        batch_size: images at once; part of the key where the purifier draws randomness per batch.
        draw: which fresh draw of a stochastic purifier; 0 for a deterministic one.
        seed: of those draws.
    """

    kind: ClassVar[str] = "predictions"
    split: SplitRef
    crafted: AdversarialRef | None
    classifier: NetworkRef
    purifier: NetworkRef | None
    batch_size: int
    draw: int = 0
    seed: int = 0

    def identity(self) -> Mapping[str, Any]:
        """The images, the networks, and for a stochastic purifier batch size, draw and seed."""
        randomness = (
            {"batch_size": self.batch_size, "draw": self.draw, "seed": self.seed}
            if is_stochastic(self.purifier)
            else {}
        )
        return {
            "data": self.split.digest,
            "crafted": self.crafted.digest if self.crafted else None,
            "classifier": self.classifier.identity,
            "purifier": self.purifier.identity if self.purifier else None,
            **randomness,
        }

    def run(self, context: TaskContext) -> tuple[Tensors, Meta]:
        """Classify batch by batch.

        Tensors: `predictions` int64 (n,), `purified` the first images (m, c, h, w).
        """
        images = self._images(context)
        classifier = context.checked_network(self.classifier)
        purifier = context.checked_network(self.purifier) if self.purifier else None
        predictions: list[Tensor] = []
        samples: list[Tensor] = []
        with context.progress.step(self.title, len(images)) as step, torch.no_grad():
            for start in range(0, len(images), self.batch_size):
                batch = images[start : start + self.batch_size]
                with seeded(context.device, self.key, start):
                    purified = purifier(batch) if purifier else batch
                    predictions.append(classifier(purified).argmax(1))
                if start < SAMPLES:
                    samples.append(purified[: SAMPLES - start])
                step.advance(len(batch))
        if self.purifier is not None and self.crafted is None:  # an attack may well drive it there
            check_not_collapsed(self.purifier.who, images[:SAMPLES], torch.cat(samples))
        tensors = {"predictions": predictions, "purified": samples}
        meta = {"title": self.title, "identity": self.identity()}
        return {name: torch.cat(parts).cpu().numpy() for name, parts in tensors.items()}, meta

    @property
    def title(self) -> str:
        """What it is, for people."""
        through = f"through {self.purifier.plugin.label}" if self.purifier else "undefended"
        what = "adversarial" if self.crafted else "clean"
        return f"evaluate {what} {self.split.dataset} images {through}"

    def _images(self, context: TaskContext) -> Tensor:
        images, _ = context.images(self.split)
        if self.crafted is None:
            return images
        return torch.from_numpy(context.adversarial_set(self.crafted)["adversarial"].copy()).to(
            context.device
        )


def check_not_collapsed(who: str, images: Tensor, purified: Tensor) -> None:
    """Refuse a purifier whose output hardly depends on its input, such as one that has learned to
    return black.

    Args:
        who: the purifier in the message.
        images: some different images, (n, c, h, w).
        purified: what it made of them.

    Raises:
        PluginFault: across images its output varies less than a twentieth of what its input does.
    """
    if len(images) < 2:
        return
    ratio = _variation(purified) / max(_variation(images), 1e-12)
    if ratio < _COLLAPSED:
        raise PluginFault(
            f"{who} collapsed: across images its output varies {ratio:.1%} as much as its input does; it did not train"
        )


def _variation(images: Tensor) -> float:
    """The standard deviation across images, averaged over pixels."""
    return float(images.std(dim=0).mean())
