"""Short names: what tables and figures call a plugin whose spec is long."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Self

import pandas as pd

from bench.errors import RequestError
from bench.spec import Spec


@dataclass(frozen=True)
class ShortNames:
    """Names of specs that are short and differ from each other.

    Attributes:
        names: name of each spec, in the order in which the specs were given.
    """

    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, specs: Iterable[str], aliases: Mapping[str, str] | None = None) -> Self:
        """The names of some specs: the plugin's name where only one spec has it.

        Specs of one plugin keep the parameters in which they differ. A text that is no spec, and a
        spec whose name would not be its own, stay as they are.

        Args:
            specs: specs as text.
            aliases: names that a user chose, by spec.
        """
        chosen = dict(aliases or {})
        texts = list(dict.fromkeys(specs))
        parsed = {text: _parsed(text) for text in texts}
        names = {text: chosen.get(text) or _short(text, parsed) for text in texts}
        # A text that takes its own name back may meet a name that another one was given.
        while clashing := [text for text in texts if text != names[text] in _taken(names, text)]:
            names.update({text: text for text in clashing})

        return cls(names)

    def __getitem__(self, spec: object) -> str:
        """The name of a spec, given as text; the text itself where it was not among those given."""
        return self.names.get(str(spec), str(spec))

    def hidden(self) -> dict[str, str]:
        """The specs that a name stands for, by name, without the names that are their spec."""
        return {name: spec for spec, name in self.names.items() if name != spec}


@dataclass(frozen=True)
class RunNames:
    """Short names of everything that a run's labels name by spec.

    Attributes:
        dataset: names of the data sets.
        classifier: names of the classifiers.
        defense: names of the defenses, in the order of the run's configuration.
        attack: names of the attacks.
        threat: names of the threat models.
    """

    dataset: ShortNames = field(default_factory=ShortNames)
    classifier: ShortNames = field(default_factory=ShortNames)
    defense: ShortNames = field(default_factory=ShortNames)
    attack: ShortNames = field(default_factory=ShortNames)
    threat: ShortNames = field(default_factory=ShortNames)

    @classmethod
    def of(
        cls, specs: Mapping[str, Iterable[str]], aliases: Mapping[str, str] | None = None
    ) -> Self:
        """The names of some specs.

        Args:
            specs: specs of each label, such as `defense`.
            aliases: names that a user chose, by spec.
        """
        return cls(**{label: ShortNames.of(texts, aliases) for label, texts in specs.items()})

    def __getitem__(self, label: str) -> ShortNames:
        """The names of a label's specs; no names for a label that holds none, such as `eps`."""
        return getattr(self, label) if label in NAMED_LABELS else ShortNames()

    def shown(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A table whose columns of labels hold names in place of specs."""
        labels = [label for label in NAMED_LABELS if label in frame.columns]

        return frame.assign(
            **{label: frame[label].map(self[label].__getitem__) for label in labels}
        )

    def hidden(self) -> dict[str, str]:
        """The specs that a name stands for, see `ShortNames.hidden`, of all labels."""
        return {name: spec for label in NAMED_LABELS for name, spec in self[label].hidden().items()}

    def shortened(self, text: str) -> str:
        """A text in which each spec that stands by itself has its short name."""
        specs = {spec: name for name, spec in self.hidden().items()}
        if not specs:
            return text

        longest_first = sorted(specs, key=len, reverse=True)
        pattern = rf"(?<![\w:=\[])({'|'.join(map(re.escape, longest_first))})(?!\w|[:=]\S|\])"
        return re.sub(pattern, lambda found: specs[found[0]], text)


NAMED_LABELS = tuple(each.name for each in fields(RunNames))
"""Labels whose values are specs."""


def _taken(names: Mapping[str, str], text: str) -> set[str]:
    """The names of all other texts."""
    return {name for other, name in names.items() if other != text}


def _parsed(text: str) -> Spec | None:
    try:
        return Spec.parse(text)
    except RequestError:
        return None


def _short(text: str, parsed: Mapping[str, Spec | None]) -> str:
    """The name of one spec among others."""
    spec = parsed[text]
    if spec is None:
        return text

    namesakes = [other for other in parsed.values() if other and other.name == spec.name]
    differing = tuple(
        (key, value)
        for key, value in spec.parameters
        if any(dict(other.parameters).get(key) != value for other in namesakes)
    )

    return str(Spec(spec.name, differing))
