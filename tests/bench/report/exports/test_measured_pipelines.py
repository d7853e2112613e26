"""What every format gets of a run."""

from __future__ import annotations

import io

import pandas as pd

from bench.report.exports import formats
from bench.report.exports.pipelines import MeasuredPipeline


def test_a_pipeline_is_one_for_each_seed_and_void_or_failed_ones_are_left_out(
    measured: list[MeasuredPipeline],
) -> None:
    names = [(each.pipeline.defense, each.pipeline.seed) for each in measured]
    assert sorted(names) == [
        *(("convae:width=8", 0), ("convae:width=8", 1), ("none", 0), ("none", 1)),
    ]


def test_accuracies_are_shares_of_the_images(measured: list[MeasuredPipeline]) -> None:
    for each in measured:
        assert (each.n, each.clean.value) == (40, 38 / 40)
        robust = {(attack.attack, attack.threat): attack.robust.value for attack in each.attacks}
        if each.undefended:
            assert robust == {("fgsm", "graybox"): 0.25}
        else:
            assert robust["fgsm", "graybox"] == (30 - (each.pipeline.seed or 0)) / 40
            assert robust["pgd:steps=10", "whitebox"] == 0.5
        assert all(share.low < share.value < share.high for share in (each.clean,))


def test_a_worst_case_is_that_of_its_norm_and_says_what_is_to_doubt(
    measured: list[MeasuredPipeline],
) -> None:
    (defended,) = (each for each in measured if not each.undefended and not each.pipeline.seed)
    budgets = {budget.norm: budget for budget in defended.budgets}
    assert {norm: budget.worst.value for norm, budget in budgets.items()} == {
        "linf": 0.5,
        "l2": 36 / 40,
    }
    assert budgets["l2"].basis == "gray-box only"
    assert "no valid attack saw the defense" in budgets["l2"].doubts


def test_of_a_data_set_with_a_path_the_name_alone_is_handed_on(
    measured: list[MeasuredPipeline],
) -> None:
    for each in measured:
        assert each.pipeline.dataset == "npz"
        assert "secret" not in repr(each.pipeline) + repr(each.parameters) + repr(each.provenance)
        assert not any("secret" in text for text in each.tables.values())


def test_tables_have_the_rows_of_the_pipeline_alone(measured: list[MeasuredPipeline]) -> None:
    for each in measured:
        results = pd.read_csv(io.StringIO(each.tables["results"]))
        assert set(results["defense"]) == {each.pipeline.defense}
        assert set(results["seed"]) == {each.pipeline.seed}
        assert ("latency" in each.tables) == each.undefended
        assert each.latency == (
            {"latency_p50_ms": 2.0, "latency_p95_ms": 2.0} if each.undefended else {}
        )


def test_parameters_and_machine_come_with_it(measured: list[MeasuredPipeline]) -> None:
    for each in measured:
        assert each.parameters == {"classifier.width": 8, "defense.steps": [1, 2]}
        assert each.provenance["run"] == "my-run"
        assert each.provenance["device"] == "some processor"
        assert "package_version" not in each.provenance  # not recorded


def test_formats_are_found_by_their_name() -> None:
    assert list(formats()) == ["mlflow", "model-index", "robustbench", "wandb"]
