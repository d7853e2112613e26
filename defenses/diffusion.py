"""Diffusion purification: DiffPure (Nie et al., ICML 2022, arXiv:2205.07460) and its relatives.

GDMP (Wang et al., arXiv:2205.14969) repeats shorter purifications with a guide, and Carlini et al.,
ICLR 2023 (arXiv:2206.10550), take a single step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.contracts import (
    DataInfo,
    Defense,
    FitContext,
    Fraction,
    Indices,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    PositiveInts,
)
from bench.registry import register_defense
from defenses._denoising_unet import DenoisingUNet, UNetSizes
from defenses._noise_schedule import Schedule, alpha_bars, signal_and_noise
from defenses._reverse_diffusion import DiffusionPurifier, Purification

_LARGEST_NORM = 1.0
"""Norm to which the gradient of the weights is clipped, as in the code of Ho et al."""


@register_defense("diffusion")
@dataclass(frozen=True)
class Diffusion(Defense):
    """Diffusion: noise drowns the perturbation, a denoising model removes both (DiffPure, GDMP).

    The model is a DDPM (Ho, Jain, Abbeel, NeurIPS 2020, arXiv:2006.11239), trained on clean images
    alone. One trained network serves three methods of the literature:

    - DiffPure (arXiv:2205.07460): noise of time t, then reverse steps back to the image. The paper
      solves an equation in continuous time for CIFAR-10; here it is the ancestral sampling of its
      ImageNet code, with `steps=t` or fewer, which skip times. Its t = 0.1 for CIFAR-10 leaves as
      much of an image as t = 200 of the cosine schedule, the default; strong attacks need more.
    - GDMP (arXiv:2205.14969): `t=73:steps=36:repeats=4:guide_weight=9.3`. The paper has t = 36 of
      the linear schedule, which leaves as much as t = 73 of the cosine one. Its code averages the
      guide's squared error over a batch of 100 CIFAR-10 images, weighs it by 60,000 and divides by
      two thirds of epsilon, there 8/255. That is a weight of 9.3 for the squared error summed over
      each image, which depends on neither batch nor size.
    - One step (Carlini et al., arXiv:2206.10550): `steps=1`, the network's estimate of the clean
      image at time t, without the vote of the paper.

    The default network of about a million weights is for images of 28x28 pixels. That of Ho et
    al. for CIFAR-10, for a GPU, has `channels=128`, `multipliers=[1,2,2,2]`, `blocks=2`,
    `attention=1`, `dropout=0.1`, `schedule=linear`, `ema=0.9999`, `learning_rate=2e-4` and
    `iterations=800000`. They pad halvings on one side alone, scale the first weights in another
    way, and train by Adam at a constant rate on images that are flipped at random. Of their two
    variances of a reverse step, the smaller one is taken.

    Attributes:
        channels: number of channels at full resolution, at least 1.
        multipliers: multiples of `channels` at each level, at least 1 each; each level halves the
            maps of the one before it.
        blocks: number of residual blocks of a level, at least 1, and one more on the way up.
        attention: levels with self-attention after each block, from 0 for full resolution. Between
            the ways down and up there is always one.
        dropout: probability of dropout in the blocks, in [0, 1].
        schedule: noise schedule: `cosine` (Nichol, Dhariwal, arXiv:2102.09672) or `linear`, of beta
            from 1e-4 to 0.02 (Ho et al.).
        timesteps: number of steps T from an image to noise, at least 1.
        iterations: number of training batches, at least 1.
        batch_size: number of images in a training batch, at least 1.
        learning_rate: largest learning rate of AdamW, above 0, of a cycle that rises over the first
            30 % of the training (OneCycle).
        ema: decay of the moving average of the weights, in [0, 1]; 0 keeps the last ones.
        t: number of steps of noise that are added, at least 1 and at most `timesteps`.
        steps: number of reverse steps, at least 1 and at most `t`, at even distances; each is a
            call of the network.
        eta: share of the noise that is drawn anew in each reverse step, in [0, 1]: 1 for ancestral
            sampling (DDPM), 0 for none (DDIM, arXiv:2010.02502).
        repeats: number of purifications one after the other, at least 1.
        guide_weight: weight of the squared error to the given image, summed over an image in
            [-1, 1], by whose gradient each step moves; at least 0, and 0 for no guide.
    """

    stochastic: ClassVar[bool] = True
    independent_draws: ClassVar[bool] = True
    inference_parameters: ClassVar[frozenset[str]] = frozenset(
        {"t", "steps", "eta", "repeats", "guide_weight"}
    )

    channels: PositiveInt = 16
    multipliers: PositiveInts = (1, 2, 5)
    blocks: PositiveInt = 1
    attention: Indices = (2,)
    dropout: Fraction = 0.0
    schedule: Schedule = "cosine"
    timesteps: PositiveInt = 1000
    iterations: PositiveInt = 6000
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3
    ema: Fraction = 0.995
    t: PositiveInt = 200
    steps: PositiveInt = 50
    eta: Fraction = 1.0
    repeats: PositiveInt = 1
    guide_weight: NonNegativeFloat = 0.0

    def __post_init__(self) -> None:
        if self.t > self.timesteps:
            raise ValueError(f"parameter t={self.t}: at most timesteps={self.timesteps}")
        if self.steps > self.t:
            raise ValueError(f"parameter steps={self.steps}: at most t={self.t}")
        if max(self.attention) >= len(self.multipliers):
            raise ValueError(
                f"parameter attention={max(self.attention)}: the levels of multipliers are 0 to "
                f"{len(self.multipliers) - 1}"
            )

    def build(self, data: DataInfo) -> nn.Module:
        """The purification with an untrained network; images to images of the same shape."""
        sizes = UNetSizes(
            channels=self.channels,
            multipliers=self.multipliers,
            blocks=self.blocks,
            attention=self.attention,
            dropout=self.dropout,
            timesteps=self.timesteps,
        )
        settings = Purification(
            t=self.t,
            steps=self.steps,
            eta=self.eta,
            repeats=self.repeats,
            guide_weight=self.guide_weight,
        )
        network = DenoisingUNet(data.shape[0], sizes)
        return DiffusionPurifier(network, alpha_bars(self.schedule, self.timesteps), settings)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Minimize the squared error of the predicted noise; the averaged weights are kept."""
        network = module.get_submodule("network")
        device = next(network.parameters()).device
        left = alpha_bars(self.schedule, self.timesteps)[1:]
        levels = torch.tensor([signal_and_noise(each) for each in left], device=device)

        average = AveragedModel(network, device, multi_avg_fn=get_ema_multi_avg_fn(self.ema))
        optimizer = AdamW(network.parameters(), lr=self.learning_rate)
        schedule = OneCycleLR(optimizer, self.learning_rate, total_steps=self.iterations)

        for images, _ in context.batches(self.batch_size, steps=self.iterations):
            loss = denoising_loss(network, images, levels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            clip_grad_norm_(network.parameters(), _LARGEST_NORM)
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
            context.report(mse=loss)

        network.load_state_dict(average.module.state_dict())


def denoising_loss(network: nn.Module, images: Tensor, levels: Tensor) -> Tensor:
    """Mean squared error of the noise predicted at random times (Ho et al., equation 14).

    Args:
        network: network that predicts the noise of noisy images and times.
        images: clean images (n, channels, height, width) in [0, 1].
        levels: factors of image and noise at each time, (timesteps, 2).
    """
    times = torch.randint(len(levels), (len(images),), device=images.device)
    signal, noise = levels[times].view(-1, 2, 1, 1, 1).unbind(dim=1)
    drawn = torch.randn_like(images)
    return mse_loss(network(signal * (2 * images - 1) + noise * drawn, times), drawn)
