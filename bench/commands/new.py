"""`bench new`: a commented plugin file to start from."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from rich.console import Console

from bench.commands.folders import checked_path
from bench.errors import RequestError, unknown
from bench.plugins.packages import FAMILIES
from bench.store.atomic import write_text
from bench.text import one_line


def new(family: str, name: str) -> None:
    """Write the plugin file NAME.py into the working directory.

    Args:
        family: kind of plugin: `defense`, `attack` or `classifier`.
        name: name of the plugin, in lower case.

    Raises:
        RequestError: the family is unknown, the name cannot be registered, or the file exists.
    """
    if family not in FAMILIES:
        raise unknown("plugin family", one_line(family, 60), FAMILIES)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise RequestError(
            f"'{one_line(name, 60)}' cannot be a plugin's name: "
            "use lower-case letters, digits and underscores"
        )
    path = checked_path("NAME", Path(f"{name}.py"))
    if path.exists():
        raise RequestError(f"{path} exists already: choose another name or remove it")

    template = resources.files("bench") / "templates" / f"{family}.txt"
    class_name = "".join(part.capitalize() for part in name.split("_"))
    text = template.read_text(encoding="utf-8")
    write_text(path, text.replace("@NAME@", name).replace("@CLASS@", class_name))

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"Wrote {path}. Next:\n  bench check ./{path}")
    console.print(f"  bench run --plugin ./{path} --{FAMILIES[family]} {name}")
