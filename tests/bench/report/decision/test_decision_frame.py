"""The frame of decisions: gains and costs by hand, open questions, and the next command."""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.analysis.verdict import Verdict
from bench.records.cell import CascadeMember
from bench.records.folder import RunFolder
from bench.records.pipeline import Pipeline
from bench.records.timing import Samples, TimedCall, Timing
from bench.report import Report
from bench.report.decision.answers import NEGLIGIBLE, Judged, answer, robustness
from bench.report.decision.document import decision_json
from bench.report.decision.frame import COLUMNS
from bench.report.decision.next_command import RecordedRun
from bench.spec import Spec
from bench.sweep.config import resolve
from bench.sweep.presets import preset_names, read_preset
from bench.sweep.settings import RunConfig, merged

N = 100
MEMBERS = (CascadeMember("whitebox", "apgd", 90, 40, 100, 10),)


def timing(defense: str, seconds: tuple[float, ...], busy: float = 0.0) -> Timing:
    call = TimedCall(
        Pipeline("digits", "cnn", defense), "pipeline", 1, "eager", "float32", "cpu", 0
    )
    samples = Samples(
        seconds, (), warmup=1, stable=True, peak_memory=3 * 2**20, memory_before=2**20
    )
    return Timing(call, "ok", "", samples, conditions={"busy_elsewhere": busy})


def run_folder(made: Any, path: Path, *, timed: bool = True, preset: str = "quick") -> RunFolder:
    """Three defenses under a white-box attack, of which `copy` does nothing but take time."""
    config = {
        **resolve(read_preset(preset), {}, preset).model_dump(mode="json"),
        "defenses": ["none", "convae", "copy"],
        "threats": ["graybox", "whitebox"],
        "preset": preset,
    }
    folder = RunFolder.create(path, config)
    for defense, graybox, whitebox, clean in (
        ("none", 20, 20, 98),
        ("convae", 80, 60, 95),
        ("copy", 20, 20, 98),
    ):
        for threat, right in (("graybox", graybox), ("whitebox", whitebox)):
            images = np.arange(N)
            outcome = made.outcome(images < right, images < clean)
            folder.save(made.record(defense, threat=threat, n=N), outcome)
    if timed:
        for defense, ms in (("none", 1.0), ("convae", 3.0), ("copy", 2.0)):
            folder.save_timing(timing(defense, tuple(ms * 1e-3 * (1 + k / 100) for k in range(5))))

    return folder


