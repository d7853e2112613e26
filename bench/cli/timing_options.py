"""The options of the latency measurement, with their help texts."""

from __future__ import annotations

from typing import Annotated

from bench.cli.completion import engines, last_entry, precisions
from bench.cli.options import option

BatchSizes = Annotated[
    str | None,
    option(
        "--batch-sizes",
        "NUMBERS",
        "Numbers of images in a call.  [default: 1,8,32,128,512, or those of --config]",
    ),
]
Engines = Annotated[
    str | None,
    option(
        "--engines",
        "NAMES",
        "Engines that run the networks in the latency measurement: eager, compile, cudagraph, "
        "compiled-cudagraph.",
        completed=last_entry(engines),
    ),
]
Precisions = Annotated[
    str | None,
    option(
        "--precisions",
        "NAMES",
        "Arithmetic of the latency measurement: float32, tf32, bfloat16.",
        completed=last_entry(precisions),
    ),
]
Rounds = Annotated[
    str | None,
    option(
        "--rounds",
        "N",
        "Number of times that every call is timed; differences between rounds show how steady the "
        "machine is.  [default: 2, or that of --config]",
    ),
]
MinCalls = Annotated[
    str | None,
    option(
        "--min-calls",
        "N",
        "Minimum number of timed calls.  [default: that of the preset, or 30]",
    ),
]
MinSeconds = Annotated[
    str | None,
    option(
        "--min-seconds",
        "SECONDS",
        "Minimum total time of the timed calls.  [default: that of the preset, or 0.5]",
    ),
]
MaxSeconds = Annotated[
    str | None,
    option(
        "--max-seconds",
        "SECONDS",
        "Duration after which a measurement stops; at least three calls count.  [default: that of "
        "the preset, or 10]",
    ),
]
