"""`bench new`: a commented plugin file to start from."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from rich.console import Console

from bench.errors import RequestError, unknown
from bench.plugins.catalog import FAMILIES
from bench.store.atomic import write_text


def new(family: str, name: str) -> None:
    """Write NAME.py into the working directory.

    Raises:
        RequestError: no such family, a name that cannot be registered, or the file exists.
    """
    if family not in FAMILIES:
        raise unknown("plugin family", family, FAMILIES)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise RequestError(
            f"'{name}' cannot be a plugin's name: use lower-case letters, digits and underscores"
        )
    path = Path(f"{name}.py")
    if path.exists():
        raise RequestError(f"{path} exists already: choose another name or remove it")
    template = (resources.files("bench") / "templates" / f"{family}.txt").read_text(
        encoding="utf-8"
    )
    class_name = "".join(part.capitalize() for part in name.split("_"))
    write_text(path, template.replace("@NAME@", name).replace("@CLASS@", class_name))
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"Wrote {path}. Next:\n  bench check ./{path}")
    option = {"defense": "--defenses", "attack": "--attacks", "classifier": "--classifiers"}[family]
    console.print(f"  bench run --plugin ./{path} {option} {name}")
