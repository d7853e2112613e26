"""The page of a run in headless Chromium: tables, figures, links, themes and the keyboard."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.records.folder import RunFolder
from bench.report import Report
from bench.report.page.page import page_of
from bench.report.page.source import PageSource

RUN = Path(__file__).parents[4] / "results" / "reference" / "mnist-cpu"
HOSTILE = "<img src=x onerror=alert(1)>"


def written(folder: Path, **options: Any) -> Path:
    """The page of the committed run, in a folder."""
    run = RunFolder.open(RUN)
    path = folder / "report.html"
    path.write_text(page_of(PageSource.of(run, Report.of(run, **options))), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("page"))


def column(page: Any, table: str, heading: str) -> list[str]:
    """The texts of a column's cells that are shown, from top to bottom."""
    headings = page.locator(f"#{table} thead th").all_inner_texts()
    index = [text.strip() for text in headings].index(heading)
    cells = page.locator(f"#{table} tbody tr:not([hidden]) td:nth-child({index + 1})")
    return [text.strip() for text in cells.all_inner_texts()]


def number(text: str) -> float:
    return float(text.split()[0])


def drawn(page: Any, figure: str) -> Any:
    """A figure once it has been drawn."""
    plot = page.locator(f"#{figure}-figure .plot")
    plot.scroll_into_view_if_needed()
    page.locator(f"#{figure}-figure .plot[data-drawn]").wait_for(timeout=20_000)
    return plot


