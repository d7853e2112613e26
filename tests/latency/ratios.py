"""Latency across machines: each defense's pipeline over the `none` pipeline, against committed
references.

A time in milliseconds says nothing on another machine; how many times as long as the bare
classifier a defense takes says much more, and still not everything (caches, instruction sets and
numbers of cores differ), hence the tolerance.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from bench.latency.clock import timer

TOLERANCE = 2.0
"""Default factor by which a ratio may differ from its reference."""


@dataclass(frozen=True)
class Verdict:
    """What a measured ratio comes to.

    Attributes:
        kind: `slower` fails, `faster` means that the reference is stale, `new` that there is none.
        text: for a person.
    """

    kind: Literal["ok", "slower", "faster", "new"]
    text: str


def judge(measured: float, reference: float | None, tolerance: float) -> Verdict:
    """Hold a ratio to its reference.

    Args:
        measured: how many times as long as `none`.
        reference: what it should be; None where nothing is known.
        tolerance: the factor, at least 1, by which the two may differ, either way.

    Raises:
        ValueError: a number is out of its range, NaN included.
    """
    if not (measured > 0 and tolerance >= 1 and (reference is None or reference > 0)):
        raise ValueError(
            f"no ratio to judge: measured {measured}, reference {reference}, tolerance {tolerance}"
        )
    if reference is None:
        return Verdict("new", f"{measured:.3g} times none; no reference")
    text = (
        f"{measured:.3g} times none; reference {reference:.3g}, tolerance a factor of {tolerance:g}"
    )
    if measured > reference * tolerance:
        return Verdict("slower", f"{text}: slower")
    if measured < reference / tolerance:
        return Verdict("faster", f"{text}: faster, so the reference is stale (BENCH_RATIOS=write)")
    return Verdict("ok", text)


def paired_ratio(call: Callable[[], object], reference: Callable[[], object], rounds: int) -> float:
    """The median over rounds of the time of `call` over that of `reference`.

    In a round the two take about as long, `reference` by being called more than once, and take
    turns at being first: so other processes take as much from one as from the other.
    """
    times = math.ceil(_least(call) / _least(reference))

    def mean_of_several() -> float:
        return statistics.mean(_seconds(reference) for _ in range(times))

    ratios = []
    for number in range(rounds):
        if number % 2:
            own, bare = _seconds(call), mean_of_several()
        else:
            bare, own = mean_of_several(), _seconds(call)
        ratios.append(own / bare)
    return statistics.median(ratios)


def _least(call: Callable[[], object]) -> float:
    return min(_seconds(call) for _ in range(3))


def _seconds(call: Callable[[], object]) -> float:
    start = timer()
    call()
    return timer() - start


@contextmanager
def one_thread() -> Iterator[None]:
    """One CPU thread for the block: a ratio of two networks depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class References:
    """The file of reference ratios and their tolerance, by device type."""

    path: Path

    def find(self, device: str, defense: str, batch_size: int) -> float | None:
        """The reference, None where there is none."""
        found: float | None = self._of(device)["ratios"].get(defense, {}).get(str(batch_size))
        return found

    def tolerance(self, device: str) -> float:
        """The tolerance for that type of device."""
        return float(self._of(device)["tolerance"])

    def write(self, device: str, name: str, defense: str, batch_size: int, ratio: float) -> None:
        """Put a reference in the place of an older one; the others stay.

        Args:
            device: its type.
            name: of the device, for the record.
            defense: its registered name.
            batch_size: images in a call.
            ratio: the reference, of which three digits are kept.
        """
        entry = self._of(device)
        entry["ratios"].setdefault(defense, {})[str(batch_size)] = float(f"{ratio:.3g}")
        entry |= {"device": name, "torch": torch.__version__}
        text = json.dumps({**self._read(), device: entry}, indent=2, sort_keys=True)
        self.path.write_text(f"{text}\n", encoding="utf-8")

    def _of(self, device: str) -> dict[str, Any]:
        entry: dict[str, Any] = self._read().get(device, {"tolerance": TOLERANCE, "ratios": {}})
        return entry

    def _read(self) -> dict[str, Any]:
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
