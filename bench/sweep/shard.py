"""A shard: the part of a grid that one task of a job array computes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from bench.errors import RequestError
from bench.text import LONGEST_NAME, one_line

MOST_SHARDS = 10_000
"""Largest number of shards of a grid."""

_FORM = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


@dataclass(frozen=True)
class Shard:
    """One of the shards of a grid; `str` gives the text that `parse` reads.

    Attributes:
        number: number of the shard, from 1 to `count`.
        count: number of shards of the grid.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The shard of a text such as `3/16`, the third of 16.

        Raises:
            RequestError: the text does not have this form, or a number is out of range.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise _wrong(text, "write NUMBER/COUNT, such as 3/16 for the third of 16 shards")

        number, count = map(int, found.groups())
        if not 1 <= count <= MOST_SHARDS:
            raise _wrong(text, f"a grid has 1 to {MOST_SHARDS} shards")
        if not 1 <= number <= count:
            raise _wrong(text, f"the shards have the numbers 1 to {count}")

        return cls(number, count)

    @property
    def folder_suffix(self) -> str:
        """End of the name of the shard's folder, in which those of a grid's shards differ."""
        return f"shard-{self.number}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def _wrong(text: str, reason: str) -> RequestError:
    return RequestError(f"--shard {one_line(text, LONGEST_NAME)}: {reason}")
