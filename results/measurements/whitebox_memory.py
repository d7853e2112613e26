"""Table of the peak memory of the white-box gradient through Defense-GAN over its steps L.

Each number is the rise of the peak resident set during the call, in a new process on the CPU. The
plain gradient, with all steps and restarts in one autograd graph, is measured for at most
`--plain-up-to` steps.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch

from bench.contracts import DataInfo
from defenses.defensegan import DefenseGAN

CHILD = "--child"


def plain(module: torch.nn.Module, settings: DefenseGAN, images: torch.Tensor) -> torch.Tensor:
    """The projection with all steps in one autograd graph."""
    generator = module.get_submodule("generator")
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


def child(how: str, images: int, restarts: int, steps: int, latent: int, width: int) -> None:
    """Measure once, and print the rise in MiB and the seconds."""
    settings = DefenseGAN(
        latent=latent, width=width, batch_norm=True, restarts=restarts, steps=steps, start_std=1.0
    )
    torch.manual_seed(0)
    module = settings.build(DataInfo((1, 28, 28), 10)).eval().requires_grad_(False)
    inputs = torch.rand(images, 1, 28, 28)
    module(inputs[:1])  # libraries are loaded
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    if how == "forward":
        module(inputs)
    else:
        inputs.requires_grad_(True)
        output = module(inputs) if how == "gradient" else plain(module, settings, inputs)
        (gradient,) = torch.autograd.grad(output.square().sum(), inputs)
        if not bool(torch.isfinite(gradient).all()) or not bool(gradient.any()):
            sys.exit("the gradient is zero or not finite")
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print((after - before) / 1024, seconds)


def measured(*arguments: object) -> tuple[float, float]:
    """Rise in MiB and seconds of a measurement in a new process."""
    command = [sys.executable, __file__, CHILD, *map(str, arguments)]
    rise, seconds = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.split()
    return float(rise), float(seconds)


def main() -> None:
    """Print the table as Markdown."""
    if sys.argv[1:2] == [CHILD]:
        how, *sizes = sys.argv[2:]
        return child(how, *map(int, sizes))
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (
        ("images", 100),
        ("restarts", 10),
        ("latent", 32),
        ("width", 20),
        ("plain-up-to", 10),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--steps", default="5,10,25,50,100,200")
    given = parser.parse_args()
    setting = f"R = {given.restarts}, z {given.latent}-d, width {given.width}"
    machine = f"CPU, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"
    print(f"{given.images} images, {setting}, {machine}\n")
    print("| L | purify, MiB | purify, s | white-box gradient, MiB | s | plain graph, MiB | s |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for steps in map(int, given.steps.split(",")):
        sizes = (given.images, given.restarts, steps, given.latent, given.width)
        row = [f"{steps}"]
        for how in ("forward", "gradient", "plain"):
            if how == "plain" and steps > given.plain_up_to:
                row += ["", ""]
                continue
            rise, seconds = measured(how, *sizes)
            row += [f"{rise:.0f}", f"{seconds:.1f}"]
        print(f"| {' | '.join(row)} |", flush=True)
    return None


if __name__ == "__main__":
    main()
