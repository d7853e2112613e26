"""The formats `mlflow` and `wandb`: with stand-ins, and with the libraries where they are."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import RequestError, StorageError
from bench.report.escapes import metric_name
from bench.report.exports import formats, mlflow, wandb
from bench.report.exports.pipelines import MeasuredPipeline
from bench.report.exports.tracked import TrackedRun
from bench.store.tree import Tree

METRICS = {
    "clean_accuracy": 0.95,
    "worst_case_accuracy/linf/0.1": 0.5,
    "worst_case_accuracy/l2/0.5": 0.9,
    "robust_accuracy/fgsm/0.1/graybox": 0.75,
    "robust_accuracy/pgd-steps:10/0.1/whitebox": 0.5,
    "robust_accuracy/cw/0.5/graybox": 0.9,
}
"""Numbers of ConvAE with seed 0, without the ends of intervals."""


@pytest.fixture
def defended(measured: list[MeasuredPipeline]) -> MeasuredPipeline:
    return next(each for each in measured if not each.undefended and each.pipeline.seed == 0)


def without_ends(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.endswith(("_low", "_high"))}


def test_a_tracked_run_has_numbers_parameters_and_a_key_of_all(
    defended: MeasuredPipeline,
) -> None:
    run = TrackedRun.of(defended)
    assert without_ends(dict(run.metrics)) == METRICS
    assert run.metrics["clean_accuracy_low"] < 0.95 < run.metrics["clean_accuracy_high"]
    assert run.parameters["defense"] == "convae:width=8"
    assert (run.parameters["classifier.width"], run.parameters["seed"]) == ("8", "0")
    assert TrackedRun.of(defended).key == run.key
    assert TrackedRun.of(replace(defended, n=41)).key != run.key


@given(st.lists(st.text(st.characters(exclude_categories=())), min_size=1, max_size=4))
def test_a_name_is_one_that_mlflow_takes(parts: list[str]) -> None:
    name = metric_name(*parts)
    assert re.fullmatch(r"[/\w.\- :]+", name, re.ASCII)
    assert all(part not in ("", ".", "..") for part in name.split("/"))


class Client:
    """What the format uses of `mlflow.MlflowClient`, kept in memory by address."""

    runs: dict[str, list[dict[str, Any]]] = {}  # noqa: RUF012
    most = 100

    def __init__(self, address: str) -> None:
        self.stored = self.runs.setdefault(address, [])

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="1") if self.stored else None

    def create_experiment(self, name: str, artifact_location: str) -> str:
        return "1"

    def search_runs(self, experiments: list[str], query: str) -> list[Any]:
        return [run for run in self.stored if run.get("tag") and run["tag"] in query]

    def create_run(self, experiment: str, run_name: str) -> Any:
        self.stored.append({"name": run_name, "metrics": {}, "params": {}, "texts": {}})
        return SimpleNamespace(info=SimpleNamespace(run_id=len(self.stored) - 1))

    def log_batch(self, run: int, metrics: Any, params: Any) -> None:
        assert max(len(metrics), len(params)) <= self.most
        self.stored[run]["metrics"].update(metrics)
        self.stored[run]["params"].update(params)

    def log_text(self, run: int, text: str, name: str) -> None:
        self.stored[run]["texts"][name] = text

    def set_tag(self, run: int, name: str, value: str) -> None:
        self.stored[run]["tag"] = value

    def set_terminated(self, run: int) -> None:
        self.stored[run]["ended"] = True


def stand_in(name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(members)
    module.__path__ = []
    return module


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    """A stand-in of MLflow."""
    entities = SimpleNamespace(
        Metric=lambda name, value, *_: (name, value), Param=lambda name, value: (name, value)
    )
    library = stand_in("mlflow", MlflowClient=Client, entities=entities)
    for name in ("mlflow", "mlflow.store", "mlflow.store.db", "mlflow.store.db.utils"):
        monkeypatch.setitem(sys.modules, name, library if name == "mlflow" else stand_in(name))
    monkeypatch.setattr(Client, "runs", {})
    return Client


def test_mlflow_gets_each_run_once(
    client: type[Client], measured: list[MeasuredPipeline], tmp_path: Path
) -> None:
    assert mlflow.write(measured[:2], Tree(tmp_path)) == "runs: 2, of which new: 2"
    assert mlflow.write(measured, Tree(tmp_path)) == "runs: 4, of which new: 2"
    ((address, runs),) = client.runs.items()
    assert address == f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert [run["name"] for run in runs] == [TrackedRun.of(each).name for each in measured]
    for run, each in zip(runs, measured, strict=True):
        tracked = TrackedRun.of(each)
        assert (run["metrics"], run["params"]) == (tracked.metrics, tracked.parameters)
        assert set(run["texts"]) == {f"tables/{name}.csv" for name in tracked.tables}
        assert run["ended"]


def test_many_parameters_go_in_several_calls(
    client: type[Client], defended: MeasuredPipeline, tmp_path: Path
) -> None:
    many = {f"defense.p{index}": index for index in range(2 * Client.most + 1)}
    mlflow.write([replace(defended, parameters=many)], Tree(tmp_path))
    (((run),),) = client.runs.values()
    assert {name: str(value) for name, value in many.items()}.items() <= run["params"].items()


def test_a_run_that_was_cut_off_is_written_again(
    client: type[Client],
    defended: MeasuredPipeline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left on device\nat all")

    with monkeypatch.context() as patch:
        patch.setattr(Client, "log_text", full)
        with pytest.raises(StorageError, match=r"mlflow cannot write to .*: no space left on"):
            mlflow.write([defended], Tree(tmp_path))
    assert mlflow.write([defended], Tree(tmp_path)) == "runs: 1, of which new: 1"


@pytest.mark.parametrize("character", "?#%")
def test_a_folder_that_mlflow_cannot_address_is_refused(
    character: str, client: type[Client], defended: MeasuredPipeline, tmp_path: Path
) -> None:
    folder = tmp_path / f"a{character}b"
    with pytest.raises(RequestError, match="mlflow takes no path"):
        mlflow.write([defended], Tree(folder))
    assert not folder.exists()


class Offline:
    """What the format uses of `wandb`: a run, an artifact, settings."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.summary: dict[str, float] = {}

    def init(self, **options: Any) -> Offline:
        self.runs.append(options)
        return self

    def __enter__(self) -> Offline:
        return self

    def __exit__(self, *_: object) -> None:
        self.runs[-1]["summary"] = dict(self.summary)

    def log_artifact(self, artifact: Any) -> None:
        self.runs[-1]["artifact"] = artifact


