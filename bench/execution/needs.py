"""What a task needs of a machine of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """What a task needs.

    Attributes:
        cpus: processors.
        gpu: share of a GPU; 0 for none.
    """

    cpus: int
    gpu: float

    def room(self, node: Mapping[str, float]) -> int:
        """The number of tasks that fit on a node at once.

        Args:
            node: resources of the node, by the names that Ray gives them.
        """
        room = int(node.get("CPU", 0.0) / self.cpus)
        return min(room, int(node.get("GPU", 0.0) / self.gpu)) if self.gpu else room

    @property
    def text(self) -> str:
        """The needs, for messages."""
        return f"{self.cpus} CPU" + (f" and {self.gpu:g} GPU" if self.gpu else "")
