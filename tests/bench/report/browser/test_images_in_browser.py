"""The images of a page in a browser: filters, links, the keyboard, and pixels as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Open = Callable[..., Any]

RED = """(all) => all.map((canvas) => {
    const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    return [...data].filter((_, index) => index % 4 === 0);
})"""
"""A script that reads the red channel of canvases, row by row."""


def tiles(page: Any) -> list[str]:
    return page.eval_on_selector_all("#images-grid .tile", "(all) => all.map((t) => t.textContent)")


def selected(page: Any) -> str:
    return page.locator("#images-grid [aria-selected='true']").get_attribute("data-name")


def test_filters_choose_tiles_and_stand_in_the_address(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file, fragment="#images", figures=False)
    form = page.locator("#images-filters")
    assert page.locator("#images-count").inner_text() == "160 of 160 images"
    assert form.get_by_label("dataset").count() == 0, "what all share is no choice"
    form.get_by_label("defense").select_option("none")
    form.get_by_label("result").select_option("broken")
    broken = tiles(page)
    assert 0 < len(broken) < 40
    assert all(text.startswith("✗") for text in broken)
    form.get_by_label("true class").select_option("<b>seven</b>")
    assert all("<b>seven</b> →" in text for text in tiles(page))
    page.reload()
    assert form.get_by_label("true class").input_value() == "<b>seven</b>"
    assert tiles(page) == [text for text in broken if "<b>seven</b> →" in text]


def test_nothing_that_matches_is_said(open_page: Open, page_file: Path) -> None:
    state = "images.true+class=one&images.predicted+class=zero"
    page = open_page(page_file, fragment=f"#images?{state}", figures=False)
    assert page.locator("#images-count").inner_text() == "0 of 160 images"
    assert "No image matches" in page.locator("#images-detail").inner_text()


def test_arrow_keys_walk_through_the_images(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file, fragment="#images", figures=False)
    names = page.eval_on_selector_all(
        "#images-grid .tile", "(all) => all.map((t) => t.dataset.name)"
    )
    page.locator("#images-grid .tile").first.focus()
    columns = page.eval_on_selector_all(
        "#images-grid .tile", "(all) => all.filter((t) => t.offsetTop === all[0].offsetTop).length"
    )
    place = 0
    for key, step in (
        ("ArrowRight", 1),
        ("ArrowDown", columns),
        ("ArrowLeft", -1),
        ("ArrowUp", -columns),
    ):
        page.keyboard.press(key)
        place += step
        assert selected(page) == names[place], key
        assert page.evaluate("document.activeElement.dataset.name") == names[place], key
    page.keyboard.press("End")
    assert selected(page) == names[-1]
    page.keyboard.press("ArrowRight")
    assert selected(page) == names[-1]


def test_a_link_leads_to_an_image(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file, figures=False)
    page.locator("#images-grid .tile").nth(135).click()
    state = page.url.partition("#")[2]
    again = open_page(page_file, fragment=f"#{state}", figures=False)
    assert selected(again) == selected(page)
    tile = again.locator("#images-grid [aria-selected='true']")
    above, height = tile.evaluate(
        "(tile) => [tile.offsetTop - tile.parentElement.scrollTop, tile.parentElement.clientHeight]"
    )
    assert 0 <= above < height
    assert again.locator("#images-detail h3").inner_text() == "Image 6: true class five"
    top = "document.getElementById('images').getBoundingClientRect().top"
    for _ in range(100):
        if abs(again.evaluate(top)) < 200:
            return
        again.wait_for_timeout(20)
    pytest.fail("the page does not scroll to its images")


def test_an_image_leads_to_itself_elsewhere(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file, fragment="#images?images.defense=none", figures=False)
    rows = page.locator("#images-detail tbody tr")
    assert rows.count() == 7, "four attacks of this defense, and three other defenses"
    rows.get_by_role("button", name="convae:width=16").click()
    assert page.locator("#images-filters").get_by_label("defense").input_value() == ""
    detail = page.locator("#images-detail dl").inner_text()
    assert "convae:width=16" in detail


def test_the_pixels_are_those_of_the_run(open_page: Open, page_file: Path, made: Any) -> None:
    page = open_page(page_file, fragment="#images", figures=False)
    for index in range(4):
        page.locator("#images-detail canvas[data-drawn]").nth(index).wait_for()
    shown = page.eval_on_selector_all("#images-detail canvas", RED)
    stored = made.images(0.1)
    assert shown[0] == stored.clean[0].ravel().tolist()
    assert shown[1] == stored.adversarial[0].ravel().tolist()
    assert shown[3] == stored.purified[0].ravel().tolist()
