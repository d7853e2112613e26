"""The adapter to ART: what it makes up for, and the line that stands in for a missing library."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.registry import ATTACKS

NEEDY = ["geoda", "jsma", "onepixel"]
"""The attacks that need ART."""

COMMAND = "pip install 'purification-bench[art]'"

needs_art = pytest.mark.skipif(
    importlib.util.find_spec("art") is None, reason="the extra `art` is not installed"
)


class Drawing(nn.Module):
    """Linear logits of two classes, with noise that differs from call to call.

    Attributes:
        eot: number of calls over which a gradient is averaged.
        calls: number of calls so far.
    """

    def __init__(self, eot: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]]))
        self.eot = eot
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.calls * images.flatten(1) @ self.weight.T


def missing(monkeypatch: pytest.MonkeyPatch, spec: object) -> None:
    """Let the search for the package `art` find something else."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: spec if name == "art" else find(name, *rest),
    )


@pytest.mark.parametrize("name", NEEDY)
@pytest.mark.parametrize("is_another", [False, True], ids=["nothing", "another package"])
def test_without_the_library_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, is_another: bool
) -> None:
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)]) if is_another else None
    missing(monkeypatch, spec)
    with pytest.raises(RequestError) as caught:
        configure(ATTACKS, name)
    assert str(caught.value) == (
        f"attack '{name}': the Adversarial Robustness Toolbox is not installed: {COMMAND}"
    )


@pytest.mark.parametrize("name", NEEDY)
def test_without_the_library_nothing_is_computed(bench, monkeypatch, name: str) -> None:  # type: ignore[no-untyped-def]
    missing(monkeypatch, None)
    finished = bench("run", "--defenses", "none", "--attacks", f"fgsm,{name}", "--n", "20")
    assert finished.code == 2
    assert " ".join(finished.err.split()).count(COMMAND) == 1
    assert not Path("results").exists()


def test_attacks_are_listed_and_imported_without_the_library(bench, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    missing(monkeypatch, None)
    listed = bench("list").out
    assert all(name in listed for name in NEEDY)

    code = (
        "import sys; sys.modules['art'] = None\n"
        f"import {', '.join(f'attacks.{name}' for name in NEEDY)}\n"
        "assert 'attacks._art' not in sys.modules"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


@needs_art
def test_importing_the_library_leaves_no_trace(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "working"
    home.mkdir()
    folder.mkdir()
    code = f"""
import logging, os, random, numpy, sys, torch

def state():
    host = random.getstate(), numpy.random.get_state()[1].tolist()
    return *host, torch.get_rng_state().tolist(), os.environ["HOME"]

handler = logging.FileHandler({str(tmp_path / "log")!r})
logging.getLogger("bench").addHandler(handler)
before = state()
import attacks._art
assert state() == before
assert not {{"tensorflow", "matplotlib"}} & set(sys.modules)
assert handler.stream is not None and not logging.getLogger('tests').handlers
logging.getLogger("art.attacks").error("a message of the library")
"""
    finished = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, cwd=folder,
        env={**os.environ, "HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == finished.stderr == ""
    assert not list(home.iterdir())
    assert not list(folder.iterdir())


@needs_art
@pytest.mark.parametrize("eot", [1, 3])
def test_a_gradient_follows_every_draw(eot: int) -> None:
    from attacks._art import Estimator

    model = Drawing(eot).eval()
    images = torch.rand(5, 1, 2, 2)
    estimator = Estimator(model, images)
    model.calls = 0
    gradient = estimator.class_gradient(images.numpy(), np.array([0, 1, 0, 1, 0]))

    # The weights are scaled by the number of the call: 1 + 2 + 3.
    expected = np.array([1.0, 2.0, 3.0, 4.0]) * sum(range(1, eot + 1))
    assert gradient.shape == (5, 1, 1, 2, 2)
    np.testing.assert_allclose(gradient[0::2].reshape(3, 4), [expected] * 3)
    assert not gradient[1::2].any()
    assert model.calls == eot


@needs_art
def test_the_model_is_neither_trained_nor_moved_nor_given_gradients() -> None:
    from attacks._art import Estimator

    model = Drawing().eval()
    estimator = Estimator(model, torch.rand(3, 1, 2, 2))
    estimator.predict(np.zeros((3, 1, 2, 2)))
    estimator.class_gradient(np.zeros((3, 1, 2, 2)), np.zeros(3, int))
    assert not model.training
    assert model.weight.requires_grad
    assert model.weight.grad is None
    assert list(estimator.model.parameters()) == []


@needs_art
def test_probabilities_differ_where_float32_would_round_them_to_one() -> None:
    from attacks._art import Estimator

    class Certain(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.tensor([[20.0, 0.0]]) + images.flatten(1)[:, :2]

    images = torch.zeros(2, 1, 1, 2)
    images[1, 0, 0, 0] = 1
    first, second = Estimator(Certain().eval(), images, probabilities=True).predict(images.numpy())
    assert first[0] < second[0] < 1


@needs_art
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 6, 9)])
@pytest.mark.parametrize("spec", ["geoda:queries=200", "jsma", "onepixel:steps=3"])
def test_images_of_any_shape_come_back_clipped(shape: tuple[int, ...], spec: str) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, *shape, generator=generator)
    model = (
        nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 3)).eval().requires_grad_(False)
    )
    labels = model(images).argmax(1)
    np.random.seed(0)
    adversarial = configure(ATTACKS, spec).plugin.perturb(model, images.clone(), labels, 4.0)

    assert adversarial.dtype == torch.float32
    assert adversarial.shape == images.shape
    assert bool(((adversarial >= 0) & (adversarial <= 1)).all())


@needs_art
@pytest.mark.parametrize("spec", ["geoda:queries=200", "jsma", "onepixel:steps=3"])
def test_nothing_is_printed_logged_or_stored(
    spec: str,
    linear: nn.Module,
    gray_images: tuple[Tensor, Tensor],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.DEBUG):
        configure(ATTACKS, spec).plugin.perturb(linear, *gray_images, 4.0)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not list(tmp_path.iterdir())


@needs_art
@pytest.mark.parametrize("spec", ["geoda:queries=200", "onepixel:steps=3"])
def test_randomness_is_that_of_the_global_generators(
    spec: str, linear: nn.Module, gray_images: tuple[Tensor, Tensor]
) -> None:
    plugin = configure(ATTACKS, spec).plugin
    results = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        results.append(plugin.perturb(linear, *gray_images, 4.0))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
