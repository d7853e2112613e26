"""The check of a plugin on another device than the CPU: what a GPU would refuse, or wait for.

The device is simulated, see `bench.conformance.simulated_device`, so the check needs none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from bench.conformance.host_access import Frame, HostAccess, MixedDevices
from bench.conformance.simulated_device import simulated_device
from bench.conformance.simulated_tensor import SIMULATED
from bench.conformance.subject import Subject
from bench.contracts import Eager, HasStandIns, Mixture
from bench.errors import PluginFault, RequestError
from bench.plugins.configured import Configured, configure
from bench.plugins.faults import plugin_call
from bench.plugins.origins import is_builtin_plugin, is_outside
from bench.progress import Step
from bench.registry import ATTACKS
from bench.spec import Spec
from bench.stages.decisions import makes_images
from bench.stages.seeding import seeded

_MOST_LINES = 5
"""Number of lines of code that a message names."""

_STEPS = 4
"""Number of steps to which an attack is cut."""

Call = Callable[[], object]


class Use(NamedTuple):
    """A way in which a plugin is used, on the simulated device.

    Attributes:
        name: name in messages, such as `forward()`.
        accesses: accesses of the host in what runs many times: a later call of a module, the
            later steps of a training, or the lines that an attack runs more than once.
    """

    name: str
    accesses: Sequence[HostAccess]


def network_uses(subject: Subject) -> Sequence[Use]:
    """The uses of a defense or classifier: its training, and the calls of its module.

    Args:
        subject: plugin under test, on any device.

    Raises:
        PluginFault: it breaks its contract, or mixes devices.
    """
    # A TorchScript program is compiled for tensors of PyTorch's own kinds.
    if any(isinstance(layer, torch.jit.ScriptModule) for layer in subject.module.modules()):
        return []

    with simulated_device() as accesses:
        steps = _Steps(accesses)
        there = replace(subject, device=SIMULATED, progress=steps)
        with _located(subject.description):
            there.module  # noqa: B018 - trained now
        uses = [Use("fit()", steps.later)]

        for name, call in _calls(there):
            for _ in range(2):  # what the first call keeps for the others is no cost of a call
                before = len(accesses)
                with seeded(SIMULATED, "conformance"), _located(subject.description):
                    call()
            uses.append(Use(name, accesses[before:]))

    return uses


def attack_use(subject: Subject, attacked: Callable[[Subject], object]) -> Use:
    """The use of an attack.

    Args:
        subject: attack under test, on any device.
        attacked: function that runs the attack on the device of a subject.

    Raises:
        PluginFault: it breaks its contract, or mixes devices.
    """
    there = replace(subject, configured=_shorter(subject.configured), device=SIMULATED)
    with simulated_device() as accesses, _located(subject.description):
        _ = there.classifier  # made before the accesses of the attack are counted
        accesses.clear()
        attacked(there)

    times = Counter(access.stack for access in accesses)
    return Use("perturb()", [access for access in accesses if times[access.stack] > 1])


def judged(uses: Iterable[Use], host_work: str) -> str:
    """A note on the lines at which the host waits for the device; empty if there are none.

    Args:
        uses: ways in which the plugin was used.
        host_work: reason that the plugin gives for its work on the host; empty for none.

    Raises:
        PluginFault: tensors are moved, although the plugin gives no reason.
    """
    waits: list[str] = []
    for name, accesses in uses:
        own = [access for access in accesses if is_of_plugin(access)]
        moves = _lines(access for access in own if access.kind != "wait")
        if moves and not host_work:
            raise PluginFault(
                f"{name} moves tensors between the CPU and the device of the images each time, at "
                f"{moves}: make them on that device (device=images.device), or keep them in "
                "buffers of the module; if the CPU must do the work, host_work says why"
            )
        if lines := _lines(access for access in own if access.kind == "wait"):
            waits.append(f"{name} at {lines}")

    return f"the host waits for the device each time in {'; '.join(waits)}" if waits else ""


def is_of_plugin(access: HostAccess) -> bool:
    """Whether a line of a plugin asked for the access, not one of a library or of the harness."""
    path = Path(access.stack[0].file)
    return is_builtin_plugin(path) or is_outside(path)


def _shorter(attack: Configured[Any]) -> Configured[Any]:
    """The attack cut to a few steps, if it has a number of steps and allows fewer."""
    steps = attack.parameters.get("steps")
    if type(steps) is not int or steps <= _STEPS:
        return attack
    try:
        return configure(ATTACKS, Spec.of(attack.name, {**attack.parameters, "steps": _STEPS}))
    except RequestError:
        return attack


class _Steps:
    """A reporter that notes how many accesses there were when each step of a training ended."""

    def __init__(self, accesses: Sequence[HostAccess]) -> None:
        self._accesses = accesses
        self._ends: list[int] = []

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Step]:  # noqa: ARG002 - shows nothing
        """This reporter, for any step."""
        yield self

    def advance(self, count: int = 1, note: str = "", left: float | None = None) -> None:  # noqa: ARG002
        """Note the end of a step."""
        self._ends.append(len(self._accesses))

    @property
    def later(self) -> Sequence[HostAccess]:
        """The accesses from the end of the first step to that of the last."""
        return self._accesses[self._ends[0] : self._ends[-1]] if self._ends else ()


def _calls(subject: Subject) -> Iterator[tuple[str, Call]]:
    """The calls of a module, by their names in messages."""
    module, images = subject.module, subject.images
    if subject.family == "classifier" or makes_images(module):
        yield "forward()", lambda: _values(module, images)
        yield "the gradient of forward()", lambda: _gradient(module, images)
    if hasattr(module, "classify"):
        classify = cast("Callable[..., object]", module.classify)
        yield "classify()", lambda: _values(lambda x: classify(x, subject.classifier), images)
    if hasattr(module, "accelerated"):
        accelerated = cast("Callable[..., Callable[[Tensor], object]]", module.accelerated)
        with torch.no_grad():
            function = accelerated(Eager())
        yield "the function of accelerated()", lambda: _values(function, images)
    if isinstance(module, HasStandIns):
        for name, stand_in in module.stand_ins().items():
            yield (
                f"stand-in {name}",
                lambda function=stand_in.function: _gradient(function, images),  # type: ignore[misc]
            )


def _values(function: Callable[[Tensor], object], images: Tensor) -> None:
    with torch.no_grad():
        function(images.clone())


def _gradient(function: Callable[[Tensor], object], images: Tensor) -> None:
    """The gradient of a function of images, if it has one."""
    inputs = images.clone().requires_grad_(True)
    with torch.enable_grad():
        output = function(inputs)
        value = output.images if isinstance(output, Mixture) else output
        if isinstance(value, Tensor) and value.requires_grad:
            torch.autograd.grad(value.sum(), inputs, allow_unused=True)


@contextmanager
def _located(description: str) -> Iterator[None]:
    """Name the line at which devices were mixed in the block.

    Raises:
        PluginFault: whatever a plugin raises.
    """
    try:
        with plugin_call(description):
            yield
    except PluginFault as fault:
        cause: BaseException | None = fault
        while cause is not None and not isinstance(cause, MixedDevices):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise PluginFault(f"{_mixed(cause)}: make tensors on the device of the images") from fault


def _mixed(error: MixedDevices) -> str:
    """What was mixed and where, and where the tensors of the CPU come from."""
    made = [_line(_own(stack)) for stack in error.made if stack]
    origin = f", of the CPU from {', '.join(dict.fromkeys(made))}" if made else ""
    return f"{error} at {_line(_own(error.stack))}{origin}"


def _own(stack: Sequence[Frame]) -> Frame:
    """The innermost line of a plugin, or else of all."""
    paths = ((frame, Path(frame.file)) for frame in stack)
    own = (frame for frame, path in paths if is_builtin_plugin(path) or is_outside(path))
    return next(own, stack[0])


def _lines(accesses: Iterable[HostAccess]) -> str:
    """The lines that asked for accesses, with the operations; a few of them."""
    shown = list(
        dict.fromkeys(f"{_line(access.stack[0])} ({access.operation})" for access in accesses)
    )
    more = [f"{len(shown) - _MOST_LINES} more"] if len(shown) > _MOST_LINES else []
    return ", ".join([*shown[:_MOST_LINES], *more])


def _line(frame: Frame) -> str:
    return f"{Path(frame.file).name}:{frame.line}"
