"""Adaptive cells, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bench.analysis.outcomes import EvaluatedCell
from bench.records.cell import CascadeMember

MEMBERS = (
    CascadeMember("clean images", "", 20, 1, 0, 0),
    CascadeMember("whitebox", "apgd", 19, 2, 1_900, 1_140),
    CascadeMember("stand-in mixture", "apgd", 17, 7, 1_700, 510),
    CascadeMember("scores", "square:queries=10", 10, 0, 5_000, 0),
    CascadeMember("latent search", "latent", 10, 0, 0, 0, "the purifier has no generator"),
)


@pytest.fixture(scope="session")
def adaptive(made: Any) -> Callable[..., EvaluatedCell]:
    """A function that makes an ok cell of the threat model `adaptive` with its cascade."""

    def cell(
        robust: Any, clean: Any = None, members: tuple[CascadeMember, ...] = MEMBERS, **labels: Any
    ) -> EvaluatedCell:
        found: EvaluatedCell = made.cell(
            robust, clean, attack="cascade", threat="adaptive", **labels
        )
        return replace(found, record=replace(found.record, cascade=members))

    return cell
