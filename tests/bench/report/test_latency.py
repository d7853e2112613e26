"""Latency tables and plots from hand-made raw times."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from rich.console import Console

from bench.records.folder import RunFolder
from bench.records.pipeline import Pipeline
from bench.records.timing import Agreement, Samples, TimedCall, Timing
from bench.report import Report, figures, print_tables, write_report
from bench.report.latency.accuracy_figures import accuracy_latency_figure
from bench.report.latency.engines import engines_frame
from bench.report.latency.frame import latency_frame
from bench.report.latency.remarks import remarks
from bench.report.latency.tables import engines_table, latency_table
from bench.report.looks import DefenseLooks
from bench.report.naming import RunNames

MIB = 2**20


@pytest.fixture(autouse=True)
def few_calls_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hand-made timings have a handful; a test of its own looks at the remark on that."""
    monkeypatch.setattr("bench.report.latency.remarks._FEW", 1)


def test_rows_of_few_calls_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.report.latency.remarks._FEW", 20)
    found = remarks(latency_frame([timing([1.0] * 19), timing([1.0] * 20, defense="enough")]))
    assert found == "fewer than 20 calls, so p95 is nearly the slowest: d pipeline, batch 1 (19)"


def timing(milliseconds: Sequence[float] | float = 1.0, **changes: Any) -> Timing:
    """Of defense `d`, its pipeline at batch 1 in eager float32 unless said otherwise.

    One number stands for 5 calls.
    """
    calls = [milliseconds] * 5 if isinstance(milliseconds, float) else milliseconds
    pipeline = Pipeline("digits", "cnn", changes.get("defense", "d"))
    subject = TimedCall(
        pipeline,
        changes.get("target", "pipeline"),
        changes.get("batch_size", 1),
        changes.get("engine", "eager"),
        changes.get("precision", "float32"),
        changes.get("device", "cpu"),
        changes.get("round", 0),
    )
    if "reason" in changes:
        return Timing(subject, changes.get("status", "skipped"), changes["reason"])
    samples = Samples(
        tuple(each / 1e3 for each in calls),
        tuple(each / 1e3 for each in changes.get("events", ())),
        changes.get("warmup", 3),
        changes.get("stable", True),
        changes.get("peak"),
        changes.get("before"),
    )
    return Timing(
        subject,
        "ok",
        samples=samples,
        agreement=changes.get("agreement"),
        flops_per_image=changes.get("flops"),
        weight_bytes=changes.get("weights"),
        conditions=changes.get("conditions", {}),
    )


def test_a_purifier_slower_than_its_pipeline_is_impossible_beyond_the_spread() -> None:
    pipeline = timing([2.0, 2.1, 2.2])
    within, beyond = (
        timing(calls, target="purifier") for calls in ([1.9, 2.2, 2.3], [2.3, 2.4, 2.5])
    )
    assert not remarks(latency_frame([pipeline, within]))
    assert remarks(latency_frame([pipeline, beyond])) == (
        "impossible, slower than the pipeline that contains it: "
        "d purifier, batch 1 (2.4 and 2.1 ms)"
    )


def folder_of(path: Path, timings: Sequence[Timing], defenses: Sequence[str] = ()) -> RunFolder:
    folder = RunFolder.create(path / "run", {"defenses": list(defenses)})
    for each in timings:
        folder.save_timing(each)
    return folder


