"""The conformance suite: checks of a plugin's contract on small real data, for `bench check`.

Each check is a function whose docstring is its description; tables list the checks of each family.
A plugin's `fit` is cut to a few batches, so that a check takes seconds whatever the training
budget. Whether a network gets good at its task is for a run to show.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.conformance.attacks import ATTACK_CHECKS
from bench.conformance.datasets import DATASET_CHECKS
from bench.conformance.networks import CLASSIFIER_CHECKS, DEFENSE_CHECKS
from bench.conformance.subject import DIGITS, Check, Subject
from bench.errors import NotApplicable, PluginFault, RequestError, StorageError
from bench.plugins.configured import configure
from bench.plugins.faults import plugin_call
from bench.registry import REGISTRIES
from bench.spec import Spec

__all__ = ["CHECKS", "DIGITS", "Subject", "conformance"]


def _documented(subject: Subject) -> None:
    """Class has a docstring whose first line describes the plugin."""
    cls = type(subject.configured.plugin)
    docstring = inspect.cleandoc(cls.__doc__ or "")

    # A dataclass without a docstring is given its signature as one.
    if not docstring or docstring.startswith(f"{cls.__name__}("):
        raise PluginFault("the class has no docstring: `bench list` shows its first line")


def _frozen(subject: Subject) -> None:
    """Class is a frozen dataclass."""
    parameters = getattr(type(subject.configured.plugin), "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise PluginFault(
            "the class is not a frozen dataclass: decorate it with @dataclass(frozen=True)"
        )


def _round_trip(subject: Subject) -> None:
    """Parameters written out as a spec give the same plugin again."""
    text = str(subject.configured.resolved)
    try:
        again = configure(REGISTRIES[subject.family], Spec.parse(text))
    except RequestError as error:
        raise PluginFault(f"the spec with all parameters, {text}, is refused: {error}") from error

    if again.identity != subject.configured.identity:
        raise PluginFault(f"the spec with all parameters, {text}, gives another plugin")


_ALL: tuple[Check, ...] = (_documented, _frozen, _round_trip)

CHECKS: Mapping[str, tuple[Check, ...]] = {
    "defense": (*_ALL, *DEFENSE_CHECKS),
    "classifier": (*_ALL, *CLASSIFIER_CHECKS),
    "attack": (*_ALL, *ATTACK_CHECKS),
    "dataset": (*_ALL, *DATASET_CHECKS),
}
"""The checks of each plugin family, in the order in which they run."""


def conformance(
    family: str, spec: Spec | str, data: Path = Path(), on: str = DIGITS
) -> Iterator[tuple[str, str]]:
    """Run the suite on one plugin.

    Args:
        family: family of the plugin: `defense`, `attack`, `classifier` or `dataset`.
        spec: spec of the plugin.
        data: folder of all data sets.
        on: spec of the data set whose images a defense or classifier is given.

    Yields:
        description of a check, and the reason why it failed; the reason is empty if the check
        passed or does not apply.

    Raises:
        RequestError: there is no such plugin or data set, or a parameter is wrong.
    """
    is_network = family in ("defense", "classifier")
    subject = Subject(
        family, configure(REGISTRIES[family], spec), data, on if is_network else DIGITS
    )
    for check in CHECKS[family]:
        description = inspect.getdoc(check) or check.__name__
        try:
            yield description, _reason(check, subject)
        except NotApplicable as error:
            yield f"{description} (not applicable: {error})", ""


def _reason(check: Check, subject: Subject) -> str:
    """The reason why a plugin fails a check; empty if it passes.

    Raises:
        NotApplicable: the check does not apply to the plugin.
    """
    try:
        with plugin_call(subject.description):
            check(subject)
    except (PluginFault, StorageError) as error:
        return str(error)

    return ""
