"""What `bench report` shows: the decision alone, the main tables, all tables, or JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.cli.quietness import hide_messages
from bench.commands.display import Display
from bench.commands.report import report
from bench.commands.request import Request, Resources, unrecorded_options
from bench.errors import RequestError
from bench.records.folder import RunFolder
from bench.store.weights import pretrained


@pytest.fixture
def run(made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two defenses, and a cell that failed; figures are not drawn."""
    monkeypatch.setattr("bench.report.figures", lambda *_: iter(()))
    folder = RunFolder.create(tmp_path / "run", {"defenses": ["none", "convae"]})
    for defense, right in (("none", 5), ("convae", 15)):
        cell = made.record(defense, threat="whitebox")
        folder.save(cell, made.outcome(np.arange(20) < right))
    folder.save(made.record("broken", status="failed", reason="no luck"), None)
    return folder.path


def shown(
    run: Path, capsys: pytest.CaptureFixture[str], display: Display | None = None
) -> tuple[str, str]:
    assert report(run, strict=False, display=display or Display()) == 0
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_the_main_tables_come_first_and_the_cards_last(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = shown(run, capsys)
    assert (
        out.index("Decision: robustness gained")
        < out.index("also in tables/: ")
        < out.index("convae: clean lost")
    )
    assert "Accuracy, with" not in out
    assert "accuracy.md" in out
    assert "failed: digits cnn broken fgsm eps 0.1 graybox seed 0: no luck" in err


def test_quiet_leaves_the_cards_and_the_failures(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = shown(run, capsys, Display(quiet=True))
    assert out.startswith("Decision (points against no defense")
    assert "┃" not in out
    assert err.splitlines() == ["failed: digits cnn broken fgsm eps 0.1 graybox seed 0: no luck"]


def test_verbose_prints_every_table(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = shown(run, capsys, Display(verbose=True))
    assert "Accuracy, with" in out
    assert "Pairs of defenses" in out
    assert "also in tables/" not in out


def test_json_is_alone_on_standard_output(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    out, _ = shown(run, capsys, Display(json=True))
    document = json.loads(out, parse_constant=refuse)
    assert document["run"] == str(run)
    assert document["failures"][0]["reason"] == "no luck"
    assert Path(document["paths"]["tables"]).is_dir()


@pytest.mark.parametrize("other", ["quiet", "json"])
def test_verbose_excludes_the_others(other: str) -> None:
    with pytest.raises(RequestError, match=f"give --verbose or --{other}, not both"):
        Display(**{"verbose": True, other: True})


def test_a_command_gets_the_options_that_no_folder_records() -> None:
    resources = Resources("cpu", Path("my data"), None, Path("out"), Path("w"))
    request = Request({}, {}, {}, None, None, ("a.py",), resources)
    assert unrecorded_options(request) == [
        *("--data", "my data", "--weights", "w", "--plugin", "a.py", "--device", "cpu")
    ]
    own = Resources("auto", None, None, None, pretrained())
    assert unrecorded_options(Request({}, {}, {}, None, None, (), own)) == []


def test_quiet_hides_what_reports_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    import logging

    logger = logging.getLogger("bench")
    with caplog.at_level(logging.INFO, logger="bench"):
        hide_messages(wanted=True)
        logger.info("trained")
        logger.warning("damaged")
    assert [record.message for record in caplog.records] == ["damaged"]
