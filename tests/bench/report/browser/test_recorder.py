"""The recorder: a page that asks for something or complains fails its test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FAULTS = {
    "an image from elsewhere": '<img src="https://example.org/a.png">',
    "a file beside it": '<link rel="stylesheet" href="other.css">',
    "a request of a script": '<script>fetch("http://127.0.0.1:9/a").catch(() => 0)</script>',
    "an error": "<script>console.error('no')</script>",
    "a dialog": "<script>alert(1)</script>",
    "an exception": "<script>throw new Error('no')</script>",
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_of_a_page_is_recorded(pages: Any, tmp_path: Path, fault: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><title>t</title><p>text</p>{fault}")
    opened = pages.open(page)
    for _ in range(100):
        if pages.complaints:
            return
        opened.wait_for_timeout(20)
    pytest.fail("nothing was recorded")


def test_a_page_of_its_own_is_sound(open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<!doctype html><title>t</title>"
        '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="><script>console.log(1)</script>'
    )
    assert open_page(page, fragment="#place").title() == "t"
