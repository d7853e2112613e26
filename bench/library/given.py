"""Networks that a program gives as they are, as plugins of a run."""

from __future__ import annotations

import copy
import io
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from bench.contracts import Classifier, DataInfo, Defense, Network
from bench.errors import RequestError
from bench.failures import named
from bench.plugins.configured import Configured
from bench.plugins.faults import plugin_call
from bench.plugins.live_code import Looked, live_digest
from bench.plugins.parameters import Json
from bench.spec import NAME, Spec
from bench.stages.decisions import decides
from bench.stages.references import NetworkRef
from bench.stages.seeding import seeded
from bench.stages.surrogates import defended_logits
from bench.store.artifacts import digest_of
from bench.text import LONGEST_NAME, one_line

N = TypeVar("N", bound=Network)

GivenModule = nn.Module | Callable[[Tensor], Tensor]
"""A module or a function of images."""

_CPU = torch.device("cpu")

_LOADED: weakref.WeakKeyDictionary[nn.Module, _Origin] = weakref.WeakKeyDictionary()
"""The trained networks that `bench.load` returned."""


@dataclass(frozen=True)
class _Origin:
    """Where a network of `bench.load` comes from.

    Attributes:
        reference: trained network of the benchmark.
        digest: live digest of the module as it was returned.
    """

    reference: NetworkRef
    digest: str


def remember(module: nn.Module, reference: NetworkRef) -> None:
    """Note that a module is a trained network, so that results of it are shared with runs."""
    _LOADED[module] = _Origin(reference, live_digest(module))


def loaded_name(module: object) -> str | None:
    """The name of the plugin of a network that `bench.load` returned; None for any other."""
    origin = _LOADED.get(module) if isinstance(module, nn.Module) else None
    return None if origin is None else origin.reference.plugin.name


@dataclass(frozen=True, eq=False)
class _Traits:
    """What a run must know of a network.

    Attributes:
        stochastic: whether two calls on the same images may differ.
        independent_draws: whether copies of an image in one call get draws of their own.
    """

    stochastic: bool
    independent_draws: bool = False


@dataclass(frozen=True, eq=False)
class GivenDefense(Defense):
    """A purifier that a program gives."""

    module: nn.Module
    traits: _Traits

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether two calls on the same images may differ."""
        return self.traits.stochastic

    @property
    def independent_draws(self) -> bool:  # type: ignore[override]
        """Whether copies of an image in one call get draws of their own."""
        return self.traits.independent_draws

    def build(self, data: DataInfo) -> nn.Module:  # noqa: ARG002 - it is built already
        """A copy of the module."""
        return _copied(self.module)


@dataclass(frozen=True, eq=False)
class GivenClassifier(Classifier):
    """A classifier that a program gives."""

    module: nn.Module
    traits: _Traits

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether two calls on the same images may differ."""
        return self.traits.stochastic

    def build(self, data: DataInfo) -> nn.Module:  # noqa: ARG002 - it is built already
        """A copy of the module."""
        return _copied(self.module)


@dataclass(frozen=True)
class GivenNetwork(Configured[N]):
    """A given network in the place of a plugin that was made from a spec.

    Attributes:
        digest: digest of the network's weights, state and code.
    """

    digest: str = ""

    @property
    def training_identity(self) -> Mapping[str, Json]:
        """The network itself: it is not trained, whatever plugin it comes from."""
        return {"given": self.digest}

    def __hash__(self) -> int:
        return hash((self.spec, self.digest))


