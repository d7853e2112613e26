"""What runs on a GPU: every plugin, every engine and precision, a whole run, and used-up memory.

All of it is skipped on a machine without CUDA.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from bench.conformance import CHECKS, Subject
from bench.contracts import DataInfo, Eager
from bench.errors import NotApplicable, PluginFault
from bench.latency.accelerators import CudaGraphs
from bench.latency.engines import ENGINES, PRECISIONS, accelerated
from bench.machine.devices import choose_device, device_id, nvidia_smi
from bench.plugins.catalog import list_plugins
from bench.plugins.configured import configure
from bench.plugins.faults import plugin_call
from bench.records.folder import RunFolder
from bench.registry import DEFENSES, REGISTRIES
from bench.stages.seeding import seeded
from defenses.defensegan import DefenseGAN
from tests.test_conformance import SMALLER

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")

CUDA = torch.device("cuda", 0)
INFO = DataInfo((1, 28, 28), 10)
PURIFIERS = (
    "convae",
    "puvae:channels=8:hidden=64",
    "defensegan:width=8:restarts=3:steps=12",
    "diffusion:channels=8:steps=5:repeats=2:guide_weight=1",
)
ALL = ("none", *PURIFIERS, "bitdepth", "gaussian_noise", "median")
THREATS = "noise,transfer,graybox,bpda,whitebox"


@pytest.fixture(autouse=True)
def _chosen() -> Iterator[None]:
    """The settings of a command that computes on CUDA, restored afterwards."""
    with PRECISIONS["float32"].arithmetic():
        choose_device("cuda")
        yield


def _plugins() -> Iterator[object]:
    for plugin in list_plugins():
        if plugin.required:  # a file, for example
            continue
        for check in CHECKS[plugin.family]:
            spec = SMALLER.get(plugin.name, plugin.name)
            yield pytest.param(
                plugin.family, spec, check, id=f"{plugin.name}-{check.__name__.strip('_')}"
            )


_SUBJECTS: dict[str, Subject] = {}


@pytest.mark.parametrize(("family", "spec", "check"), list(_plugins()))
def test_plugin_conforms_on_cuda(family: str, spec: str, check: Callable[[Subject], None]) -> None:
    one = _SUBJECTS.setdefault(
        spec, Subject(family, configure(REGISTRIES[family], spec), device=CUDA)
    )
    try:
        check(one)
    except NotApplicable as reason:
        pytest.skip(str(reason))


def purifier(spec: str, device: torch.device = CUDA) -> nn.Module:
    torch.manual_seed(0)
    built: nn.Module = configure(DEFENSES, spec).plugin.build(INFO)
    return built.to(device).eval().requires_grad_(False)


def images(n: int, device: torch.device = CUDA) -> Tensor:
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(n)).to(device)


@pytest.mark.parametrize("engine", ["compile", "cudagraph", "compiled-cudagraph"])
@pytest.mark.parametrize("spec", ALL)
def test_an_engine_gives_the_images_of_eager(spec: str, engine: str) -> None:
    module = purifier(spec)
    with torch.no_grad():
        fast = accelerated(module, ENGINES[engine], PRECISIONS["float32"])
        for n in (1, 3, 1):  # each shape is captured once; the last call replays the first capture
            fast(images(n))
            for draw in range(2):
                with seeded(CUDA, "draw", draw):
                    found = fast(images(n))
                with seeded(CUDA, "draw", draw):
                    expected = module(images(n))
                torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
@pytest.mark.parametrize("engine", ["eager", "compile", "cudagraph", "compiled-cudagraph"])
@pytest.mark.parametrize("spec", PURIFIERS)
def test_lower_precision_gives_nearly_the_same_images(
    spec: str, engine: str, precision: str
) -> None:
    module = purifier(spec)
    batch = images(4)
    mode = PRECISIONS[precision]
    with torch.no_grad(), mode.arithmetic():
        fast = accelerated(module, ENGINES[engine], mode)
        fast(batch)
        with seeded(CUDA, "draw"):
            found = fast(batch)
    with torch.no_grad(), seeded(CUDA, "draw"):
        expected = module(batch)
    assert found.dtype == torch.float32
    assert bool(torch.isfinite(found).all())
    if spec.startswith("convae"):  # the others draw other noise in another type
        torch.testing.assert_close(found, expected, rtol=0, atol=0.05)


def test_a_replay_draws_new_noise() -> None:
    graph = CudaGraphs().function(lambda batch: batch + torch.randn_like(batch))
    with torch.no_grad():
        first, second = graph(images(2)), graph(images(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_descent_is_that_of_the_cpu(dtype: torch.dtype) -> None:
    plugin = DefenseGAN(latent=8, width=8, restarts=3, steps=10, batch_norm=True, sphere=True)
    torch.manual_seed(0)
    module = plugin.build(INFO).to(dtype).eval().requires_grad_(False)
    batch = images(4, torch.device("cpu")).to(dtype)
    with torch.no_grad():
        start = module.starts(batch)
        found = []
        for device in (torch.device("cpu"), CUDA):
            module.to(device)
            target = batch.to(device).repeat_interleave(3, dim=0)
            generator = module.folded_generator()
            descend = Eager().loop(lambda s, c, g=generator: module.step(g, s, c), 10)  # type: ignore[misc]
            z, _ = descend((start.to(device), torch.zeros_like(start).to(device)), (target,))
            found.append(module.nearest(generator, z, target).cpu())
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=tolerance)


def test_float32_means_float32() -> None:
    one, other = torch.randn(2, 512, 512, device=CUDA)
    exact = (one.double() @ other.double()).float()
    errors = {}
    for name in ("float32", "tf32"):
        with PRECISIONS[name].arithmetic():
            errors[name] = float((one @ other - exact).norm() / exact.norm())
    assert errors["float32"] < 1e-5 < errors["tf32"]


def test_the_card_has_an_identity_and_a_clock() -> None:
    assert device_id(CUDA).startswith("GPU-")
    assert float(nvidia_smi(CUDA, "clocks.sm") or 0) > 0


def test_used_up_memory_is_a_fault_and_the_next_call_works() -> None:
    free, _ = torch.cuda.mem_get_info(CUDA)
    with pytest.raises(PluginFault, match="smaller --batch-size"), plugin_call("defense d"):
        torch.empty(2 * free, dtype=torch.uint8, device=CUDA)
    module = purifier("convae")
    with torch.no_grad():
        assert module(images(2)).is_cuda


def test_a_run_on_cuda_is_complete(bench, tiny: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = bench(
        "run", "--config", tiny, "--device", "cuda", "--defenses", "none,convae,puvae,defensegan",
        "--threats", THREATS, "--out", tmp_path / "run", "--cache", tmp_path / "cache",
    )  # fmt: skip
    assert done.code == 0, done.err
    results = pd.read_csv(tmp_path / "run" / "tables" / "results.csv")
    assert set(results["status"]) <= {"ok", "skipped"}
    assert set(results.loc[results["status"] == "ok", "threat"]) == set(THREATS.split(","))

    again = bench(
        "run", "--config", tiny, "--device", "cpu", "--defenses", "none,convae", "--no-latency",
        "--out", tmp_path / "cpu", "--cache", tmp_path / "cache",
    )  # fmt: skip
    assert again.code == 0, again.err
    assert "trained" not in again.err  # a network has the same key on every device


def test_every_engine_and_precision_is_timed(bench, tiny: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = bench(
        "latency", "--config", tiny, "--device", "cuda",
        "--defenses", "none,convae,puvae,defensegan", "--rounds", "1",
        "--engines", "eager,compile,cudagraph,compiled-cudagraph",
        "--precisions", "float32,tf32,bfloat16",
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.code == 0, done.err
    timings = list(RunFolder.open(tmp_path / "run").timings())
    assert len(timings) == 4 * 2 * 4 * 3 * 2
    wrong = [(timing.call, timing.reason) for timing in timings if timing.status != "ok"]
    assert not wrong
    for timing in timings:
        assert timing.samples is not None
        assert len(timing.samples.device_seconds) == len(timing.samples.seconds)
        is_graph = "cudagraph" in timing.call.engine
        assert (timing.samples.peak_memory is None) == is_graph
        if timing.agreement is not None and timing.call.precision == "float32":
            # A descent amplifies rounding, so a few images may end in another class.
            least = 0.7 if "defensegan" in str(timing.call.pipeline.defense) else 0.95
            assert timing.agreement.alike >= least
