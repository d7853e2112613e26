"""The plugins that `docs/plugins.md` shows: they conform, and compute what the page says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from bench.conformance import Subject, conformance
from bench.plugins.configured import configure
from bench.plugins.discovery import import_plugin
from bench.registry import REGISTRIES

CHAIN = "my_chain:defenses=[median,gaussian_noise,convae:width=4]"
ENSEMBLE = "my_ensemble:classifiers=[cnn:width=4,cnn:width=8]"
SHOWN = {
    CHAIN: "defense",
    ENSEMBLE: "classifier",
    "my_descent": "defense",
    "my_detector": "defense",
}


@pytest.fixture(autouse=True)
def _imported(plugins: Path) -> None:
    for name in ("my_chain", "my_ensemble", "my_descent", "my_detector"):
        import_plugin(str(plugins / f"{name}.py"))


def subject(spec: str) -> Subject:
    return Subject(SHOWN[spec], configure(REGISTRIES[SHOWN[spec]], spec))


@pytest.mark.parametrize("spec", SHOWN)
def test_it_conforms(spec: str) -> None:
    found = [finding for finding in conformance(SHOWN[spec], spec) if finding.reason]
    assert found == []


def test_a_chain_is_its_members_one_after_the_other() -> None:
    images = subject(CHAIN).images
    text = "my_chain:defenses=[median,bitdepth:bits=2]"
    chained = Subject("defense", configure(REGISTRIES["defense"], text)).module(images)
    for spec in ("median", "bitdepth:bits=2"):
        images = Subject("defense", configure(REGISTRIES["defense"], spec)).module(images)
    assert torch.equal(chained, images)


def test_an_ensemble_is_the_mean_of_the_probabilities() -> None:
    ensemble = subject(ENSEMBLE)
    members = [
        Subject("classifier", configure(REGISTRIES["classifier"], f"cnn:width={width}"))
        for width in (4, 8)
    ]
    expected = torch.stack([each.module(ensemble.images).softmax(1) for each in members]).mean(0)
    assert torch.allclose(ensemble.module(ensemble.images).softmax(1), expected, atol=1e-5)


def test_the_gradient_of_a_descent_is_exact() -> None:
    module = subject("my_descent").module.double()
    generator = torch.Generator().manual_seed(0)
    images = 0.2 + 0.6 * torch.rand(1, 1, 4, 4, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(module, images.requires_grad_())
    with torch.no_grad():
        assert torch.allclose(module(images), module(images.detach()))
        assert not module(images).requires_grad


def test_a_descent_is_the_solution_of_its_linear_system() -> None:
    spec = "my_descent:steps=2000:step_size=0.05:smoothness=1"
    module = configure(REGISTRIES["defense"], spec).plugin.build(None)
    images = torch.rand(1, 1, 3, 3, generator=torch.Generator().manual_seed(1))

    # Two neighbors along either axis: the graph Laplacian of the grid.
    path = torch.tensor([[1.0, -1, 0], [-1, 2, -1], [0, -1, 1]])
    laplacian = torch.kron(path, torch.eye(3)) + torch.kron(torch.eye(3), path)
    solution = torch.linalg.solve(torch.eye(9) + laplacian, images.flatten())
    assert torch.allclose(module(images).flatten(), solution, atol=1e-5)


@pytest.mark.slow
def test_a_run_compares_members_with_what_they_are_part_of(
    bench: Callable[..., Any], tiny: Path, plugins: Path
) -> None:
    files = [f"--plugin={plugins / name}.py" for name in ("my_chain", "my_ensemble")]
    done = bench(
        "run", "--config", tiny, *files, "--eps", "0.1", "--n", "20", "--no-latency", "--out", "o",
        "--classifiers", "cnn,my_ensemble:classifiers=[cnn,cnn:width=4]",
        "--defenses", "none,my_chain:defenses=[convae,median]",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert len(pd.read_csv("o/tables/results.csv")) == 4
