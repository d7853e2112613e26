"""Adapter to the Adversarial Robustness Toolbox (ART): runs its attacks on a torch model.

No other module imports ART, and attacks import this module when they run: the library is optional
(`attacks._extras.require_art`), and importing it takes a second. The adapter makes up for ART
1.20.1, which replaces the logging settings of the process and makes a folder in the user's home
when it is imported, moves a model to a device of its choice, and follows a single draw of a model
with randomness. Its GeoDA fails with NumPy 2, stores a file in the working folder, and never ends
where it finds no adversarial image.
"""

from __future__ import annotations

import logging.config
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import idct
from torch import Tensor, nn
from torch.nn.functional import one_hot

from attacks._queries import draws, gradient_of, where

Array: TypeAlias = "NDArray[Any]"

_BATCH = 128
"""Largest number of images in a call of the model, as in ART."""

_STARTS = 100
"""Number of noise images tried as an adversarial starting point; the last ones are mostly noise."""

_HOME = ("HOME", "USERPROFILE")
"""Environment variables that name the user's home."""


@contextmanager
def _without_traces() -> Iterator[None]:
    """Imports in the block find an empty home, and change neither logging nor random numbers.

    The library's own log is silent from then on.
    """
    logging.getLogger("art").setLevel(logging.CRITICAL + 1)
    before = {name: os.environ[name] for name in _HOME if name in os.environ}
    configure = logging.config.dictConfig
    numbers = random.getstate()
    with TemporaryDirectory() as home, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ.update(dict.fromkeys(before, home))
        logging.config.dictConfig = lambda *_: None
        try:
            yield
        finally:
            logging.config.dictConfig = configure
            os.environ.update(before)
            random.setstate(numbers)


with _without_traces():
    from art.attacks import EvasionAttack
    from art.attacks import evasion as art
    from art.estimators.classification import PyTorchClassifier

__all__ = ["Estimator", "GeoDA", "PixelAttack", "art", "generate"]


class Estimator(PyTorchClassifier):  # type: ignore[misc]  # ART has no types
    """A torch model as ART's attacks see it.

    ART itself is given a placeholder, which it may move, train and look into.

    Args:
        model: model from images in [0, 1] to logits, in evaluation mode. If it has an attribute
            `eot` = k, each gradient is the mean over k calls.
        images: images under attack (n, channels, height, width), which give shape and device.
        probabilities: whether an attack sees the probabilities of the classes instead of logits.
    """

    def __init__(self, model: nn.Module, images: Tensor, *, probabilities: bool = False) -> None:
        self.attacked = model
        self.images = images
        self.probabilities = probabilities
        with torch.no_grad():
            classes = model(images[:1]).shape[1]

        super().__init__(
            model=nn.Identity(),
            loss=None,
            input_shape=tuple(images.shape[1:]),
            # ART's pixel attack takes two classes for a single output, and refuses them.
            nb_classes=max(3, classes),
            clip_values=(0.0, 1.0),
            preprocessing=None,
            device_type="cpu",
        )

    def predict(self, x: Array, batch_size: int = _BATCH, **_: Any) -> Array:
        """Logits, or probabilities as float64, (n, classes) of images (n, c, h, w)."""
        with torch.no_grad():
            logits = torch.cat([self.attacked(part) for part in self._tensor(x).split(batch_size)])

        # Differences from 1 that float32 does not hold decide between certain predictions.
        values = logits.double().softmax(dim=1) if self.probabilities else logits
        result: Array = values.cpu().numpy()
        return result

    def class_gradient(self, x: Array, label: Array, **_: Any) -> Array:
        """Gradients (n, 1, c, h, w) of each image's logit of the class `label`, int (n,).

        They are sums over the model's draws: their length is of no use to an attack.
        """
        images = self._tensor(x).requires_grad_(True)
        classes = torch.as_tensor(label, device=images.device)[:, None]
        total = torch.zeros_like(images)
        for _draw in range(draws(self.attacked)):
            with torch.enable_grad():
                score = self.attacked(images).gather(1, classes).sum()
            total += gradient_of(score, images)

        result: Array = total[:, None].cpu().numpy()
        return result

    def _tensor(self, x: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(x, np.float32)).to(self.images.device)


