"""One trained network at several values of parameters that it was not trained with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.verdict import Verdict
from bench.records.folder import RunFolder
from bench.records.pipeline import Pipeline
from bench.records.timing import Samples, TimedCall, Timing
from bench.report import write_report
from bench.report.latency.frame import latency_frame
from bench.report.naming import RunNames
from bench.report.scaling.figures import scaling_figures
from bench.report.scaling.frame import scaling_frame
from bench.report.scaling.tables import scaling_table
from bench.report.writers import NamedFigure


def cell(
    made: Any, count: int, digest: str | None = "1" * 64, name: str = "gan", **given: Any
) -> EvaluatedCell:
    """20 images, so many right.

    Everything in `given` that is no label is a parameter of the defense.
    """
    labels = {
        key: given.pop(key)
        for key in ("attack", "eps", "threat", "seed", "dataset")
        if key in given
    }
    spec = ":".join([name, *(f"{key}={value}" for key, value in given.items())])
    result = made.record(spec, **labels, parameters={"defense": {"width": 8, **given}})
    networks = {"classifier": "c" * 64, **({} if digest is None else {"defense": digest})}
    return EvaluatedCell(replace(result, networks=networks), made.outcome(np.arange(20) < count))


def timing(defense: str, size: int, milliseconds: float, **changes: Any) -> Timing:
    pipeline = Pipeline("digits", "cnn", defense)
    engine, target = changes.get("engine", "eager"), changes.get("target", "pipeline")
    subject = TimedCall(pipeline, target, size, engine, "float32", "cpu", 0)
    seconds = tuple(milliseconds * factor / 1e3 for factor in (0.9, 1.0, 1.3))
    return Timing(subject, "ok", samples=Samples(seconds, (), 3, True, None, None))


NOTHING_TIMED = latency_frame([])


def frame_of(cells: list[EvaluatedCell], latency: pd.DataFrame) -> pd.DataFrame:
    """The frame with the verdict `ok` on every cell."""
    return scaling_frame(cells, {cell.record.key: Verdict("ok") for cell in cells}, latency)


def figures_of(frame: pd.DataFrame) -> list[NamedFigure]:
    """The figures of a report that has nothing but this frame."""
    report: Any = SimpleNamespace(scaling=frame, names=RunNames())
    return list(scaling_figures(report))


def grid(made: Any, **labels: Any) -> list[EvaluatedCell]:
    return [
        cell(made, 5 + restarts + steps // 10, restarts=restarts, steps=steps, **labels)
        for restarts in (1, 4)
        for steps in (10, 30)
    ]


def test_the_parameters_that_differ_are_the_varied_ones(made: Any) -> None:
    frame = frame_of(grid(made), NOTHING_TIMED)
    assert frame["varied"].unique().tolist() == ["restarts,steps"]
    assert frame["fixed"].unique().tolist() == ["width=8"]
    assert frame[["restarts", "steps"]].to_numpy().tolist() == [[1, 10], [1, 30], [4, 10], [4, 30]]
    assert frame["robust_accuracy"].tolist() == pytest.approx([7 / 20, 9 / 20, 10 / 20, 12 / 20])
    assert frame["clean_accuracy"].tolist() == [1.0] * 4
    assert frame["p50_ms"].isna().all()


def test_another_network_another_defense_or_another_attack_is_no_scaling(made: Any) -> None:
    cells = [
        cell(made, 9, "1" * 64, epochs=1),
        cell(made, 9, "two", epochs=2),
        cell(made, 9, "same", name="other", restarts=1),
        cell(made, 9, "same", name="another", restarts=2),
        cell(made, 9, "three", restarts=1, attack="pgd"),
        cell(made, 9, "three", restarts=2, attack="fgsm"),
        cell(made, 9, "four", restarts=5),
        cell(made, 9, "four", restarts=5, eps=0.2),
        cell(made, 9, None, restarts=1),
        cell(made, 9, None, restarts=2),
    ]
    assert frame_of(cells, NOTHING_TIMED).empty


def test_seeds_have_networks_of_their_own_and_do_not_mix(made: Any) -> None:
    cells = [*grid(made, seed=0, digest="one"), *grid(made, seed=1, digest="two")[:2]]
    frame = frame_of(cells, NOTHING_TIMED)
    assert frame.groupby("seed")["network"].unique().map(list).to_dict() == {0: ["one"], 1: ["two"]}
    assert frame["varied"].unique().tolist() == [
        "restarts,steps"
    ]  # though seed 1 has one value of restarts
    table = scaling_table(frame)
    assert table["seed"].tolist() == [0, 0, 0, 0, 1, 1]


def test_latency_is_of_the_pipeline_in_eager_float32_at_the_smallest_and_largest_batch(
    made: Any,
) -> None:
    cells = grid(made)
    specs = [each.record.labels["defense"] for each in cells]
    times = [
        timing(spec, size, size * (1.0 + place))
        for place, spec in enumerate(specs)
        for size in (1, 8, 32)
    ]
    times += [
        timing(specs[0], 1, 0.1, engine="compile"),
        timing(specs[0], 1, 0.1, target="purifier"),
    ]
    frame = frame_of(cells, latency_frame(times))
    assert frame["p50_ms"].tolist() == pytest.approx([1, 2, 3, 4])
    assert frame["largest_p50_ms"].tolist() == pytest.approx([32, 64, 96, 128])
    table = scaling_table(frame)
    assert list(table.columns[-6:]) == [
        *(
            "restarts",
            "steps",
            "clean accuracy",
            "robust accuracy",
            "p50 ms, batch 1",
            "p50 ms, batch 32",
        ),
    ]
    assert table["p50 ms, batch 32"].tolist() == ["32", "64", "96", "128"]
    assert table["robust accuracy"].iloc[0] == "0.350 [0.181, 0.567]"
    once = frame_of(cells, latency_frame([timing(spec, 1, 1.0) for spec in specs]))
    assert once["largest_p50_ms"].isna().all()
    assert [title for title in scaling_table(once).columns if "p50" in title] == ["p50 ms, batch 1"]


def test_a_parameter_called_like_a_column_says_whose_it_is(made: Any) -> None:
    cells = [cell(made, 9), cell(made, 9)]
    for number, each in enumerate(cells):
        parameters = {"defense": {"seed": number}}
        cells[number] = EvaluatedCell(replace(each.record, parameters=parameters), each.outcome)
    frame = frame_of(cells, NOTHING_TIMED)
    assert frame["seed"].tolist() == [0, 0]
    assert frame["defense seed"].tolist() == [0, 1]


def test_two_numbers_are_maps_one_is_lines_words_are_a_table_alone(made: Any) -> None:
    cases = {
        2: grid(made),
        1: [cell(made, 9, steps=steps) for steps in (10, 100, 200)],
        0: [cell(made, 9, start=start) for start in ("mean", "noise")],
    }
    for panels, cells in cases.items():
        times = latency_frame([timing(each.record.labels["defense"], 1, 2.0) for each in cells])
        figures = figures_of(frame_of(cells, times))
        assert len(figures) == (panels > 0)
        assert all(each.name == "scaling_digits_cnn_fgsm_graybox_eps0.1_gan" for each in figures)
        if panels == 2:
            accuracy, latency = figures[0].figure.axes[:2]
            assert [text.get_text() for text in accuracy.texts] == ["0.35", "0.45", "0.50", "0.60"]
            assert [text.get_text() for text in latency.texts] == ["2"] * 4
            assert (accuracy.get_ylabel(), accuracy.get_xlabel()) == ("restarts", "steps")
        if panels == 1:
            accuracy, latency = figures[0].figure.axes
            assert accuracy.lines[0].get_xdata().tolist() == [10, 100, 200]
            assert accuracy.lines[1].get_ydata().tolist() == pytest.approx([0.45] * 3)
            assert latency.lines[0].get_ydata().tolist() == pytest.approx([2.0] * 3)


def test_a_defense_trained_in_two_ways_has_two_figures(made: Any) -> None:
    cells = [
        *grid(made),
        *(cell(made, 9, "wide", width=64, restarts=1, steps=steps) for steps in (10, 30)),
    ]
    frame = frame_of(cells, NOTHING_TIMED)
    stem = "scaling_digits_cnn_fgsm_graybox_eps0.1_gan"
    assert [each.name for each in figures_of(frame)] == [stem, f"{stem}_2"]
    assert "network" in scaling_table(frame).columns


def test_a_run_with_scaling_has_its_table_and_figure(made: Any, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    for each in [*grid(made), cell(made, 9, name="plain")]:
        folder.save(each.record, each.outcome)
        folder.save_timing(timing(each.record.labels["defense"], 1, 1.0))
    write_report(folder)
    assert len(pd.read_csv(folder.path / "tables" / "scaling.csv")) == 4
    assert (folder.path / "tables" / "scaling_gan.md").read_text().count("\n|") == 5
    assert (
        folder.path / "plots" / "scaling_digits_cnn_fgsm_graybox_eps0.1_gan.png"
    ).stat().st_size > 1000


@pytest.mark.parametrize("varied", [["restarts"], ["restarts", "steps"]])
def test_a_doubtful_accuracy_is_marked_in_table_and_figure(made: Any, varied: list[str]) -> None:
    cells = [
        cell(made, count, **dict.fromkeys(varied, value))
        for value, count in ((1, 5), (4, 10), (10, 20))
    ]
    levels = ("ok", "suspect", "invalid")
    found = {
        each.record.key: Verdict(level)  # type: ignore[arg-type]
        for each, level in zip(cells, levels, strict=True)
    }
    frame = scaling_frame(cells, found, NOTHING_TIMED)
    assert frame["verdict"].tolist() == list(levels)
    ends = [text.rpartition("]")[2] for text in scaling_table(frame)["robust accuracy"]]
    assert ends == ["", " ?", " !"]

    (named,) = figures_of(frame)
    axes = named.figure.axes[0]
    if len(varied) == 2:
        assert {text.get_text() for text in axes.texts} == {"0.25", "0.50 ?", "1.00 !"}
    else:
        labels = [text.get_text() for text in axes.figure.legends[0].get_texts()]
        assert labels == ["clean accuracy", "robust accuracy", "suspect (?)", "invalid (!)"]
