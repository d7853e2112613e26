"""The page on Python, whose code runs from top to bottom as in a notebook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"

SMALLER = {
    '"cnn"': '"cnn:width=8:hidden=32:epochs=12:batch_size=64"',
    '"convae"': '"convae:width=4:steps=60:batch_size=32"',
}
"""Networks of the page, and the same with less training, which other tests have too."""


def smaller(block: str) -> str:
    """A block of the page with less training."""
    for name, spec in SMALLER.items():
        block = block.replace(name, spec)

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
    assert all("".join(blocks).count(f", {name})") == 1 for name in SMALLER)
    for block in blocks:
        exec(smaller(block), names)

    report = names["report"]
    assert set(report.results["defense"]) == {"none", "blur", "noise"}
    assert set(report.results["status"]) == {"ok"}
    assert len(report.latency) == 6
    assert "Worst case" in capsys.readouterr().out
    assert names["again"].results.equals(names["alone"].results)
    assert names["grid"].folder.parent == Path("results") / "runs"