def generate(attack: EvasionAttack, aims: Tensor) -> Tensor:
    """The images that an attack makes of those of its estimator.

    Args:
        attack: ART's attack, made with an `Estimator`.
        aims: int64 (n,), the true classes, or the target classes of a targeted attack.

    Returns:
        images of the same shape, in [0, 1]. An image that ART turned into NaN is unchanged.
    """
    images: Tensor = attack.estimator.images
    classes = one_hot(aims, attack.estimator.nb_classes).cpu().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        output = attack.generate(images.cpu().numpy(), classes)

    result = torch.from_numpy(output).to(images).clamp(0, 1)
    is_finite = torch.isfinite(result).flatten(1).all(dim=1)
    return where(is_finite, result, images)


class GeoDA(art.GeoDA):  # type: ignore[misc]  # ART has no types
    """ART's GeoDA with a start and queries that are bounded, for images of any shape.

    Args:
        estimator: the attacked model.
        queries: number of queries of each estimated normal, in the order of the steps.
        options: further arguments of ART's GeoDA.
    """

    def __init__(self, estimator: Estimator, queries: list[int], **options: Any) -> None:
        super().__init__(estimator, batch_size=_BATCH, verbose=False, **options)
        self.queries = queries
        self.clip_min, self.clip_max = estimator.clip_values
        self.sub_basis = _low_frequencies(self.sub_dim, *estimator.input_shape[1:])

    def generate(self, x: Array, y: Array | None = None, **_: Any) -> Array:
        """The nearest adversarial images found; an image is unchanged where there is none.

        Args:
            x: images (n, c, h, w).
            y: one-hot vectors (n, classes) of the true classes.
        """
        assert y is not None  # noqa: S101 - optional in ART's signature only
        parts = (slice(index, index + 1) for index in range(len(x)))
        return np.concatenate([self._nearest(x[part], y[part]) for part in parts])

    def _nearest(self, x: Array, y: Array) -> Array:
        """The nearest adversarial image found to one image (1, c, h, w)."""
        start = self._find_random_adversarial(x, y)
        if not self._is_adversarial(start, y):
            return x

        best: Array = self._binary_search(x, y, start, self.bin_search_tol)
        boundary = best
        normal = np.zeros_like(x)
        for queries in self.queries:
            estimate, _ = self._black_grad_batch(boundary, queries, self.batch_size, y)
            normal = normal + estimate

            moved = self._go_to_boundary(x, y, normal)
            if not self._is_adversarial(moved, y):
                break
            boundary = self._binary_search(x, y, moved, self.bin_search_tol)
            best = min(best, boundary, key=lambda image: self._distance(x, image))

        return best

    def _distance(self, x: Array, other: Array) -> float:
        return float(np.linalg.norm((other - x).ravel(), ord=float(self.norm)))

    def _find_random_adversarial(self, x: Array, y: Array) -> Array:
        """The image with noise that grows until it is adversarial, or the last one tried."""
        noisy: Array = x
        for size in np.linspace(0.02, 2.0, _STARTS):
            if self._is_adversarial(noisy, y):
                break
            noise = np.random.normal(size=x.shape)
            noisy = np.clip(x + size * noise, 0, 1).astype(np.float32)

        return noisy


class PixelAttack(art.PixelAttack):  # type: ignore[misc]  # ART has no types
    """ART's pixel attack with all candidates changed at once, which takes a fifth of the time."""

    def _perturb_image(self, x: Array, img: Array) -> Array:
        """The image (c, h, w) with the pixels of each candidate, (m, c, h, w) on the scale to 255.

        Args:
            x: candidates (m, pixels * (2 + c)) of row, column and values, or one without `m`.
            img: image on the scale to 255.
        """
        channels, height, width = img.shape
        pixels = (
            np.atleast_2d(x).astype(int).reshape(-1, x.shape[-1] // (2 + channels), 2 + channels)
        )
        candidates = np.arange(len(pixels))[:, None]
        result: Array = np.repeat(img[None], len(pixels), axis=0)
        result[candidates, :, pixels[..., 0] % height, pixels[..., 1] % width] = pixels[..., 2:]
        return result


def _low_frequencies(count: int, height: int, width: int) -> Array:
    """The first `count` cosines of each axis in all pairs, orthonormal, (height * width, pairs)."""
    rows, columns = (
        idct(np.eye(size), norm="ortho", axis=0)[:, :count] for size in (height, width)
    )
    basis: Array = np.kron(rows, columns).astype(np.float32)
    return basis
