"""Observation of plugins while they build a network: the content that they take from elsewhere.

The code and the declared files of a plugin are known before it runs. What else decides the network,
such as a checkpoint that the plugin loads without declaring it, shows when the network is built.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Network
from bench.errors import NotApplicable, PluginFault
from bench.plugins.architectures import Architecture
from bench.plugins.code import CODE
from bench.plugins.configured import Configured
from bench.plugins.counted import counted_digest
from bench.plugins.faults import plugin_call
from bench.plugins.reads import Reads, recorded
from bench.spec import Spec
from bench.stages.references import network_description
from bench.stages.seeding import seeded
from bench.stages.undeclared import undeclared

N = TypeVar("N", bound=Network, covariant=True)

_CPU = torch.device("cpu")

logger = logging.getLogger("bench")


class Observer:
    """Adds to the identity of a network plugin what shows only while it builds.

    `built` is the digest of the tensors that are the same under two seeds, such as loaded weights;
    the zeros and ones that PyTorch's own layers start with do not count. `read` holds the digests
    of the files that the plugin opened without declaring them in `files()`.

    A built-in plugin that is as released declares everything, and is not observed, unless it says
    that it loads what it cannot declare.
    """

    def __init__(self) -> None:
        self._observed: dict[tuple[type, str, DataInfo], Mapping[str, Any]] = {}
        self._reported: set[tuple[str, str]] = set()

    def observed(self, plugin: Configured[N], info: DataInfo) -> Configured[N]:
        """The plugin with an identity that covers what it builds for data of this shape."""
        if plugin.inner is not None:
            plugin = replace(plugin, inner=self.observed(plugin.inner, info))
        members = {
            spec: self.observed(member, info)
            for spec, member in plugin.members.items()
            if isinstance(member.plugin, Network)
        }
        if members:
            shown = _shown(plugin.members, members)
            identity = {**plugin.identity, **({"members": shown} if shown else {})}
            plugin = replace(plugin, members={**plugin.members, **members}, identity=identity)

        if all(map(_is_released, (plugin, *members.values()))):
            return plugin

        key = (type(plugin.plugin), str(plugin.resolved), info)
        if key not in self._observed:
            self._observed[key] = self._observe(plugin, info)

        return replace(plugin, identity={**plugin.identity, **self._observed[key]})

    def _observe(self, plugin: Configured[Network], info: DataInfo) -> dict[str, Any]:
        """What shows while the plugin builds; nothing where it cannot; its training says so."""
        description = network_description(plugin)
        try:
            with recorded() as reads:
                modules = [_built(plugin, description, info, seed) for seed in (0, 1)]
            with plugin_call(description):
                built = _fixed_digest(*modules)
        except (PluginFault, NotApplicable):
            return {}

        read = self._undeclared(plugin, description, reads)
        return {**({"built": built} if built else {}), **({"read": read} if read else {})}

    def _undeclared(self, plugin: Configured[Network], description: str, reads: Reads) -> list[str]:
        """The digests of files that were opened but not declared, code excepted; each is logged."""
        digests: dict[str, None] = {}
        for path in undeclared(reads.all(), plugin.identity):
            digests.setdefault(counted_digest(path, is_code=False))
            self._report(description, os.fspath(path))

        return list(digests)

    def _report(self, description: str, path: str) -> None:
        if (description, path) not in self._reported:
            self._reported.add((description, path))
            logger.warning(
                "%s reads %s while it is built, which files() does not declare: its content counts "
                "as part of the plugin",
                description,
                path,
            )


def _shown(
    before: Mapping[Spec, Configured[Any]], after: Mapping[Spec, Configured[Any]]
) -> dict[str, Any]:
    """What has shown of the plugins that parameters name, by their specs; they decide results too.

    Args:
        before: plugins as they were configured.
        after: the same plugins, observed.
    """
    parts = {
        str(spec): {
            name: value
            for name, value in observed.identity.items()
            if name not in before[spec].identity
        }
        for spec, observed in after.items()
    }
    return {spec: shown for spec, shown in parts.items() if shown}


def _is_released(plugin: Configured[Network]) -> bool:
    """Whether a plugin's network is made by code of this package alone, as it is released."""
    if plugin.trained.plugin.loads_elsewhere:
        return False
    has_code = any(part in plugin.identity or part in plugin.trained.identity for part in CODE)
    members = plugin.trained.plugin.members
    return not has_code and not any(isinstance(member, Architecture) for member in members)


def _built(plugin: Configured[Network], description: str, info: DataInfo, seed: int) -> nn.Module:
    """A module that the plugin builds now, under a seed of its own.

    Raises:
        PluginFault: the plugin raises, or builds something else than a module.
    """
    with seeded(_CPU, "observation", seed), plugin_call(description):
        module = plugin.plugin.build(info)
    if not isinstance(module, nn.Module):
        raise PluginFault(f"{description}: build() returned no torch module")

    return module


def _fixed_digest(first: nn.Module, second: nn.Module) -> str | None:
    """The digest of the tensors that do not depend on the seed; None where there are none."""
    others = {name: _content(tensor) for name, tensor in _tensors(second)}
    fixed = {
        name: content
        for name, tensor in _tensors(first)
        if (content := _content(tensor)) == others.get(name)
    }
    digest = hashlib.sha256()
    for name, content in fixed.items():
        digest.update(name.encode() + content)

    return digest.hexdigest() if fixed else None


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The tensors that a module holds, by name: parameters, buffers and plain attributes.

    Those that a layer of PyTorch's own fills with zeros or ones are left out.
    """
    for prefix, part in module.named_modules():
        is_torch = type(part).__module__.partition(".")[0] == "torch"
        held = {**part.__dict__, **part._parameters, **part._buffers}
        for name, value in sorted(held.items()):
            if isinstance(value, Tensor) and not (is_torch and _is_start(value)):
                yield f"{prefix}.{name}", value.detach().cpu()


def _content(tensor: Tensor) -> bytes:
    """A digest of type, shape and values."""
    values = tensor.reshape(-1).contiguous().view(torch.uint8).numpy()
    return hashlib.sha256(
        f"{tensor.dtype} {tuple(tensor.shape)}".encode() + values.tobytes()
    ).digest()


def _is_start(tensor: Tensor) -> bool:
    """Whether a tensor is one of zeros or of ones, or is empty."""
    return tensor.numel() == 0 or bool((tensor == 0).all()) or bool((tensor == 1).all())
