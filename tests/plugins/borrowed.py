"""Attacks of other libraries as their users would bring them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from bench.contracts import Attack, PositiveFloat, PositiveInt
from bench.registry import register_attack


class Averaged(nn.Module):
    """The attacked model, its logits averaged over as many calls as `model.eot` says."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.calls = int(getattr(model, "eot", 1))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([self.model(images) for _ in range(self.calls)]).mean(dim=0)


@register_attack("art_momentum")
@dataclass(frozen=True)
class ArtMomentum(Attack):
    """Momentum iterative method of the Adversarial Robustness Toolbox."""

    host_work: ClassVar[str] = "ART keeps images and gradients in NumPy arrays"

    steps: PositiveInt = 10
    rel_stepsize: PositiveFloat = 0.2

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        from art.attacks.evasion import MomentumIterativeMethod
        from art.estimators.classification import PyTorchClassifier

        classes = model(images[:1]).shape[1]
        estimator = PyTorchClassifier(
            Averaged(model),
            nn.CrossEntropyLoss(),
            tuple(images.shape[1:]),
            classes,
            clip_values=(0.0, 1.0),
            device_type="cpu" if images.device.type == "cpu" else "gpu",
        )
        attack = MomentumIterativeMethod(
            estimator,
            eps=eps,
            eps_step=self.rel_stepsize * eps,
            max_iter=self.steps,
            batch_size=len(images),
            verbose=False,
        )
        adversarial = attack.generate(images.cpu().numpy(), labels.cpu().numpy())
        return torch.from_numpy(adversarial).to(images)


@register_attack("torchattacks_pgd")
@dataclass(frozen=True)
class TorchattacksPgd(Attack):
    """Projected gradient descent of torchattacks."""

    steps: PositiveInt = 10
    rel_stepsize: PositiveFloat = 0.2

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        import torchattacks

        attack = torchattacks.PGD(
            Averaged(model),
            eps=eps,
            alpha=self.rel_stepsize * eps,
            steps=self.steps,
            random_start=True,
        )
        adversarial: Tensor = attack(images, labels)
        return adversarial.detach()
