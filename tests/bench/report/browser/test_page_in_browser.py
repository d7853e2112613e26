"""The page of a run in a browser: tables, figures, images, themes, widths and the keyboard."""

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


def numbers(texts: list[str]) -> list[float]:
    return [float(re.match(r"[\d.]+", text)[0]) for text in texts]


def test_a_table_sorts_by_a_heading_and_the_address_keeps_it(
    open_page: Open, page_file: Path
) -> None:
    page = open_page(page_file)
    heading = page.locator(f"{TABLE} thead th", has_text="worst-case accuracy").get_by_role(
        "button"
    )
    before = column(page, TABLE, "worst-case accuracy")
    heading.click()
    rising = numbers(column(page, TABLE, "worst-case accuracy"))
    assert rising == sorted(rising) != numbers(before)
    heading.click()
    assert numbers(column(page, TABLE, "worst-case accuracy")) == rising[::-1]
    page.reload()
    assert numbers(column(page, TABLE, "worst-case accuracy")) == rising[::-1]


def test_rows_are_filtered_by_text_and_by_value(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file)
    tools = page.locator(f"{TABLE} .tools")
    everything = len(column(page, TABLE, "eps"))
    tools.locator("label", has_text="eps").locator("select").select_option("0.2")
    assert set(column(page, TABLE, "eps")) == {"0.2"}
    tools.get_by_role("searchbox").fill("CONVAE")
    chosen = column(page, TABLE, "defense")
    assert chosen == ["convae:width=8", "convae:width=16"]
    assert tools.locator(".count").inner_text() == f"2 of {everything} rows"


def test_a_column_is_hidden(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file)
    tools = page.locator(f"{TABLE} .tools")
    tools.get_by_text("Columns").click()
    tools.get_by_role("checkbox", name="clean accuracy").uncheck()
    assert page.locator(f"{TABLE} th", has_text="clean accuracy").is_hidden()
    page.reload()
    assert page.locator(f"{TABLE} th", has_text="clean accuracy").is_hidden()


def test_a_short_name_and_a_hostile_one_show_what_they_stand_for(
    open_page: Open, page_file: Path
) -> None:
    page = open_page(page_file)
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


def test_a_figure_is_drawn_and_saved(open_page: Open, page_file: Path, tmp_path: Path) -> None:
    page = open_page(page_file, fragment="#tradeoff", figures=True)
    page.locator("#tradeoff-figure .plot[data-drawn]").wait_for(timeout=20_000)
    assert page.locator("#tradeoff-figure .plot .point").count() >= 4
    with page.expect_download(timeout=20_000) as saving:
        page.get_by_role("button", name="Save the figure as SVG").first.click()
    saving.value.save_as(tmp_path / "figure.svg")
    drawing = (tmp_path / "figure.svg").read_text()
    assert drawing.startswith("<svg")
    assert "convae:width=16" in drawing


def test_the_keyboard_alone_reads_sorts_filters_and_switches(
    open_page: Open, page_file: Path
) -> None:
    page = open_page(page_file)
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
    page = open_page(page_file, dark=dark)
    assert is_dark(page) is dark
    page.locator("#theme").click()
    assert is_dark(page) is not dark
    for selector in ("body", "h2 a", f"{TABLE} td", "#images .held", "#images .broken"):
        assert contrast(page, selector) >= 4.5, selector


@pytest.mark.parametrize("name", ["page_file", "board_file"])
def test_a_phone_scrolls_in_one_direction_only(
    open_page: Open, request: pytest.FixtureRequest, name: str
) -> None:
    page = open_page(request.getfixturevalue(name), width=400)
    for group in page.locator("details").all():
        group.evaluate("(details) => { details.open = true }")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_the_comparison_says_which_run_is_which(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file, fragment="#comparison")
    section = page.locator("#comparison")
    assert "A is other, the reference" in section.inner_text()
    points = column(page, "#comparison_worst_cases", "points")
    assert set(points) == {"+3.0"}


def test_a_board_sorts_and_says_what_it_rests_on(open_page: Open, board_file: Path) -> None:
    page = open_page(board_file)
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
