"""The page on Python, whose code runs from top to bottom as in a notebook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.mark.slow
def test_the_code_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    names: dict[str, Any] = {"__name__": "__notebook__"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)

    report = names["report"]
    assert set(report.results["defense"]) == {"none", "blur", "noise"}
    assert set(report.results["status"]) == {"ok"}
    assert len(report.latency) == 6
    assert "Worst case" in capsys.readouterr().out
    assert names["again"].results.equals(names["alone"].results)
    assert names["grid"].folder.parent == Path("results") / "runs"
