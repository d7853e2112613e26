"""Text from a run on its page: shown as it is, and never obeyed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from bench.errors import RequestError
from bench.records.folder import RunFolder
from bench.report.escapes import html_data
from bench.report.page.rendering import rendered
from bench.text import visible

VALUES = {
    "a tag": "<img src=x onerror=alert(1)>",
    "the end of a script": "</script><script>alert(1)</script>",
    "the end of a style": "</style><style>*{display:none}",
    "the end of an attribute": "\" onmouseover='alert(1)' x=\"",
    "a comment": "<!--",
    "an entity": "&lt;b&gt; &amp;",
    "a template": "{{ 7 * 7 }}{% raw %}",
    "line separators of JavaScript": "a\u2028b\u2029c",
    "emoji": "漢字 😀 é",
}
CODES = {"codes": "\x1b(2J\u202e\x00", "half of a pair": "\ud800"}


def labels(values: Iterable[str]) -> dict[str, Any]:
    """The arguments of a run with values in its defenses, attack and configuration."""
    names = list(values)

    return {
        "defenses": ("none", *(f"d{i}:std=[{name}]" for i, name in enumerate(names))),
        "eps": (0.1,),
        "attack": f"fgsm:x=[{names[0]}]",
        "config": {"preset": names[0], "other": names},
    }


def test_hostile_labels_add_no_element(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any], tmp_path: Path
) -> None:
    letters = ["m" * len(value) for value in VALUES.values()]
    plain = page_in(run_of(path=tmp_path / "plain" / "run", **labels(letters)))
    page = page_in(run_of(path=tmp_path / "hostile" / "run", **labels(VALUES.values())))
    assert [e.tag for e in page.elements] == [e.tag for e in plain.elements]
    names = [[sorted(e.attributes) for e in each.elements] for each in (page, plain)]
    assert names[0] == names[1]
    assert visible(page.source) == page.source
    for script in page.all("script", type="application/json"):
        json.loads(script.text)
    tips = [e.attributes["data-tip"] for e in page.elements if "data-tip" in e.attributes]
    for value in VALUES.values():
        assert any(visible(value) in tip for tip in tips), value


@pytest.mark.parametrize("value", CODES.values(), ids=CODES.keys())
def test_codes_are_refused_or_not_shown(
    value: str, run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    try:
        folder = run_of(**labels([value]))
    except (ValueError, RequestError):  # such a label is not even written
        return
    page = page_in(folder)
    assert visible(page.source) == page.source


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def shown(value: Any) -> Any:
    """The value with visible texts, and null for numbers that JSON lacks."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, list):
        return [shown(each) for each in value]
    if isinstance(value, dict):
        return {visible(name): shown(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


@given(JSON)
def test_data_arrive_in_the_script_as_they_are(value: Any) -> None:
    assert json.loads(html_data(value)) == shown(value)


@given(st.text(), st.text())
def test_no_data_end_their_script(name: str, text: str) -> None:
    section = {"id": "s", "title": "t", "html": Markup(), "data": {name: text}}
    heading = {"kind": "k", "title": "t", "summary": "s"}
    values: dict[str, Any] = {"style": "", "script": "", "library": ""}
    page = rendered("page.html", source=heading, heading=heading, sections=[section], **values)
    inside = page.partition('id="s-data">')[2].partition("</script>")[0]
    assert json.loads(inside) == shown({name: text})
    assert not set("<>&'\u2028\u2029") & set(inside)