def test_rounds_are_pooled_and_the_worst_of_them_is_told() -> None:
    rounds = ([1.0, 2.0, 3.0], [2.0, 2.5, 9.0], [2.2, 2.2])
    conditions = {"threads": 2, "clock_mhz": 3000.0, "busy_elsewhere": None}
    found = [
        timing(
            milliseconds,
            round=index,
            batch_size=4,
            warmup=5 + index,
            stable=index != 1,
            peak=(200 + index) * MIB,
            before=(100 + 2 * index) * MIB,
            events=[each - 0.1 for each in milliseconds],
            agreement=Agreement(0.1 * index, 1 - 0.01 * index, 32),
            flops=10_000_000,
            weights=1234,
            conditions={
                **conditions,
                "busy_elsewhere": 0.1 * index,
                "clock_mhz": 3000.0 - 100 * index,
            },
        )
        for index, milliseconds in enumerate(rounds)
    ]
    (row,) = latency_frame(found).to_dict("records")
    pooled = np.concatenate(rounds)
    assert (row["calls"], row["rounds"], row["warmup"], row["stable"], row["status"]) == (
        8,
        3,
        5,
        False,
        "ok",
    )
    for name, share in (("p25", 25), ("p50", 50), ("p75", 75), ("p90", 90), ("p95", 95)):
        assert row[f"{name}_ms"] == pytest.approx(np.percentile(pooled, share))
    assert row["p99_ms"] is None
    assert row["iqr_ms"] == pytest.approx(np.percentile(pooled, 75) - np.percentile(pooled, 25))
    assert row["cuda_p50_ms"] == pytest.approx(np.median(pooled) - 0.1)
    assert row["drift"] == pytest.approx(2.5 / 2.0 - 1)
    assert (row["peak_memory_mib"], row["memory_rise_mib"]) == (202, 100)
    assert (row["difference"], row["alike"], row["compared"]) == pytest.approx((0.2, 0.98, 32))
    assert (row["threads"], row["clock_mhz"], row["busy_elsewhere"]) == pytest.approx(
        (2, 2900, 0.2)
    )
    assert row["images_per_second"] == pytest.approx(4000 / np.median(pooled))
    assert (row["flops_per_image"], row["weight_bytes"]) == (10_000_000, 1234)
    assert row["gflops_per_second"] == pytest.approx(0.01 * 4 / (np.median(pooled) / 1e3))


def test_one_round_on_the_cpu_has_no_drift_and_no_events() -> None:
    frame = latency_frame([timing()])
    assert (
        frame[["drift", "cuda_p50_ms", "peak_memory_mib", "difference", "flops_per_image"]]
        .isna()
        .all(axis=None)
    )


def test_a_hundred_samples_over_the_rounds_give_a_p99() -> None:
    frame = latency_frame([timing([float(i)] * 50, round=i) for i in (1, 2)])
    assert frame["p99_ms"].tolist() == [2.0]


def test_a_timing_without_samples_has_its_reason_and_no_numbers() -> None:
    reason = "engine cudagraph needs CUDA"
    found = [timing(engine="cudagraph", reason=reason, round=index) for index in range(2)]
    (row,) = latency_frame(found).to_dict("records")
    assert (row["status"], row["reason"], row["rounds"]) == ("skipped", reason, 0)
    assert pd.isna(row["p50_ms"])
    assert pd.isna(row["calls"])


def test_what_could_not_be_counted_has_no_rate() -> None:
    frame = latency_frame([timing(), timing(defense="e", flops=10_000_000)])
    assert pd.isna(frame["gflops_per_second"][0])
    assert frame["gflops_per_second"][1] == pytest.approx(10.0)


def test_a_round_that_failed_is_told_beside_the_numbers_of_the_others() -> None:
    found = [
        timing(status="failed", reason="out of memory"),
        timing(2.0, round=1, flops=10_000_000),
    ]
    frame = latency_frame(found)
    assert frame[
        ["status", "reason", "rounds", "p50_ms", "gflops_per_second"]
    ].to_numpy().tolist() == [["ok", "1 of 2 rounds failed: out of memory", 1, 2.0, 5.0]]
    assert remarks(frame) == "1 timing: 1 of 2 rounds failed: out of memory"