def becomes(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; the page's policy forbids the browser to evaluate text."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("press", ["click", "Enter"])
def test_a_table_sorts_by_number_and_back(
    press: str, file: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(file, figures=False)
    before = column(page, "worst_case", "worst-case accuracy")
    assert before != sorted(before, key=number)
    button = page.locator("#worst_case th", has_text="worst-case accuracy").get_by_role("button")
    for order in ("ascending", "descending", "none"):
        if press == "click":
            button.click()
        else:
            button.press(press)
        heading = page.locator("#worst_case th", has_text="worst-case accuracy")
        assert heading.get_attribute("aria-sort") == order
        shown = column(page, "worst_case", "worst-case accuracy")
        expected = {"ascending": 1, "descending": -1}.get(order, 0)
        assert [number(text) for text in shown] == (
            sorted(map(number, before), key=lambda value: value * expected)
        )


def test_rows_filter_by_text_and_by_value_and_a_link_keeps_it(
    file: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(file, figures=False)
    rows = len(column(page, "worst_case", "defense"))
    tools = page.locator("#worst_case .tools")
    tools.get_by_role("combobox", name="eps").select_option("0.3")
    assert set(column(page, "worst_case", "eps")) == {"0.3"}
    tools.get_by_role("searchbox").fill("PUVAE")
    assert column(page, "worst_case", "defense") == ["puvae"]
    assert tools.locator(".count").inner_text() == f"1 of {rows} rows"
    page.locator("#worst_case th", has_text="rank").get_by_role("button").click()
    fragment = page.evaluate("location.hash")
    again = open_page(file, fragment=fragment, figures=False)
    assert column(again, "worst_case", "defense") == ["puvae"]
    heading = again.locator("#worst_case th", has_text="rank")
    assert heading.get_attribute("aria-sort") == "ascending"


def test_columns_hide_and_a_link_keeps_them_hidden(
    file: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(file, figures=False)
    assert page.locator("#worst_case th", has_text="dataset").is_hidden()  # the same in all rows
    page.locator("#worst_case summary").click()
    page.locator("#worst_case .menu").get_by_label("dataset").check()
    page.locator("#worst_case .menu").get_by_label("strongest").uncheck()
    again = open_page(file, fragment=page.evaluate("location.hash"), figures=False)
    for each in (page, again):
        assert each.locator("#worst_case th", has_text="dataset").is_visible()
        assert each.locator("#worst_case th", has_text="strongest").is_hidden()
        assert not each.locator("#worst_case td", has_text="graybox:").first.is_visible()


@pytest.mark.parametrize("reach", ["hover", "focus"])
def test_a_mark_tells_its_reasons(reach: str, file: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(file, figures=False)
    mark = page.locator("#worst_case td .doubt").first
    getattr(mark, reach)()
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert tip.inner_text() == "no valid attack saw the defense"
    assert mark.get_attribute("aria-describedby") == "tip"
    page.keyboard.press("Escape")
    assert tip.is_hidden()


def test_the_slider_shows_the_cards_of_one_budget(
    file: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(file, figures=False)
    slider = page.locator("#decision-tools input")
    assert "linf eps 0.3" in page.locator(".budget:visible .headline").inner_text()
    slider.press("ArrowLeft")
    assert "linf eps 0.21" in page.locator(".budget:visible .headline").inner_text()
    again = open_page(file, fragment=page.evaluate("location.hash"), figures=False)
    assert "linf eps 0.21" in again.locator(".budget:visible .headline").inner_text()


def test_the_next_command_is_copied_whole(file: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(file, figures=False)
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    card = page.locator(".card:visible").first
    card.get_by_role("button", name="Copy").click()
    card.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("copied") == card.locator("code").inner_text()
    assert page.evaluate("copied").startswith("bench run --preset mnist --threats ")


def test_figures_are_drawn_hide_a_defense_and_follow_the_budget(
    file: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(file)
    plot = drawn(page, "tradeoff")
    values = (
        "plot => plot.data.filter(trace => trace.error_y).map(trace => [trace.name, trace.y[0]])"
    )
    before = dict(plot.evaluate(values))
    assert set(before) == {"none", "convae", "puvae", "defensegan"}
    page.locator("#tradeoff-figure").get_by_role("button", name="convae").click()
    page.locator("#tradeoff-figure input").press("Home")
    becomes(lambda: set(dict(plot.evaluate(values))) == set(before) - {"convae"})
    becomes(lambda: dict(plot.evaluate(values))["puvae"] > before["puvae"])
    after = dict(plot.evaluate(values))
    again = open_page(file, fragment=page.evaluate("location.hash"))
    assert dict(drawn(again, "tradeoff").evaluate(values)) == after


def test_the_ticks_of_a_logarithmic_axis_are_whole_numbers(
    file: Path, open_page: Callable[..., Any]
) -> None:
    plot = drawn(open_page(file), "tradeoff")
    ticks = plot.evaluate("plot => [...plot.querySelectorAll('.xtick')].map(t => t.textContent)")
    shown = [float(tick) for tick in ticks]
    assert shown == sorted(set(shown))
    assert {1, 10, 100} <= set(shown)


def test_a_choice_of_attack_leaves_its_rows(file: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(file)
    plot = drawn(page, "curves")
    assert plot.evaluate("plot => plot.data[0].x") == [0, 0.15, 0.21, 0.3]
    page.locator("#curves-figure").get_by_role("combobox", name="attack").select_option("fgsm")
    becomes(lambda: plot.evaluate("plot => plot.data[0].x") == [0, 0.21, 0.3])


def test_figures_are_saved_as_svg_in_black_on_white(
    file: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(file, dark=True)
    drawn(page, "curves")
    with page.expect_download(timeout=20_000) as download:
        page.locator("#curves-figure").get_by_role("button", name="SVG").click()
    assert download.value.suggested_filename == "curves.svg"
    text = Path(download.value.path()).read_text(encoding="utf-8")
    assert text.startswith("<svg")
    assert "rgb(255, 255, 255)" in text
    assert all(f">{name}</text>" in text for name in ("convae", "puvae", "defensegan"))


def test_the_theme_follows_the_system_and_its_switch(
    file: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(file, dark=True)
    brightness = (
        "parseInt(getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/))"
    )
    assert page.evaluate(brightness) < 64
    switch = page.locator("#theme")
    assert switch.get_attribute("aria-pressed") == "true"
    plot = drawn(page, "curves")
    dark = plot.evaluate("plot => plot.layout.font.color")
    page.evaluate("scrollTo(0, 0)")
    switch.press("Enter")
    assert (page.evaluate(brightness) > 192, switch.get_attribute("aria-pressed")) == (
        True,
        "false",
    )
    becomes(lambda: plot.evaluate("plot => plot.layout.font.color") != dark)


@pytest.mark.parametrize("dark", [False, True])
def test_a_narrow_page_scrolls_in_its_tables_alone(
    dark: bool, file: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(file, width=400, dark=dark)
    drawn(page, "tradeoff")
    drawn(page, "curves")
    page.locator("#accuracy summary").click()
    assert page.locator("#accuracy .menu .list").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    box = page.locator("#accuracy .scroll")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")


def test_the_page_is_read_with_the_keyboard_alone(
    file: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(file, figures=False)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "decision"
    reached = set()
    for _ in range(400):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.closest('[id]')?.id"))
        if "run-command" in reached or "configuration" in reached or "run" in reached:
            break
    assert {"decision-tools", "tradeoff-figure", "curves-figure", "worst_case"} <= reached


def test_a_link_in_the_contents_keeps_the_state(file: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(file, fragment="#decision?worst_case.q=puvae", figures=False)
    page.locator("nav a", has_text="Worst case").click()
    assert page.evaluate("location.hash") == "#worst?worst_case.q=puvae"
    assert page.evaluate("document.activeElement.id") == "worst"
    assert abs(page.evaluate("document.getElementById('worst').getBoundingClientRect().top")) < 40


def test_hostile_names_are_shown_and_do_nothing(
    tmp_path: Path, open_page: Callable[..., Any]
) -> None:
    file = written(tmp_path, aliases={"convae": HOSTILE})
    page = open_page(file)
    for figure in ("tradeoff", "curves"):
        drawn(page, figure)
    point = "[{curveNumber: 1, pointNumber: 1}]"
    page.evaluate(f"Plotly.Fx.hover(document.querySelector('#curves-figure .plot'), {point})")
    becomes(lambda: HOSTILE in page.locator("#curves-figure .hoverlayer").text_content())
    assert page.locator("img").count() == 0
    assert HOSTILE in column(page, "worst_case", "defense")
    assert page.locator("#tradeoff-figure .chip", has_text=HOSTILE).is_visible()
