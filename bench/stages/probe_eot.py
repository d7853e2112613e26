"""The probe of EOT: whether an attack calls the model more often where it should average draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.contracts import Attack
from bench.plugins.configured import Configured
from bench.plugins.faults import plugin_call
from bench.stages.context import TaskContext
from bench.stages.probe import Batch, Probe

EOT_IMAGES = 2
"""Number of images that are attacked."""


@dataclass(frozen=True)
class EotProbe(Probe):
    """The task that counts the attack's calls of the model, without averaging and with two draws.

    Attributes:
        attack: attack to run.
        eps: budget of the attack, on the [0, 1] scale.
    """

    name: ClassVar[str] = "expectation over transformation"
    attack: Configured[Attack]
    eps: float

    def settings(self) -> Mapping[str, Any]:
        """Attack and budget."""
        return {"attack": self.attack.identity, "eps": self.eps}

    def measure(self, batch: Batch, start: int, context: TaskContext) -> Mapping[str, Tensor]:  # noqa: ARG002 - overrides
        """Tensor `calls`, int64 (2,)."""
        return {"calls": torch.tensor([self._calls(batch, draws) for draws in (1, 2)])}

    def _calls(self, batch: Batch, draws: int) -> int:
        """The number of calls of the model by the attack.

        Raises:
            PluginFault: the attack raised an exception.
        """
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        hook = batch.model.register_forward_pre_hook(count)
        batch.model.eot = draws  # type: ignore[assignment]
        try:
            with batch.common_draw(), plugin_call(f"attack {self.attack.label}"):
                self.attack.plugin.perturb(
                    batch.model, batch.images.clone(), batch.labels.clone(), self.eps
                )
        finally:
            hook.remove()

        return calls
