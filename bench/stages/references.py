"""References: images, networks and adversarial sets by key and digest, so that a task carries no data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.contracts import DataInfo, Defense, Network
from bench.plugins.configured import Configured


@dataclass(frozen=True)
class SplitRef:
    """Images by name and digest, so that a task carries no data.

    Attributes:
        n: how many of the test images; None for the whole training part.
        digest: of the images and labels.
        info: what a network must know of them.
    """

    dataset: str
    n: int | None
    digest: str
    info: DataInfo


@dataclass(frozen=True)
class NetworkRef:
    """A trained network by where it lies.

    Attributes:
        plugin: what builds it.
        info: the data it is built for.
        key: of the training task.
        digest: of the weights.
    """

    plugin: Configured[Network]
    info: DataInfo
    key: str
    digest: str

    @property
    def identity(self) -> Mapping[str, Any]:
        """The weights and the parameters they are used with: all of the network that changes a result."""
        return {"weights": self.digest, "plugin": self.plugin.identity}

    @property
    def who(self) -> str:
        """Its name in messages."""
        return f"{'defense' if isinstance(self.plugin.plugin, Defense) else 'classifier'} {self.plugin.label}"


def is_stochastic(purifier: NetworkRef | None) -> bool:
    """Whether two passes through the purifier may differ."""
    defense = purifier.plugin.plugin if purifier else None
    return isinstance(defense, Defense) and defense.stochastic


@dataclass(frozen=True)
class AdversarialRef:
    """An adversarial set by where it lies.

    Attributes:
        key: of the task that made it.
        digest: of its tensors.
    """

    key: str
    digest: str


@dataclass(frozen=True)
class CellNetworks:
    """The trained networks of a cell."""

    classifier: NetworkRef
    defense: NetworkRef
    substitute: NetworkRef | None = None

    def digests(self) -> dict[str, str]:
        """Of their weights."""
        found = {
            "classifier": self.classifier,
            "defense": self.defense,
            "substitute": self.substitute,
        }
        return {name: network.digest for name, network in found.items() if network}
