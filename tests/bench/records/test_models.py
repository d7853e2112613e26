"""Strict reading of records, timings, configurations and environments: types, ranges and shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import RequestError
from bench.records.array_files import read_outcome
from bench.records.cell import CellRecord
from bench.records.cell_images import CellImages
from bench.records.configuration import read_configuration
from bench.records.environments import read_environments
from bench.records.folder import RunFolder
from bench.records.outcome import Outcome
from bench.records.pipeline import Pipeline
from bench.records.timing import Agreement, Samples, TimedCall, Timing
from bench.store.artifacts import write_artifact
from bench.store.keys import content_key
from bench.store.reading import Unreadable

N, DRAWS = 6, 2
WRONG: list[Any] = [None, True, -1, 1.5, "", "x", [], {}, [1], {"a": 1}, 10**400, "x" * 10_001]
"""Values of all types; hardly any field takes more than a few of them."""

TIMING = Timing(
    TimedCall(Pipeline("digits", "cnn", "none"), "pipeline", 4, "compile", "float32", "cpu", 0),
    "ok",
    samples=Samples((0.1, 0.2), (0.1, 0.1), 3, True, 100, 50),
    agreement=Agreement(0.5, 0.9, 32),
    flops_per_image=7,
    weight_bytes=8,
    conditions={"threads": 2, "clock_mhz": None, "busy_elsewhere": 0.1, "dtype": "float32"},
    environment="0123456789ab",
)


def changed(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    """JSON content with another value at a path."""
    if not path:
        return value
    copy = content.copy()
    copy[path[0]] = changed(content[path[0]], path[1:], value)
    return copy


def paths(content: Any) -> list[tuple[Any, ...]]:
    """The paths of all parts of JSON content."""
    if not isinstance(content, dict | list):
        return [()]
    parts = content.items() if isinstance(content, dict) else enumerate(content)
    return [(), *((key, *rest) for key, part in parts for rest in paths(part))]


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("kind", ["cell", "timing"])
def test_a_record_is_refused_in_one_line_or_comes_back_as_it_is(
    made: Any, kind: str, wrong: Any
) -> None:
    cell = made.record(parameters={"attack": {"steps": 3}})
    sound: CellRecord | Timing = cell if kind == "cell" else TIMING
    content = as_json(sound.to_json())
    faults = []

    for path in paths(content)[1:]:
        edited = changed(content, path, wrong)
        try:
            record = type(sound).from_json(edited)
        except Unreadable as fault:
            faults.append(str(fault))
        else:
            assert as_json(record.to_json()) == {**edited, "schema": content["schema"]}

    assert len(faults) > len(paths(content)) // 2
    assert all(len(fault) < 1000 and len(fault.splitlines()) == 1 for fault in faults)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("key",), "../../o", "key = '../../o': string should match"),
        (("key",), "A" * 64, "key"),
        (("labels", "defense"), "x/../y", "labels.defense = 'x/../y': 'x/../y' is not a spec"),
        (("labels", "attack"), "", "labels.attack"),
        (("labels", "eps"), -0.1, "labels.eps = -0.1: input should be greater than or equal to 0"),
        (("labels", "seed"), 0.0, "labels.seed"),
        (("labels",), {}, "labels.dataset: field required"),
        (("n",), 0, "n = 0: input should be greater than 0"),
        (("status",), "fine", "status = 'fine'"),
        (("reason",), "it raised", "status ok with the reason 'it raised'"),
        (("status",), "failed", "status failed with the reason ''"),
        (("networks",), {"classifier": "0"}, "networks.classifier"),
        (("environment",), "../x", "environment"),
        (("properties", "norm"), "l7", "properties.norm"),
        (("extra\x1b[2J",), 1, "extra"),
    ],
)
def test_a_fault_of_a_record_is_named(
    made: Any, path: tuple[str, ...], value: Any, message: str
) -> None:
    content = as_json(made.record().to_json())
    content.setdefault(path[0], None)
    with pytest.raises(Unreadable) as fault:
        CellRecord.from_json(changed(content, path, value))
    assert str(fault.value).startswith(message)
    assert "\x1b" not in str(fault.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("samples", "seconds"), []),
        (("samples", "seconds", 0), 0.0),
        (("samples", "device_seconds"), [0.1]),
        (("samples", "warmup"), -1),
        (("samples",), None),
        (("status",), "skipped"),
        (("reason",), "none"),
        (("agreement", "alike"), 1.1),
        (("agreement", "images"), 0),
        (("subject", "batch_size"), 0),
        (("subject", "target"), "classifier"),
        (("subject", "labels", "defense"), "a/b"),
        (("subject", "engine"), "\x1b[2J"),
        (("conditions", "busy_elsewhere"), "much"),
        (("conditions", "threads"), 0),
    ],
)
def test_a_fault_of_a_timing_is_refused(path: tuple[Any, ...], value: Any) -> None:
    with pytest.raises(Unreadable):
        Timing.from_json(changed(as_json(TIMING.to_json()), path, value))


@pytest.mark.parametrize("axis", ["datasets", "classifiers", "defenses", "threats", "seeds"])
@pytest.mark.parametrize("value", [5, None, "x", {"a": 1}, [[]], [None], [{}]])
def test_an_axis_that_is_no_list_of_values_is_refused(
    tmp_path: Path, axis: str, value: Any
) -> None:
    with pytest.raises(RequestError, match=axis):
        RunFolder.create(tmp_path / "run", {axis: value})
    assert not (tmp_path / "run").exists()


def test_a_configuration_without_a_version_has_all_axes(tmp_path: Path) -> None:
    stored = json.loads((Path(__file__).parent / "run-0.1.0" / "config.json").read_text())
    path = tmp_path / "config.json"
    path.write_text(json.dumps(stored))
    assert read_configuration(tmp_path) == stored
    del stored["defenses"]
    path.write_text(json.dumps(stored))
    with pytest.raises(RequestError, match="not the configuration of a run"):
        read_configuration(tmp_path)


@pytest.mark.parametrize(
    "content",
    [[], {"device": 5}, {"device": {"name": 5}}, {"packages": []}, {"packages": {"torch": 1}}],
)
def test_an_odd_environment_is_left_out(
    tmp_path: Path, content: Any, caplog: pytest.LogCaptureFixture
) -> None:
    name = content_key(content)[:12]
    path = tmp_path / "environments" / f"{name}.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    assert read_environments(tmp_path) == {}
    assert f"damaged environment {path}" in caplog.text


def arrays() -> dict[str, np.ndarray]:
    """The arrays of a sound outcome."""
    classes, distances = np.zeros(N, np.int16), np.zeros(N, np.float32)
    return {
        **dict.fromkeys(("labels", "clean_undefended", "adversarial_undefended"), classes),
        **dict.fromkeys(("clean_defended", "adversarial_defended"), np.zeros((DRAWS, N), np.int16)),
        "attacked": np.ones(N, bool),
        "gradient_norm": np.full(N, np.nan, np.float32),
        **dict.fromkeys(("linf", "l2", "l1"), distances),
        "minimum_distance": np.full(N, np.inf, np.float32),
        "doubled_steps_defended": np.zeros((DRAWS, 3), np.int16),
        "doubled_steps_undefended": classes[:3],
    }


def test_a_sound_outcome_is_read() -> None:
    assert Outcome.from_arrays(arrays()).to_arrays().keys() == arrays().keys()


@pytest.mark.parametrize("name", list(arrays()))
@pytest.mark.parametrize(
    "odd",
    [
        lambda array: array[..., :-1] if array.shape[-1] == N else array.repeat(4, axis=-1),
        lambda array: array[None],
        lambda array: array.sum(),
        lambda array: array[..., :0] if array.shape[-1] == N else array[:0].T[None, None],
        lambda array: np.full(array.shape, "x", "S1").view(np.uint8).astype(np.complex64),
        lambda array: np.full(array.shape, -2, np.int8).astype(
            np.float32 if array.dtype.kind == "f" else np.int16
        ),
        lambda array: np.full(array.shape, 0.5 if array.dtype.kind in "biu" else -0.5),
        lambda array: np.ones(array.shape, np.int8 if array.dtype.kind == "f" else np.float32),
    ],
)
def test_an_odd_array_is_refused(name: str, odd: Any) -> None:
    with pytest.raises(ValueError, match=r"array '|not an outcome"):
        Outcome.from_arrays({**arrays(), name: odd(arrays()[name])})


@pytest.mark.parametrize("name", ["linf", "l2", "l1"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_distance_is_finite(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"array '{name}' must hold finite numbers"):
        Outcome.from_arrays({**arrays(), name: np.full(N, value, np.float32)})


def test_unknown_and_missing_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="no array 'more'"):
        Outcome.from_arrays({**arrays(), "more": np.zeros(N)})
    with pytest.raises(ValueError, match="labels"):
        Outcome.from_arrays({name: array for name, array in arrays().items() if name != "labels"})


def test_an_outcome_has_the_images_and_draws_of_its_record(made: Any, tmp_path: Path) -> None:
    path, known = tmp_path / "outcome.safetensors", arrays()
    fitting = made.record(n=N, stochastic=True)
    write_artifact(path, known, {"labels": dict(fitting.labels)})
    assert len(read_outcome(path, fitting)[0].labels) == N

    for record, message in (
        (made.record(n=N + 1, stochastic=True), "6 images instead of 7"),
        (made.record(n=N), "2 draws of a defense that is not randomized"),
        (made.record("other", n=N, stochastic=True), "belongs to another cell"),
    ):
        with pytest.raises(ValueError, match=message):
            read_outcome(path, record)


@pytest.mark.parametrize(
    "change",
    [
        {"clean": np.zeros((2, 1, 4, 4), np.float32)},
        {"clean": np.zeros((2, 1, 4, 5), np.uint8)},
        {"adversarial": np.zeros((3, 1, 4, 4), np.uint8)},
        {"purified": np.zeros((2, 1, 4, 4), np.int8)},
        *({name: np.zeros((2, 4), np.uint8)} for name in ("clean", "purified")),
        dict.fromkeys(("clean", "adversarial", "purified"), np.zeros((101, 1, 2, 2), np.uint8)),
        dict.fromkeys(("clean", "adversarial", "purified"), np.zeros((1, 1, 1, 9999), np.uint8)),
        dict.fromkeys(("clean", "adversarial", "purified"), np.zeros((0, 1, 2, 2), np.uint8)),
    ],
)
def test_images_of_another_kind_are_refused(change: dict[str, np.ndarray]) -> None:
    sound = dict.fromkeys(("clean", "adversarial", "purified"), np.zeros((2, 1, 4, 4), np.uint8))
    CellImages(**sound).check()
    with pytest.raises(ValueError, match="array '"):
        CellImages(**{**sound, **change}).check()
