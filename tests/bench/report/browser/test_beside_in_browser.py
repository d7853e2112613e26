"""Pages of a stranger's run, beside another run and on a board: names, colors, widths, keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Open = Callable[..., Any]

TABLE = "#worst_case"


def column(page: Any, table: str, heading: str) -> list[str]:
    """The texts of a column in the rows that are shown."""
    return page.eval_on_selector(
        table,
        """(table, heading) => {
            const headings = [...table.querySelectorAll("thead th")];
            const names = headings.map((th) => th.textContent.trim());
            const rows = [...table.querySelectorAll("tbody tr")].filter((row) => !row.hidden);
            return rows.map((row) => row.cells[names.indexOf(heading)].textContent.trim());
        }""",
        heading,
    )


def test_a_short_name_and_a_hostile_one_show_what_they_stand_for(
    open_page: Open, page_file: Path
) -> None:
    page = open_page(page_file, figures=False)
    for text, spec in (("convae:width=8", "convae:steps=5:width=8"), ("bad", "<img src=")):
        name = page.locator(f"{TABLE} td span[data-tip]", has_text=re.compile(f"^{text}$")).first
        name.scroll_into_view_if_needed()
        name.hover()
        tip = page.locator("#tip")
        tip.wait_for(state="visible")
        assert spec in tip.inner_text()
        page.mouse.move(0, 0)
        tip.wait_for(state="hidden")
    assert page.locator("img").count() == 0


def test_the_keyboard_alone_reads_sorts_filters_and_switches(
    open_page: Open, page_file: Path
) -> None:
    page = open_page(page_file, figures=False)
    page.keyboard.press("Tab")
    assert focused(page, "textContent").startswith("Skip")
    page.keyboard.press("Enter")
    assert focused(page, "id") == page.locator("main section").first.get_attribute("id")

    walk_to(page, f"{TABLE} input[type=search]")
    page.keyboard.type("convae")
    rows = column(page, TABLE, "defense")
    assert set(rows) == {"convae:width=8", "convae:width=16"}
    walk_to(page, f"{TABLE} th button")
    page.keyboard.press("Enter")
    assert page.locator(f"{TABLE} th[aria-sort=ascending]").count() == 1
    walk_to(page, f"{TABLE} td [data-tip]")
    page.locator("#tip").wait_for(state="visible")
    page.keyboard.press("Escape")
    page.locator("#tip").wait_for(state="hidden")


def walk_to(page: Any, selector: str) -> None:
    """Press Tab until an element that matches has the focus."""
    for _ in range(300):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"Tab does not lead to {selector}")


def focused(page: Any, name: str) -> str:
    return str(page.evaluate("(name) => document.activeElement[name]", name))


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_readable_in_both_themes(open_page: Open, page_file: Path, dark: bool) -> None:
    page = open_page(page_file, dark=dark, figures=False)
    assert is_dark(page) is dark
    page.locator("#theme").click()
    assert is_dark(page) is not dark
    for selector in ("body", "h2 a", f"{TABLE} td", "#images .held", "#images .broken"):
        assert contrast(page, selector) >= 4.5, selector


@pytest.mark.parametrize("name", ["page_file", "board_file"])
def test_a_phone_scrolls_in_one_direction_only(
    open_page: Open, request: pytest.FixtureRequest, name: str
) -> None:
    page = open_page(request.getfixturevalue(name), width=400, figures=False)
    for group in page.locator("details").all():
        group.evaluate("(details) => { details.open = true }")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_the_comparison_says_which_run_is_which(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file, fragment="#comparison", figures=False)
    section = page.locator("#comparison")
    assert "A is other, the reference" in section.inner_text()
    points = column(page, "#comparison_worst_cases", "points")
    assert set(points) == {"+3.0"}


def test_a_board_sorts_and_says_what_it_rests_on(open_page: Open, board_file: Path) -> None:
    page = open_page(board_file, figures=False)
    sources = column(page, "#board_1", "run or source")
    assert sorted(set(sources)) == ["other", "run"]
    page.locator("#board_1 thead button").filter(has_text="run or source").click()
    assert column(page, "#board_1", "run or source") == sorted(sources)


def is_dark(page: Any) -> bool:
    return luminance(colors(page, "h1")[1]) < 0.2


def contrast(page: Any, selector: str) -> float:
    """The contrast of a text with the ground behind it (WCAG 2.2), at least 1."""
    light, dark = sorted(map(luminance, colors(page, selector)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def colors(page: Any, selector: str) -> list[list[int]]:
    """The color of a text and that of the nearest ground behind it that is not transparent."""
    return page.locator(selector).first.evaluate(
        """(node) => {
            const canvas = document.createElement("canvas")
                .getContext("2d", { willReadFrequently: true });
            const rgb = (color) => {
                canvas.clearRect(0, 0, 1, 1);
                canvas.fillStyle = color;
                canvas.fillRect(0, 0, 1, 1);
                return [...canvas.getImageData(0, 0, 1, 1).data];
            };
            const ground = (each) => rgb(getComputedStyle(each).backgroundColor);
            let behind = node;
            while (behind.parentElement && ground(behind)[3] < 255) behind = behind.parentElement;
            return [rgb(getComputedStyle(node).color), ground(behind)];
        }"""
    )


def luminance(color: list[int]) -> float:
    shares = [part / 255 for part in color[:3]]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
