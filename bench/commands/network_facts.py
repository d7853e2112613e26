"""The facts of a trained network, as its file states them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, model_validator

from bench.spec import Spec
from bench.store.strict import (
    STRICT,
    Count,
    Digest,
    FilledText,
    ImageShape,
    NonNegative,
    PositiveCount,
    Text,
    validated,
)


class _Facts(BaseModel):
    """A part of the description of a network; other keys than these are ignored."""

    model_config = ConfigDict(**{**STRICT, "extra": "ignore"})


class PluginFacts(_Facts):
    """A plugin as it was when it was trained.

    Attributes:
        name: name of the plugin.
        parameters: parameters that the training depends on.
    """

    name: FilledText
    parameters: dict[str, JsonValue]

    @property
    def spec(self) -> str:
        """The spec of the plugin with these parameters."""
        return str(Spec.of(self.name, self.parameters))

    @model_validator(mode="after")
    def _has_spec(self) -> Self:
        try:
            Spec.of(self.name, self.parameters)
        except (KeyError, TypeError):
            raise ValueError("a plugin in a parameter has no name or no parameters") from None
        return self


class ClassifierFacts(_Facts):
    """The classifier that a defense was trained with.

    Attributes:
        weights: digest of its weights.
    """

    weights: Digest


class Identity(_Facts):
    """What the content key of a network is computed from.

    Attributes:
        plugin: plugin that was trained.
        seed: seed of the training.
        role: `substitute` for a classifier that only attackers use; else empty.
        against: classifier that a defense was trained with; None for none.
    """

    plugin: PluginFacts
    seed: Count
    role: Literal["", "substitute"] = ""
    against: ClassifierFacts | None


class NetworkFacts(_Facts):
    """The description of a trained network.

    Attributes:
        identity: what its content key is computed from.
        shape: channels, height and width of the training images; None if it was trained by a
            version that did not note them.
        classes: number of classes; None likewise.
        device: device of the training.
        seconds: duration of the training.
    """

    identity: Identity
    shape: ImageShape | None = None
    classes: PositiveCount | None = None
    device: Text
    seconds: NonNegative

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> NetworkFacts:
        """The facts in the description of an artifact.

        Raises:
            Unreadable: the description is not that of a network.
        """
        return validated(_NETWORK, meta)


_NETWORK = TypeAdapter(NetworkFacts)
