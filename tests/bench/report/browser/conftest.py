"""Headless Chromium, and pages that may neither ask for anything nor complain."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Names of the browser's program, in the order in which they are tried."""

REQUIRED = "BENCH_BROWSER_REQUIRED"
"""Environment variable that makes a missing browser a failure instead of a skipped test."""

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
        # Chromium has no sandbox for root, which a container's only user is.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
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

    def open(self, file: Path, width: int = 1280, dark: bool = False, fragment: str = "") -> Any:
        """A file as a page, of some width in pixels, light or dark."""
        context = self._browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light"
        )
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5_000)
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
