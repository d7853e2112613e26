"""Weights: folders of trained networks as safetensors files, described by a manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from bench.errors import RequestError
from bench.spec import Spec
from bench.store.artifacts import MOST_BYTES, read_artifact
from bench.store.keys import artifact_key, content_key
from bench.store.packaged import packaged_folder
from bench.store.reading import check_regular, read_json
from bench.store.strict import (
    Count,
    Digest,
    FilledText,
    Fraction,
    ImageShape,
    Name,
    NonNegative,
    PositiveCount,
    SpecText,
    StrictModel,
    Text,
    validated,
)

KIND = "network"
"""Kind of the artifacts that hold trained networks."""

MANIFEST = "manifest.json"

PluginName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,99}$")]


class Score(StrictModel):
    """An accuracy on test images, with its 95 % Wilson interval.

    Attributes:
        classifier: spec of the classifier.
        defense: spec of the purifier in front of it; None for the bare classifier.
        settings: parameters of the purifier that its training does not depend on.
        images: `clean`, or attack, epsilon and threat model of the adversarial images.
        n: number of test images.
        draws: number of evaluations of each image, above 1 for a randomized defense.
        value: share of images that are right; the mean over draws.
        low: lower end of the interval.
        high: upper end of the interval.
        verdict: level of the verdict on the number; None for clean images.
        reasons: reasons of the verdict.
        machine: device and PyTorch version of the evaluation.
    """

    classifier: SpecText
    defense: SpecText | None
    settings: dict[Name, Any]
    images: FilledText
    n: PositiveCount
    draws: PositiveCount
    value: Fraction
    low: Fraction
    high: Fraction
    verdict: Literal["ok", "suspect", "invalid"] | None
    reasons: list[Text]
    machine: Text

    @property
    def subject_key(self) -> str:
        """The key of what was evaluated; a later score with the same key replaces this one."""
        names = {"classifier", "defense", "settings", "images", "n"}

        return content_key(self.model_dump(include=names))


class Entry(StrictModel):
    """A network of a folder of weights.

    Attributes:
        file: name of the file in the folder.
        sha256: SHA-256 of the file.
        size: size of the file in bytes.
        key: key under which a run asks for the network, over plugin, parameters, training images,
            seed and the classifier of the training; also the name of its file in a cache.
        digest: SHA-256 over names, types, shapes and values of the weights.
        family: `classifier` or `defense`.
        role: `substitute` for a classifier that only attackers use; else empty.
        name: name of the plugin.
        spec: spec of the plugin with all parameters of the training.
        dataset: data set of the training images.
        shape: channels, height and width of these images; None if the training did not note them.
        classes: number of their classes; None likewise.
        seed: seed of the training.
        against: digest of the classifier that a defense was trained with; None for no classifier.
        device: kind of device of the training, `cpu` or `cuda`.
        seconds: duration of the training.
        scores: accuracies that runs measured.
    """

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}\.safetensors$")]
    sha256: Digest
    size: Annotated[Count, Field(le=MOST_BYTES)]
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    digest: Digest
    family: Literal["classifier", "defense"]
    role: Literal["", "substitute"]
    name: PluginName
    spec: SpecText
    dataset: PluginName
    shape: ImageShape | None = None
    classes: PositiveCount | None = None
    seed: Count
    against: Digest | None
    device: Annotated[str, Field(pattern=r"^[a-z]{1,20}$")]
    seconds: NonNegative
    scores: list[Score]

    @model_validator(mode="after")
    def _of_one_plugin(self) -> Self:
        if Spec.parse(self.spec).name != self.name:
            raise ValueError(f"the spec {self.spec[:80]} is not of the plugin {self.name}")
        return self


class Manifest(StrictModel):
    """The networks of a folder of weights.

    Attributes:
        version: version of the file. 1: the verdict of a score was one text. 2: level and reasons.
        networks: entries in the order of the model card.
    """

    version: Literal[2] = 2
    networks: list[Entry]

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a folder of weights, also one of version 1.

        Raises:
            RequestError: there is none, or it does not have the form above.
        """
        path = folder / MANIFEST
        try:
            return validated(_MANIFEST, _upgraded(read_json(path)))
        except FileNotFoundError:
            raise RequestError(
                f"{folder} holds no weights: it has no {MANIFEST}, which `bench export` writes"
            ) from None
        except OSError as error:
            raise RequestError(f"cannot read {path}: {error.strerror or error}") from None
        except ValueError as fault:
            raise RequestError(f"{path}: {fault}") from None


