"""Tables of the time of PuVAE and Defense-GAN beside plain eager loops written from their papers.

A ratio is the time of one call of the plain loop divided by that of our call right after it. The
table shows the median of all pairs, the least and the greatest. The networks are untrained, because
the weights change neither the operations nor, much, the time. The plain loops of
`tests/defenses/plain.py` run on copies of the same layers in PyTorch's default memory format.
Defense-GAN has two rows: with frozen weights, and with weights as built, for which
`loss.backward()` computes gradients too.

The profile shows Defense-GAN at the published sizes. Nominal operations are those of the plain
generator, forward and backward with frozen weights; computed operations are those of our folded
form. The peak is the rate of a product of square float32 matrices.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "defenses"))
import plain

from bench.contracts import DataInfo
from bench.latency.clock import timer
from bench.machine.devices import choose_device
from defenses._conditional_vae import ConditionalVAE
from defenses._projection import Projection
from defenses.defensegan import DefenseGAN
from defenses.puvae import PuVAE

INFO = DataInfo((1, 28, 28), 10)
COMPACT_GAN = {
    "latent": 32,
    "width": 20,
    "batch_norm": True,
    "rate": 20.0,
    "start_std": 1.0,
    "sphere": True,
}
COMPACT_VAE = {"channels": 16, "kernel": 5, "dilation": 1, "stride": 2}
GROUPS = {
    "convolutions": ("convolution", "col2im", "im2col"),
    "matrix products": ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm"),
}


@dataclass(frozen=True)
class Pair:
    """Our implementation and the plain loop, which return the same images."""

    defense: str
    sizes: str
    weights: str
    batch: int
    ours: Callable[[], Tensor]
    plain: Callable[[], Tensor]


def pairs(given: argparse.Namespace, device: torch.device) -> Iterator[Pair]:
    """The pairs of all rows of the table, in order."""
    for sizes, changes in (("published", {}), ("mnist", COMPACT_VAE)):
        vae = _ready(PuVAE(**changes).build(INFO), device)
        assert isinstance(vae, ConditionalVAE)
        for batch in given.batches:
            yield vae_pair(vae, sizes, torch.rand(batch, *INFO.shape, device=device))
    for sizes, changes in (("published", {}), ("mnist", COMPACT_GAN)):
        settings = replace(DefenseGAN(**changes), steps=given.steps, restarts=given.restarts)
        gan = _ready(settings.build(INFO), device)
        assert isinstance(gan, Projection)
        for batch in given.batches:
            images = torch.rand(batch, *INFO.shape, device=device)
            for weights in ("frozen", "as built"):
                yield gan_pair(gan, sizes, weights, images)


def vae_pair(module: ConditionalVAE, sizes: str, images: Tensor) -> Pair:
    """The pair of PuVAE."""
    layers = copy.deepcopy(module).to(memory_format=torch.contiguous_format)
    n, classes = len(images), module.classes

    def ours() -> Tensor:
        torch.manual_seed(1)
        return module(images)

    def other() -> Tensor:
        torch.manual_seed(1)
        noise = torch.randn(n * classes, module.latent, device=images.device)
        return plain.puvae(layers, images, noise.view(n, classes, -1))

    return Pair("puvae", sizes, "frozen", n, ours, other)


def gan_pair(module: Projection, sizes: str, weights: str, images: Tensor) -> Pair:
    """Defense-GAN's."""
    generator = copy.deepcopy(module.generator).to(memory_format=torch.contiguous_format)
    generator.requires_grad_(weights != "frozen")
    settings, n = module.settings, len(images)

    def ours() -> Tensor:
        torch.manual_seed(1)
        return module(images)

    def other() -> Tensor:
        torch.manual_seed(1)
        starts = settings.start_std * torch.randn(
            n * settings.restarts, settings.latent, device=images.device
        )
        return plain.defensegan(generator, settings, images, starts.view(n, settings.restarts, -1))

    return Pair("defensegan", sizes, weights, n, ours, other)


