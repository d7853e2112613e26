"""The images of a page: which are shown, pixel by pixel, and what becomes of each."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.analysis.outcomes import EvaluatedCell
from bench.records.cell import CascadeMember
from bench.records.cell_images import CellImages
from bench.records.outcome import REJECTED
from bench.report.page.image_choice import KINDS, ImageChoice
from bench.report.page.images import BROKEN, HELD, WRONG, image_sections

RANDOM = np.random.default_rng(0)


def images(count: int = 6, channels: int = 1, height: int = 4, width: int = 5) -> CellImages:
    """Images without a pattern, so that each of them is known by its pixels."""
    shape = (count, channels, height, width)
    return CellImages(*(RANDOM.integers(0, 256, shape, np.uint8) for _ in range(3)))


def cell(made: Any, kept: CellImages | None, **labels: Any) -> EvaluatedCell:
    found = made.cell(np.arange(20) % 2, **labels)
    return replace(found, load_images=lambda: kept)


def pixels(address: str) -> np.ndarray:
    start, _, data = address.partition(",")
    assert start == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_holds_the_images_pixel_by_pixel(made: Any, channels: int) -> None:
    kept = images(channels=channels)
    choice = ImageChoice.of([cell(made, kept)])
    (shown,) = choice.cells
    assert (shown.count, shown.size) == (6, (5, 4))
    for kind, stored in zip(
        ("original", "adversarial", "purified"),
        (kept.clean, kept.adversarial, kept.purified),
        strict=True,
    ):
        sheet = pixels(choice.sheets[shown.sheets[kind]])
        for index, image in enumerate(stored):
            part = sheet[:, 5 * index : 5 * (index + 1)]
            expected = image[0] if channels == 1 else np.moveaxis(image, 0, -1)
            assert np.array_equal(part, expected), (kind, index)


def test_the_perturbation_is_in_full_color_where_it_is_largest(made: Any) -> None:
    clean = np.full((1, 1, 1, 3), 100, np.uint8)
    adversarial = np.array([100, 151, 49], np.uint8).reshape(1, 1, 1, 3)
    choice = ImageChoice.of([cell(made, CellImages(clean, adversarial, clean))])
    (shown,) = choice.cells
    same, up, down = pixels(choice.sheets[shown.sheets["perturbation"]])[0].astype(int)
    assert shown.scale == pytest.approx(51 / 255)
    assert min(same) > 240, "no change is white"
    assert up[0] > up[2], "up is red"
    assert down[2] > down[0], "down is blue"


def test_cells_share_the_sheets_of_their_attack(made: Any) -> None:
    first = images()
    second = replace(first, purified=images().purified)
    choice = ImageChoice.of([cell(made, first, defense="a"), cell(made, second, defense="b")])
    a, b = (shown.sheets for shown in choice.cells)
    assert len(choice.sheets) == 5
    assert [kind for kind in KINDS if a[kind] != b[kind]] == ["purified"]


@pytest.mark.parametrize(("share", "cells", "count"), [(2, 4, 6), (0.5, 4, 3), (0.01, 0, 0)])
def test_a_page_has_room_for_the_first_images_only(
    made: Any, share: float, cells: int, count: int
) -> None:
    kept = [cell(made, images(height=40, width=40), defense=f"d{i}") for i in range(4)]
    size = sum(map(len, ImageChoice.of(kept).sheets)) + 4 * 6 * 250
    choice = ImageChoice.of(kept, int(share * size))
    assert sum(map(len, choice.sheets)) <= share * size
    assert len(choice.cells) == cells
    assert {shown.count for shown in choice.cells} <= {count, count - 1}
    assert (choice.kept, choice.most) == (4, 6)


def test_cells_of_one_image_are_left_out_where_even_those_are_too_many(made: Any) -> None:
    kept = [cell(made, images(1, height=40, width=40), defense=f"d{i}") for i in range(4)]
    size = sum(map(len, ImageChoice.of(kept).sheets))
    choice = ImageChoice.of(kept, size // 2)
    assert 0 < len(choice.cells) < 4
    assert choice.kept == 4


def section(*cells: EvaluatedCell) -> Any:
    source = SimpleNamespace(
        report=SimpleNamespace(cells=cells), short=lambda name, spec: spec, command="bench run"
    )
    found = list(image_sections(source))  # type: ignore[arg-type]
    return found[0] if found else None


def test_what_became_of_an_image(made: Any) -> None:
    found = made.cell([1, 0, 0, 1], clean=[1, 1, 0, 0])
    kept = replace(found, load_images=lambda: images(4), class_names=tuple("abcdefghij"))
    (data,) = section(kept).data["cells"]
    results = [image["result"] for image in data["images"]]
    assert results == [HELD, BROKEN, WRONG, HELD]
    assert [image["by"] for image in data["images"]] == ["", "fgsm", "", ""]
    assert [image["truth"] for image in data["images"]] == ["a", "b", "c", "d"]
    assert [image["purified"] for image in data["images"]] == ["a", "c", "d", "d"]


def test_a_rejected_image_holds_where_its_clean_one_was_right(made: Any) -> None:
    found = made.cell([0, 0], clean=[1, 0])
    outcome = replace(found.outcome, adversarial_defended=np.full((1, 2), REJECTED))
    (data,) = section(replace(found, outcome=outcome, load_images=lambda: images(2))).data["cells"]
    assert [(i["result"], i["purified"]) for i in data["images"]] == [
        (HELD, "rejected"),
        (WRONG, "rejected"),
    ]


def test_the_first_draw_is_shown_and_the_others_are_counted(made: Any) -> None:
    found = made.cell([[1, 0], [0, 0], [1, 1]], defense="random")
    (data,) = section(replace(found, load_images=lambda: images(2))).data["cells"]
    assert [i["result"] for i in data["images"]] == [HELD, BROKEN]
    assert [(i["right_draws"], i["draws"]) for i in data["images"]] == [(2, 3), (1, 3)]


def test_a_cascade_names_the_member_that_broke_the_image(made: Any) -> None:
    members = (
        CascadeMember("clean images", "", 3, 0, 0, 0),
        CascadeMember("whitebox", "apgd", 3, 1, 10, 10),
        CascadeMember("scores", "square", 2, 1, 10, 0),
    )
    found = made.cell([0, 0, 1], attack="cascade", threat="adaptive")
    outcome = replace(found.outcome, broken_by=np.array([2, 1, 0], np.int16))
    record = replace(found.record, cascade=members)
    kept = EvaluatedCell(record, outcome, lambda: images(3))
    (data,) = section(kept).data["cells"]
    assert [i["by"] for i in data["images"]] == ["scores: square", "whitebox: apgd", ""]


def test_a_run_without_images_says_how_to_get_them(made: Any) -> None:
    found = section(cell(made, None))
    assert "This folder holds no images" in found.html
    assert not found.data
    assert section() is None
