"""`bench latency`: inference timed alone, by batch size, engine and precision."""

from __future__ import annotations

from rich.console import Console

from bench.commands.plan_text import networks_text
from bench.commands.preparation import prepare
from bench.commands.report import draw
from bench.commands.request import Request
from bench.progress import say
from bench.report import print_tables, table_console, write_tables

COMMAND = "latency"


def latency(request: Request, plots: bool = True) -> int:
    """Time the defenses of a request; networks that the cache lacks are trained first.

    Args:
        request: pipelines and settings, made by `bench.commands.request.timing_request`.
        plots: whether figures are drawn.

    Returns:
        0 when everything that applies was timed, else 1.

    Raises:
        RequestError: the request is wrong; nothing was computed.
    """
    messages = Console(stderr=True)
    output = table_console()
    prepared = prepare(request, messages, COMMAND)
    folder = prepared.folder.path
    networks = networks_text(prepared.runner.plan(), prepared.weights)
    say(messages, f"Latency on {prepared.device}, into {folder}\n{networks}")

    failed = prepared.runner.measure_latency(prepared.environment)

    report = write_tables(prepared.folder)
    print_tables(output, report)
    draw(prepared.folder, report, messages, plots)
    if failed:
        say(messages, f"{failed} timings failed; the same command tries them again")

    return 1 if failed else 0
