"""The purifications as plain eager loops written from the papers: oracles for the results,
yardsticks for the speed.

They take the plugin's trained module for its layers alone, and the same random draws as it makes.
"""

from __future__ import annotations

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
