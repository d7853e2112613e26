"""The decision as a document for programs: strict JSON with a version."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.report.failures import failures
from bench.report.report import Report

SCHEMA = 1
"""Version of the document. 1: the first."""


def decision_json(report: Report, run: Path) -> str:
    """The decisions, failures and paths of a run as JSON in one line; null for a missing number.

    Args:
        report: report of the run.
        run: folder of the run.
    """
    document = {
        "schema": SCHEMA,
        "run": str(run),
        "decided": not report.decisions.empty and bool(report.decisions["decided"].all()),
        "cells": {str(name): int(count) for name, count in _counts(report).items()},
        "invalid": report.invalid,
        "failures": [asdict(failure) for failure in failures(report)],
        "decisions": [_row(row) for row in report.decisions.to_dict("records")],
        "paths": {"tables": str(run / "tables"), "plots": str(run / "plots")},
    }

    return json.dumps(document, allow_nan=False)


def _counts(report: Report) -> pd.Series[int]:
    """The number of cells of each status."""
    return report.results["status"].value_counts()


def _row(row: Any) -> dict[str, Any]:
    return {str(name): _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None

    return value
