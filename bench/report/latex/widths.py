"""Widths: how long a text is in Computer Modern at 10 points, the font of LaTeX by default."""

from __future__ import annotations

import re

TEXT_WIDTH = 345.0
"""Width of a line in points, of LaTeX's article on A4 with its own margins."""

COLUMN_WIDTH = 239.0
"""Width of a column in points, of a page of two columns: 3.3 inches."""

_WIDTHS = {
    **dict.fromkeys("ijl.,:;!|'[]", 2.85),
    **dict.fromkeys("f -`", 3.4),
    **dict.fromkeys("t()rs", 4.0),
    **dict.fromkeys("cez?", 4.75),
    **dict.fromkeys("ago0123456789/*", 5.1),
    **dict.fromkeys("bdhknpquvxy_", 5.65),
    **dict.fromkeys("wEFLPSZBCIJTRXY", 7.6),
    **dict.fromkeys("mADGHKNOQUV+=<>±~@&%#", 8.4),
    **dict.fromkeys("MW", 10.3),
}
"""Width of a character in points, the largest of its group in the font's metrics and a little."""

_ANY_WIDTH = 10.3
"""Width of any other character."""

_SCRIPT = 0.72
"""Ratio of a text in `\\scriptsize` to the same text at the document's size."""

INTERVAL = re.compile(r"([+-]?[\d.]+) (\[[+-]?[\d.]+, [+-]?[\d.]+\]|±[\d.]+)")
"""A number and its interval, both ends or half of it, as tables print them."""


def text_width(text: str) -> float:
    """The width of a text in one line, in points."""
    return sum(_WIDTHS.get(character, _ANY_WIDTH) for character in text)


def cell_width(text: str) -> float:
    """The width of a cell in points; the interval behind a number is set smaller."""
    interval = INTERVAL.match(text)
    if interval is None:
        return text_width(text)

    small = text_width(interval[2])
    return text_width(text) - (1 - _SCRIPT) * small


def wrapped(text: str, width: float) -> list[str]:
    """The lines of a text that is broken between its words to a width in points."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)

    return lines or [""]
