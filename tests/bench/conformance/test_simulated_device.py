"""The simulated device refuses what a GPU refuses, and notes what makes a host wait."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.conformance.host_access import MixedDevices
from bench.conformance.simulated_device import simulated_device
from bench.conformance.simulated_tensor import SIMULATED

HERE = __file__


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x: x + torch.ones(3, 4),
        lambda x: torch.cat([x, torch.ones(3, 4)]),
        lambda x: torch.stack([x.sum(), torch.tensor(1.0)]),
        lambda x: torch.where(x > 0, x, torch.ones(3, 4)),
        lambda x: x @ torch.ones(4, 2),
        lambda x: torch.ones(3, 4)[x.long()],
        lambda x: x.numpy(),
        lambda x: np.asarray(x),
        lambda x: torch.rand(3, generator=torch.Generator(), device=x.device),
        lambda x: torch.randperm(3, generator=torch.Generator(x.device)),
        lambda x: x.normal_(generator=torch.Generator()),
    ],
)
def test_what_a_gpu_refuses_is_refused_with_its_place(mixed: Callable[[Tensor], object]) -> None:
    with simulated_device():
        x = torch.rand(3, 4).to(SIMULATED)
        with pytest.raises(MixedDevices) as found:
            mixed(x)
    assert found.value.stack[0].file == HERE
    assert found.value.stack[0].line == mixed.__code__.co_firstlineno


def test_a_fault_says_where_the_tensor_of_the_cpu_was_made() -> None:
    with simulated_device():
        x = torch.rand(3).to(SIMULATED)
        made = torch.zeros(3)
        line = test_a_fault_says_where_the_tensor_of_the_cpu_was_made.__code__.co_firstlineno + 3
        with pytest.raises(MixedDevices) as found:
            x * (made + 1)
    assert [stack[0].line for stack in found.value.made] == [line]


@pytest.mark.parametrize(
    ("accessed", "kinds"),
    [
        (lambda x: x.sum().item(), ["wait"]),
        (lambda x: bool((x > 0).any()), ["wait"]),
        (lambda x: float(x.max()), ["wait"]),
        (lambda x: x.tolist(), ["wait"]),
        (lambda x: x[x > 0.5], ["wait"]),
        (lambda x: x.nonzero(), ["wait"]),
        (lambda x: torch.equal(x, x), ["wait"]),
        (lambda x: x.unique(), ["wait"]),
        (lambda x: x.index_put_((x > 0.5,), x[0, 0]), []),  # a number needs no positions
        (lambda x: x.cpu(), ["to the host"]),
        (lambda x: torch.zeros(3, 4).to(x), ["to the device"]),
        (lambda x: torch.tensor([1.0], device=x.device), ["to the device"]),
        (lambda x: x.new_tensor([1.0]), ["to the device"]),
        (lambda x: x[torch.tensor([0, 1])], ["to the device"]),
        (lambda x: x[[0, 1]], ["to the device"]),
        (lambda x: torch.zeros(3, 4).copy_(x), ["to the host"]),
        (lambda x: torch.zeros(3, 4, device=x.device) + torch.zeros_like(x), []),
        (lambda x: x * torch.tensor(2.0), []),  # a number of the CPU is no tensor there
        (lambda x: x[torch.arange(2, device=x.device)], []),
        (lambda x: torch.randperm(4, generator=torch.Generator(x.device), device=x.device), []),
        (lambda x: torch.zeros(3, 4).new_zeros(2, device=x.device) + 1, []),
    ],
)
def test_each_access_of_the_host_is_noted(
    accessed: Callable[[Tensor], object], kinds: list[str]
) -> None:
    with simulated_device() as accesses:
        x = torch.rand(3, 4).to(SIMULATED)
        accesses.clear()
        result = accessed(x)
    assert [access.kind for access in accesses] == kinds
    assert all(access.stack[0].file == HERE for access in accesses)
    if isinstance(result, Tensor):
        assert (result.device == SIMULATED) == (kinds != ["to the host"])


def trained(device: torch.device) -> list[Tensor]:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.LazyLinear(3)
    )
    images, labels = torch.rand(6, 1, 8, 8), torch.arange(6) % 3
    module(images)
    module.to(device)
    images, labels = images.to(device), labels.to(device)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(3):
        noisy = (images + torch.randn_like(images)).requires_grad_()
        optimizer.zero_grad()
        loss = cross_entropy(module(noisy), labels)
        (slope,) = torch.autograd.grad(loss, noisy, create_graph=True)
        (loss + slope.square().sum()).backward()
        optimizer.step()
    return [value.detach().cpu() for value in module.state_dict().values()]


def test_a_training_has_the_bits_of_the_cpu() -> None:
    with simulated_device():
        found = trained(SIMULATED)
    for one, other in zip(found, trained(torch.device("cpu")), strict=True):
        assert torch.equal(one, other)


def test_nothing_is_left_behind() -> None:
    before = (torch.Generator, torch.autocast)
    with simulated_device() as accesses:
        pass
    assert (torch.Generator, torch.autocast) == before
    torch.rand(3).sum().item()
    assert accesses == []
