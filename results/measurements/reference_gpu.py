"""Everything that the reference results need of a GPU, in one call of under ten minutes; a second
call goes on.

Trains the networks of the MNIST preset where the cache lacks them, times every defense at every
batch size under eager, compile and CUDA graphs in float32, under eager and CUDA graphs in TF32 and
bfloat16, holds the times against the floor, and Defense-GAN and PuVAE against loops written
straight from the papers; then the paper's tables, in several calls. Leaves run folders and Markdown
files.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

from bench.machine.devices import choose_device, device_name

HERE = Path(__file__).parent
DEFENSES = "none,convae,puvae,defensegan:steps=200"
BENCH = [sys.executable, "-c", "from bench.cli import main; main()"]


def main() -> None:
    """Run the steps until done or out of time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of MNIST and Fashion-MNIST")
    parser.add_argument("--out", type=Path, default=Path("results/reference"))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--minutes", type=float, default=9.5, help="stop by then; the next call goes on"
    )
    parser.add_argument("--defenses", default=DEFENSES)
    parser.add_argument("--batch-sizes", default="1,8,32,128,512")
    parser.add_argument("--preset", default="mnist", help="of the networks that are timed")
    parser.add_argument("--paper", default="paper", help="preset of the paper's tables")
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes
    slug = re.sub(r"[^a-z0-9]+", "-", device_name(choose_device(options.device)).lower()).strip("-")
    latency, precisions = (options.out / f"latency-{slug}{end}" for end in ("", "-precisions"))
    common = ["latency", "--preset", options.preset, "--device", options.device]
    common += [
        "--defenses",
        options.defenses,
        "--batch-sizes",
        options.batch_sizes,
        "--max-seconds",
        "3",
    ]
    places = [
        part
        for name in ("data", "cache")
        if (at := getattr(options, name))
        for part in (f"--{name}", str(at))
    ]
    common += places
    paper = options.out / f"{options.paper}-{slug}"
    steps: list[tuple[list[object], Path | None]] = [
        ([*BENCH, *common, "--engines", "eager,cudagraph,compile", "--out", latency], None),
        (
            [
                *BENCH,
                *common,
                *[
                    "--engines",
                    "eager,cudagraph",
                    "--precisions",
                    "tf32,bfloat16",
                    "--rounds",
                    "1",
                    "--out",
                ],
                precisions,
            ],
            None,
        ),
        (
            [sys.executable, HERE / "floor.py", latency, "--device", options.device],
            latency / "floor.md",
        ),
        (
            [sys.executable, HERE / "floor.py", precisions, "--device", options.device],
            precisions / "floor.md",
        ),
        (
            [sys.executable, HERE / "plain_loops.py", "--device", options.device],
            latency / "plain_loops.md",
        ),
        (
            [
                *BENCH,
                "run",
                "--preset",
                options.paper,
                "--device",
                options.device,
                *places,
                "--out",
                paper,
            ],
            None,
        ),
        ([*BENCH, "report", paper, "--against", "paper"], paper / "against.txt"),
    ]
    for command, output in steps:
        left = deadline - time.monotonic()
        if left <= 0 or not carried_out(list(map(str, command)), output, left):
            sys.exit("out of time: call it again to go on")


def carried_out(command: list[str], output: Path | None, seconds: float) -> bool:
    """Run a command; its standard output goes to the file, where one is given.

    False if the time was too short.
    """
    try:
        done = subprocess.run(
            command,
            timeout=seconds,
            check=False,
            stdout=subprocess.PIPE if output else None,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode:  # what failed is told and recorded there; the other steps do not need it
        print(f"exit code {done.returncode}: {' '.join(command)}", file=sys.stderr)
    elif output is not None:
        output.write_text(done.stdout)
    return True


if __name__ == "__main__":
    main()
