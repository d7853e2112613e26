"""Observation of a plugin while it builds: what it loads counts, what it draws does not."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bench.contracts import DataInfo, Defense, DefenseSpec, WrappedDefense
from bench.plugins.configured import Configured
from bench.plugins.counted import digest_of_file
from bench.spec import Spec
from bench.stages.observation import Observer

SOURCE = digest_of_file(Path(__file__))
INFO = DataInfo((1, 8, 8), 10)


class _Holder(nn.Module):
    """Layers as they start, with something else beside them."""

    def __init__(self, **held: Any) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(3, 3))
        for name, value in held.items():
            setattr(self, name, value)


@dataclass(frozen=True)
class Loading(Defense):
    """A defense whose module holds what a function gives."""

    load: Any = None

    def build(self, data: DataInfo) -> nn.Module:
        return _Holder(**(self.load() if self.load else {}))


def configured(load: Any = None, **identity: Any) -> Configured[Loading]:
    """A plugin from outside, as its identity says."""
    parts = {"name": "loading", "version": 1, "parameters": {}, "files": {}, "source": SOURCE}
    return Configured(Spec("loading"), Loading(load), {}, {**parts, **identity})


def added(plugin: Configured[Loading]) -> dict[str, Any]:
    """The parts that an observation adds to the identity."""
    identity = Observer().observed(plugin, INFO).identity
    return {name: value for name, value in identity.items() if name not in plugin.identity}


def test_layers_that_start_at_random_add_nothing() -> None:
    assert added(configured()) == {}
    assert added(configured(lambda: {"weight": nn.Parameter(torch.randn(4))})) == {}


def plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


@pytest.mark.parametrize(
    ("held", "dtype"),
    [
        (nn.Parameter, torch.float32),
        (nn.Parameter, torch.bfloat16),
        (nn.Buffer, torch.int64),
        (plain, torch.bool),
        (plain, torch.complex64),
    ],
)
def test_a_tensor_from_elsewhere_counts_by_its_content(held: Any, dtype: torch.dtype) -> None:
    first, same, other = (
        added(configured(lambda values=values: {"kernel": held(torch.tensor(values).to(dtype))}))
        for values in ([0.0, 3.0, 1.0], [0.0, 3.0, 1.0], [3.0, 0.0, 1.0])
    )
    assert first == same
    assert first.keys() == {"built"}
    assert other != first


def test_a_fixed_seed_of_the_plugin_itself_counts() -> None:
    def drawn(seed: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(seed)
        return {"kernel": torch.randn(3, generator=generator)}

    assert added(configured(lambda: drawn(0))) == added(configured(lambda: drawn(0)))
    assert added(configured(lambda: drawn(0))) != added(configured(lambda: drawn(1)))


def test_a_checkpoint_that_python_does_not_open_counts(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    seen = []
    for value in (2.0, 3.0):
        save_file({"kernel": torch.full((3,), value)}, path)
        seen.append(added(configured(lambda: load_file(path))))
    assert seen[0] != seen[1]
    assert seen[0].keys() == {"built"}


def _scale(path: Path) -> Any:
    """A number from a file, which is no tensor of the module."""
    return lambda: {"scale": float(np.load(path))}


def test_an_undeclared_file_counts_and_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "scale.npy"
    np.save(path, 0.5)
    plugin = configured(_scale(path))
    observer = Observer()
    with caplog.at_level(logging.WARNING, logger="bench"):
        first = observer.observed(plugin, INFO).identity
        assert observer.observed(plugin, INFO).identity == first
        observer.observed(plugin, DataInfo((3, 8, 8), 10))
    (message,) = {record.getMessage() for record in caplog.records}
    assert len(caplog.records) == 1
    assert f"defense loading reads {path} while it is built, which files() does not" in message

    np.save(path, 0.25)
    assert Observer().observed(plugin, INFO).identity["read"] != first["read"]
    moved = tmp_path / "moved.npy"
    np.save(moved, 0.5)
    assert added(configured(_scale(moved)))["read"] == first["read"]


def test_a_declared_file_is_not_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:

    path = tmp_path / "scale.npy"
    np.save(path, 0.5)
    assert added(configured(_scale(path), files=[digest_of_file(path)])) == {}
    assert not caplog.records


def test_a_file_that_the_plugin_has_written_does_not_count(tmp_path: Path) -> None:
    def load() -> dict[str, Any]:
        path = tmp_path / "scratch.npy"
        np.save(path, np.random.default_rng().random())
        np.load(path)
        return {}

    assert added(configured(load)) == {}


@pytest.mark.parametrize("broken", [lambda: 1 / 0, lambda: exit(0), lambda: {"forward": 1, 2: 3}])
def test_a_build_that_fails_is_left_to_the_training(broken: Any) -> None:
    assert added(configured(broken)) == {}


def test_a_plugin_as_released_is_not_built() -> None:
    plugin = configured(lambda: pytest.fail("built"))
    released = {name: part for name, part in plugin.identity.items() if name != "source"}
    assert added(replace(plugin, identity=released)) == {}


@dataclass(frozen=True)
class Around(WrappedDefense):
    """A defense of this package around another one."""

    defense: DefenseSpec = Spec("loading")

    def wrap(self, module: nn.Module) -> nn.Module:
        return module


def around(inner: Configured[Loading]) -> Configured[Around]:
    identity = {"name": "around", "version": 1, "parameters": {"defense": inner.identity}}
    return Configured(Spec("around"), Around().around(inner.plugin), {}, identity, inner)


def test_what_the_inner_defense_loads_counts_for_the_wrapped_one_and_its_training(
    tmp_path: Path,
) -> None:
    path = tmp_path / "scale.npy"
    np.save(path, 0.5)
    inner = configured(_scale(path))

    alone = Observer().observed(inner, INFO)
    wrapped = Observer().observed(around(inner), INFO)
    assert "read" in alone.identity
    assert wrapped.identity["read"] == alone.identity["read"]
    assert wrapped.training_identity == alone.training_identity

    np.save(path, 0.25)
    assert Observer().observed(around(inner), INFO).identity != wrapped.identity
    plain = around(configured())
    assert Observer().observed(plain, INFO).identity == plain.identity
