"""`bench latency`: inference timed alone, by batch size, engine and precision."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from bench.commands.plan_text import networks_text
from bench.commands.preparation import prepare
from bench.commands.request import Request
from bench.progress import say
from bench.report import print_tables, table_console, write_report

COMMAND = "latency"
DEFAULTS = {"batch_sizes": "1,8,32,128,512", "rounds": "2"}
"""Settings that replace a preset's; a configuration file and options take precedence."""

_NO_ATTACK = {"attacks": "fgsm", "eps": "0", "threats": "graybox", "seeds": "0"}
"""Axes of the attack, which a grid must have although nothing is attacked here."""


def latency(request: Request) -> int:
    """Time the defenses of a request; networks that the cache lacks are trained first.

    Returns:
        0 when everything that applies was timed, else 1.

    Raises:
        RequestError: the request is wrong; nothing was computed.
    """
    messages = Console(stderr=True)
    output = table_console()
    prepared = prepare(_timing_request(request), messages, COMMAND)
    folder = prepared.folder.path
    networks = networks_text(prepared.runner.plan(), prepared.weights)
    say(messages, f"Latency on {prepared.device}, into {folder}\n{networks}")

    failed = prepared.runner.measure_latency(prepared.environment)

    print_tables(output, write_report(prepared.folder))
    say(messages, f"Tables and plots are in {folder}/tables and {folder}/plots")
    if failed:
        say(messages, f"{failed} timings failed; the same command tries them again")

    return 1 if failed else 0


def _timing_request(request: Request) -> Request:
    """The request with the axes and the default settings of a measurement without attacks."""
    given = {name: text for name, text in request.latency.items() if text is not None}
    defaults = DEFAULTS if request.config_file is None else {}

    return replace(request, axes={**request.axes, **_NO_ATTACK}, latency={**defaults, **given})