def test_defenses_come_in_the_order_of_the_run() -> None:
    found = [
        timing(defense=name, batch_size=size) for name in ("a", "b", "none") for size in (1, 8)
    ]
    assert latency_frame(found, ["none", "b"])["defense"].tolist() == [
        "none",
        "none",
        "b",
        "b",
        "a",
        "a",
    ]


def test_results_have_the_latency_of_eager_float32_at_the_runs_smallest_batch(
    made: Any, tmp_path: Path
) -> None:
    timings = [
        timing(4.0, defense="a"),
        timing(1.0, defense="a", engine="compile"),
        timing(2.0, defense="a", precision="bfloat16"),
        timing(3.0, defense="a", target="purifier"),
        timing(9.0, defense="a", batch_size=8),
        timing(defense="b", status="failed", reason="no luck"),
        timing(9.0, defense="b", batch_size=8),
    ]
    folder = folder_of(tmp_path, timings)
    for name in ("a", "b"):
        folder.save(made.record(name), made.outcome(np.ones(20)))
    found = Report.of(folder).results.set_index("defense")["latency_p50_ms"]
    assert found["a"] == 4.0
    assert pd.isna(found["b"])


ENGINES = (
    timing([2.0, 4.0, 6.0, 8.0, 10.0]),
    timing([1.0, 2.0, 3.0, 4.0, 5.0], engine="compile", agreement=Agreement(2e-7, 1.0, 32)),
    timing([6.0], precision="bfloat16", agreement=Agreement(0.0123, 0.96875, 32)),
    timing([0.5], target="purifier", engine="compile", agreement=Agreement(0.0, 1.0, 32)),
    timing(engine="cudagraph", reason="engine cudagraph needs CUDA"),
    timing(engine="cudagraph", target="purifier", reason="engine cudagraph needs CUDA"),
)


def test_engines_stand_beside_eager_float32() -> None:
    frame = engines_frame(latency_frame(ENGINES))
    names = ["target", "engine", "precision", "speedup", "speedup_low", "speedup_high"]
    rows = frame[names].to_numpy().tolist()
    assert rows[:3] == [
        ["pipeline", "eager", "float32", 1.0, 0.5, 2.0],
        ["pipeline", "eager", "bfloat16", 1.0, 4 / 6, 8 / 6],
        ["pipeline", "compile", "float32", 2.0, 1.0, 4.0],
    ]
    assert rows[3][:3] == ["purifier", "compile", "float32"]
    assert np.isnan(rows[3][3:]).all()  # there is no eager float32 of the purifier
    table = engines_table(frame)
    assert table["speedup"].tolist() == ["", "1 [0.667, 1.33]", "2 [1, 4]", ""]
    assert table["difference"].tolist() == ["", "1.2e-02", "2.0e-07", "0.0e+00"]
    assert table["alike"].tolist() == ["", "96.9% of 32", "100.0% of 32", "100.0% of 32"]


def test_eager_float32_alone_has_no_table_of_engines(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path, [timing(), timing(engine="cudagraph", reason="engine cudagraph needs CUDA")]
    )
    assert write_report(folder).engines.empty
    assert not list((folder.path / "tables").glob("engines*"))


def test_what_is_missing_or_doubtful_is_said_once() -> None:
    found = [
        *ENGINES,
        timing(1.0, defense="drifting", round=0),
        timing(1.2, defense="drifting", round=1),
        timing(1.0, defense="steady", round=0),
        timing(1.1, defense="steady", round=1),
        timing(defense="restless", stable=False, batch_size=8, engine="compile"),
        timing(defense="disturbed", conditions={"busy_elsewhere": 0.7}),
        timing(defense="left_alone", conditions={"busy_elsewhere": 0.2}),
        timing(9.0, defense="queued", events=[1.0]),
        timing(9.0, defense="fine", events=[8.9]),
    ]
    assert remarks(latency_frame(found)).splitlines() == [
        "2 timings skipped: engine cudagraph needs CUDA",
        "medians of rounds more than 15% apart: drifting pipeline, batch 1 (20%)",
        "not stable after the warm-up: restless pipeline, batch 8, compile",
        "classified otherwise than by eager float32: "
        "d pipeline, batch 1, eager bfloat16 (96.9% alike)",
        "other processes kept cores busy: disturbed pipeline, batch 1 (0.7)",
        "CUDA events disagree with the host's clock: queued pipeline, batch 1 (1 and 9 ms)",
    ]
    assert remarks(latency_frame([timing()])) == ""


