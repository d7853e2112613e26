"""Another plugin of the name `my_median`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from bench.contracts import DataInfo, Defense
from bench.registry import register_defense


@register_defense("my_median")
@dataclass(frozen=True)
class Other(Defense):
    """Not a median."""

    def build(self, data: DataInfo) -> nn.Module:
        return nn.Identity()
