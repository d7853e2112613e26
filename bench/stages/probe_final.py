"""The probe of the final images: what the model says of them, with gradients and without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.plugins.faults import plugin_call
from bench.stages.context import TaskContext
from bench.stages.decisions import decisions
from bench.stages.probe import Batch, Probe, shifts
from bench.stages.references import AdversarialRef


@dataclass(frozen=True)
class FinalImagesProbe(Probe):
    """The task that classifies adversarial images as the attacker saw them, and as evaluated.

    Attributes:
        adversarial: adversarial versions of the first test images, and possibly of more.
    """

    name: ClassVar[str] = "final images"
    adversarial: AdversarialRef

    def settings(self) -> Mapping[str, Any]:
        """The adversarial set, and the number of draws."""
        return {"adversarial": self.adversarial.digest, **self.draw_settings}

    def measure(self, batch: Batch, start: int, context: TaskContext) -> Mapping[str, Tensor]:
        """Tensors `seen`, int16 (n,), `shift` and `margin`, (n,); see `Probes`."""
        stored = context.adversarial_set(self.adversarial)["adversarial"]
        mine = stored[start : start + len(batch.labels)].copy()
        images = torch.from_numpy(mine).to(batch.images.device)

        with torch.enable_grad(), batch.common_draw(), plugin_call(batch.description):
            followed = batch.model(images.clone().requires_grad_(True)).detach()
        with batch.common_draw():
            evaluated = batch.logits(images)

        return {
            "seen": decisions(followed, rejecting=batch.rejects).to(torch.int16),
            "shift": shifts(evaluated, followed),
            "margin": batch.mean_margins(images, self.draws),
        }
