"""Predictions of a pipeline on clean or adversarial images, with the first purified images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.errors import PluginFault
from bench.stages.context import TaskContext
from bench.stages.decisions import confidences, decisions
from bench.stages.guard import GuardedPipeline
from bench.stages.known_draw import fixed_draw
from bench.stages.references import AdversarialRef, NetworkRef, SplitRef, is_stochastic
from bench.stages.seeding import seeded
from bench.stages.task import Task
from bench.store.artifacts import Meta, Tensors

SAMPLES = 10
"""Number of purified images that are stored for pictures and checked for collapse."""

CONFIDENCE = "confidence"
"""Name of the array with the probability of the predicted class of each image."""

EXTRA = "extra_"
"""Start of the names of arrays with what a defense tells of each image."""

_COLLAPSED = 0.05
"""Ratio of output to input variation below which a purifier counts as collapsed."""


@dataclass(frozen=True)
class Predict(Task):
    """The task that classifies images through a pipeline.

    Attributes:
        split: test images to classify.
        adversarial_set: adversarial versions of the test images to classify in their place; None
            for the clean images.
        classifier: trained classifier of the pipeline.
        purifier: defense in front of the classifier; None for the bare classifier.
        batch_size: number of images classified at once; part of the key for a stochastic pipeline,
            which draws its randomness per batch.
        draw: index of the draw of a stochastic pipeline; 0 for a deterministic one.
        seed: seed of the draws of a stochastic pipeline.
        is_fixed_draw: whether the draw of a stochastic pipeline is the one that the attacker knows.
    """

    kind: ClassVar[str] = "predictions"
    split: SplitRef
    adversarial_set: AdversarialRef | None
    classifier: NetworkRef
    purifier: NetworkRef | None
    batch_size: int
    draw: int = 0
    seed: int = 0
    is_fixed_draw: bool = False

    def identity(self) -> Mapping[str, Any]:
        """Images and networks; for a stochastic pipeline also batch size, draw and seed."""
        draw: int | str = "fixed" if self.is_fixed_draw else self.draw
        randomness = (
            {"batch_size": self.batch_size, "draw": draw, "seed": self.seed}
            if is_stochastic(self.classifier, self.purifier)
            else {}
        )

        return {
            "data": self.split.digest,
            "crafted": self.adversarial_set.digest if self.adversarial_set else None,
            "classifier": self.classifier.identity,
            "purifier": self.purifier.identity if self.purifier else None,
            **randomness,
        }

    def run(self, context: TaskContext) -> tuple[Tensors, Meta]:
        """Classify the images batch by batch.

        Tensors: `predictions` int64 (n,), `REJECTED` for a rejected image; `confidence` float32
        (n,), the largest softmax probability of a class; `purified` (m, c, h, w), the first
        `SAMPLES` images after the purifier (the unchanged images if there is none, or it makes
        none); `extra_` and a name, float32 (n,), for what a defense tells of each image.

        Raises:
            PluginFault: the purifier collapsed, or a network broke its contract.
        """
        images = self._images(context)
        pipeline = guarded_pipeline(context, self.classifier, self.purifier)
        parts: dict[str, list[Tensor]] = {"predictions": [], CONFIDENCE: [], "purified": []}

        with context.progress.step(self.title, len(images)) as step, torch.no_grad():
            for start in range(0, len(images), self.batch_size):
                batch = images[start : start + self.batch_size]
                with seeded(context.device, *self._seeds(start)):
                    decision, purified = pipeline.decided(batch, max(0, SAMPLES - start))
                classes = decisions(decision.logits, rejecting=pipeline.rejects)
                parts["predictions"].append(classes)
                parts[CONFIDENCE].append(confidences(decision.logits, rejecting=pipeline.rejects))
                parts["purified"].append(purified)
                for name, values in decision.extras.items():
                    parts.setdefault(EXTRA + name, []).append(values)
                step.advance(len(batch))

        # Only on clean images: a strong attack may drive a sound purifier to similar outputs.
        if self.purifier is not None and self.adversarial_set is None:
            description = self.purifier.description
            check_not_collapsed(description, images[:SAMPLES], torch.cat(parts["purified"]))

        tensors = {name: torch.cat(values).cpu().numpy() for name, values in parts.items()}
        self._check_extras(tensors, len(images))
        return tensors, {"title": self.title, "identity": self.identity()}

    def _check_extras(self, tensors: Tensors, n: int) -> None:
        """Check that every batch has the same extras.

        Raises:
            PluginFault: a batch lacks one.
        """
        for name, values in tensors.items():
            if name.startswith(EXTRA) and len(values) != n and self.purifier is not None:
                raise PluginFault(
                    f"{self.purifier.description} returned the extra '{name.removeprefix(EXTRA)}' "
                    f"for {len(values)} of {n} images"
                )

    def _seeds(self, start: int) -> tuple[object, ...]:
        """The parts from which the random numbers of a batch are seeded."""
        return fixed_draw(self.seed, start) if self.is_fixed_draw else (self.key, start)

    @property
    def title(self) -> str:
        """One line for people: images and pipeline."""
        pipeline = f"through {self.purifier.plugin.label}" if self.purifier else "undefended"
        version = "adversarial" if self.adversarial_set else "clean"

        return f"evaluate {version} {self.split.dataset} images {pipeline}"

    def _images(self, context: TaskContext) -> Tensor:
        """The clean or adversarial images (n, c, h, w), on the device."""
        if self.adversarial_set is None:
            images, _ = context.images(self.split)
            return images

        adversarial = context.adversarial_set(self.adversarial_set)["adversarial"]
        return torch.from_numpy(adversarial.copy()).to(context.device)


def guarded_pipeline(
    context: TaskContext, classifier: NetworkRef, purifier: NetworkRef | None
) -> GuardedPipeline:
    """The pipeline of two trained networks, with every output checked."""
    return GuardedPipeline(
        context.checked_network(purifier) if purifier else None,
        context.checked_network(classifier),
    )


def check_not_collapsed(description: str, images: Tensor, purified: Tensor) -> None:
    """Check that a purifier's output depends on its input, and is not always black, for example.

    Args:
        description: name of the purifier in messages.
        images: different images, (n, c, h, w).
        purified: the same images after the purifier, (n, c, h, w).

    Raises:
        PluginFault: the standard deviation across images is less than a twentieth of that of the
            input.
    """
    if len(images) < 2:
        return

    ratio = _variation(purified) / max(_variation(images), 1e-12)
    if ratio < _COLLAPSED:
        raise PluginFault(
            f"{description} collapsed, so its training failed: across images its output varies "
            f"only {ratio:.1%} as much as its input"
        )


def _variation(images: Tensor) -> float:
    """The standard deviation across images (n, c, h, w), averaged over pixels."""
    return float(images.std(dim=0).mean())
