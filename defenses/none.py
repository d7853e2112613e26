"""No defense: the baseline of every comparison."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from bench.contracts import DataInfo, Defense
from bench.registry import register_defense


@register_defense("none")
@dataclass(frozen=True)
class NoDefense(Defense):
    """No defense: images pass unchanged (the baseline)."""

    def build(self, data: DataInfo) -> nn.Module:  # noqa: ARG002 - the same for all data
        """The identity."""
        return nn.Identity()
