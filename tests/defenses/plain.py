"""The purifications as plain eager loops written from the papers: oracles for the results,
yardsticks for the speed.

They take the plugin's trained module for its layers alone, and the same random draws as it makes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from defenses._conditional_vae import ConditionalVAE
from defenses.defensegan import DefenseGAN


@torch.no_grad()
def puvae(module: ConditionalVAE, images: Tensor, noise: Tensor) -> Tensor:
    """The whole encoder and decoder class by class; the reconstruction of least RMSE
    (arXiv:1903.00585, section 3.2).

    Args:
        module: gives the layers.
        images: (n, c, h, w) in [0, 1].
        noise: standard normal draws (n, classes, latent).

    Returns:
        images of the same shape.
    """
    best = torch.zeros_like(images)
    least = images.new_full((len(images),), torch.inf)
    for label in range(module.classes):
        labels = torch.full((len(images),), label, device=images.device)
        condition = one_hot(labels, module.classes).to(images.dtype)
        joined = torch.cat([module.convolutions(images), condition], dim=1)
        hidden = torch.relu(module.hidden(torch.relu(module.joined(joined))))
        mean, deviation = module.mean(hidden), torch.exp(module.log_variance(hidden) / 2)
        z = mean + module.noise * deviation * noise[:, label]
        candidate = torch.sigmoid(module.decoder(module.expand(torch.cat([z, condition], dim=1))))
        error = (candidate - images).square().mean(dim=(1, 2, 3)).sqrt()
        better = error < least
        best = torch.where(better[:, None, None, None], candidate, best)
        least = torch.where(better, error, least)
    return best


def defensegan(
    generator: nn.Module, settings: DefenseGAN, images: Tensor, starts: Tensor
) -> Tensor:
    """Restart by restart, L steps of SGD with momentum on z; the image of least error
    (arXiv:1805.06605, section 3).

    Args:
        generator: images of z.
        settings: of the projection.
        images: (n, c, h, w) in [0, 1].
        starts: the first z before they are put on the sphere, (n, restarts, latent).

    Returns:
        images of the same shape.
    """
    best = torch.zeros_like(images)
    least = images.new_full((len(images),), torch.inf)
    for restart in range(settings.restarts):
        z = _on_sphere(starts[:, restart], settings).clone().requires_grad_(True)
        optimizer = torch.optim.SGD([z], lr=settings.rate, momentum=settings.momentum)
        for _ in range(settings.steps):
            optimizer.zero_grad()
            with torch.enable_grad():
                loss = (generator(z) - images).square().mean(dim=(1, 2, 3)).sum()
                loss.backward()
            optimizer.step()
            with torch.no_grad():
                z.copy_(_on_sphere(z, settings))
        with torch.no_grad():
            candidate = generator(z)
            error = (candidate - images).square().mean(dim=(1, 2, 3))
            better = error < least
            best = torch.where(better[:, None, None, None], candidate, best)
            least = torch.where(better, error, least)
    return best


def _on_sphere(z: Tensor, settings: DefenseGAN) -> Tensor:
    """Where `sphere` is set, z scaled to the norm sqrt(latent)."""
    return z / z.norm(dim=1, keepdim=True) * settings.latent**0.5 if settings.sphere else z


Denoiser = Callable[[Tensor, Tensor], Tensor]
"""Function of noisy images and times from 0 on, int64 (n,), that predicts the noise."""


@torch.no_grad()
def ddpm(network: Denoiser, betas: Sequence[float], images: Tensor, t: int) -> Tensor:
    """Noise of time t, then the reverse steps of ancestral sampling (arXiv:2006.11239, equations
    4, 7 and 15; the estimated image is clipped, as in the authors' code).

    Args:
        network: predicts the noise.
        betas: variances of the steps from 1 on.
        images: (n, c, h, w) in [0, 1].
        t: number of steps.

    Returns:
        images of the same shape.
    """
    noisy = _diffused(2 * images - 1, _left(betas, t))
    for time in range(t, 0, -1):
        beta, left, before = betas[time - 1], _left(betas, time), _left(betas, time - 1)
        noise = network(noisy, torch.full((len(images),), time - 1))
        clean = ((noisy - math.sqrt(1 - left) * noise) / math.sqrt(left)).clamp(-1, 1)
        mean = math.sqrt(before) * beta / (1 - left) * clean
        mean = mean + math.sqrt(1 - beta) * (1 - before) / (1 - left) * noisy
        variance = (1 - before) / (1 - left) * beta
        noisy = mean + math.sqrt(variance) * torch.randn_like(images)
    return ((noisy + 1) / 2).clamp(0, 1)


@torch.no_grad()
def ddim(
    network: Denoiser, betas: Sequence[float], images: Tensor, times: Sequence[int], eta: float
) -> Tensor:
    """Noise of the first time, then a step from each time to the next (arXiv:2010.02502, equations
    12 and 16).

    Args:
        network: predicts the noise.
        betas: variances of the steps from 1 on.
        images: (n, c, h, w) in [0, 1].
        times: numbers of steps of noise, falling; the last is 0.
        eta: share of new noise.

    Returns:
        images of the same shape.
    """
    noisy = _diffused(2 * images - 1, _left(betas, times[0]))
    for time, after in pairwise(times):
        left, next_left = _left(betas, time), _left(betas, after)
        noise = network(noisy, torch.full((len(images),), time - 1))
        clean = ((noisy - math.sqrt(1 - left) * noise) / math.sqrt(left)).clamp(-1, 1)
        noise = (noisy - math.sqrt(left) * clean) / math.sqrt(1 - left)
        sigma = eta * math.sqrt((1 - next_left) / (1 - left)) * math.sqrt(1 - left / next_left)
        noisy = math.sqrt(next_left) * clean + math.sqrt(1 - next_left - sigma**2) * noise
        noisy = noisy + sigma * torch.randn_like(images)
    return ((noisy + 1) / 2).clamp(0, 1)


@torch.no_grad()
def gdmp(
    network: Denoiser,
    betas: Sequence[float],
    images: Tensor,
    t: int,
    repeats: int,
    weight: float,
) -> Tensor:
    """Ancestral sampling whose mean moves against the gradient of the squared error to the noisy
    input, again and again (arXiv:2205.14969, algorithm 1 and the authors' code).

    Args:
        network: predicts the noise.
        betas: variances of the steps from 1 on.
        images: (n, c, h, w) in [0, 1].
        t: number of steps.
        repeats: number of rounds.
        weight: weight of the squared error.

    Returns:
        images of the same shape.
    """
    given = 2 * images - 1
    purified = given
    for _ in range(repeats):
        noisy = _diffused(purified, _left(betas, t))
        for time in range(t, 0, -1):
            beta, left, before = betas[time - 1], _left(betas, time), _left(betas, time - 1)
            noise = network(noisy, torch.full((len(images),), time - 1))
            clean = ((noisy - math.sqrt(1 - left) * noise) / math.sqrt(left)).clamp(-1, 1)
            mean = math.sqrt(before) * beta / (1 - left) * clean
            mean = mean + math.sqrt(1 - beta) * (1 - before) / (1 - left) * noisy
            variance = (1 - before) / (1 - left) * beta
            drawn = mean + math.sqrt(variance) * torch.randn_like(images)
            with torch.enable_grad():
                at = noisy.clone().requires_grad_(True)
                distance = (at - _diffused(given, left)).square().sum()
                (gradient,) = torch.autograd.grad(distance, at)
            scale = weight * math.sqrt(1 - left) / math.sqrt(left)
            noisy = drawn - variance * scale * gradient
        purified = noisy
    return ((purified + 1) / 2).clamp(0, 1)


def _left(betas: Sequence[float], time: int) -> float:
    """alpha-bar of a time."""
    return math.prod(1 - beta for beta in betas[:time])


def _diffused(images: Tensor, left: float) -> Tensor:
    """Images in [-1, 1] with noise, of which the share alpha-bar is left."""
    return math.sqrt(left) * images + math.sqrt(1 - left) * torch.randn_like(images)
