"""Randomized smoothing: Cohen, Rosenfeld, Kolter, ICML 2019 (arXiv:1902.02918).

The official code is locuslab/smoothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from scipy.special import ndtri
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.utils.checkpoint import checkpoint

from bench.contracts import DataInfo, Decision, Defense, Fraction, PositiveFloat, PositiveInt
from bench.registry import register_defense
from defenses._binomial import fewest_votes, lower_bounds

_DRAWN_AT_ONCE = 64
"""Number of noisy versions of each image whose noise is drawn in one call.

It does not depend on the number of images, so that a part of a batch draws what the whole draws.
"""

_MOST_IMAGES = 512
"""Number of noisy images that the classifier is given at once, unless there are more images."""

_TIE = 0.2
"""Size of the term with a gradient, in votes; half a vote could change a decision."""

_SPREAD = 20.0
"""Logit of a class with all votes.

If logits were the shares themselves, all classes would be about as likely, and an attack on the
cross-entropy would push down both classes that a rejection lies between.
"""

Logits = Callable[[Tensor], Tensor]


@register_defense("smoothing")
@dataclass(frozen=True)
class Smoothing(Defense):
    """Randomized smoothing: the class of most noisy versions of an image, with a certified radius.

    Source: Cohen, Rosenfeld, Kolter, ICML 2019 (arXiv:1902.02918), algorithms PREDICT and CERTIFY.
    The classifier sees every noisy version. If the two most frequent classes are too close for the
    two-sided binomial test at level alpha, the image is rejected (the paper abstains). The noise is
    not clamped.

    `radius` is the certified L2 radius: sigma times the normal quantile of the lower bound of
    Clopper and Pearson on the probability of the class that further versions select; NaN where the
    bound is not above one half, or the image is rejected. It holds with probability 1 - alpha for
    each image. With all `samples` in agreement it is 1.5 sigma for 100 samples at the default
    alpha, 2.5 sigma for 1,000, and 3.8 sigma for the paper's 100,000.

    The paper's classifier is trained on noise of the same size. Here it is the one of the pipeline.
    The default numbers of samples are small, because each step of an attack takes as many calls of
    the classifier; the paper takes 100 to select and 100,000 to certify.

    It makes no image, so that attacks which need one do not apply. Votes have no gradient. An
    attacker follows the logarithm of the mean probability over the versions (Salman et al. 2019,
    arXiv:1906.04584), which is part of each score and too small to change a decision.

    Attributes:
        sigma: standard deviation of the noise on the [0, 1] scale, above 0.
        samples: number of noisy versions that vote, at least 1.
        selection: number of further versions that select the class of the radius, at least 1.
        alpha: probability with which a decision or a radius may be wrong, above 0 and below 1.
    """

    stochastic: ClassVar[bool] = True
    independent_draws: ClassVar[bool] = True
    inference_parameters: ClassVar[frozenset[str]] = frozenset(
        {"sigma", "samples", "selection", "alpha"}
    )

    sigma: PositiveFloat = 0.25
    samples: PositiveInt = 100
    selection: PositiveInt = 10
    alpha: Fraction = 0.001

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"parameter alpha={self.alpha}: must be above 0 and below 1")

    def build(self, data: DataInfo) -> nn.Module:  # noqa: ARG002 - the same for all data
        """The votes; nothing to train."""
        return _Smoothing(self)


class _Smoothing(nn.Module):
    """Votes of a classifier on noisy versions of an image.

    Attributes:
        leads: fewest votes by which the first class must lead, for each number of votes of the
            first two classes, (samples + 1,).
        radii: certified radius for each number of votes, (samples + 1,); NaN for none.
    """

    rejects = True
    leads: Tensor
    radii: Tensor

    def __init__(self, settings: Smoothing) -> None:
        super().__init__()
        self.settings = settings
        samples, alpha = settings.samples, settings.alpha

        # They follow from the parameters, and are no weights.
        leads = 2 * torch.from_numpy(fewest_votes(samples, alpha)) - torch.arange(samples + 1)
        self.register_buffer("leads", leads, persistent=False)
        radii = settings.sigma * torch.from_numpy(ndtri(lower_bounds(samples, alpha))).float()
        self.register_buffer("radii", radii.where(radii > 0, torch.nan), persistent=False)

    def classify(self, images: Tensor, classifier: Logits) -> Decision:
        """Multiples of the shares of votes (n, classes), a last one of a rejection, and radii.

        Args:
            images: images without noise, (n, channels, height, width).
            classifier: function from images to logits (n, classes).
        """
        votes, follow = self._tally(images, classifier, self.settings.samples)
        with torch.no_grad():
            selected = self._tally(images, classifier, self.settings.selection)[0].argmax(dim=1)

        behind = follow.amax(dim=1, keepdim=True) - follow
        scores = votes - _TIE * behind / (1 + behind)

        first_two = votes.topk(2, dim=1)
        first, second = first_two.values.unbind(dim=1)
        lead = self.leads[first + second]
        # Above the first class exactly where its lead is too small: leads are whole numbers.
        rejection = scores.gather(1, first_two.indices).mean(dim=1) + (lead - 0.5) / 2

        radius = self.radii[votes.gather(1, selected[:, None])[:, 0]]
        radius = radius.where(first - second >= lead, torch.nan)
        shares = torch.cat([scores, rejection[:, None]], dim=1) / self.settings.samples
        return Decision(_SPREAD * shares, {"radius": radius})

    def _tally(self, images: Tensor, classifier: Logits, number: int) -> tuple[Tensor, Tensor]:
        """What a number of noisy versions of each image are taken for.

        Returns:
            the number of versions of each class, int64 (n, classes), and the logarithm of the mean
            probability up to a constant, (n, classes), which has a gradient.
        """
        votes, follow = [], []
        for noise in self._noise(images, number):
            # The versions are classified again when the gradient passes them, to save memory.
            answers = checkpoint(self._answers, images, noise, classifier, use_reentrant=False)
            votes.append(one_hot(answers.argmax(dim=2), answers.shape[2]).sum(dim=0))
            follow.append(answers.logsumexp(dim=0))

        return torch.stack(votes).sum(dim=0), torch.stack(follow).logsumexp(dim=0)

    def _noise(self, images: Tensor, number: int) -> Iterator[Tensor]:
        """Standard normal noise for each image, (versions, n, channels, height, width) in all."""
        at_once = max(1, _MOST_IMAGES // max(1, len(images)))
        for start in range(0, number, _DRAWN_AT_ONCE):
            drawn = min(_DRAWN_AT_ONCE, number - start)
            noise = torch.randn(drawn, *images.shape, device=images.device, dtype=images.dtype)
            yield from noise.split(at_once)

    def _answers(self, images: Tensor, noise: Tensor, classifier: Logits) -> Tensor:
        """Log-probabilities (versions, n, classes) of noisy versions of the images."""
        noisy = images + self.settings.sigma * noise
        logits = classifier(noisy.flatten(0, 1))
        answers: Tensor = logits.log_softmax(dim=1).unflatten(0, noise.shape[:2])
        return answers