def test_many_doubtful_rows_are_counted() -> None:
    frame = latency_frame([timing(defense=f"d{index}", stable=False) for index in range(9)])
    assert remarks(frame).endswith("; d5 pipeline, batch 1; and 3 more")


def test_the_latency_table_has_no_row_for_what_was_not_timed() -> None:
    table = latency_table(latency_frame([*ENGINES, timing(7.0, defense="e", batch_size=8)]))
    assert table["p50 ms, batch 8"].tolist() == ["", "", "", "", "7"]
    table = table[table["defense"] == "d"]
    assert table["engine"].tolist() == ["eager", "eager", "compile", "compile"]
    assert table["precision"].tolist() == ["float32", "bfloat16", "float32", "float32"]
    assert table["target"].tolist() == ["pipeline", "pipeline", "pipeline", "purifier"]
    assert table["p50 ms, batch 1"].tolist() == ["6", "6", "3", "0.5"]
    assert latency_table(latency_frame([ENGINES[4]])).empty


def test_a_run_without_cells_has_latency_alone(tmp_path: Path) -> None:
    timings = [
        timing(float(size), batch_size=size, target=t)
        for size in (1, 8)
        for t in ("purifier", "pipeline")
    ]
    folder = folder_of(tmp_path, [*timings, *ENGINES[1:]])
    report = write_report(folder)
    names = {path.name for path in (folder.path / "tables").iterdir()}
    ends = ("csv", "md", "tex")
    assert names == {f"{name}.{end}" for name in ("latency", "engines") for end in ends}
    assert {path.stem for path in (folder.path / "plots").iterdir()} == {"latency_batch_digits_cnn"}
    buffer = io.StringIO()
    print_tables(Console(file=buffer, width=250), report)
    assert "Accuracy" not in buffer.getvalue()
    assert buffer.getvalue().startswith("Latency per call")
    assert "2 timings skipped: engine cudagraph needs CUDA" in buffer.getvalue()


def test_an_empty_run_leaves_nothing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [])
    print_tables(Console(file=io.StringIO()), write_report(folder))
    assert not (folder.path / "tables").exists()
    assert not (folder.path / "plots").exists()


def test_plots_name_defenses_engines_and_the_front(made: Any, tmp_path: Path) -> None:
    names = ["none", "a:width=8"]
    timings = [
        timing(
            milliseconds * size**0.5, defense=name, batch_size=size, engine=engine, target=target
        )
        for name, start in zip(names, (0.2, 3.0), strict=True)
        for engine, milliseconds in (("eager", start), ("compile", start / 2))
        for size in (1, 8)
        for target in ("purifier", "pipeline")
    ]
    skipped = timing(defense="none", engine="cudagraph", reason="engine cudagraph needs CUDA")
    folder = folder_of(tmp_path, [*timings, skipped], names)
    for name, right in zip(names, (6, 17), strict=True):
        folder.save(made.record(name), made.outcome(np.arange(20) < right))
    drawn = {named.name: named.figure for named in figures(write_report(folder))}
    stems = ("accuracy_latency_digits_cnn_fgsm_graybox", "latency_batch_digits_cnn")
    for stem, more in zip(stems, ({"Pareto front"}, {"purifier", "pipeline"}), strict=True):
        texts = {text.get_text() for text in drawn[stem].findobj(Text)}
        assert {"none", "a", "eager", "compile", *more} <= texts
        assert "cudagraph" not in texts
        pixels = matplotlib.image.imread(folder.path / "plots" / f"{stem}.png")
        assert 0.005 < float((pixels[..., :3].min(axis=2) < 0.9).mean()) < 0.95


