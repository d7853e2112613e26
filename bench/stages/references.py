"""References: images, networks and adversarial sets by key and digest.

A task refers to its inputs by these values, so that it carries no data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.contracts import DataInfo, Defense, Network
from bench.plugins.configured import Configured


@dataclass(frozen=True)
class SplitRef:
    """A reference to the images of a data set.

    Attributes:
        dataset: name of the data set.
        n: number of test images, from the first on; None for all training images.
        digest: SHA-256 digest of the images and labels.
        info: image shape and number of classes.
    """

    dataset: str
    n: int | None
    digest: str
    info: DataInfo


@dataclass(frozen=True)
class NetworkRef:
    """A reference to a trained network.

    Attributes:
        plugin: classifier or defense that builds the module.
        info: image shape and number of classes that the module is built for.
        key: content key of the training task.
        digest: SHA-256 digest of the weights.
    """

    plugin: Configured[Network]
    info: DataInfo
    key: str
    digest: str

    @property
    def identity(self) -> Mapping[str, Any]:
        """The weights and the plugin with its parameters: everything that changes the output."""
        return {"weights": self.digest, "plugin": self.plugin.identity}

    @property
    def description(self) -> str:
        """The network's name in messages, such as `defense convae`."""
        return network_description(self.plugin)


def network_description(plugin: Configured[Network]) -> str:
    """Family and spec of a classifier or defense, as messages name it."""
    family = "defense" if isinstance(plugin.plugin, Defense) else "classifier"
    return f"{family} {plugin.label}"


def is_stochastic(*networks: NetworkRef | None) -> bool:
    """Whether two passes of the same images through the networks may differ."""
    return any(network.plugin.plugin.stochastic for network in networks if network)


@dataclass(frozen=True)
class AdversarialRef:
    """A reference to an adversarial set.

    Attributes:
        key: content key of the task that made the set.
        digest: SHA-256 digest of the tensors.
    """

    key: str
    digest: str


@dataclass(frozen=True)
class CellNetworks:
    """The trained networks of a cell.

    Attributes:
        classifier: classifier of the pipeline.
        defense: defense of the pipeline.
        substitute: classifier that a transfer attack uses in place of the pipeline's; None for the
            other threat models.
    """

    classifier: NetworkRef
    defense: NetworkRef
    substitute: NetworkRef | None = None

    def digests(self) -> dict[str, str]:
        """Digests of the networks' weights by role, without a role that has no network."""
        networks = {
            "classifier": self.classifier,
            "defense": self.defense,
            "substitute": self.substitute,
        }
        return {role: network.digest for role, network in networks.items() if network}