@pytest.fixture(scope="module")
def report(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return Report.of(run_folder(made, tmp_path_factory.mktemp("decided") / "run"))


def test_gains_and_costs_are_those_of_a_hand_computation(report: Report) -> None:
    assert tuple(report.decisions.columns) == COLUMNS
    row = report.decisions.set_index("defense").loc["convae"]
    assert row["clean_lost_points"] == pytest.approx(3)
    assert row["graybox_gain_points"] == pytest.approx(60)
    assert row["worst_case_gain_points"] == pytest.approx(40)
    # Bonett and Price with 40 images that only one gets right: (41 - 1) / 102 ± 1.96 SE.
    centre, error = 40 / 102, math.sqrt((42 / 102 - (40 / 102) ** 2) / 102)
    assert row["worst_case_gain_points_low"] == pytest.approx(
        100 * (centre - 1.959964 * error), abs=1e-4
    )
    assert row["worst_case_gain_points_high"] == pytest.approx(
        100 * (centre + 1.959964 * error), abs=1e-4
    )
    assert (row["added_ms"], row["times_none"]) == pytest.approx((2.04, 3.0))
    assert row["added_ms_low"] == pytest.approx(3.03 - 1.03)
    assert row["added_ms_high"] == pytest.approx(3.09 - 1.01)
    assert row["memory_mib"] == pytest.approx(2)
    assert (row["basis"], row["adaptive"], row["control"]) == ("white-box", True, False)


def test_the_reference_is_zero_of_everything(report: Report) -> None:
    row = report.decisions.set_index("defense").loc["none"]
    assert row["control"]
    assert row[["clean_lost_points", "worst_case_gain_points_high", "added_ms"]].tolist() == [0] * 3
    assert (row["next"], row["decided"]) == ("", True)


def test_no_defense_dominates_one_that_only_takes_time(report: Report) -> None:
    rows = report.decisions.set_index("defense")
    assert rows["dominated_by"].to_dict() == {"none": "", "convae": "", "copy": "none"}
    assert rows.loc["convae", "answer"] == "more robust than no defense"
    assert rows.loc["copy", "answer"] == "no more robust than no defense, and slower"


def test_an_untimed_run_names_the_command_that_times_it(made: Any, tmp_path: Path) -> None:
    decisions = Report.of(run_folder(made, tmp_path / "run", timed=False)).decisions
    row = decisions.set_index("defense").loc["convae"]
    assert (row["answer"], row["dominated_by"]) == ("it was not timed", "")
    assert math.isnan(row["added_ms"])
    assert row["next"].startswith("bench run --preset quick --defenses none,convae,copy")


def test_without_the_bare_classifier_there_is_nothing_to_compare_with(
    made: Any, tmp_path: Path
) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    folder.save(made.record("d"), made.outcome(np.arange(20) < 9))
    row = Report.of(folder).decisions.iloc[0]
    assert row["answer"] == "there is no undefended classifier to compare with"
    assert math.isnan(row["worst_case_gain_points"])
    assert row["next"] == ""  # the folder tells of no preset


def test_the_document_is_strict_json(report: Report, made: Any, tmp_path: Path) -> None:
    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    untimed = Report.of(run_folder(made, tmp_path / "run", timed=False))
    for each in (report, untimed):
        text = decision_json(each, tmp_path)
        document = json.loads(text, parse_constant=refuse)
        assert "\n" not in text
        assert document["schema"] == 1
        assert len(document["decisions"]) == 3
        assert set(document["decisions"][0]) == set(COLUMNS)
        assert document["cells"] == {"ok": 6}
        assert document["decided"] is (each is report)


ROW = {
    "defense": "d",
    "norm": "linf",
    "eps": 0.1,
    "note": "",
    "added_ms": 1.0,
    "dominated_by": "",
    "worst_case_gain_points": 1.5,
    "worst_case_gain_points_low": -9.0,
    "worst_case_gain_points_high": 12.0,
}
QUIET = SimpleNamespace(busy=0.0)


def judged(changes: dict[str, Any] | None = None, **others: Any) -> Judged:
    facts: dict[str, Any] = {
        "has_reference": True,
        "better": True,
        "worse": False,
        "images": 400.0,
        "n": 100,
        "time": QUIET,
        "reasons": (),
    }
    return Judged(row={**ROW, **(changes or {})}, **{**facts, **others})


RECORDED = RecordedRun("quick", resolve(read_preset("quick"), {}, "quick").model_dump())


@pytest.mark.parametrize(
    ("case", "text", "option"),
    [
        (judged(), "more robust than no defense", ""),
        (judged(better=False), "100 images cannot tell it from no defense, about 400 would", "--n"),
        (
            judged({"worst_case_gain_points_high": NEGLIGIBLE - 1}, better=False),
            "no more robust than no defense",
            "",
        ),
        (judged({"note": "no valid attack saw the defense"}), "no attack saw the defense", ""),
        (judged(reasons=("suspect: odd",)), "a verdict is suspect: odd", "adaptive:budget=full"),
        (judged(reasons=("invalid: no move",)), "a verdict is invalid: no move", ""),
        (judged(time=None), "it was not timed", "bench run"),
        (
            judged(time=SimpleNamespace(busy=1.5)),
            "the machine was busy while it was timed",
            "bench latency",
        ),
        (judged(better=False, worse=True), "less robust than no defense", ""),
        (
            judged({"dominated_by": "none, other"}),
            "more robust than no defense, and slower; others dominate it",
            "",
        ),
    ],
)
def test_each_open_question_has_its_sentence_and_command(
    case: Judged, text: str, option: str
) -> None:
    found = answer(case, RECORDED)
    assert found.text == text
    assert found.decided is ("robust" in text)
    assert option in found.command
    assert bool(option) <= bool(found.command)


@pytest.mark.parametrize(
    ("gain", "images", "wanted"),
    [
        (0.0, math.inf, 410),  # an interval of ±10 around 0 becomes one of ±5 with 4 times as many
        (2.5, 9_000.0, 1_600),  # 16 times as many exclude 5 points, which lie 2.5 above the gain
        (2.5, 350.0, 350),
        (7.0, 900.0, 900),  # no interval around 7 points excludes 5 from above
    ],
)
def test_the_images_that_decide_are_those_for_the_gain_that_was_seen(
    gain: float, images: float, wanted: int
) -> None:
    row = {
        f"worst_case_gain_points{end}": gain + d
        for end, d in (("", 0), ("_low", -10), ("_high", 10))
    }
    found = answer(judged(row, better=False, images=images), RECORDED).text
    told = int(found.split("about ")[1].split()[0])
    assert told == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize(
    ("case", "robust"),
    [
        (judged(), "more"),
        (judged(better=False, worse=True), "less"),
        (judged({"worst_case_gain_points_high": 4.0}, better=False), "no more"),
        (judged(better=False), "open"),
        (judged(reasons=("suspect: odd",)), "open"),
        (judged({"note": "no valid attack saw the defense"}), "open"),
        (judged(time=None), "more"),
        (judged({"defense": "none"}), ""),
    ],
)
def test_robustness_is_judged_without_the_costs(case: Judged, robust: str) -> None:
    assert robustness(case, RECORDED) == robust


def test_the_bare_classifier_is_named_once_where_the_run_had_it_without_success() -> None:
    found = answer(judged(has_reference=False), RECORDED)
    assert found.command == RECORDED.again()
    without = RecordedRun("quick", {**RECORDED.content, "defenses": ["convae"]})
    assert "--defenses none,convae" in answer(judged(has_reference=False), without).command


def test_the_next_attack_is_one_that_the_run_has_not_had() -> None:
    unseen = judged({"note": "no valid attack saw the defense"})
    gray = RecordedRun("quick", {**RECORDED.content, "threats": ["graybox"]})
    assert "--threats graybox,adaptive" in answer(unseen, gray).command
    had = RecordedRun("quick", {**RECORDED.content, "threats": ["graybox", "adaptive"]})
    assert answer(unseen, had).command == ""
    other_norm = judged({"note": "no valid attack saw the defense", "norm": "l1"})
    assert "--threats graybox,whitebox" in answer(other_norm, gray).command


@pytest.mark.parametrize("threats", [["graybox"], ["graybox", "adaptive:budget=quick"]])
def test_the_next_attack_reaches_the_budget_that_no_attack_saw(threats: list[str]) -> None:
    """The preset holds the adaptive attacker at 0.1, so the command must free it for 0.05."""
    unseen = judged({"note": "no valid attack saw the defense", "eps": 0.05})
    run = RecordedRun("quick", {**RECORDED.content, "threats": threats})
    asked = _configuration(answer(unseen, run).command)
    assert {Spec.parse(threat).name for threat in asked.threats} == {"graybox", "adaptive"}
    assert len(asked.threats) == 2
    assert 0.05 in asked.eps
    assert "cascade" not in asked.attack_eps


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"n": "37", "draws": "2"},
        {"defenses": ("none", "convae:attack=[fgsm,pgd:steps=3]"), "seeds": ("0", "7")},
        {"eps": ("0.1",), "attack_eps": {"pgd": ("0.3", "0.5")}},
        {"latency": {"engines": ("eager", "compile")}},
    ],
)
def test_the_next_command_asks_for_the_recorded_run(preset: str, given: dict[str, Any]) -> None:
    """Its options, resolved as the command line does it, give the configuration of the folder."""
    config = RunConfig.model_validate(merged(read_preset(preset), given))
    command = RecordedRun(preset, config.model_dump()).again(threats=("graybox",))
    assert _configuration(command) == config.model_copy(update={"threats": ("graybox",)})


