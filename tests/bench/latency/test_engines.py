"""Engines give the results of eager mode, or say where they do not apply."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.contracts import Accelerator, Eager, State
from bench.errors import NotApplicable, RequestError
from bench.latency import accelerators
from bench.latency.accelerators import CompiledCudaGraphs, CudaGraphs, TorchCompile
from bench.latency.engines import (
    ENGINES,
    PRECISIONS,
    Engine,
    accelerated,
    engines_of,
    precisions_of,
    tf32_allowed,
)

CPU = torch.device("cpu")
IMAGES = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(1))


class Replay:
    """Stand-in for a captured CUDA graph: it calls the function on its own copies of the inputs."""

    made = 0

    def __init__(self, function: Any, inputs: State) -> None:
        Replay.made += 1
        self.function = function
        self.inputs = tuple(tensor.clone() for tensor in inputs)
        self.output: Any = None

    def __call__(self, inputs: State, times: int) -> Any:
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given)
        for _ in range(times):
            output = self.function(*self.inputs)
            if self.output is None:
                self.output = output
            elif isinstance(output, tuple):
                for kept, new in zip(self.output, output, strict=True):
                    kept.copy_(new)
            else:
                self.output.copy_(output)
        return self.output


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> type[Replay]:
    monkeypatch.setattr(accelerators, "CapturedFunction", Replay)
    monkeypatch.setattr(Replay, "made", 0)
    return Replay


def step(state: State, constants: State) -> State:
    z, velocity = state
    velocity = 0.5 * velocity + torch.func.grad(lambda point: ((point - constants[0]) ** 2).sum())(
        z
    )
    return z - 0.1 * velocity, velocity


def by_hand(times: int, target: Tensor) -> State:
    """The same descent with the gradient written out."""
    z, velocity = torch.zeros_like(target), torch.zeros_like(target)
    for _ in range(times):
        velocity = 0.5 * velocity + 2 * (z - target)
        z = z - 0.1 * velocity
    return z, velocity


@pytest.mark.parametrize(
    "by",
    [Eager(), TorchCompile(), CudaGraphs(), CompiledCudaGraphs()],
    ids=lambda by: type(by).__name__,
)
def test_a_loop_is_its_step_so_many_times(by: Accelerator, replay: type[Replay]) -> None:
    loop = by.loop(step, 7)
    for target in (torch.ones(2, 3), torch.full((2, 3), -2.0), torch.ones(4, 3)):
        with torch.no_grad():
            found = loop((torch.zeros_like(target), torch.zeros_like(target)), (target,))
        for value, expected in zip(found, by_hand(7, target), strict=True):
            assert torch.allclose(value, expected, atol=1e-6)


def test_a_captured_step_may_return_one_of_its_inputs(replay: type[Replay]) -> None:
    """As the step of Nesterov's method does: the present point becomes the previous one."""

    def fibonacci(state: State, _: State) -> State:
        return state[0] + state[1], state[0]

    start = (torch.ones(2), torch.zeros(2))
    found = CudaGraphs().loop(fibonacci, 6)(start, (torch.zeros(1),))
    assert [value.tolist() for value in found] == [[13.0, 13.0], [8.0, 8.0]]


def test_a_capture_is_made_once_for_each_shape_and_its_results_stay(replay: type[Replay]) -> None:
    function = CudaGraphs().function(lambda images: images * 2)
    first = function(IMAGES)
    second = function(torch.zeros_like(IMAGES))
    assert torch.equal(first, IMAGES * 2)
    assert not second.any()
    function(IMAGES[:1])
    assert replay.made == 2


def test_what_cannot_be_compiled_whole_is_not_left_eager() -> None:
    def branches(images: Tensor) -> Tensor:
        return images if images.sum() > 0 else -images

    def differentiates(images: Tensor) -> Tensor:
        with torch.enable_grad():
            point = images.detach().requires_grad_(True)
            return torch.autograd.grad((point**2).sum(), point)[0]

    reasons = r"(?i)data-dependent branching|autograd\.grad|requires_grad_\(\)"
    for function in (branches, differentiates):
        with pytest.raises(Exception, match=reasons):
            TorchCompile().function(function)(IMAGES)


