"""Table of measured latencies beside the lower bound (floor) that the machine sets.

The floor of a call is the larger of two times: its floating-point operations at the machine's peak
rate, and the bytes that it must move (weights once, images in and out) at the machine's bandwidth.
Both rates are measured here: the best of several large matrix products in the precision of the row,
and the best of several copies of a large tensor. Operations are counted at run time (convolutions
and matrix products); a purifier without any is left out. Weights that stay in a cache from call to
call may be read faster than that bandwidth. Run it on the machine that the run comes from.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from bench.analysis.metrics import latency_summary
from bench.latency.clock import timer
from bench.latency.engines import PRECISIONS
from bench.machine.devices import choose_device, device_name
from bench.records.folder import RunFolder
from bench.records.timing import Timing

IMAGE_BYTES = 2 * 28 * 28 * 4
SIZES = {"cpu": (2048, 2**26), "cuda": (8192, 2**29)}


def best(call: object, times: int = 10) -> float:
    """Seconds of the fastest of several calls."""
    found = []
    for _ in range(times):
        start = timer()
        call()  # type: ignore[operator]
        found.append(timer() - start)
    return min(found)


def peak_flops(device: torch.device, precision: str) -> float:
    """Operations a second of a large matrix product."""
    size = SIZES[device.type][0]
    kind = getattr(torch, PRECISIONS[precision].converted or "float32")
    a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    with PRECISIONS[precision].arithmetic():
        return 2 * size**3 / best(lambda: a @ b)


def bandwidth(device: torch.device) -> float:
    """Bytes a second that a copy reads and writes."""
    source = torch.ones(SIZES[device.type][1] // 4, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / best(lambda: target.copy_(source))


def row(timing: Timing, flops: float, speed: float) -> str:
    """One line of the table."""
    subject = timing.call
    assert timing.samples is not None
    p50 = latency_summary(timing.samples.seconds, subject.batch_size).p50
    by_operations = (timing.flops_per_image or 0) * subject.batch_size / flops * 1e3
    kind = getattr(torch, PRECISIONS[subject.precision].converted or "float32")
    weights = (timing.weight_bytes or 0) * kind.itemsize / torch.float32.itemsize
    by_bytes = (weights + subject.batch_size * IMAGE_BYTES) / speed * 1e3
    floor = max(by_operations, by_bytes)
    cells = (
        subject.pipeline.defense,
        subject.batch_size,
        subject.engine,
        subject.precision,
        f"{p50:.4g}",
        f"{by_operations:.3g}",
        f"{by_bytes:.3g}",
        f"{p50 / floor:.1f}",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    """Print the table of a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "run", type=Path, help="folder of a run, such as one written by `bench latency`"
    )
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = choose_device(options.device)
    timings = [
        timing
        for timing in RunFolder.open(options.run).timings()
        if timing.status == "ok" and timing.call.target == "purifier" and timing.call.round == 0
    ]
    timings = [timing for timing in timings if timing.flops_per_image]
    if any(torch.device(timing.call.device).type != device.type for timing in timings):
        sys.exit(f"{options.run} was not timed on {device.type}")
    speed = bandwidth(device)
    peaks = {
        name: peak_flops(device, name) for name in {timing.call.precision for timing in timings}
    }
    said = ", ".join(f"{name} {peak / 1e9:.0f} GFLOP/s" for name, peak in sorted(peaks.items()))
    titles = [
        "defense",
        "batch",
        "engine",
        "precision",
        "p50, ms",
        "floor by operations, ms",
        "floor by bytes, ms",
    ]
    lines = [
        f"Purifiers of `{options.run}` on {device_name(device)} "
        f"({torch.get_num_threads()} threads).",
        f"Measured peaks: {said}, copying {speed / 1e9:.1f} GB/s.",
        "",
        f"| {' | '.join(titles)} | times the floor |",
        "|:--|--:|:--|:--|--:|--:|--:|--:|",
        *(row(timing, peaks[timing.call.precision], speed) for timing in timings),
    ]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
