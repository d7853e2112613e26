"""Headless Chromium, and pages that may neither ask for anything nor complain."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.records.folder import RunFolder
from bench.records.pipeline import Pipeline
from bench.records.timing import Samples, TimedCall, Timing
from bench.report import Report, write_page
from bench.report.board.board import Board
from bench.report.board.entered import EnteredRun
from bench.report.board.page import write_board_page
from bench.report.page.source import Reference
from bench.store.tree import Tree

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Names of the browser's program, in the order in which they are tried."""

REQUIRED = "BENCH_BROWSER_REQUIRED"
"""Environment variable that makes a missing browser a failure instead of a skipped test."""

NO_FIGURES = "window.IntersectionObserver = class { observe() {} unobserve() {} disconnect() {} };"
"""A script with which nothing is ever in view."""

INSIDE = ("data:", "blob:")
"""Starts of addresses that are parts of the page itself."""


def _missing(reason: str) -> None:
    """Skip the test, or fail it where the browser is required."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"{reason} ({REQUIRED} is set)")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; each test process that needs one starts its own, in about a second."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        _missing(f"no browser: none of {', '.join(NAMES)} is installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("no playwright, which is in the extra 'test'")

    with sync_playwright() as playwright:
        # A container's only user is root, for whom there is no sandbox, and its /dev/shm is small.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


class Pages:
    """Opens pages, and notes each request that leaves one and whatever one complains of.

    Attributes:
        complaints: what was noted, a line each.
    """

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._contexts: list[Any] = []
        self.complaints: list[str] = []

    def open(
        self,
        file: Path,
        fragment: str = "",
        *,
        width: int = 1280,
        dark: bool = False,
        figures: bool = True,
    ) -> Any:
        """A file as a page, of some width in pixels, light or dark.

        Without figures a page is there at once: their library takes a second to start.
        """
        context = self._browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light"
        )
        self._contexts.append(context)
        if not figures:
            context.add_init_script(NO_FIGURES)
        page = context.new_page()
        page.set_default_timeout(20_000)  # on a machine that does much else
        self._listen(page, file.resolve().as_uri())
        page.goto(f"{file.resolve().as_uri()}{fragment}")

        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _listen(self, page: Any, address: str) -> None:
        def on_request(request: Any) -> None:
            url = request.url.partition("#")[0]
            if url != address and not url.startswith(INSIDE):
                self.complaints.append(f"request: {url}")

        def on_message(message: Any) -> None:
            if message.type in ("error", "warning"):
                self.complaints.append(f"{message.type}: {message.text}")

        page.on("request", on_request)
        page.on("console", on_message)
        page.on("dialog", lambda dialog: (self.complaints.append("dialog"), dialog.dismiss()))
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))


@pytest.fixture
def pages(chromium: Any) -> Iterator[Pages]:
    """Pages whose complaints the test looks at itself."""
    pages = Pages(chromium)
    yield pages
    pages.close()


@pytest.fixture
def open_page(pages: Pages) -> Iterator[Callable[..., Any]]:
    """`Pages.open`; the test fails where a page asked for anything but its file, or complained."""
    yield pages.open
    assert not pages.complaints


N = 100
HOSTILE = 'bad:std=[<img src="http://127.0.0.1:9/x" onerror="alert(1)">]'
"""A defense whose parameter a page could obey."""

DEFENSES = ("none", "convae:steps=5:width=8", "convae:steps=5:width=16", HOSTILE)
CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "<b>seven</b>", "eight", "nine")


def save_run(made: Any, path: Path, gain: int) -> RunFolder:
    """A run of four defenses under two attacks and two epsilons, with images and timings.

    Args:
        made: hand-made cells.
        path: folder of the run.
        gain: number of further images that each defense keeps right.
    """
    config = {"defenses": list(DEFENSES), "class_names": {"digits": list(CLASSES)}, "gain": gain}
    folder = RunFolder.create(path, config)
    for number, defense in enumerate(DEFENSES):
        for eps, attack, threat in (
            (0.1, "fgsm", "graybox"),
            (0.2, "fgsm", "graybox"),
            (0.1, "pgd", "whitebox"),
            (0.2, "pgd", "whitebox"),
        ):
            lost = round(100 * eps) + 20 * (threat == "whitebox")
            kept = 50 + 10 * number + gain - lost
            right = (np.arange(N) * 37) % N < kept
            labels = {"defense": defense, "attack": attack, "eps": eps, "threat": threat}
            cell = made.cell(right, moved=eps, **labels)
            folder.save(cell.record, cell.outcome, made.images(eps))
        call = TimedCall(
            Pipeline("digits", "cnn", defense), "pipeline", 1, "eager", "float32", "cpu", 0
        )
        seconds = tuple((1 + number) * 1e-3 * (1 + 0.01 * step) for step in range(11))
        folder.save_timing(Timing(call, "ok", samples=Samples(seconds, (), 3, True, None, None)))

    return folder


@pytest.fixture(scope="session")
def page_file(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run beside another run."""
    base = tmp_path_factory.mktemp("pages")
    run, other = save_run(made, base / "run", 3), save_run(made, base / "other", 0)
    write_page(run, Report.of(run), Reference.of(run, other))
    return run.path / "report.html"


@pytest.fixture(scope="session")
def board_file(page_file: Path) -> Path:
    """The board of both runs."""
    folder = page_file.parents[1]
    runs = [EnteredRun.read(name, RunFolder.open(folder / name)) for name in ("run", "other")]
    write_board_page(Tree(folder / "board"), Board.of(runs, []))
    return folder / "board" / "board.html"
