"""The record of a cell: its labels, its status, and what its outcome was computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from bench.records.pipeline import Pipeline
from bench.spec import Spec

SCHEMA = 3
"""Version of the files. 1: the first. 2: facts of the attack, digest of the test images.
3: the facts are called properties and say whether the attack stops at its first success."""

LABELS = ("dataset", "classifier", "defense", "attack", "eps", "threat", "seed")
"""Labels that name a cell in tables."""

Status = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class CellProperties:
    """Properties of an attack, its threat model and the defense, on which the checks depend.

    Attributes:
        norm: norm that epsilon bounds; None where epsilon bounds something else.
        access: information that the attack takes from the model, `gradient` or `decision`.
        minimum_norm: whether the attack looks for the nearest adversarial image.
        steps: number of steps of an iterative attack; None for any other.
        threat: name of the threat model.
        gradient: whether the threat model gives the attacker a gradient.
        sees_defense: whether the attacked model contains the purifier.
        stronger_than: names of threat models whose attacker knows less, or as much.
        eot: number of draws over which the gradient was averaged.
        stochastic: whether the defense is randomized.
        stops_at_first_success: whether the attack on an image stops at the first iterate that the
            attacked model misclassifies, so that the image barely fools that model.
    """

    norm: str | None
    access: str
    minimum_norm: bool
    steps: int | None
    threat: str
    gradient: bool
    sees_defense: bool
    stronger_than: tuple[str, ...]
    eot: int
    stochastic: bool
    stops_at_first_success: bool


@dataclass(frozen=True)
class CellRecord:
    """One cell of a run; numbers are derived from its outcome, never stored here.

    Attributes:
        key: content key over everything the outcome depends on.
        labels: dataset, classifier, defense, attack, eps, threat and seed, as tables name them.
        properties: properties of the cell on which the checks depend.
        data: digest of the test images and their labels.
        n: number of test images.
        status: ok, failed or skipped.
        reason: why the cell failed or was skipped, in one line; empty if the status is ok.
        parameters: parameters of the three plugins, defaults included.
        networks: digests of the weights that were used, by role.
        environment: id of the environment that the cell was computed in.
        adversarial_set: digest of the adversarial images; empty where there are none, and in
            records of version 0.1.0.
    """

    key: str
    labels: Mapping[str, Any]
    properties: CellProperties
    data: str
    n: int
    status: Status
    reason: str
    parameters: Mapping[str, Any]
    networks: Mapping[str, str]
    environment: str
    adversarial_set: str = ""

    @property
    def pipeline(self) -> Pipeline:
        """The trained pipeline that was attacked."""
        return Pipeline.of(self.labels)

    @property
    def defense_name(self) -> str:
        """Name of the defense's plugin, without parameters."""
        return Spec.parse(str(self.labels["defense"])).name

    @property
    def attack_name(self) -> str:
        """Name of the attack's plugin, without parameters."""
        return Spec.parse(str(self.labels["attack"])).name

    @property
    def eps(self) -> float:
        """Budget of the attack, on the [0, 1] scale."""
        return float(self.labels["eps"])

    def to_json(self) -> dict[str, Any]:
        """The record as a file holds it."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The record that a file holds.

        Raises:
            ValueError: the content is of another version, or not the record of a cell.
        """
        parts = dict(content)
        version = parts.pop("schema", None)
        if version not in (2, SCHEMA):
            raise ValueError(f"schema {version}; this version reads 2 and {SCHEMA}")

        try:
            if version == 2:
                parts = _upgraded_from_2(parts)
            properties = dict(parts.pop("properties"))
            properties["stronger_than"] = tuple(properties["stronger_than"])
            record = cls(**parts, properties=CellProperties(**properties))
            for label in LABELS:
                record.labels[label]
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not the record of a cell ({error})") from None

        return record


def _upgraded_from_2(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a record of version 0.1.0, as this version writes it."""
    parts = dict(content)
    facts = dict(parts.pop("facts"))
    attack = parts["parameters"].get("attack", {})
    facts["stops_at_first_success"] = attack.get("keep") == "first"

    return {**parts, "properties": facts}
