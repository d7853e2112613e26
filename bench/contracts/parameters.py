"""Types of plugin parameters: numbers with a range, specs of other plugins, markers of an option.

A plugin imports them from `bench.contracts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from bench.spec import Spec

_LARGEST = 2**63 - 1  # what a tensor can hold, and a TOML file may write

PositiveInt = Annotated[int, Field(ge=1, le=_LARGEST)]
NonNegativeInt = Annotated[int, Field(ge=0, le=_LARGEST)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
"""A number in [0, 1], such as an epsilon."""


def _items(value: Any) -> Any:
    """The items of a comma-separated text, or of a single number."""
    if isinstance(value, str):
        return value.split(",")
    return value if isinstance(value, (list, tuple)) else (value,)


Floats = Annotated[tuple[float, ...], Field(min_length=1), BeforeValidator(_items)]
"""One or more numbers, such as `0.5` or `[0.49,0.48,0.45]`."""

PositiveFloats = Annotated[tuple[PositiveFloat, ...], Field(min_length=1), BeforeValidator(_items)]
"""One or more numbers above 0."""

Fractions = Annotated[tuple[Fraction, ...], Field(min_length=1), BeforeValidator(_items)]
"""One or more numbers in [0, 1]."""

PositiveInts = Annotated[tuple[PositiveInt, ...], Field(min_length=1), BeforeValidator(_items)]
"""One or more whole numbers from 1 on, such as `[1,2,2]`."""

Indices = Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), BeforeValidator(_items)]
"""One or more whole numbers from 0 on, such as `[3,5,8]`."""


@dataclass(frozen=True)
class SpecOf:
    """Marker of a parameter whose value is the spec of a plugin, or a tuple of specs.

    The plugin that the spec names is checked too, and its identity becomes part of the identity of
    the plugin with the parameter. The value may also be None where the type allows it.

    Attributes:
        family: family of the named plugin: `defense`, `attack` or `classifier`.
        or_code: whether the value may also be the class or function of an untrained network,
            written `FILE.py:NAME` or `MODULE:NAME` and called without arguments. It is then the
            name of a spec without parameters, and `Network.member` gives a plugin that builds it.
    """

    family: str
    or_code: bool = False


AttackSpec = Annotated[Spec, SpecOf("attack")]
"""One attack, such as `pgd:steps=10`."""

AttackSpecs = Annotated[tuple[Spec, ...], SpecOf("attack")]
"""One or more attacks, such as `fgsm` or `[fgsm,pgd:steps=10]`."""

DefenseSpec = Annotated[Spec, SpecOf("defense")]
"""One defense, such as `puvae:noise=0.2`; see `bench.contracts.network.WrappedDefense`."""

DefenseSpecs = Annotated[tuple[Spec, ...], SpecOf("defense")]
"""One or more defenses, such as `[median,jpeg]`; see `bench.contracts.network.Network.member`."""

ClassifierSpec = Annotated[Spec, SpecOf("classifier")]
"""One classifier, such as `cnn:width=16`; see `bench.contracts.network.Network.member`."""

ClassifierSpecs = Annotated[tuple[Spec, ...], SpecOf("classifier")]
"""One or more classifiers, such as `[cnn,vgg16]`; see `bench.contracts.network.Network.member`."""

ClassifierArchitecture = Annotated[Spec, SpecOf("classifier", or_code=True)]
"""An untrained classifier, such as `[cnn:width=16]` or `[lenet.py:LeNet]`."""

DefenseArchitecture = Annotated[Spec, SpecOf("defense", or_code=True)]
"""An untrained purifier, such as `[convae:width=8]` or `[unet.py:UNet]`."""


@dataclass(frozen=True)
class OmittedAt:
    """Marker of an option that is left out of the plugin's identity while it has this value.

    The identity lists all parameters, so that a parameter added later would make every stored
    network invalid. Declared as `autocast: Annotated[bool, OmittedAt(False)] = False`, the option
    changes no identity until it is taken. A parameter that is None is left out without a marker.

    In a spec, `none` stands for the value too.

    Attributes:
        value: value of the option when it is not taken; the parameter's default.
    """

    value: bool | int | float | str
