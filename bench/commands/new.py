"""`bench new`: a commented plugin file to start from."""

from __future__ import annotations

import os
import re
from importlib import resources
from pathlib import Path

from rich.console import Console

from bench.errors import RequestError, unknown
from bench.plugins.packages import PACKAGES
from bench.store.tree import Tree
from bench.text import LONGEST_NAME, one_line

_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")


def new(family: str, name: str) -> None:
    """Write the plugin file NAME.py into the working directory.

    Args:
        family: kind of plugin: `defense`, `attack`, `classifier` or `dataset`.
        name: name of the plugin, in lower case.

    Raises:
        RequestError: the family is unknown, the name cannot be registered, or the file exists.
    """
    if family not in PACKAGES:
        raise unknown("plugin family", family, PACKAGES)
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"'{one_line(name, LONGEST_NAME)}' cannot be a plugin's name: "
            "use at most 100 lower-case letters, digits and underscores, a letter first"
        )
    path = Path(f"{name}.py")
    if os.path.lexists(path):
        raise RequestError(f"{path} exists already: choose another name or remove it")

    template = resources.files("bench") / "templates" / f"{family}.txt"
    class_name = "".join(part.capitalize() for part in name.split("_"))
    text = template.read_text(encoding="utf-8")
    Tree(Path()).write_text(
        path.name, text=text.replace("@NAME@", name).replace("@CLASS@", class_name)
    )

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"Wrote {path}. Next:\n  bench check ./{path}")
    option = PACKAGES[family].rpartition(".")[2]
    console.print(f"  bench run --plugin ./{path} --{option} {name}")
