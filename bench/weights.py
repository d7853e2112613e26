"""Trained networks that are handed on in a folder: safetensors files, a manifest with their digests, a model card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.artifacts import read_artifact
from bench.errors import RequestError
from bench.keys import content_key
from bench.shipped import shipped

MANIFEST = "manifest.json"

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Hexadecimal = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Read(BaseModel):
    """Part of a manifest: nothing beyond what is named, no coercion, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Score(_Read):
    """An accuracy on test images, with its 95 % Wilson interval.

    Attributes:
        images: `clean`, or attack, epsilon and threat model.
        of: `classifier` alone, or `pipeline`, that is purifier and classifier.
        n: test images.
        value: the share that is right; the mean over draws where the defense is randomised.
        low: end of the interval.
        high: likewise.
    """

    images: Annotated[str, Field(min_length=1)]
    of: Literal["classifier", "pipeline"]
    n: Annotated[int, Field(gt=0)]
    value: Share
    low: Share
    high: Share


class Entry(_Read):
    """One network.

    Attributes:
        file: its name in the folder.
        key: under which a run asks for it: of plugin, parameters, training images, seed and what it is trained against;
            the name of its file in a cache.
        digest: SHA-256 of the weights.
        family: `classifier` or `defense`.
        name: of the plugin.
        dataset: whose training images it is trained on.
        seed: of its training.
        parameters: all of those that it is trained with.
        against: digest of the classifier that it is trained with; None for none.
        preset: of the run it is from.
        device: the kind it was trained on, `cpu` or `cuda`.
        seconds: that took.
        size: of the file, in bytes.
        evaluated: device and PyTorch of the run that the scores are from.
        scores: what that run measured.
    """

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+\.safetensors$")]
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    digest: Hexadecimal
    family: Literal["classifier", "defense"]
    name: str
    dataset: str
    seed: int
    parameters: dict[str, Any]
    against: Hexadecimal | None
    preset: str
    device: str
    seconds: float
    size: int
    evaluated: str
    scores: list[Score]


class Manifest(_Read):
    """All networks of a folder.

    Attributes:
        version: of this form.
        networks: in the order of the card.
    """

    version: Literal[1] = 1
    networks: list[Entry]


@dataclass(frozen=True)
class Weights:
    """A folder of weights whose every file is what its manifest says.

    Attributes:
        folder: where they lie.
        entries: by file, in the manifest's order.
    """

    folder: Path
    entries: Mapping[str, Entry]

    @classmethod
    def open(cls, folder: Path) -> Weights:
        """Read the manifest and check every file against its digest.

        Raises:
            RequestError: there is no manifest, it is not one, or a file is missing or differs from its digest.
        """
        try:
            text = (folder / MANIFEST).read_text(encoding="utf-8")
            manifest = Manifest.model_validate_json(text)
        except (OSError, UnicodeDecodeError):
            raise RequestError(
                f"{folder} holds no weights: it has no {MANIFEST}, which `bench export` writes"
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise RequestError(f"{folder / MANIFEST}: {where}: {first['msg'].lower()}") from None
        for entry in manifest.networks:
            _check(folder / entry.file, entry)
        return cls(folder, {entry.file: entry for entry in manifest.networks})

    @property
    def paths(self) -> dict[str, Path]:
        """The files by key."""
        return {entry.key: self.folder / entry.file for entry in self.entries.values()}

    @property
    def digest(self) -> str:
        """Of all of them together."""
        return content_key({entry.key: entry.digest for entry in self.entries.values()})


def pretrained() -> Path:
    """The folder of the weights that come with the package."""
    return shipped("pretrained")


def _check(path: Path, entry: Entry) -> None:
    try:
        artifact = read_artifact(path)
    except FileNotFoundError:
        raise RequestError(f"the weights {path} are missing: the manifest beside them names them") from None
    except ValueError as damage:
        raise RequestError(f"the weights {path} are damaged: {damage}") from None
    if artifact.digest != entry.digest:
        raise RequestError(
            f"the weights {path} are not those of the manifest: their digest is {artifact.digest[:12]}, "
            f"not {entry.digest[:12]}"
        )
