"""Contracts between plugins and harness: what a plugin provides, and what it can rely on.

A plugin is a frozen dataclass of its hyper-parameters. The network that it builds and trains is a
torch module of its own. A complete defense, in a file that `--plugin` names:

    from dataclasses import dataclass

    from torch import nn

    from bench.contracts import DataInfo, Defense, PositiveInt
    from bench.registry import register_defense


    @register_defense("blur")
    @dataclass(frozen=True)
    class Blur(Defense):
        '''Mean filter: each pixel becomes the mean of the window around it.'''

        radius: PositiveInt = 1

        def build(self, data: DataInfo) -> nn.Module:
            size = 2 * self.radius + 1
            return nn.AvgPool2d(size, stride=1, padding=self.radius, count_include_pad=False)

The harness guarantees:

- Images are float32 tensors (n, channels, height, width) in [0, 1] on the device of the run, labels
  are int64 tensors (n,), and epsilon is on the [0, 1] scale.
- The global random generators of torch, NumPy and `random` are seeded before a network is built and
  fitted, and again before each batch that is attacked or purified. A plugin draws its randomness
  from the global generators of torch, NumPy or `random` only.
- `fit` gets its module in training mode, with gradients enabled. Afterwards the module is in
  evaluation mode and its weights are frozen: no parameter requires a gradient.
- Accuracy and latency are measured under `torch.no_grad`, so a module that takes gradient steps
  does so under `torch.enable_grad`. A white-box attack differentiates the same module, so a
  gradient should be exact, or zero where none exists.
- Every output that enters a result is checked: shape, type, device, NaN, the range [0, 1], the
  distance to the original image. A plugin that fails a check, or raises, fails its own cells with a
  message that names the plugin; the other cells are computed. Whatever it raises is such a failure,
  `SystemExit` included.
- Settings of the process hold during a call of a plugin only, and are restored after it: the
  working folder, signal handlers, NumPy's error handling, and torch's default type and device,
  gradient mode, threads, TF32, cuDNN flags and deterministic algorithms. What a plugin prints goes
  to standard error.

So a plugin contains the mathematics only, and leaves its inputs unchanged. The harness moves
tensors to the device, seeds, saves, loads, times, and shows progress.

`bench new defense NAME` writes a longer example, with training; `bench check NAME` tests a plugin
against these contracts.
"""

from __future__ import annotations

from bench.contracts.acceleration import Accelerator, Eager, State
from bench.contracts.attack import Access, Attack, MinimumNorm
from bench.contracts.dataset import Dataset, ImageSets, LabelledImages, LoadContext
from bench.contracts.decision import Decision
from bench.contracts.network import (
    Classifier,
    DataInfo,
    Defense,
    FitContext,
    Network,
    WrappedDefense,
)
from bench.contracts.network_files import read_network, tried_output
from bench.contracts.parameters import (
    AttackSpec,
    AttackSpecs,
    ClassifierArchitecture,
    ClassifierSpec,
    ClassifierSpecs,
    DefenseArchitecture,
    DefenseSpec,
    DefenseSpecs,
    Floats,
    Fraction,
    Fractions,
    Indices,
    NonNegativeFloat,
    NonNegativeInt,
    OmittedAt,
    PositiveFloat,
    PositiveFloats,
    PositiveInt,
    PositiveInts,
    SpecOf,
)
from bench.contracts.plugin import Plugin
from bench.contracts.stand_in import HasStandIns, Mixture, StandIn
from bench.contracts.weights import load_weights, read_weights
from bench.errors import NotApplicable, nearest
from bench.geometry import Norm, distances, within
from bench.spec import Spec

__all__ = [
    "Accelerator",
    "Access",
    "Attack",
    "AttackSpec",
    "AttackSpecs",
    "Classifier",
    "ClassifierArchitecture",
    "ClassifierSpec",
    "ClassifierSpecs",
    "DataInfo",
    "Dataset",
    "Decision",
    "Defense",
    "DefenseArchitecture",
    "DefenseSpec",
    "DefenseSpecs",
    "Eager",
    "FitContext",
    "Floats",
    "Fraction",
    "Fractions",
    "HasStandIns",
    "ImageSets",
    "Indices",
    "LabelledImages",
    "LoadContext",
    "MinimumNorm",
    "Mixture",
    "Network",
    "NonNegativeFloat",
    "NonNegativeInt",
    "Norm",
    "NotApplicable",
    "OmittedAt",
    "Plugin",
    "PositiveFloat",
    "PositiveFloats",
    "PositiveInt",
    "PositiveInts",
    "Spec",
    "SpecOf",
    "StandIn",
    "State",
    "WrappedDefense",
    "distances",
    "load_weights",
    "nearest",
    "read_network",
    "read_weights",
    "tried_output",
    "within",
]
