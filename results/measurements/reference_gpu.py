"""Reference measurements on a GPU, in calls of under ten minutes each.

A call stops when its time is over, and the next call continues the work. In order, it

- times every defense at every batch size on the networks that come with the package
  (`--no-pretrained` trains those of the preset): in float32 with every engine, and in TF32 and
  bfloat16 with eager and CUDA graphs;
- compares these times with the floor of the machine (`floor.py`), and Defense-GAN and PuVAE with
  plain loops (`plain_loops.py`);
- runs the preset `paper`, and reports it beside the published figures.

It writes run folders and Markdown files.
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
BENCH = [sys.executable, "-c", "from bench.entry import main; main()"]


def main() -> None:
    """Run the steps until all are done or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data sets MNIST and Fashion-MNIST")
    parser.add_argument("--out", type=Path, default=Path("results/reference"))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--minutes", type=float, default=9.5, help="minutes after which this call stops"
    )
    parser.add_argument("--defenses", default=DEFENSES)
    parser.add_argument("--batch-sizes", default="1,8,32,128,512")
    parser.add_argument("--preset", default="mnist", help="preset of the networks that are timed")
    parser.add_argument(
        "--pretrained",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="time the networks that come with the package",
    )
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
        *("--min-calls", "50", "--min-seconds", "0.1", "--max-seconds", "1", "--rounds", "1"),
        *(["--pretrained"] if options.pretrained else []),
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
        (
            [
                *BENCH,
                *common,
                "--engines",
                "eager,cudagraph,compile,compiled-cudagraph",
                "--out",
                latency,
            ],
            None,
        ),
        (
            [
                *BENCH,
                *common,
                *[
                    "--engines",
                    "eager,cudagraph",
                    "--precisions",
                    "tf32,bfloat16",
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
            sys.exit("the time is over; to continue, run the same command again")


def carried_out(command: list[str], output: Path | None, seconds: float) -> bool:
    """Run a command and write its standard output to a file, if one is given.

    Returns:
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
    if done.returncode:  # the command reports its failure; the other steps do not need it
        print(f"exit code {done.returncode}: {' '.join(command)}", file=sys.stderr)
    elif output is not None:
        output.write_text(done.stdout)
    return True


if __name__ == "__main__":
    main()