def test_compiled_draws_are_eager_draws() -> None:
    def noisy(images: Tensor) -> Tensor:
        return images + torch.randn(images.shape)

    compiled = TorchCompile().function(noisy)
    compiled(IMAGES)
    torch.manual_seed(3)
    found = compiled(IMAGES)
    torch.manual_seed(3)
    assert torch.equal(found, noisy(IMAGES))


class Scaled(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        return images * self.scale


def test_many_modules_are_compiled_also_by_a_release_in_which_they_share_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PyTorch 2.11 ends at eight modules of all pipelines together."""
    newest = torch.compile

    def older(function: Any, *, fullgraph: bool, dynamic: bool, options: dict[str, Any]) -> Any:
        return newest(function, fullgraph=fullgraph, dynamic=dynamic, options=options)

    monkeypatch.setattr(torch, "compile", older)
    config: Any = torch._dynamo.config
    names = ("recompile_limit", "accumulated_recompile_limit")
    with config.patch({name: getattr(config, name) for name in names}):  # restored at the end
        for scale in range(10):
            found = TorchCompile().function(Scaled(scale / 10))(IMAGES)
            assert torch.allclose(found, IMAGES * (scale / 10))


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.3))
        self.seen: list[torch.dtype] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images.dtype)
        return images * self.scale


class Own(Whole):
    def accelerated(self, by: Accelerator) -> Any:
        return by.function(lambda images: images * self.scale + 1)


def test_a_module_may_say_what_an_engine_takes_hold_of() -> None:
    with torch.no_grad():
        plain = accelerated(Whole(), ENGINES["eager"], PRECISIONS["float32"])(IMAGES)
        own = accelerated(Own(), Engine("other", "for a test", Eager), PRECISIONS["float32"])(
            IMAGES
        )
        eager = accelerated(Own(), ENGINES["eager"], PRECISIONS["float32"])(IMAGES)
    assert torch.allclose(plain + 1, own)
    assert torch.equal(plain, eager)  # accuracies come from the module as it is


def test_bfloat16_converts_weights_and_images_and_leaves_the_module_as_it_is() -> None:
    module = Whole()
    with torch.no_grad():
        found = accelerated(module, ENGINES["eager"], PRECISIONS["bfloat16"])(IMAGES)
    assert found.dtype == torch.float32
    assert module.scale.dtype == torch.float32
    assert torch.equal(found, (IMAGES.bfloat16() * module.scale.bfloat16()).float())
    assert not torch.equal(found, IMAGES * module.scale)


def test_what_needs_cuda_says_so() -> None:
    for mode in (ENGINES["cudagraph"], ENGINES["compiled-cudagraph"], PRECISIONS["tf32"]):
        with pytest.raises(NotApplicable, match=f"{mode.name} needs CUDA"):
            mode.check_applies(CPU)
        mode.check_applies(torch.device("cuda"))
    ENGINES["compile"].check_applies(CPU)


def test_tf32_is_allowed_only_within() -> None:
    def allowed() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = allowed()
    for name in ("float32", "tf32", "bfloat16"):
        with PRECISIONS[name].arithmetic():
            assert allowed() == ((name == "tf32"),) * 2
    with tf32_allowed(True), pytest.raises(KeyError), tf32_allowed(False):
        raise KeyError
    assert allowed() == before


def test_names_are_looked_up() -> None:
    assert [engine.name for engine in engines_of(("compile", "eager", "compile"))] == [
        "compile",
        "eager",
    ]
    with pytest.raises(
        RequestError, match=r"unknown engine 'cudagraf' \(choose from: .*did you mean 'cudagraph'"
    ):
        engines_of(("cudagraf",))
    with pytest.raises(RequestError, match=r"unknown precision 'float16'.*did you mean 'b?float"):
        precisions_of(("float16",))
