"""The library: evaluations, runs and their results, from a program or a notebook."""

from __future__ import annotations

from bench.library.evaluation import evaluate
from bench.library.loading import load
from bench.library.results import Results
from bench.library.runs import read, run

__all__ = ["Results", "evaluate", "load", "read", "run"]
