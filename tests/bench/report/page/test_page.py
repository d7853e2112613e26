"""The page of a run as a file: whole, closed in itself, and the same each time."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.records.folder import RunFolder
from bench.report.page.page import FILE

REFERENCE = Path(__file__).parents[4] / "results" / "reference"
MOST_BYTES = 8 * 2**20
LOADING = {"img", "link", "iframe", "object", "embed", "audio", "video", "source", "base", "form"}

KINDS: dict[str, dict[str, Any]] = {
    "several budgets and threat models": {},
    "a single defense": {"defenses": ("d1",)},
    "only the bare classifier": {"defenses": ("none",)},
    "gray-box alone": {"threats": ("graybox",)},
    "a single budget": {"eps": (0.1,)},
    "seeds": {"seeds": (0, 1)},
    "without latency": {"timed": False},
    "latency alone": {"eps": ()},
    "skipped cells": {"skipped": 3},
    "nothing": {"defenses": ()},
    "long specs": {"defenses": ("none", *(f"d:std={i}:mean=[{'m' * 300}]" for i in range(12)))},
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_every_kind_of_run_has_a_sound_page(
    kind: dict[str, Any], run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    page = page_in(run_of(**kind))  # reading it checks that every element is closed
    ids = page.ids()
    assert len(ids) == len(set(ids))
    contents = [a.attributes["href"] for a in page.all("a") if a.attributes["href"] != "#top"]
    assert {href[1:] for href in contents if href.startswith("#")} <= set(ids)
    sections = page.all("section")
    assert [section.attributes["id"] for section in sections][-2:] == ["methods", "run"]
    assert all(section.text.strip() for section in sections)
    labelled = [e.attributes["aria-labelledby"] for e in sections]
    assert set(labelled) <= set(ids)
    assert ("tradeoff" in ids) == (kind.get("timed", True) and all(kind.get(k, 1) for k in kind))


def test_nothing_is_loaded_from_elsewhere(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    page = page_in(run_of())
    assert not [element.tag for element in page.elements if element.tag in LOADING]
    for element in page.elements:
        assert "src" not in element.attributes
        href = element.attributes.get("href", "#")
        assert href.startswith("#") or (
            element.tag == "a" and href.startswith("https://arxiv.org/")
        )
    (policy,) = [e.attributes["content"] for e in page.all("meta") if "http-equiv" in e.attributes]
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"https?:|\*", policy)
    (style,) = page.all("style")
    assert not re.search(r"url\(|@import", style.text)
    scripts = [e.text for e in page.all("script", type="module")]
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|import\(|sendBeacon", *scripts)


def test_the_same_run_gives_the_same_page(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    folder = run_of()
    assert page_in(folder).source == page_in(folder).source


@pytest.mark.parametrize("name", ["mnist-cpu", "adaptive-mnist-nvidia-h100"])
def test_the_page_of_a_committed_run_is_small(name: str, page_in: Callable[..., Any]) -> None:
    page = page_in(RunFolder.open(REFERENCE / name))
    assert len(page.source.encode()) <= MOST_BYTES
    assert {"decision", "tradeoff", "curves", "worst_case", "accuracy", "pairs"} <= set(page.ids())


def test_a_long_table_is_cut_and_says_so(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.report.page.tables.MOST_ROWS", 5)
    page = page_in(run_of())
    assert len(page.rows("accuracy")) == 5
    assert "the first 5 of 12 rows; the CSV files have them all" in page.source


def test_a_report_writes_the_page_unless_told_otherwise_and_through_no_link(
    run_of: Callable[..., RunFolder],
    bench: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.report.save_figures", lambda *_: None)
    folder = run_of(timed=False, eps=(0.1,))
    for option, is_written in (("--no-html", False), ("--html", True)):
        done = bench("report", folder.path, option)
        assert (done.code, (folder.path / FILE).exists()) == (0, is_written), done.err
    (folder.path / FILE).unlink()
    (folder.path / FILE).symlink_to(tmp_path / "elsewhere")
    done = bench("report", folder.path)
    assert (done.code, "is a link" in done.err) == (1, True)
    assert not (tmp_path / "elsewhere").exists()