@pytest.mark.parametrize(
    "recorded",
    [
        RecordedRun(),
        RecordedRun("mine", RECORDED.content),
        RecordedRun("quick", {**RECORDED.content, "parameters": {"convae": {"width": 99}}}),
        RecordedRun("quick", {**RECORDED.content, "n": -1}),
        RecordedRun("quick", RECORDED.content, command="latency"),
    ],
    ids=["no configuration", "a file's", "parameters", "unreadable", "bench latency"],
)
def test_there_is_no_command_where_options_cannot_say_it(recorded: RecordedRun) -> None:
    assert recorded.again() == ""


def _configuration(command: str) -> RunConfig:
    """The configuration that the command line would resolve from a command."""
    from bench.commands.request import Request, Resources, configuration

    words = shlex.split(command)
    assert words[:2] == ["bench", "run"]
    options = dict(zip(words[2::2], words[3::2], strict=True))
    named = {name.removeprefix("--").replace("-", "_"): text for name, text in options.items()}
    axes = ("datasets", "classifiers", "defenses", "attacks", "eps", "threats", "seeds")
    scalars = ("n", "batch_size", "draws", "convergence")
    request = Request(
        axes={name: named.get(name) for name in axes},
        scalars={name: named.get(name) for name in scalars},
        latency={name: named.get(name) for name in ("engines", "precisions")},
        preset=named["preset"],
        config_file=None,
        plugins=(),
        resources=Resources("cpu", None, None, None),
    )
    return configuration(request)[1]