REPORT: Any = SimpleNamespace(names=RunNames(), looks=DefenseLooks())
"""What a figure takes from a report beside its rows."""


def test_the_front_is_a_step_line_through_the_points_that_no_other_beats_on_to_the_right_edge() -> (
    None
):
    points = {"fast": (1.0, 0.5), "beaten": (3.0, 0.4), "good": (4.0, 0.8), "slow": (9.0, 0.8)}
    rows = pd.DataFrame(
        {
            "defense": name,
            "p50_ms": ms,
            "p25_ms": 0.9 * ms,
            "p75_ms": 1.2 * ms,
            "robust_accuracy": right,
        }
        for name, (ms, right) in points.items()
    ).assign(engine="eager", precision="float32", device="cpu", batch_size=1, verdict="ok", eps=0.1)
    rows = rows.assign(robust_accuracy_low=rows["robust_accuracy"] - 0.1, robust_accuracy_high=0.9)
    (axes,) = accuracy_latency_figure(REPORT, rows, "robust_accuracy").axes
    (front,) = (line for line in axes.lines if line.get_drawstyle() == "steps-post")
    assert front.get_ydata().tolist() == [0.5, 0.8, 0.8]
    assert front.get_xdata().tolist() == [1.0, 4.0, axes.get_xlim()[1]]
    bars = [segments for container in axes.containers for segments in container.lines[2]]
    ends = [segments.get_segments()[0].tolist() for segments in bars[:2]]
    assert ends == [
        pytest.approx(np.array(e)) for e in ([[0.9, 0.5], [1.2, 0.5]], [[1.0, 0.4], [1.0, 0.9]])
    ]


def test_an_invalid_accuracy_is_crossed_and_off_the_front_a_suspect_one_hollow() -> None:
    rows = pd.DataFrame(
        {
            "defense": ["fast", "doubtful", "void"],
            "p50_ms": [1.0, 2.0, 3.0],
            "robust_accuracy": [0.5, 0.7, 0.9],
            "verdict": ["ok", "suspect", "invalid"],
        }
    ).assign(engine="eager", precision="float32", device="cpu", batch_size=1, eps=0.1)
    rows = rows.assign(p25_ms=rows["p50_ms"], p75_ms=rows["p50_ms"])
    rows = rows.assign(robust_accuracy_low=0.4, robust_accuracy_high=1.0)
    (axes,) = accuracy_latency_figure(REPORT, rows, "robust_accuracy").axes
    (front,) = (line for line in axes.lines if line.get_drawstyle() == "steps-post")
    assert front.get_ydata().tolist() == [0.5, 0.7, 0.7]
    faces = [container.lines[0].get_markerfacecolor() for container in axes.containers]
    assert [face == "white" for face in faces] == [False, True, True]
    (cross,) = (line for line in axes.lines if line.get_marker() == "x")
    assert cross.get_xydata().tolist() == [[3.0, 0.9]]

    figure = accuracy_latency_figure(REPORT, rows[2:], "robust_accuracy")
    (axes,) = figure.axes
    assert not [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert "invalid (!)" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_device_has_its_plots(made: Any, tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path,
        [timing(device=device, batch_size=n) for device in ("cpu", "cuda:0") for n in (1, 2)],
    )
    folder.save(made.record(), made.outcome(np.ones(20)))
    write_report(folder)
    found = {path.stem for path in (folder.path / "plots").glob("*.png") if "latency" in path.stem}
    start = "accuracy_latency_digits_cnn_fgsm_graybox"
    assert found == {
        f"{stem}_{d}" for stem in (start, "latency_batch_digits_cnn") for d in ("cpu", "cuda-0")
    }
