"""What a cascade keeps: the worst image so far of each test image, and the cost of a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from bench.stages.surrogates import AttackedModel, NoGradient
from bench.store.artifacts import Tensors


@dataclass
class Kept:
    """The image kept for each test image, and how the pipeline judged it.

    Attributes:
        adversarial: images that were worst for the pipeline so far, (n, c, h, w).
        attacked: false for an image that the pipeline misclassifies without an attack, (n,) bool.
        wrong: share of fresh draws in which the kept image is misclassified, (n,).
        margin: mean over the draws of the largest wrong logit minus the true one, (n,).
        broken_by: index of the step whose image is kept, int16 (n,); 0 for the clean image.
    """

    adversarial: Tensor
    attacked: Tensor
    wrong: Tensor
    margin: Tensor
    broken_by: Tensor

    @classmethod
    def clean(cls, images: Tensor, wrong: Tensor, margin: Tensor) -> Self:
        """The clean images."""
        first = torch.zeros(len(images), dtype=torch.int16, device=images.device)
        return cls(images.clone(), wrong < 1, wrong, margin, first)

    @classmethod
    def of(cls, tensors: Tensors, device: torch.device) -> Self:
        """What the step before left."""
        names = ("adversarial", "attacked", "wrong", "margin", "broken_by")
        return cls(*(torch.from_numpy(tensors[name].copy()).to(device) for name in names))

    def keep_worse(
        self, standing: Tensor, candidates: Tensor, wrong: Tensor, margin: Tensor, index: int
    ) -> None:
        """Keep what is worse for the pipeline: wrong in more draws, else of the larger margin."""
        before = self.wrong[standing]
        worse = (wrong > before) | ((wrong == before) & (margin > self.margin[standing]))
        kept = standing[worse]

        self.adversarial[kept] = candidates[worse]
        self.wrong[kept] = wrong[worse]
        self.margin[kept] = margin[worse]
        self.broken_by[kept] = index

    def tensors(self) -> Tensors:
        """The arrays of the set."""
        arrays = {name: tensor.cpu().numpy() for name, tensor in vars(self).items()}
        unknown = torch.full((len(self.wrong),), float("nan")).numpy()
        return {**arrays, "gradient_norm": unknown}


@dataclass
class Cost:
    """Images that passed the attacked model.

    Attributes:
        forward: number of images that were classified.
        backward: number of images through which a gradient was taken.
    """

    forward: int = 0
    backward: int = 0

    def add(self, model: AttackedModel | NoGradient) -> None:
        """Add what a model counted."""
        self.forward += model.forward_images
        self.backward += model.backward_images
