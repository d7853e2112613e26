"""Weights in files by `torch.save` or safetensors: the tensors of a network by name."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from bench.contracts.file_formats import damaged, format_of
from bench.text import LONGEST_NAME, one_line

if TYPE_CHECKING:
    from torch import Tensor, nn

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Names under which training scripts keep the weights beside other things."""

_PREFIXES = ("module.", "model.", "_orig_mod.")
"""Prefixes of names that `DataParallel`, wrapping modules and `torch.compile` add."""

_COUNTS = ".num_batches_tracked"
"""End of the names of counters that old files lack, and that no output depends on."""

_LONGEST_MESSAGE = 10_000
"""Number of characters of PyTorch's message that are looked at."""

_FOREIGN = re.compile(r"\b(?:GLOBAL|global|class|type) ([A-Za-z_]\w*(?:\.\w+)+)")
"""What a pickle names that is neither a tensor nor a plain value, in PyTorch's message."""

_REMEDY = (
    "save the weights alone with torch.save(network.state_dict(), PATH), or export the network "
    "with torch.export.save"
)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU.

    A dictionary around the weights is taken off, as training scripts write it: `state_dict`,
    `model_state_dict`, `model`, `net`.

    Args:
        path: safetensors file, or one by `torch.save`. A pickle that would run code is refused.

    Raises:
        ValueError: the file has another format, would run code, or holds no weights.
        OSError: the file cannot be read.
    """
    form = format_of(path)
    if form not in ("safetensors", "pickle"):
        raise ValueError(f"{path} is a whole network and no file of weights")

    content = _safetensors(path) if form == "safetensors" else _unpickled(path)
    weights = _unwrapped(content)
    if weights is None:
        raise ValueError(f"{path} holds no weights by name: {_REMEDY}")
    return weights


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load weights into a module of the same architecture.

    Prefixes that all names have in addition are taken off: `module.`, `model.`, `_orig_mod.`.

    Args:
        module: untrained network.
        weights: tensors by name.
        path: file that they come from, for messages.

    Raises:
        ValueError: names or shapes differ; the text counts them and names the first of each.
    """
    own = module.state_dict()
    found = _without_prefixes(weights, own)
    missing = [name for name in own if name not in found and not name.endswith(_COUNTS)]
    unexpected = [name for name in found if name not in own]
    differing = [name for name in found if name in own and found[name].shape != own[name].shape]

    parts = [_counted(missing, "missing"), _counted(unexpected, "unexpected")]
    if differing:
        name = differing[0]
        shapes = f"{tuple(found[name].shape)} instead of {tuple(own[name].shape)}"
        parts.append(f"{_counted(differing, 'of another shape')}: {shapes}")
    if any(parts):
        raise ValueError(
            f"{path} has the weights of another architecture: {', '.join(filter(None, parts))}"
        )

    module.load_state_dict(found, strict=False)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise damaged(path, error) from error
    return tensors


def _unpickled(path: Path) -> Any:
    """The content of a file by `torch.save`; a pickle that would run code is refused."""
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        foreign = _FOREIGN.search(one_line(str(error), _LONGEST_MESSAGE))
        if foreign is None:
            raise damaged(path, error) from error
        raise ValueError(
            f"{path} is a pickle that would run code when it is loaded "
            f"(it names {one_line(foreign[1], LONGEST_NAME)}): {_REMEDY}"
        ) from error
    except (RuntimeError, EOFError, LookupError, TypeError, AttributeError) as error:
        raise damaged(path, error) from error


def _unwrapped(content: Any) -> dict[str, Tensor] | None:
    """The weights among what a file holds; None where there are none."""
    if not isinstance(content, Mapping):
        return None

    candidates = (content, *(content.get(name) for name in _WRAPPERS))
    return next((dict(found) for found in candidates if _are_weights(found)), None)


def _are_weights(content: Any) -> TypeGuard[Mapping[str, Tensor]]:
    """Whether something consists of tensors by name."""
    import torch

    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) for name in content)
        and all(isinstance(value, torch.Tensor) for value in content.values())
    )


def _without_prefixes(weights: Mapping[str, Tensor], own: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights by the names of a network, where prefixes alone make the difference."""
    found = dict(weights)
    while not found.keys() & own.keys():
        prefix = next((text for text in _PREFIXES if all(n.startswith(text) for n in found)), None)
        if prefix is None:
            return dict(weights)
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}

    return found


def _counted(names: list[str], what: str) -> str:
    if not names:
        return ""
    return f"{len(names)} {what} (first {one_line(names[0], LONGEST_NAME)})"
