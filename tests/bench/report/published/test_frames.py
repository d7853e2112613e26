"""A run beside published numbers, worked by hand on made-up frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from bench.report.accuracy.frame import RESULT_COLUMNS
from bench.report.latency.frame import LATENCY_COLUMNS
from bench.report.published import PublishedComparison, write_published
from bench.report.published.accuracies import accuracies_frame
from bench.report.published.curve_figures import curve_figures
from bench.report.published.curves import curves_frame
from bench.report.published.equal_strength import equal_strength_frame
from bench.report.published.latencies import latencies_frame
from bench.report.published.matching import NOT_IN_RUN
from bench.report.published.publication import Publication, PublishedFigure, Source
from bench.report.published.tables import published_tables
from bench.report.report import Report


def figure(
    accuracy: float | None, eps: str | None = "0.20", defense: str = "none", **changes: Any
) -> PublishedFigure:
    """Published on MNIST under FGSM, gray-box, unless said otherwise; without an epsilon, clean."""
    attacked = {
        "attack": "fgsm",
        "norm": "linf",
        "threat_printed": "white-box",
        "threat": "graybox",
    }
    content = {
        **{
            "source": "s",
            "table": "1",
            "dataset": "mnist",
            "classifier": "VGG",
            "defense": defense,
        },
        **(attacked if eps else dict.fromkeys(attacked)),
        **{
            "epsilon": eps,
            "eps": float(eps) if eps else None,
            "scale": "unstated",
            "accuracy": accuracy,
        },
        **{"latency_s": None, "device": None, "evidence": "verified", "note": ""},
        **changes,
    }
    return PublishedFigure.model_validate(content)


def cell(
    eps: float,
    undefended: float,
    robust: float | None = None,
    defense: str = "none",
    **changes: Any,
) -> Any:
    """A row of results.csv, with intervals 0.05 to either side."""
    robust = undefended if robust is None else robust
    accuracies = {
        **{
            "undefended_clean_accuracy": 0.99,
            "clean_accuracy": 0.99 if defense == "none" else 0.97,
        },
        **{"undefended_robust_accuracy": undefended, "robust_accuracy": robust},
    }
    ends = {
        f"{n}{end}": v + by
        for n, v in accuracies.items()
        for end, by in (("", 0), ("_low", -0.05), ("_high", 0.05))
    }
    labels = {
        "dataset": "mnist",
        "classifier": "net",
        "defense": defense,
        "attack": "fgsm",
        "eps": eps,
        "seed": 0,
    }
    state = {
        "threat": "graybox",
        "norm": "linf",
        "n": 100,
        "verdict": "ok",
        "reasons": "",
        "status": "ok",
        "reason": "ok",
        "trained_for": None,
        "trained_eps": None,
    }
    row = {**labels, **state, **ends, **changes}
    axes = ("defense", "attack", "threat")
    return {**row, **{f"{axis}_name": row[axis].partition(":")[0] for axis in axes}}


def frame(*rows: Any) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(RESULT_COLUMNS))


def shown(found: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    return [
        tuple(None if pd.isna(v) else v for v in row)
        for row in found[list(columns)].itertuples(index=False)
    ]


def test_an_epsilon_is_looked_up_on_both_scales() -> None:
    found = accuracies_frame(frame(cell(0.2, 0.5), cell(0.1, 0.8)), [figure(0.75)])
    assert shown(found, "scale", "eps", "ours", "ours_low", "ours_high", "state") == [
        ("[0, 1]", 0.2, 0.5, pytest.approx(0.45), pytest.approx(0.55), ""),
        ("[-1, 1]", 0.1, 0.8, pytest.approx(0.75), pytest.approx(0.85), ""),
    ]
    assert found["difference"].tolist() == pytest.approx([-0.25, 0.05])


@pytest.mark.parametrize(("scale", "eps"), [("[0, 1]", 0.2), ("[-1, 1]", 0.1)])
def test_a_stated_scale_is_the_only_one(scale: str, eps: float) -> None:
    found = accuracies_frame(frame(cell(0.2, 0.5), cell(0.1, 0.8)), [figure(0.75, scale=scale)])
    assert shown(found, "scale", "eps") == [(scale, eps)]


def test_what_the_run_lacks_is_told_never_dropped() -> None:
    rows = [cell(0.1, 0.8), cell(0.3, 0.2, defense="convae", status="failed", reason="it raised")]
    wanted = [
        figure(0.7),
        figure(0.1, "1.50"),
        figure(0.9, "0.30", "convae"),
        figure(0.4, dataset="fashion_mnist"),
    ]
    found = accuracies_frame(frame(*rows), wanted)
    assert found["state"].tolist() == [
        *(NOT_IN_RUN, ""),
        *("an epsilon above 1 is none on [0, 1]", NOT_IN_RUN),
        *("failed: it raised", NOT_IN_RUN),
        *(NOT_IN_RUN, NOT_IN_RUN),
    ]
    assert found["ours"].isna().tolist() == [True, False, *[True] * 6]


def test_nothing_at_all_in_the_run_is_told_too() -> None:
    found = accuracies_frame(frame(), [figure(0.7), figure(0.99, None)])
    assert found["state"].tolist() == [NOT_IN_RUN] * 3
    assert curves_frame(frame(), [figure(0.7)]).empty
    assert equal_strength_frame(frame(), [figure(0.7), figure(0.9, defense="convae")])[
        "state"
    ].tolist() == [NOT_IN_RUN]


def test_clean_figures_have_no_scale() -> None:
    rows = [cell(0.2, 0.5), cell(0.2, 0.5, 0.9, "convae:eps=0.3")]
    found = accuracies_frame(
        frame(*rows), [figure(0.98, "0.00"), figure(0.95, None), figure(0.9, None, "convae")]
    )
    assert shown(found, "scale", "ours", "our_defense") == [
        ("", 0.99, "none"),
        ("", 0.99, "none"),
        ("", 0.97, "convae:eps=0.3"),
    ]


def test_only_the_same_attack_norm_and_threat_model_match() -> None:
    others = [
        cell(0.2, 0.1, attack="pgd"),
        cell(0.2, 0.1, norm="l2"),
        cell(0.2, 0.1, threat="whitebox:eot=3"),
        cell(0.2, 0.1, dataset="digits"),
    ]
    assert accuracies_frame(frame(*others), [figure(0.7, scale="[0, 1]")])["state"].tolist() == [
        NOT_IN_RUN
    ]
    specified = cell(0.2, 0.5, attack="fgsm:x=1")
    assert (
        accuracies_frame(frame(*others, specified), [figure(0.7)])["our_attack"].tolist()[0]
        == "fgsm:x=1"
    )


def test_every_spec_classifier_and_seed_of_ours_has_a_row() -> None:
    rows = [
        cell(0.2, 0.5),
        cell(0.2, 0.5, 0.9, "convae:eps=0.3"),
        cell(0.2, 0.5, 0.8, "convae:eps=0.1"),
        cell(0.2, 0.4, 0.7, "convae:eps=0.3", classifier="other"),
        cell(0.2, 0.3, 0.6, "convae:eps=0.3", seed=1),
        cell(0.2, 0.5, 0.2, "convaes"),
    ]
    found = accuracies_frame(frame(*rows), [figure(0.9, defense="convae", scale="[0, 1]")])
    assert found["ours"].tolist() == [0.9, 0.8, 0.7, 0.6]
    undefended = accuracies_frame(frame(*rows), [figure(0.9, scale="[0, 1]")])
    assert shown(undefended, "classifier", "seed", "ours") == [
        ("net", 0, 0.5),
        ("other", 0, 0.4),
        ("net", 1, 0.3),
    ]


def test_the_distance_of_a_curve_by_hand() -> None:
    """Printed .2 and .4: ours are .6 and .2 on [0, 1], and .9 and .6, at .1 and .2, on [-1, 1]."""
    printed = [figure(0.8, "0.20"), figure(0.4, "0.40"), figure(0.05, "1.50"), figure(0.99, "0.00")]
    rows = [cell(0.1, 0.9), cell(0.2, 0.6), cell(0.4, 0.2)]
    found = curves_frame(frame(*rows), printed)
    columns = ("scale", "matched", "possible", "shared", "fits")
    assert shown(found, *columns) == [("[0, 1]", 2, 2, 2, "worse"), ("[-1, 1]", 2, 3, 2, "better")]
    assert found["distance"].tolist() == pytest.approx([(0.2 + 0.2) / 2, (0.1 + 0.2) / 2])
    assert found["shared_distance"].tolist() == pytest.approx(found["distance"].tolist())


def test_scales_are_compared_on_the_epsilons_that_both_have() -> None:
    """At 0.75, printed as 1.50, only [-1, 1] has a budget: its gain there does not count."""
    printed = [figure(0.8, "0.20"), figure(0.05, "1.50")]
    rows = [cell(0.1, 0.5), cell(0.2, 0.7), cell(0.75, 0.05)]
    found = curves_frame(frame(*rows), printed)
    assert found["distance"].tolist() == pytest.approx([0.1, 0.15])
    assert found["shared_distance"].tolist() == pytest.approx([0.1, 0.3])
    assert shown(found, "shared", "fits") == [(1, "better"), (1, "worse")]


def test_no_scale_fits_where_none_can_be_compared() -> None:
    found = curves_frame(frame(cell(0.2, 0.7)), [figure(0.8, "0.20")])
    assert shown(found, "matched", "shared", "shared_distance", "fits") == [
        (1, 0, None, ""),
        (0, 0, None, ""),
    ]


def test_a_curve_averages_seeds_and_reads_it_off_any_defense() -> None:
    rows = [
        cell(0.2, 0.6, 0.9, "convae"),
        cell(0.2, 0.8, 0.9, "convae", seed=1),
        cell(0.2, 0.1, threat="bpda"),
    ]
    found = curves_frame(frame(*rows), [figure(0.5, "0.20")])
    assert found["distance"].tolist()[0] == pytest.approx(0.2)


def at_equal_strength(*rows: Any, published: float = 0.8, level: float = 0.3) -> pd.DataFrame:
    return equal_strength_frame(
        frame(*rows), [figure(level), figure(published, defense="convae", table="2")]
    )


def test_the_comparison_is_at_the_smallest_epsilon_that_is_as_strong() -> None:
    undefended = {0.1: 0.9, 0.15: 0.3, 0.2: 0.1}
    rows = [cell(eps, left, 0.9 - eps, "convae") for eps, left in undefended.items()]
    found = at_equal_strength(*rows)
    assert shown(found, "eps", "our_undefended_robust_accuracy", "ours", "clean_accuracy") == [
        (0.15, 0.3, 0.75, 0.97)
    ]


@pytest.mark.parametrize(
    ("ours", "outcome"), [(0.86, "above"), (0.84, "level"), (0.76, "level"), (0.74, "below")]
)
def test_above_and_below_need_the_whole_interval(ours: float, outcome: str) -> None:
    assert at_equal_strength(cell(0.1, 0.2, ours, "convae"))["outcome"].tolist() == [outcome]


def test_a_suspect_number_wins_with_a_question_mark() -> None:
    assert at_equal_strength(cell(0.1, 0.2, 0.99, "convae", verdict="suspect"))[
        "outcome"
    ].tolist() == ["above ?"]


def test_an_attack_that_is_no_measure_sets_no_level() -> None:
    """At 0.1 the bare classifier looks weak in an invalid cell: the next epsilon is taken."""
    rows = [cell(0.1, 0.2, verdict="invalid"), cell(0.1, 0.2, 0.9, "convae")]
    rows += [cell(0.15, 0.1, verdict="suspect"), cell(0.15, 0.1, 0.9, "convae")]
    assert shown(
        at_equal_strength(*rows), "eps", "our_undefended_robust_accuracy", "undefended_verdict"
    ) == [(0.15, 0.1, "suspect")]
    assert at_equal_strength(*rows[:2])["state"].tolist() == ["every verdict is invalid"]
    curve = curves_frame(frame(*rows), [figure(0.5, "0.15"), figure(0.5, "0.10")])
    assert curve["matched"].tolist() == [1, 0]


def test_an_epsilon_without_a_number_is_told_at_a_smaller_epsilon_than_the_chosen() -> None:
    failed = [
        cell(0.1, np.nan, np.nan, name, status="failed", reason="oom")
        for name in ("none", "convae")
    ]
    found = at_equal_strength(*failed, cell(0.2, 0.1), cell(0.2, 0.1, 0.9, "convae"))
    assert shown(found, "eps", "ours", "state") == [
        (0.2, 0.9, "the undefended accuracy at 0.1 is unknown")
    ]


def test_a_failed_cell_keeps_its_row_beside_an_ok_one() -> None:
    rows = [
        cell(0.2, 0.2),
        cell(0.2, 0.2, 0.9, "convae:eps=0.3"),
        cell(0.2, np.nan, np.nan, "convae:eps=0.6", status="failed", reason="oom"),
    ]
    expected = [("convae:eps=0.3", 0.9, ""), ("convae:eps=0.6", None, "failed: oom")]
    published = [figure(0.3), figure(0.8, defense="convae", scale="[0, 1]")]
    assert (
        shown(accuracies_frame(frame(*rows), published[1:]), "our_defense", "ours", "state")
        == expected
    )
    assert (
        shown(equal_strength_frame(frame(*rows), published), "our_defense", "ours", "state")
        == expected
    )


def test_what_was_trained_for_the_tested_attack_stands_first() -> None:
    trained = {
        "convae:a": ("pgd:steps=3", 0.2),
        "convae:b": ("fgsm", 0.6),
        "convae:c": ("pgd,fgsm", 0.2),
        "convae:d": ("fgsm", 0.3),
    }
    rows = [
        cell(0.2, 0.2, 0.9, name, trained_for=attacks, trained_eps=eps)
        for name, (attacks, eps) in trained.items()
    ]
    found = accuracies_frame(frame(*rows), [figure(0.8, defense="convae", scale="[0, 1]")])
    assert shown(found, "our_defense", "training") == [
        ("convae:c", "this attack and epsilon"),
        ("convae:d", "this attack, other epsilon"),
        ("convae:b", "this attack, other epsilon"),
        ("convae:a", "another attack"),
    ]
    assert at_equal_strength(*rows)["our_defense"].tolist() == [
        "convae:c",
        "convae:d",
        "convae:b",
        "convae:a",
    ]


def test_an_undefended_number_has_the_verdict_of_its_own_cell() -> None:
    own = cell(0.2, 0.5, verdict="suspect", reasons="weaker than at eps 0.1")
    others = [cell(0.2, 0.5, 0.9, "convae", verdict="invalid"), own]
    found = accuracies_frame(frame(*others), [figure(0.75, scale="[0, 1]")])
    assert shown(found, "verdict", "reasons") == [("suspect", "weaker than at eps 0.1")]
    assert accuracies_frame(frame(others[0]), [figure(0.75, scale="[0, 1]")])[
        "verdict"
    ].tolist() == [""]


def test_a_number_that_is_no_measure_wins_nothing() -> None:
    found = at_equal_strength(cell(0.1, 0.2, 0.99, "convae", verdict="invalid"))
    assert shown(found, "ours", "outcome") == [(0.99, "")]


def test_a_comparison_that_cannot_be_held_says_why() -> None:
    weak = at_equal_strength(cell(0.1, 0.42, 0.9, "convae"))
    assert shown(weak, "classifier", "ours", "state") == [
        ("net", None, "no epsilon of this run: the lowest undefended accuracy is 0.420")
    ]
    assert shown(
        at_equal_strength(cell(0.1, 0.2)), "eps", "our_undefended_robust_accuracy", "state"
    ) == [(0.1, 0.2, NOT_IN_RUN)]
    failed = cell(0.1, np.nan, np.nan, "convae", status="failed", reason="it raised")
    assert at_equal_strength(cell(0.1, 0.2), failed)["state"].tolist() == ["failed: it raised"]


def test_a_defense_of_two_tables_contends_once() -> None:
    figures = [
        figure(0.3),
        figure(0.8, defense="convae", table="2"),
        figure(0.8, defense="convae", table="3"),
    ]
    found = equal_strength_frame(frame(cell(0.1, 0.2, 0.9, "convae")), figures)
    assert found["table"].tolist() == ["2, 3"]


def test_without_an_undefended_figure_there_is_no_comparison() -> None:
    assert equal_strength_frame(
        frame(cell(0.1, 0.2, 0.9, "convae")), [figure(0.8, defense="convae")]
    ).empty


def timing(defense: str, p50: float, batch_size: int = 1, **changes: Any) -> dict[str, Any]:
    labels = {
        "dataset": "mnist",
        "classifier": "net",
        "defense": defense,
        "engine": "eager",
        "precision": "float32",
    }
    how = {
        "device": "cpu",
        "target": "pipeline",
        "batch_size": batch_size,
        "calls": 30,
        "status": "ok",
    }
    labels["defense_name"] = defense.partition(":")[0]
    return {**labels, **how, "p50_ms": p50, "p25_ms": 0.9 * p50, "p75_ms": 1.1 * p50, **changes}


def test_latency_is_beside_ours_at_batch_size_1() -> None:
    rows = [
        timing("convae:width=8", 2.0),
        timing("convae:width=8", 1.0, target="purifier", device="cuda"),
        timing("convae:width=8", 64.0, 32),
        timing("convae:width=9", np.nan, status="failed", reason="oom"),
        timing("convae:width=9", np.nan, status="skipped", reason="no CUDA", engine="cudagraph"),
        timing("none", 1.0),
    ]
    published = [
        figure(0.9, defense="convae", latency_s=0.008),
        figure(0.8, defense="puvae", latency_s=0.11),
    ]
    found = latencies_frame(
        pd.DataFrame(rows, columns=list(LATENCY_COLUMNS)), [*published, figure(0.5)]
    )
    assert shown(
        found, "defense", "seconds", "target", "device", "p50_seconds", "ratio", "state"
    ) == [
        ("convae", 0.008, "pipeline", "cpu", pytest.approx(0.002), pytest.approx(4), ""),
        ("convae", 0.008, "purifier", "cuda", pytest.approx(0.001), pytest.approx(8), ""),
        ("convae", 0.008, "pipeline", "cpu", None, None, "failed: oom"),
        ("puvae", 0.11, None, None, None, None, NOT_IN_RUN),
    ]


SOURCE = Source(
    title="T", authors="A", venue="V", arxiv=None, code=None, read="all", note="Mind the scale."
)
FIGURES = (
    figure(0.98, "0.00", table="1(a)"),
    figure(0.75, table="1(a)"),
    figure(0.4, dataset="fashion_mnist", table="1(a)"),
    figure(
        0.9, defense="convae", table="2", evidence="summary", latency_s=0.008, note="Some remark."
    ),
)
ROWS = (
    cell(0.1, 0.8),
    cell(0.2, 0.5),
    cell(0.2, 0.5, 0.9, "convae:eps=0.3", verdict="suspect"),
)


@pytest.fixture
def comparison() -> PublishedComparison:
    empty = pd.DataFrame()
    latency = pd.DataFrame([timing("convae:eps=0.3", 2.0)], columns=list(LATENCY_COLUMNS))
    tables = (frame(*ROWS), empty, latency, *[empty] * 9)
    report = Report((), *tables, invalid=0, machines=("a machine",))
    return PublishedComparison.of(
        report, "made", Publication(sources={"s": SOURCE}, figures=FIGURES)
    )


def test_the_tables_of_a_publication(comparison: PublishedComparison, tmp_path: Path) -> None:
    assert [each.name.removeprefix("against_made_") for each in published_tables(comparison)] == [
        *("table1a", "table2", "curves", "equal_strength", "latency")
    ]
    write_published(tmp_path, comparison)
    folder = tmp_path / "tables"
    text = {path.name.removeprefix("against_made_"): path.read_text() for path in folder.iterdir()}
    assert text["table1a.md"].count("| mnist") == 3
    assert text["table1a.md"].count(NOT_IN_RUN) == 2
    assert "0.500 [0.450, 0.550]" in text["table1a.md"]
    assert "-0.250" in text["table1a.md"]
    assert "0.9000 (from a summary)" in text["table2.md"]
    assert "0.900 [0.850, 0.950] ?" in text["table2.md"]
    assert "convae:eps=0.3" in text["table2.md"]
    assert "Some remark." in text["table2.md"]
    assert "Mind the scale." in text["curves.md"]
    assert "on a machine" in text["equal_strength.md"]
    assert "better" in text["curves.md"]
    assert "level" in text["equal_strength.md"]
    assert "not stated" in text["latency.md"]
    assert len(pd.read_csv(folder / "against_made_accuracies.csv")) == len(comparison.accuracies)
    assert {name for name in text if name.endswith(".csv")} == {
        *("accuracies.csv", "curves.csv", "equal_strength.csv", "latency.csv"),
        *("table1a.csv", "table2.csv"),
    }


def test_a_table_holds_one_data_set_after_the_other(comparison: PublishedComparison) -> None:
    first = next(published_tables(comparison)).frame
    assert first["dataset"].tolist() == ["mnist"] * 3 + ["fashion_mnist"] * 2


def test_the_plot_stretches_our_curve_to_the_printed_epsilon(
    comparison: PublishedComparison,
) -> None:
    (named,) = curve_figures(comparison)
    (axes,) = named.figure.axes
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    assert named.name == "against_made_net"
    assert lines["made, as printed"].get_xydata().tolist() == [[0, 0.98], [0.2, 0.75]]  # type: ignore[union-attr]
    points = [
        lines[f"this run, if printed on {scale}"].get_xydata() for scale in ("[0, 1]", "[-1, 1]")
    ]
    np.testing.assert_allclose(points[0], [[0, 0.99], [0.1, 0.8], [0.2, 0.5]])
    np.testing.assert_allclose(points[1], [[0, 0.99], [0.2, 0.8], [0.4, 0.5]])


def test_the_plot_is_written_where_the_run_has_the_attack(
    comparison: PublishedComparison, tmp_path: Path
) -> None:
    write_published(tmp_path, comparison)
    other = frame(cell(0.2, 0.5, attack="pgd"))
    publication = comparison.publication
    of_pgd = PublishedComparison.of(replace(comparison.report, results=other), "pgd", publication)
    write_published(tmp_path, of_pgd)
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "against_made_net.png",
    ]
    assert matplotlib.image.imread(tmp_path / "plots" / "against_made_net.png").std() > 0.05
