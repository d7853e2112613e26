"""The conformance suite: what every plugin must keep, checked on small real data; `bench check` and
the tests run it.

Each check is a function in a table by family. A plugin's `fit` is cut to a few batches, so a check
takes seconds whatever the training budget; whether a network gets good is for a run to show.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping

from bench.conformance.attacks import ATTACK_CHECKS
from bench.conformance.networks import CLASSIFIER_CHECKS, DEFENSE_CHECKS
from bench.conformance.subject import REGISTRIES, Check, Subject
from bench.errors import NotApplicable, PluginFault, RequestError
from bench.plugins.configured import configure
from bench.spec import Spec

__all__ = ["CHECKS", "Subject", "conformance"]


def _documented(subject: Subject) -> None:
    """It has a docstring whose first line says what it is."""
    doc = inspect.cleandoc(type(subject.configured.plugin).__doc__ or "")
    if not doc or doc.startswith(f"{type(subject.configured.plugin).__name__}("):
        raise PluginFault("the class has no docstring: its first line is what `bench list` shows")


def _frozen(subject: Subject) -> None:
    """It is a frozen dataclass."""
    parameters = getattr(type(subject.configured.plugin), "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise PluginFault(
            "the class is not a frozen dataclass: decorate it with @dataclass(frozen=True)"
        )


def _round_trip(subject: Subject) -> None:
    """Its parameters, written out as a spec, make the same plugin."""
    again = configure(REGISTRIES[subject.family], Spec.parse(str(subject.configured.resolved)))
    if again.identity != subject.configured.identity:
        raise PluginFault(f"its spec {subject.configured.resolved} makes another plugin")


_ALL: tuple[Check, ...] = (_documented, _frozen, _round_trip)
CHECKS: Mapping[str, tuple[Check, ...]] = {
    "defense": (*_ALL, *DEFENSE_CHECKS),
    "classifier": (*_ALL, *CLASSIFIER_CHECKS),
    "attack": (*_ALL, *ATTACK_CHECKS),
}


def conformance(family: str, spec: Spec | str) -> Iterator[tuple[str, str]]:
    """Run the suite on one plugin.

    Args:
        family: defense, attack or classifier.
        spec: the plugin, with parameters if it needs some.

    Yields:
        each check's description and the reason it failed, empty where it passed or does not apply.
    """
    subject = Subject(family, configure(REGISTRIES[family], spec))
    for check in CHECKS[family]:
        description = inspect.getdoc(check) or check.__name__
        try:
            yield description, _reason(check, subject)
        except NotApplicable as lack:
            yield f"{description} (not applicable: {lack})", ""


def _reason(check: Check, subject: Subject) -> str:
    try:
        check(subject)
    except NotApplicable:
        raise
    except (PluginFault, RequestError) as fault:
        return str(fault)
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises is its failure of this check
        return f"{type(error).__name__}: {error}"
    return ""