_MANIFEST = TypeAdapter(Manifest)


@dataclass(frozen=True)
class Weights:
    """A folder of weights whose files all agree with its manifest.

    Attributes:
        folder: path of the folder.
        entries: networks by key.
    """

    folder: Path
    entries: Mapping[str, Entry]

    @classmethod
    def open(cls, folder: Path) -> Weights:
        """Read the manifest of a folder and check every file.

        Raises:
            RequestError: there is no manifest, it does not have the right form, or a file is
                missing or not the one that the manifest describes.
        """
        entries: dict[str, Entry] = {}
        for entry in Manifest.read(folder).networks:
            check_file(folder, entry)
            if entries.setdefault(entry.key, entry) is not entry:
                raise RequestError(
                    f"{folder / MANIFEST}: {entry.file} and {entries[entry.key].file} have one key"
                )

        return cls(folder, entries)

    @property
    def paths(self) -> dict[str, Path]:
        """Paths of the files by key."""
        return {key: self.folder / entry.file for key, entry in self.entries.items()}


def pretrained() -> Path:
    """The folder of the weights that come with the package."""
    return packaged_folder("pretrained")


def check_file(folder: Path, entry: Entry) -> None:
    """Check a file of a folder of weights against its entry.

    Raises:
        RequestError: the file is missing, damaged, or another network than the entry describes.
    """
    path = folder / entry.file
    try:
        size = check_regular(path, MOST_BYTES)
        if size != entry.size:
            raise ValueError(f"they have {size} bytes instead of {entry.size}")

        artifact = read_artifact(path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise RequestError(
            f"the weights {path} are missing: {folder / MANIFEST} names them"
        ) from None
    except (OSError, ValueError) as damage:
        raise RequestError(f"the weights {path} are damaged: {damage}") from None

    _check_digest(path, "digest", artifact.digest, entry.digest)
    _check_digest(path, "SHA-256", sha256, entry.sha256)

    identity = artifact.meta.get("identity") if isinstance(artifact.meta, Mapping) else None
    if not isinstance(identity, Mapping) or artifact_key(KIND, identity)[:32] != entry.key:
        raise RequestError(
            f"the weights {path} were trained as something else than the manifest says, or by an "
            "old version"
        )


def _check_digest(path: Path, name: str, of_file: str, of_manifest: str) -> None:
    if of_file != of_manifest:
        raise RequestError(
            f"the weights {path} are not those of the manifest: their {name} is {of_file[:12]}, "
            f"not {of_manifest[:12]}"
        )


def _upgraded(content: Any) -> Any:
    """The content of a manifest of version 1 as version 2; any other content unchanged.

    What has not the form of a manifest is left as it is, for the validation to name.
    """
    if not isinstance(content, dict) or content.get("version") != 1:
        return content

    for network in _list(content, "networks"):
        for score in _list(network, "scores"):
            verdict = score.get("verdict") if isinstance(score, dict) else None
            if isinstance(score, dict) and (verdict is None or isinstance(verdict, str)):
                level, _, reasons = (verdict or "").partition(": ")
                score["verdict"] = level or None
                score["reasons"] = reasons.split("; ") if reasons else []

    return {**content, "version": 2}


def _list(content: Any, key: str) -> list[Any]:
    """The list under a key; empty for anything else."""
    value = content.get(key) if isinstance(content, dict) else None
    return value if isinstance(value, list) else []
