"""Table of the peak memory of the white-box gradient through an iterative purifier over its steps.

Each number is the rise of the peak resident set during the call, in a new process on the CPU. The
plain gradient, with all steps (and restarts) in one autograd graph, is measured for at most
`--plain-up-to` steps. Of `diffusion`, the path is what the steps hand to each other, an image for
each step; one step and the path bound what the gradient should take.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from unittest.mock import patch

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo
from defenses import _reverse_diffusion
from defenses.defensegan import DefenseGAN
from defenses.diffusion import Diffusion

CHILD = "--child"
INFO = DataInfo((1, 28, 28), 10)
T = 200
"""Number of steps of noise of `diffusion`, of which the measured steps skip some."""


def defensegan(steps: int, given: argparse.Namespace) -> nn.Module:
    """The untrained module of Defense-GAN, of the sizes that are given."""
    return DefenseGAN(
        latent=given.latent,
        width=given.width,
        batch_norm=True,
        restarts=given.restarts,
        steps=steps,
        start_std=1.0,
    ).build(INFO)


def diffusion(steps: int, _: argparse.Namespace) -> nn.Module:
    """The untrained module of the default diffusion model, with random weights throughout."""
    module = Diffusion(t=T, steps=steps).build(INFO)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return module


def plain_defensegan(module: nn.Module, images: Tensor) -> Tensor:
    """The projection with all steps in one autograd graph."""
    generator, settings = module.get_submodule("generator"), module.settings
    target = images.repeat_interleave(settings.restarts, dim=0)
    z = torch.randn(len(target), settings.latent).requires_grad_(True)
    velocity = torch.zeros_like(z)
    for _ in range(settings.steps):
        error = ((generator(z) - target) ** 2).flatten(1).mean(dim=1).sum()
        (gradient,) = torch.autograd.grad(error, z, create_graph=True)
        velocity = settings.momentum * velocity + gradient
        z = z - settings.rate * velocity
    candidates = generator(z)
    error = ((candidates - target) ** 2).flatten(1).mean(dim=1).view(len(images), -1)
    rows = torch.arange(len(images))
    return candidates.view(len(images), -1, *images.shape[1:])[rows, error.argmin(dim=1)]


def plain_diffusion(module: nn.Module, images: Tensor) -> Tensor:
    """The purification with all steps in one autograd graph."""
    with patch.object(_reverse_diffusion, "checkpoint", lambda step, *inputs, **_: step(*inputs)):
        purified: Tensor = module(images)
        return purified


BUILT: Mapping[str, Callable[[int, argparse.Namespace], nn.Module]] = {
    "defensegan": defensegan,
    "diffusion": diffusion,
}
PLAIN: Mapping[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "defensegan": plain_defensegan,
    "diffusion": plain_diffusion,
}


def child(how: str, steps: int, given: argparse.Namespace) -> None:
    """Measure once, and print the rise in MiB and the seconds."""
    torch.manual_seed(0)
    module = BUILT[given.defense](steps, given).eval().requires_grad_(False)
    inputs = torch.rand(given.images, *INFO.shape)
    module(inputs[:1])  # libraries are loaded
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    if how == "forward":
        module(inputs)
    else:
        inputs.requires_grad_(True)
        called = module if how == "gradient" else lambda x: PLAIN[given.defense](module, x)
        (gradient,) = torch.autograd.grad(called(inputs).square().sum(), inputs)
        if not bool(torch.isfinite(gradient).all()) or not bool(gradient.any()):
            sys.exit("the gradient is zero or not finite")
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print((after - before) / 1024, seconds)


def measured(how: str, steps: int) -> tuple[float, float]:
    """Rise in MiB and seconds of a measurement in a new process, with the same options."""
    command = [sys.executable, __file__, *sys.argv[1:], CHILD, how, str(steps)]
    rise, seconds = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.split()
    return float(rise), float(seconds)


def options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--defense", choices=BUILT, default="defensegan")
    for name, default in (
        ("images", 100),
        ("restarts", 10),
        ("latent", 32),
        ("width", 20),
        ("plain-up-to", 10),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--steps", default="5,10,25,50,100,200")
    parser.add_argument(CHILD, nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def setting(given: argparse.Namespace) -> str:
    """The sizes of the purifier, as text."""
    if given.defense == "defensegan":
        return f"R = {given.restarts}, z {given.latent}-d, width {given.width}"
    weights = sum(weight.numel() for weight in diffusion(1, given).parameters())
    path = given.images * torch.Size(INFO.shape).numel() * 4 / 2**20
    return f"{weights / 1e6:.2f} million weights, t = {T}, a path of {path:.2f} MiB a step"


def main() -> None:
    """Print the table as Markdown."""
    given = options()
    if given.child:
        how, steps = given.child
        return child(how, int(steps), given)
    machine = f"CPU, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"
    print(f"{given.images} images, {setting(given)}, {machine}\n")
    print("| L | purify, MiB | purify, s | white-box gradient, MiB | s | plain graph, MiB | s |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for steps in map(int, given.steps.split(",")):
        row = [f"{steps}"]
        for how in ("forward", "gradient", "plain"):
            if how == "plain" and steps > given.plain_up_to:
                row += ["", ""]
                continue
            rise, seconds = measured(how, steps)
            row += [f"{rise:.0f}", f"{seconds:.1f}"]
        print(f"| {' | '.join(row)} |", flush=True)
    return None


if __name__ == "__main__":
    main()
