"""The public pages of the repository, split into the blocks that the tests look at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "results").glob("*.md")),
)
"""Every page that a reader meets from the front page on."""

_SOURCE = re.compile(r"<!--\s*from:\s*(.*?)\s*-->")
_FENCE = re.compile(r"^\s*```(\w*)\s*$")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`]*`")

Kind = Literal["code", "table", "text", "heading"]


@dataclass(frozen=True)
class Block:
    """A piece of a page: a fenced block, a table, a heading or a paragraph.

    Attributes:
        page: file of the page.
        line: number of the block's first line, from 1.
        kind: what the block is.
        lines: its lines, without fences.
        language: language of a fenced block, empty where none is given.
        source: content of the comment `<!-- from: ... -->` above it, None without one.
    """

    page: Path
    line: int
    kind: Kind
    lines: tuple[str, ...]
    language: str = ""
    source: str | None = None

    def __str__(self) -> str:
        page = self.page.relative_to(ROOT) if self.page.is_relative_to(ROOT) else self.page
        return f"{page}:{self.line}"

    @property
    def prose(self) -> str:
        """The text in one line, without inline code."""
        return _CODE.sub(" ", " ".join(self.lines))

    def rows(self) -> list[list[str]]:
        """The cells of a table, heading first, without the line below it."""
        rows = [
            [cell.strip() for cell in line.strip().strip("|").split("|")] for line in self.lines
        ]
        return [rows[0], *rows[2:]]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    source: str | None = None
    start = 0

    while start < len(lines):
        line = lines[start]
        if comment := _SOURCE.fullmatch(line.strip()):
            source = comment[1]
            start += 1
        elif not line.strip():
            start += 1
        else:
            block, start = _block(page, lines, start, source)
            yield block
            source = None


def _block(page: Path, lines: list[str], start: int, source: str | None) -> tuple[Block, int]:
    """The block that starts at a line, and the first line behind it."""
    if fence := _FENCE.match(lines[start]):
        end = next(i for i in range(start + 1, len(lines)) if lines[i].strip() == "```")
        code = Block(page, start + 1, "code", tuple(lines[start + 1 : end]), fence[1], source)
        return code, end + 1

    kind: Kind = "text"
    if lines[start].startswith("|"):
        kind = "table"
    elif lines[start].startswith("#"):
        kind = "heading"
    end = start + 1
    while kind != "heading" and end < len(lines) and _continues(kind, lines[end]):
        end += 1
    return Block(page, start + 1, kind, tuple(lines[start:end]), source=source), end


def _continues(kind: Kind, line: str) -> bool:
    if kind == "table":
        return line.startswith("|")
    return bool(line.strip()) and not line.startswith(("|", "#", "<!--")) and not _FENCE.match(line)


def links(block: Block) -> list[str]:
    """The targets of a block's links and images."""
    if block.kind == "code":
        return []
    return [str(target) for target in _LINK.findall(" ".join(block.lines))]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for block in blocks(page):
        if block.kind == "heading":
            title = block.lines[0].lstrip("#").strip().lower()
            slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
            copies = sum(1 for other in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", other))
            found.add(f"{slug}-{copies}" if copies else slug)
    return found
