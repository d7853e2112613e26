"""Runs made by hand, and their pages read as a browser reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.records.folder import RunFolder
from bench.records.pipeline import Pipeline
from bench.records.timing import Samples, TimedCall, Timing
from bench.report import Report
from bench.report.page.page import page_of
from bench.report.page.source import PageSource

N = 40
VOID = {"input", "meta", "br", "hr", "img", "link"}


@dataclass
class Element:
    """A start tag: its name, attributes, and the text below it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Document(HTMLParser):
    """A page as html.parser reads it.

    Attributes:
        source: the page as text.
        elements: all elements in the order of their start tags.
    """

    source: str
    elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[Element] = []
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """The elements of a tag, with these words among their attributes' values."""
        return [
            element
            for element in self.elements
            if element.tag == tag
            and all(
                word in element.attributes.get(name.rstrip("_"), "").split()
                for name, word in attributes.items()
            )
        ]

    def ids(self) -> list[str]:
        return [element.attributes["id"] for element in self.elements if "id" in element.attributes]

    def data(self, section: str) -> Any:
        """The values of a section for its script."""
        (script,) = self.all("script", id=f"{section}-data")
        return json.loads(script.text)

    def rows(self, table: str) -> list[dict[str, str]]:
        """The rows of a table, cells by heading."""
        start = self.elements.index(self.all("figure", id=table)[0]) + 1
        ends = [i for i, e in enumerate(self.elements) if i >= start and e.tag == "figure"]
        inside = self.elements[start : ends[0] if ends else None]
        headings = [element.text for element in inside if element.tag == "th"]
        cells = [element.text for element in inside if element.tag == "td"]
        return [
            dict(zip(headings, cells[at : at + len(headings)], strict=True))
            for at in range(0, len(cells), len(headings))
        ]


@pytest.fixture
def run_of(made: Any, tmp_path: Path) -> Callable[..., RunFolder]:
    """A function that makes a run: the number of right images shrinks with eps, and grows by a step
    from each defense to the next."""

    def run(
        defenses: Iterable[str] = ("none", "d1", "d2"),
        eps: Iterable[float] = (0.1, 0.3),
        threats: Iterable[str] = ("graybox", "whitebox"),
        seeds: Iterable[int] = (0,),
        timed: bool = True,
        skipped: int = 0,
        step: int = 1,
        config: dict[str, Any] | None = None,
        path: Path | None = None,
        **labels: Any,
    ) -> RunFolder:
        given = {"defenses": list(defenses), "n": N, **(config or {})}
        folder = RunFolder.create(path or tmp_path / "run", given)
        for number, defense in enumerate(defenses):
            for budget in eps:
                for threat in threats:
                    for seed in seeds:
                        right = int(N * (1 - budget)) - 8 * (threat == "whitebox") + step * number
                        cell = made.cell(
                            np.arange(N) < right,
                            np.arange(N) < N - 1,
                            defense=defense,
                            eps=budget,
                            threat=threat,
                            seed=seed,
                            **labels,
                        )
                        folder.save(cell.record, cell.outcome)
            if timed:
                call = TimedCall(
                    Pipeline("digits", "cnn", defense), "pipeline", 1, "eager", "float32", "cpu", 0
                )
                seconds = tuple(1e-3 * (number + 1) * step for step in (0.9, 1.0, 1.1))
                samples = Samples(seconds, (), 3, True, None, None)
                folder.save_timing(Timing(call, "ok", samples=samples))
        for number in range(skipped):
            record = made.record(
                "d1", attack=f"a{number}", status="skipped", reason=f"makes no sense {number}"
            )
            folder.save(record, None)
        return folder

    return run


@pytest.fixture
def page_in() -> Callable[[RunFolder], Document]:
    """A function that makes the page of a run and reads it."""

    def page(folder: RunFolder) -> Document:
        return Document(str(page_of(PageSource.of(folder, Report.of(folder)))))

    return page
