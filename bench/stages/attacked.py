"""A reference to a model under attack: a kind of threat model and the networks that it uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from bench.plugins.faults import plugin_call
from bench.stages.context import TaskContext
from bench.stages.references import CellNetworks, NetworkRef, is_stochastic
from bench.stages.threats import THREATS, AnyAttackedModel, ThreatKind


@dataclass(frozen=True)
class AttackedRef:
    """A reference to the model that an attacker is given.

    Attributes:
        kind: kind of threat model, which makes the model; one that attacks a model.
        classifier: classifier; None if the threat model does not use it.
        purifier: defense; None if the threat model does not use it.
        substitute: substitute classifier; None if the threat model does not use one.
    """

    kind: ThreatKind
    classifier: NetworkRef | None = None
    purifier: NetworkRef | None = None
    substitute: NetworkRef | None = None

    @classmethod
    def of(cls, threat: str, networks: CellNetworks) -> AttackedRef:
        """The model that a threat model makes of the networks, by the threat model's name."""
        kind = THREATS[threat]
        return cls(
            kind,
            networks.classifier if "classifier" in kind.uses else None,
            networks.defense if "purifier" in kind.uses else None,
            networks.substitute if "substitute" in kind.uses else None,
        )

    @property
    def identity(self) -> Mapping[str, Any]:
        """Threat model and networks, as JSON values."""
        networks = {name: network and network.identity for name, network in self._roles().items()}
        return {"threat": self.kind.name, **networks}

    @property
    def description(self) -> str:
        """The model, as messages name it."""
        networks = (self.purifier, self.classifier, self.substitute)
        return " with ".join(network.description for network in networks if network)

    @property
    def stochastic(self) -> bool:
        """Whether two calls on the same images may differ."""
        return is_stochastic(*self._roles().values())

    def model(self, context: TaskContext) -> AnyAttackedModel:
        """The model: images (n, c, h, w) to logits (n, classes), in evaluation mode.

        Raises:
            ValueError: the threat model attacks no model.
            PluginFault: a network cannot be built, or raised an exception.
        """
        networks = {
            name: context.network(network) if network else nn.Identity()
            for name, network in self._roles().items()
        }
        if self.kind.surrogate is None:
            raise ValueError(f"threat model {self.kind.name} attacks no model")

        with plugin_call(self.description):
            model = self.kind.surrogate(
                networks["purifier"], networks["classifier"], networks["substitute"]
            )
            model.eval()
        model.evaluated = self.kind.sees_defense
        model.microbatches = context.microbatches(self.description)

        return model

    def _roles(self) -> dict[str, NetworkRef | None]:
        """The networks by role; None for a role that the threat model does not use."""
        return {
            "classifier": self.classifier,
            "purifier": self.purifier,
            "substitute": self.substitute,
        }
