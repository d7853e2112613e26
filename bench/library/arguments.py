"""The arguments of an evaluation: their kinds, and what a configuration calls them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.spec import NAME
from bench.text import LONGEST_NAME, one_line


def budgets_of(eps: float | Sequence[float] | Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The keys of the budgets in a configuration."""
    if isinstance(eps, Mapping):
        return {"attack_eps": {attack: _numbers(budgets) for attack, budgets in eps.items()}}
    return {"eps": _numbers(eps)}


def _numbers(given: float | Sequence[float]) -> list[float]:
    """Numbers as Python's own, of one or several."""
    several = [given] if isinstance(given, Real) else given
    return [float(number) for number in several]  # type: ignore[union-attr]


def listed(given: str | Sequence[str]) -> list[str]:
    """One text or several as a list."""
    return [given] if isinstance(given, str) else [str(item) for item in given]


def check_arguments(
    name: object,
    eps: object,
    train: object,
    class_names: object,
    latency_settings: object,
    stochastic: object,
) -> None:
    """Check the kinds of arguments before anything is computed.

    Raises:
        RequestError: an argument is of another kind.
    """
    is_text = isinstance(name, str) and NAME.fullmatch(name) is not None
    budgets = [*eps.values()] if isinstance(eps, Mapping) else [eps]
    checks = {
        "name: letters, digits, '-' and '_', a letter first": is_text,
        "eps: a number, several, or either by attack": all(map(_are_numbers, budgets)),
        "train: a pair of images and labels": train is None
        or (isinstance(train, tuple | list) and len(train) == 2),
        "class_names: a sequence of texts": _is_sequence_of(class_names, str),
        "latency_settings: a mapping": latency_settings is None
        or isinstance(latency_settings, Mapping),
        "stochastic: True, False or None": stochastic in (True, False, None),
    }
    for text, is_sound in checks.items():
        if not is_sound:
            raise RequestError(f"evaluate(): {text}")


def _are_numbers(given: object) -> bool:
    return isinstance(given, Real) or _is_sequence_of(given, Real)


def _is_sequence_of(given: object, kind: type) -> bool:
    is_several = isinstance(given, Sequence | np.ndarray) and not isinstance(given, str)
    return is_several and all(isinstance(item, kind) for item in given)  # type: ignore[attr-defined]


def check_names(purifiers: Mapping[str, object]) -> None:
    """Check the names of purifiers.

    Raises:
        RequestError: there is none, or `none` is not the name of no defense alone.
    """
    if not purifiers:
        raise RequestError("evaluate() needs a purifier; None stands for no defense")
    for label, purifier in purifiers.items():
        if (label == "none") != (purifier is None):
            shown = one_line(str(label), LONGEST_NAME)
            raise RequestError(f"purifier '{shown}': 'none' is the name of None, no defense, alone")