class _Script(nn.Module):
    """A TorchScript module as part of an ordinary one, which the harness can freeze."""

    def __init__(self, network: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """The output of the script."""
        output: Tensor = self.network(images)
        return output

    def __deepcopy__(self, memo: dict[int, Any]) -> _Script:
        # PyTorch's own copy has weights that are no leaves of the graph.
        file = io.BytesIO()
        torch.jit.save(self.network, file)
        file.seek(0)
        return _Script(torch.jit.load(file))


def _as_module(network: GivenModule) -> nn.Module:
    """A network as a module that the harness can copy, freeze and move."""
    if isinstance(network, torch.jit.ScriptModule):
        return _Script(network)
    return network if isinstance(network, nn.Module) else _Function(network)


class _Function(nn.Module):
    """A function of images as a module without weights."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._held = (function,)  # in a tuple: what it calls is no part of this module

    def forward(self, images: Tensor) -> Tensor:
        """The value of the function."""
        return self._held[0](images)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Function:
        return _Function(self._held[0])


def given_network(
    family: str,
    name: str,
    network: GivenModule,
    probe: Callable[[nn.Module], Tensor],
    stochastic: bool | None,
) -> GivenNetwork[Any]:
    """A module or function as the plugin of a run.

    Args:
        family: `defense` or `classifier`.
        name: name in tables.
        network: module, in any mode, or function.
        probe: function that calls a module on a few images.
        stochastic: whether two calls on the same images may differ; None to find out.

    Raises:
        RequestError: the name cannot be one, the network is no function of images, or it calls a
            module in training mode.
        PluginFault: the network cannot be copied, or raises.
    """
    description = f"{family} '{one_line(name, LONGEST_NAME)}'"
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise RequestError(
            f"{description}: a name has letters, digits, '-' and '_', a letter first"
        )
    if not callable(network):
        kind = type(network).__name__
        raise RequestError(
            f"{description} is a {kind}: give a torch module or a function of images"
        )

    module = _as_module(network)
    with plugin_call(description):
        looked = Looked(network)
        origin = _LOADED.get(network) if isinstance(network, nn.Module) else None
        if origin is not None and looked.digest == origin.digest:
            return _loaded(name, module, origin.reference)
    if isinstance(module, _Function):
        _check_modes(description, looked.modules)
    with plugin_call(description):
        is_random = _differs(module, probe) if stochastic is None else stochastic
    digest = looked.digest

    make = GivenDefense if family == "defense" else GivenClassifier
    plugin = make(module, _Traits(is_random))
    identity = {"given": digest, **({"stochastic": True} if is_random else {})}
    return GivenNetwork(Spec(name, ()), plugin, {}, identity, digest=digest)


def _check_modes(description: str, modules: Sequence[nn.Module]) -> None:
    """Check that a function calls no module in training mode, which it alone could change.

    Raises:
        RequestError: it does.
    """
    for module in modules:
        if module.training and not isinstance(module, _Function):
            raise RequestError(
                f"{description} calls a {type(module).__name__} in training mode: call its eval() "
                "first, or give a module of which it is a part"
            )


def _loaded(name: str, module: nn.Module, reference: NetworkRef) -> GivenNetwork[Any]:
    """A network of `bench.load`, which keeps the identity of its plugin."""
    plugin = reference.plugin.plugin
    traits = _Traits(plugin.stochastic, plugin.independent_draws)
    make = GivenDefense if isinstance(plugin, Defense) else GivenClassifier
    identity = reference.plugin.identity

    return GivenNetwork(
        Spec(name, ()),
        make(module, traits),
        reference.plugin.parameters,
        identity,
        digest=digest_of({}) + reference.digest,
    )


def _copied(module: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise ValueError(f"the module cannot be copied: {named(error)}") from error


def _differs(module: nn.Module, probe: Callable[[nn.Module], Tensor]) -> bool:
    """Whether a module gives something else under another seed, in evaluation mode."""
    copied = _copied(module).eval()
    outputs = []
    for seed in (0, 1):
        with seeded(_CPU, "given", seed), torch.no_grad():
            outputs.append(probe(copied))

    return not torch.equal(*outputs)


def logits_probe(images: Tensor) -> Callable[[nn.Module], Tensor]:
    """A function that classifies images."""
    return lambda module: module(images.clone())


def purifier_probe(images: Tensor, classifier: nn.Module) -> Callable[[nn.Module], Tensor]:
    """A function that purifies images, or has a defense that decides by itself classify them."""

    def probe(module: nn.Module) -> Tensor:
        if decides(module):
            return defended_logits(module, classifier, images.clone())
        purified: Tensor = module(images.clone())
        return purified

    return probe
