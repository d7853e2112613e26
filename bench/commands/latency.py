"""`bench latency`: inference timed alone, by batch size, engine and precision."""

from __future__ import annotations

from rich.console import Console

from bench.commands.display import SHOW_TABLES
from bench.commands.drawings import DRAW_ALL, Drawings
from bench.commands.plan_text import networks_text
from bench.commands.preparation import prepare
from bench.commands.request import Request
from bench.progress import reporter, say
from bench.report import print_tables, table_console, write_tables

COMMAND = "latency"


def latency(request: Request, drawings: Drawings = DRAW_ALL) -> int:
    """Time the defenses of a request; networks that the cache lacks are trained first.

    Args:
        request: pipelines and settings, made by `bench.commands.request.timing_request`.
        drawings: figures and page that are made.

    Returns:
        0 when everything that applies was timed, else 1.

    Raises:
        RequestError: the request is wrong; nothing was computed.
    """
    messages = Console(stderr=True)
    output = table_console()
    prepared = prepare(request, reporter(messages), COMMAND)
    folder = prepared.folder.path
    networks = networks_text(prepared.runner.plan(), prepared.weights)
    say(messages, f"Latency on {prepared.device}, into {folder}\n{networks}")

    failed = prepared.runner.measure_latency(prepared.environment)

    report = write_tables(prepared.folder)
    print_tables(output, report)
    drawings.draw(prepared.folder, report, SHOW_TABLES)
    if failed:
        say(messages, f"{failed} timings failed; the same command tries them again")

    return 1 if failed else 0
