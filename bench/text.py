"""Text from plugins, files and other systems, made safe to show.

Such text may hold codes that a terminal obeys, line breaks, or thousands of characters.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST_NAME = 100
"""Length in characters at which a name or a value is cut in a message."""

LONGEST_REASON = 300
"""Length in characters at which the message of foreign code is cut."""

LONGEST_LINE = 2000
"""Length in characters at which a line about a fault is cut, with its names and its reason."""

_ESCAPE_SEQUENCE = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # operating system command, such as a window title
    r"|[\x1b]\[[0-?]*[ -/]*[@-~]"  # control sequence, such as a color
    r"|\x9b[0-?]*[ -/]*[@-~]"  # the same with one byte in place of two
    r"|\x1b[ -/]*[0-~]"  # any other sequence
)

_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction of the text around them."""


def duration(seconds: float) -> str:
    """A duration in the unit that suits it, such as `40 s`, `4 min` or `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def visible(text: str) -> str:
    """The text without escape sequences; any other control character but a line break becomes �.

    Characters that reverse the direction of the text, and halves of a surrogate pair, become � too.
    """
    return "".join(map(_shown, _ESCAPE_SEQUENCE.sub("", text)))


def one_line(text: str, most: int = LONGEST_REASON) -> str:
    """The visible text in one line, cut between words to at most `most` characters."""
    line = " ".join(_ESCAPE_SEQUENCE.sub("", text).split())
    # Joined parts may be a sequence again, whose removal leaves a space too many.
    line = " ".join(visible(line).split())
    if len(line) <= most:
        return line

    head = line[: most - 2]
    words, space, _ = head.rpartition(" ")
    # A single long word has no better place to cut.
    return f"{words if space and len(words) > most // 2 else head} …"


def _shown(character: str) -> str:
    if character in "\n\t":
        return character
    is_control = unicodedata.category(character) in ("Cc", "Cs")
    return "�" if is_control or character in _DIRECTION else character
