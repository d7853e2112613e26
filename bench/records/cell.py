"""The record of a cell: its labels, its status, and what its outcome was computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter

from bench.records.labels import AnyLabels
from bench.records.pipeline import Pipeline
from bench.spec import Spec
from bench.store.reading import Unreadable
from bench.store.strict import (
    STRICT,
    Count,
    Digest,
    FilledText,
    Name,
    PositiveCount,
    SpecText,
    Text,
    Whole,
    validated,
)

SCHEMA = 4
"""Version of the files. 1: the first. 2: facts of the attack, digest of the test images.
3: the facts are called properties and say whether the attack stops at its first success.
4: sealed."""

EARLIER_SCHEMAS = (2, 3)
"""Versions of files without a seal that are still read."""

LABELS = ("dataset", "classifier", "defense", "attack", "eps", "threat", "seed")
"""Labels that name a cell in tables."""

Status = Literal["ok", "failed", "skipped"]

EnvironmentId = Annotated[str, Field(pattern=r"^([0-9a-f]{12})?$")]
"""The id of an environment: the first digits of its digest; empty for none."""


@dataclass(frozen=True)
class CellProperties:
    """Properties of an attack, its threat model and the defense, on which the checks depend.

    Attributes:
        norm: norm that epsilon bounds; None where epsilon bounds something else.
        access: information that the attack takes from the model: `gradient`, `score` or
            `decision`.
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
        single_step: whether the attack takes one step along the gradient. None in records of
            version 0.1.0, where an attack without `steps` counts as one.
        returns_unbroken: whether an image that the attack does not break comes back unchanged.
        evaluated: whether the attacked model is the pipeline that is evaluated, so that the attack
            keeps each image's worst iterate on it.
        fixed_draw: whether the draw of a randomized defense is fixed and known to the attacker.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    norm: Literal["linf", "l2", "l1", "l0"] | None
    access: Literal["gradient", "score", "decision"]
    minimum_norm: bool
    steps: Whole | None
    threat: Name
    gradient: bool
    sees_defense: bool
    stronger_than: tuple[Name, ...]
    eot: PositiveCount
    stochastic: bool
    stops_at_first_success: bool
    single_step: bool | None = None
    returns_unbroken: bool = False
    evaluated: bool = False
    fixed_draw: bool = False


@dataclass(frozen=True)
class CascadeMember:
    """One attack of the cascade of the threat model `adaptive`, and what it did.

    Attributes:
        name: name of the member, such as `exact gradient` or `stand-in mixture`.
        attack: spec of the attack; empty for the clean images, which come first.
        attacked: number of images that stood when its turn came.
        broken: number of images that did not stand any more after it.
        forward: number of images that the pipeline, or the model in its place, classified for it.
        backward: number of images through which a gradient was taken for it.
        reason: why it did not apply, in one line; empty if it ran.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: FilledText
    attack: SpecText | Literal[""]
    attacked: Count
    broken: Count
    forward: Count
    backward: Count
    reason: Text = ""


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
        cascade: members of the cascade in their order, for the threat model `adaptive` only.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    key: Digest
    labels: AnyLabels
    properties: CellProperties
    data: Digest
    n: PositiveCount
    status: Status
    reason: Text
    parameters: Mapping[str, Mapping[str, Any]]
    networks: Mapping[Name, Digest]
    environment: EnvironmentId
    adversarial_set: Digest | Literal[""] = ""
    cascade: tuple[CascadeMember, ...] = ()

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
    def from_json(cls, content: Mapping[str, Any]) -> CellRecord:
        """The record that a file holds.

        Raises:
            Unreadable: the content is not the record of a cell.
        """
        parts = dict(content)
        version = parts.pop("schema", None)
        if version == 2:
            parts = _upgraded_from_2(parts)

        return validated(_RECORD, parts)


def _consistent(record: CellRecord) -> CellRecord:
    """The record, whose status has a reason if and only if it is not ok."""
    if (record.status == "ok") != (record.reason == ""):
        raise ValueError(f"status {record.status} with the reason '{record.reason[:80]}'")
    return record


_RECORD = TypeAdapter(Annotated[CellRecord, AfterValidator(_consistent)])


def _upgraded_from_2(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a record of version 0.1.0, as this version writes it.

    Raises:
        Unreadable: the content is not such a record.
    """
    parts = dict(content)
    try:
        facts = dict(parts.pop("facts"))
        attack = parts["parameters"].get("attack", {})
        facts["stops_at_first_success"] = attack.get("keep") == "first"
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise Unreadable(f"not the record of a cell ({error})") from None

    return {**parts, "properties": facts}