class Artifact:
    def __init__(self, name: str, type: str) -> None:  # noqa: A002
        self.files: list[Path] = []

    def add_file(self, path: str, policy: str, skip_cache: bool) -> None:
        assert (policy, skip_cache) == ("immutable", True)
        self.files.append(Path(path))


def test_wandb_gets_each_run_once_and_offline(
    measured: list[MeasuredPipeline], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline = Offline()
    library = stand_in("wandb", init=offline.init, Artifact=Artifact, Settings=dict)
    monkeypatch.setitem(sys.modules, "wandb", library)
    assert wandb.write(measured[:1], Tree(tmp_path)) == "runs: 1, of which new: 1"
    assert wandb.write(measured, Tree(tmp_path)) == "runs: 4, of which new: 3"
    assert len(offline.runs) == 4
    for run, each in zip(offline.runs, measured, strict=True):
        tracked = TrackedRun.of(each)
        assert (run["mode"], run["dir"]) == ("offline", str(tmp_path))
        assert run["config"] == tracked.parameters
        assert tracked.metrics.items() <= run["summary"].items()
        texts = {path.stem: path.read_bytes().decode() for path in run["artifact"].files}
        assert texts == tracked.tables


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_library_that_is_missing_is_one_line_with_the_remedy(
    name: str,
    measured: list[MeasuredPipeline],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RequestError) as error:
        formats()[name](measured, Tree(tmp_path / "out"))
    assert f"pip install 'purification-bench[{name}]'" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_mlflow_itself_reads_the_runs_back(defended: MeasuredPipeline, tmp_path: Path) -> None:
    library = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    for new in (1, 0):
        assert mlflow.write([defended], Tree(tmp_path)) == f"runs: 1, of which new: {new}"
    client = library.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("purification-bench")
    (run,) = client.search_runs([experiment.experiment_id])
    tracked = TrackedRun.of(defended)
    assert without_ends(run.data.metrics) == METRICS
    assert run.data.params == tracked.parameters
    assert run.info.status == "FINISHED"
    for name, text in tracked.tables.items():
        (path,) = (tmp_path / "artifacts").rglob(f"{name}.csv")
        assert path.read_bytes().decode() == text


def test_wandb_itself_writes_an_offline_run(
    defended: MeasuredPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "user"))
    for new in (1, 0):
        assert wandb.write([defended], Tree(tmp_path / "out")) == f"runs: 1, of which new: {new}"
    identity = TrackedRun.of(defended).key[:16]
    (stored,) = (tmp_path / "out" / "wandb").glob(f"offline-run-*-{identity}/*.wandb")
    content = stored.read_bytes()
    for name in METRICS:
        assert name.encode() in content
    assert b"convae:width=8" in content
    assert str(tmp_path / "out" / "tables" / identity / "results.csv").encode() in content