def test_a_verdict_that_is_not_ok_is_an_open_question(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_folder(made, tmp_path / "run")
    monkeypatch.setattr(
        "bench.report.report.verdicts",
        lambda cells: {
            cell.record.key: Verdict("suspect", ("the step is odd",))
            if cell.record.labels["defense"] == "copy"
            else Verdict("ok")
            for cell in cells
        },
    )
    rows = Report.of(folder).decisions.set_index("defense")
    assert rows.loc["copy", "answer"] == "a verdict is suspect: the step is odd"
    assert rows.loc["convae", "answer"] == "more robust than no defense"


@pytest.mark.parametrize(("adaptive", "is_open"), [("ok", False), ("suspect", True)])
def test_a_sound_adaptive_attack_stands_for_weaker_ones_whose_verdict_is_not_ok(
    adaptive: str, is_open: bool, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_folder(made, tmp_path / "run")
    for defense in ("none", "convae", "copy"):
        record = made.record(defense, "cascade", threat="adaptive", n=N)
        images = np.arange(N)
        outcome = made.outcome(images < (50 if defense == "convae" else 15), images < 95)
        folder.save(replace(record, cascade=MEMBERS), outcome)
    levels = {"whitebox": "invalid", "adaptive": adaptive, "graybox": "ok"}
    monkeypatch.setattr(
        "bench.report.report.verdicts",
        lambda cells: {
            cell.record.key: Verdict(levels[cell.record.labels["threat"]], ("why",))
            for cell in cells
        },
    )
    rows = Report.of(folder).decisions.set_index("defense")
    assert rows.loc["convae", "decided"] is not is_open
    assert rows.loc["convae", "robustness"] == ("open" if is_open else "more")
    assert rows.loc["copy", "dominated_by"] == ("" if is_open else "none")


def test_a_run_of_timings_alone_has_no_decisions(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    folder.save_timing(timing("none", (0.1, 0.2)))
    report = Report.of(folder)
    assert isinstance(report.decisions, pd.DataFrame)
    assert report.decisions.empty
    assert json.loads(decision_json(report, tmp_path))["decided"] is False
