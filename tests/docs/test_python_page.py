"""The page on Python, whose code runs from top to bottom as in a notebook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"

_CNN = "cnn:width=8:hidden=32:epochs=12:batch_size=64"
_CONVAE = "convae:width=4:steps=60:batch_size=32"

SMALLER = {
    '"classifier", "cnn")': f'"classifier", "{_CNN}")',
    '"defense", "convae")': f'"defense", "{_CONVAE}", classifier="{_CNN}")',
    '"eps": [0.1], "n": 20}': '"eps": [0.1], "n": 20, "classifiers": ["' + _CNN + '"]}',
    '{"batch_sizes": [1]}': '{"batch_sizes": [1], "min_seconds": 0.05}',
}
"""Texts of the page, and the same with less training, which other tests have too, and timing."""


def smaller(block: str) -> str:
    """A block of the page with less training and timing."""
    for text, less in SMALLER.items():
        block = block.replace(text, less)

    return block


@pytest.mark.slow
def test_the_code_of_the_page_runs(
    tmp_path: Path,
    session_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(session_cache))
    names: dict[str, Any] = {"__name__": "__notebook__"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    assert all("".join(blocks).count(text) == 1 for text in SMALLER)
    for block in blocks:
        exec(smaller(block), names)

    report = names["report"]
    assert set(report.results["defense"]) == {"none", "blur", "noise"}
    assert set(report.results["status"]) == {"ok"}
    assert len(report.latency) == 6
    assert "Worst case" in capsys.readouterr().out
    assert names["again"].results.equals(names["alone"].results)
    assert names["grid"].folder.parent == Path("results") / "runs"
