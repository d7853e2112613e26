"""The conformance suite: checks of a plugin's contract on small real data, for `bench check`.

Each check is a function whose docstring is its description; tables list the checks of each family.
A plugin's `fit` is cut to a few batches, so that a check takes seconds whatever the training
budget. Whether a network gets good at its task is for a run to show.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from bench.conformance.attacks import ATTACK_CHECKS
from bench.conformance.datasets import DATASET_CHECKS
from bench.conformance.networks import CLASSIFIER_CHECKS, DEFENSE_CHECKS
from bench.conformance.subject import DIGITS, Check, Checks, Subject
from bench.contracts import Network
from bench.errors import NotApplicable, PluginFault, RequestError, StorageError
from bench.plugins.configured import configure
from bench.plugins.faults import plugin_call
from bench.registry import REGISTRIES
from bench.spec import Spec
from bench.stages.suitability import check_network

__all__ = ["CHECKS", "Finding", "Subject", "conformance"]


class Finding(NamedTuple):
    """What a check says about a plugin.

    Attributes:
        check: description of the check.
        reason: reason why the plugin fails it; empty if it does not.
        not_applicable: reason why it does not apply to the plugin; empty if it does.
        cause: description of the failed check because of which it was not judged; empty if it was.
        note: what the author of the plugin may want to know; empty for nothing.
    """

    check: str
    reason: str = ""
    not_applicable: str = ""
    cause: str = ""
    note: str = ""


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


_ALL: Checks = {_documented: (), _frozen: (), _round_trip: ()}

CHECKS: Mapping[str, Checks] = {
    "defense": {**_ALL, **DEFENSE_CHECKS},
    "classifier": {**_ALL, **CLASSIFIER_CHECKS},
    "attack": {**_ALL, **ATTACK_CHECKS},
    "dataset": {**_ALL, **DATASET_CHECKS},
}
"""The checks of each plugin family, in the order in which they run."""


def conformance(
    family: str, spec: Spec | str, data: Path = Path(), images_of: str = DIGITS
) -> Iterator[Finding]:
    """Run the suite on one plugin.

    A cause is reported once: a check is not judged where one that it presupposes has failed.

    Args:
        family: family of the plugin: `defense`, `attack`, `classifier` or `dataset`.
        spec: spec of the plugin.
        data: folder of all data sets.
        images_of: spec of the data set on whose images the plugin is checked, unless it is a data
            set itself.

    Yields:
        what each check says.

    Raises:
        RequestError: there is no such plugin, a parameter is wrong, the data set cannot be loaded,
            or the network does not suit its images.
    """
    subject = Subject(family, configure(REGISTRIES[family], spec), data, images_of)
    if family != "dataset":
        _ = subject.given
    if isinstance(subject.configured.plugin, Network):
        check_network(subject.configured, subject.given.info)

    causes: dict[Check, str] = {}
    for check, presupposed in CHECKS[family].items():
        cause = next((causes[earlier] for earlier in presupposed if earlier in causes), "")
        finding = _finding(check, subject, cause)
        if finding.reason or cause:
            causes[check] = cause or finding.check
        yield finding


def _finding(check: Check, subject: Subject, cause: str) -> Finding:
    """What a check says; nothing where it presupposes a check that failed, the cause."""
    description = inspect.getdoc(check) or check.__name__
    if cause:
        return Finding(description, cause=cause)

    try:
        with plugin_call(subject.description):
            note = check(subject)
    except NotApplicable as error:
        return Finding(description, not_applicable=str(error))
    except (PluginFault, StorageError) as error:
        return Finding(description, reason=str(error))

    return Finding(description, note=note or "")
