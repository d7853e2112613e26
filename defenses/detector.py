"""MagNet, detectors in front of a reformer: Meng, Chen, CCS 2017 (arXiv:1705.09064).

The official code is Trevillie/MagNet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from bench.contracts import (
    DataInfo,
    Defense,
    DefenseSpec,
    FitContext,
    Fraction,
    PositiveFloat,
    PositiveInt,
    Spec,
)
from bench.registry import register_defense
from defenses._magnet import MagNet


@register_defense("detector")
@dataclass(frozen=True)
class Detector(Defense):
    """MagNet: rejects images that are far from their reconstruction, and reforms the others.

    Source: Meng, Chen, CCS 2017 (arXiv:1705.09064), sections 4.2 and 4.3, and the official code
    (Trevillie/MagNet). A detector marks an image by its distance to what an auto-encoder makes of
    it, and rejects it where the mark is above a threshold. The defaults are the whole defense for
    MNIST: two detectors, and the reformer behind them. `reformer=none` is the detectors alone.

    An auto-encoder is any defense that makes images, `reformer` or another. Its network is that of
    a run which names it alone, and one that several parameters name is one network.

    The thresholds are taken from training images, because a defense is given no others; the paper
    takes validation images. The divergence compares the classifier's answers to the image and to
    its reconstruction, as in the paper; the official code compares two reconstructions.

    The score of a rejection is the largest logit plus the excess of the mark over its threshold,
    relative to the threshold. It has an exact gradient, which leads an attacker below the
    thresholds.

    Attributes:
        l2: auto-encoder of a detector by the mean squared error; None for no such detector.
        l1: auto-encoder of a detector by the mean absolute error; None for no such detector.
        divergence: auto-encoder of a detector by the Jensen-Shannon divergence of the classifier's
            probabilities; None for no such detector.
        temperature: what the logits are divided by before this divergence, above 0; the paper takes
            10 and 40 on CIFAR-10.
        reformer: defense that purifies the images that are accepted; None to leave them.
        false_positives: share of the training images that each detector rejects, in [0, 1].
        batch_size: number of images that are marked at once to find the thresholds, at least 1.
    """

    l2: DefenseSpec | None = Spec("reformer")
    l1: DefenseSpec | None = Spec.parse("reformer:pooling=false")
    divergence: DefenseSpec | None = None
    temperature: PositiveFloat = 10.0
    reformer: DefenseSpec | None = Spec("reformer")
    false_positives: Fraction = 0.001
    batch_size: PositiveInt = 256

    def __post_init__(self) -> None:
        if not self._detectors:
            raise ValueError("there is no detector: name an auto-encoder in l2, l1 or divergence")

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether one of the auto-encoders or the reformer is."""
        return any(member.stochastic for member in self.members)

    @property
    def independent_draws(self) -> bool:  # type: ignore[override]
        """Whether all of them that are stochastic draw for each image."""
        return all(member.independent_draws or not member.stochastic for member in self.members)

    @property
    def uses_classifier(self) -> bool:  # type: ignore[override]
        """Whether there is a divergence, or one of them is trained with the classifier."""
        defenses = (member for member in self.members if isinstance(member, Defense))
        return self.divergence is not None or any(each.uses_classifier for each in defenses)

    def build(self, data: DataInfo) -> nn.Module:
        """The untrained networks, with thresholds of 1.

        Raises:
            ValueError: one of the defenses decides by itself.
        """
        specs = self._specs
        networks = [self.member(spec).build(data) for spec in specs]
        for spec, network in zip(specs, networks, strict=True):
            if hasattr(network, "classify"):
                raise ValueError(
                    f"the defense {spec.name} decides by itself: it is no auto-encoder"
                )

        detectors = {name: specs.index(spec) for name, spec in self._detectors.items()}
        reformer = None if self.reformer is None else specs.index(self.reformer)
        return MagNet(networks, detectors, reformer, self.temperature)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Load the trained networks, and find the thresholds that reject a share of the images."""
        magnet = cast("MagNet", module).eval()
        for network, spec in zip(magnet.networks, self._specs, strict=True):
            network.load_state_dict(context.build(spec).state_dict())

        with torch.no_grad():
            marks = torch.cat(
                [
                    magnet.marks(images, lambda shown: context.classifier(shown))
                    for images, _ in context.batches(self.batch_size, epochs=1)
                ]
            )

        # The largest mark that is accepted: that many are above it, but never all.
        rejected = min(int(self.false_positives * len(marks)), len(marks) - 1)
        magnet.thresholds.copy_(marks.sort(dim=0, descending=True).values[rejected])

    @property
    def _detectors(self) -> Mapping[str, Spec]:
        """The auto-encoder of each detector, by the name of its mark."""
        named = {"l2": self.l2, "l1": self.l1, "divergence": self.divergence}
        return {name: spec for name, spec in named.items() if spec is not None}

    @property
    def _specs(self) -> Sequence[Spec]:
        """The auto-encoders and the reformer, each once."""
        reformer = () if self.reformer is None else (self.reformer,)
        return list(dict.fromkeys((*self._detectors.values(), *reformer)))
