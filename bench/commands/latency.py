"""`bench latency`: inference timed alone, by batch size, engine and precision."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from bench.commands.request import Request, prepare
from bench.commands.run import show_networks
from bench.progress import say
from bench.report import print_tables, table_console, write_report

COMMAND = "latency"
DEFAULTS = {"batch_sizes": "1,8,32,128,512", "rounds": "2"}
"""What is timed where neither an option nor a configuration file says otherwise."""

_ATTACK = {"attacks": "fgsm", "eps": "0", "threats": "graybox", "seeds": "0"}
"""A grid has attacks; nothing is attacked here."""


def latency(request: Request) -> int:
    """Time the defenses of a request, training or loading their networks first.

    Returns:
        0 when everything that applies was timed, else 1.

    Raises:
        RequestError: the request is wrong; nothing was computed.
    """
    said = {name: text for name, text in request.latency.items() if text is not None}
    defaults = DEFAULTS if request.config_file is None else {}
    request = replace(request, axes={**request.axes, **_ATTACK}, latency={**defaults, **said})
    messages, output = Console(stderr=True), table_console()
    prepared = prepare(request, messages, COMMAND)
    runner, path = prepared.runner, prepared.folder.path
    say(
        messages,
        f"Latency on {prepared.device}, into {path}\n{show_networks(runner.plan(), prepared.weights)}",
    )

    failed = runner.time(prepared.environment)
    print_tables(output, write_report(prepared.folder))
    say(messages, f"Tables and plots are in {path}/tables and {path}/plots")
    if failed:
        say(messages, f"{failed} timings failed; the same command tries them again")
    return 1 if failed else 0
