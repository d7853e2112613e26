"""NetworkRef networks that are handed on in a folder: safetensors files, and a manifest that says what each of them is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from bench.errors import RequestError
from bench.store.artifacts import read_artifact
from bench.store.keys import artifact_key, content_key
from bench.store.packaged import packaged_folder
from bench.store.strict import Fraction, StrictModel, first_fault

KIND = "network"
"""Of the artifacts that trained networks are."""

MANIFEST = "manifest.json"

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Score(StrictModel):
    """An accuracy on test images, with its 95 % Wilson interval.

    Attributes:
        classifier: spec of the classifier.
        defense: spec of the purifier in front of it; None for the bare classifier.
        settings: the purifier's parameters that its training does not depend on.
        images: `clean`, or attack, epsilon and threat model.
        n: test images.
        draws: of a randomised defense.
        value: the share that is right; the mean over draws.
        low: end of the interval.
        high: likewise.
        verdict: of the checks on the run, with reasons; None for clean images.
        machine: device and PyTorch that measured it.
    """

    classifier: str
    defense: str | None
    settings: dict[str, Any]
    images: Annotated[str, Field(min_length=1)]
    n: Annotated[int, Field(gt=0)]
    draws: Annotated[int, Field(gt=0)]
    value: Fraction
    low: Fraction
    high: Fraction
    verdict: str | None
    machine: str

    @property
    def place(self) -> str:
        """What it is an accuracy of; a later one of the same place replaces it."""
        return content_key(
            self.model_dump(include={"classifier", "defense", "settings", "images", "n"})
        )


class Entry(StrictModel):
    """One network.

    Attributes:
        file: its name in the folder.
        sha256: of the file.
        size: of the file, in bytes.
        key: under which a run asks for it: of plugin, parameters, training images, seed and what it
            is trained against; the name of its file in a cache.
        digest: SHA-256 over names, types, shapes and values of the weights.
        family: `classifier` or `defense`.
        role: `substitute` for a classifier that only attackers use; else empty.
        name: of the plugin.
        spec: with all parameters that it was trained with.
        dataset: whose training images it was trained on.
        seed: of its training.
        against: digest of the classifier that it was trained with; None for none.
        device: the kind it was trained on, `cpu` or `cuda`.
        seconds: that took.
        scores: what runs measured.
    """

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+\.safetensors$")]
    sha256: Digest
    size: int
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    digest: Digest
    family: Literal["classifier", "defense"]
    role: Literal["", "substitute"]
    name: str
    spec: str
    dataset: str
    seed: int
    against: Digest | None
    device: str
    seconds: float
    scores: list[Score]


class Manifest(StrictModel):
    """All networks of a folder.

    Attributes:
        version: of this form.
        networks: in the order of the card.
    """

    version: Literal[1] = 1
    networks: list[Entry]

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """That of a folder of weights.

        Raises:
            RequestError: there is none, or it is not of this form.
        """
        path = folder / MANIFEST
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RequestError(
                f"{folder} holds no weights: it has no {MANIFEST}, which `bench export` writes"
            ) from None
        except OSError as error:
            raise RequestError(f"cannot read {path}: {error.strerror or error}") from None
        except UnicodeDecodeError as error:
            raise RequestError(f"{path} is not UTF-8: {error.reason}") from None
        except ValidationError as error:
            raise RequestError(f"{path}: {first_fault(error)}") from None


@dataclass(frozen=True)
class Weights:
    """A folder of weights whose every file is what its manifest says.

    Attributes:
        folder: where they lie.
        entries: by key.
    """

    folder: Path
    entries: Mapping[str, Entry]

    @classmethod
    def open(cls, folder: Path) -> Weights:
        """Read the manifest and check every file against it.

        Raises:
            RequestError: there is no manifest, it is not one, or a file is missing or is not what
                it says.
        """
        entries: dict[str, Entry] = {}
        for entry in Manifest.read(folder).networks:
            check(folder, entry)
            if entries.setdefault(entry.key, entry) is not entry:
                raise RequestError(
                    f"{folder / MANIFEST}: {entry.file} and {entries[entry.key].file} have one key"
                )
        return cls(folder, entries)

    @property
    def paths(self) -> dict[str, Path]:
        """The files by key."""
        return {key: self.folder / entry.file for key, entry in self.entries.items()}


def pretrained() -> Path:
    """The folder of the weights that come with the package."""
    return packaged_folder("pretrained")


def check(folder: Path, entry: Entry) -> None:
    """Hold a file against its entry.

    Raises:
        RequestError: it is missing, damaged, or another network than the entry says.
    """
    path = folder / entry.file
    try:
        artifact = read_artifact(path)
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise RequestError(
            f"the weights {path} are missing: {folder / MANIFEST} names them"
        ) from None
    except (OSError, ValueError) as damage:
        raise RequestError(f"the weights {path} are damaged: {damage}") from None
    for what, ours, theirs in (
        ("digest", artifact.digest, entry.digest),
        ("SHA-256", found, entry.sha256),
    ):
        if ours != theirs:
            raise RequestError(
                f"the weights {path} are not those of the manifest: their {what} is {ours[:12]}, not {theirs[:12]}"
            )
    identity = artifact.meta.get("identity") if isinstance(artifact.meta, Mapping) else None
    if not isinstance(identity, Mapping) or artifact_key(KIND, identity)[:32] != entry.key:
        raise RequestError(
            f"the weights {path} were trained as something else than the manifest says, or by an old version"
        )