def row(pair: Pair, rounds: int) -> str:
    """A line of the table."""
    with torch.no_grad():
        difference = float((pair.ours() - pair.plain()).abs().max())  # warms both up
        seconds = [(_seconds(pair.plain), _seconds(pair.ours)) for _ in range(rounds)]
    ratios = sorted(slow / fast for slow, fast in seconds)
    slow, fast = (statistics.median(each) for each in zip(*seconds, strict=True))
    ratio = f"{statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
    cells = [
        pair.defense,
        pair.sizes,
        pair.weights,
        str(pair.batch),
        f"{slow:.4g}",
        f"{fast:.4g}",
        ratio,
    ]
    return f"| {' | '.join(cells)} | {difference:.1e} |"


def profiled(batch: int, steps: int, restarts: int, device: torch.device) -> str:
    """The row of the profile of Defense-GAN at the published sizes."""
    settings = replace(DefenseGAN(), steps=steps, restarts=restarts)
    module = _ready(settings.build(INFO), device)
    images = torch.rand(batch, *INFO.shape, device=device)
    with torch.no_grad():
        module(images)
        seconds = statistics.median(_seconds(lambda: module(images)) for _ in range(3))
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
        with profile(activities=activities) as record:
            module(images)
    spent = dict.fromkeys([*GROUPS, "the rest"], 0.0)
    for event in record.key_averages():
        own = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
        if device.type == "cuda" and not event.key.startswith("aten::"):
            continue  # kernels are counted with the operation that started them
        spent[
            next(
                (name for name, keys in GROUPS.items() if any(key in event.key for key in keys)),
                "the rest",
            )
        ] += own
    shares = [f"{each / sum(spent.values()):.0%}" for each in spent.values()]
    rates = [
        f"{each * steps / seconds / 1e9:.1f}"
        for each in operations(module, batch * restarts, device)
    ]
    return f"| {batch} | {seconds:.4g} | {' | '.join([*shares, *rates])} | {peak(device):.1f} |"


def operations(module: nn.Module, codes: int, device: torch.device) -> tuple[int, int]:
    """Floating-point operations of one step: those of the plain generator, and those computed."""
    assert isinstance(module, Projection)
    z = torch.randn(codes, module.latent, device=device, requires_grad=True)
    target = torch.rand(codes, *INFO.shape, device=device)
    with FlopCounterMode(display=False) as nominal:
        (module.generator(z) - target).square().mean().backward()
    with torch.no_grad(), FlopCounterMode(display=False) as computed:
        module.folded_generator().gradient(z, target)
    return nominal.get_total_flops(), computed.get_total_flops()


def peak(device: torch.device, size: int = 2048, rounds: int = 7) -> float:
    """GFLOP/s of a product of square float32 matrices, the best of `rounds` calls."""
    one, other = torch.randn(2, size, size, device=device)
    least = min(_seconds(lambda: one @ other) for _ in range(rounds))
    return 2 * size**3 / least / 1e9


def _ready(module: nn.Module, device: torch.device) -> nn.Module:
    return module.to(device).eval().requires_grad_(False)


def _seconds(call: Callable[[], object]) -> float:
    start = timer()
    call()
    return timer() - start


def lines(given: argparse.Namespace) -> Iterator[str]:
    """The tables, line by line."""
    device = choose_device(given.device)
    torch.manual_seed(0)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    threads = torch.get_num_threads()
    yield f"{where}, {threads} threads, PyTorch {torch.__version__}, untrained weights, "
    yield f"{given.rounds} pairs a row; Defense-GAN with R = {given.restarts}, L = {given.steps}\n"
    yield (
        "| defense | sizes | weights | batch | plain loop, s | ours, s "
        "| ratio | largest difference |"
    )
    yield "|:--|:--|:--|--:|--:|--:|:--|--:|"
    for pair in pairs(given, device):
        yield row(pair, given.rounds)
    steps = min(given.steps, 20)
    yield f"\nProfile of Defense-GAN at the published sizes, R = {given.restarts}, L = {steps}\n"
    names = [
        "batch",
        "s",
        *GROUPS,
        "the rest",
        "nominal GFLOP/s",
        "computed GFLOP/s",
        "peak GFLOP/s",
    ]
    yield f"| {' | '.join(names)} |\n|{'--:|' * len(names)}"
    for batch in given.batches:
        yield profiled(batch, steps, given.restarts, device)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    for name, default in (("steps", 200), ("restarts", 10), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument(
        "--batches", type=lambda text: [int(each) for each in text.split(",")], default=[1, 32]
    )
    for line in lines(parser.parse_args()):
        print(line, flush=True)


if __name__ == "__main__":
    main()
