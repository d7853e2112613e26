"""The code of a user in memory: which modules are theirs, and the names that it uses."""

from __future__ import annotations

import dis
import sys
import types
from pathlib import Path

from bench.plugins.origins import is_live, is_outside


def is_users(module: str) -> bool:
    """Whether code of a module is the user's: of no file, or of one outside of all packages."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return is_live(module) or (file is not None and is_outside(Path(file).absolute()))


def global_names(code: types.CodeType) -> list[str]:
    """The global names that code uses, in the order of their use."""
    used = (
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "IMPORT_NAME")
    )
    return list(dict.fromkeys(used))


def slot_names(kind: type) -> list[str]:
    """The names of the slots of a class and of its bases."""
    declared = (vars(base).get("__slots__", ()) for base in kind.__mro__)
    names = (name for slots in declared for name in ([slots] if isinstance(slots, str) else slots))

    return [name for name in names if name not in ("__dict__", "__weakref__")]
