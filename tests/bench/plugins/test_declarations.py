"""What a plugin declares about itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from torch import Tensor, nn

from bench.contracts import Attack, DataInfo, Defense, MinimumNorm
from bench.errors import RequestError
from bench.plugins.catalog import list_plugins
from bench.plugins.configured import configure
from bench.plugins.declarations import check_declarations
from bench.plugins.discovery import import_plugin
from bench.registry import ATTACKS, DEFENSES, REGISTRIES
from tests.plugins.kinds import KINDS, as_under_the_command_line, assert_clean


@pytest.fixture(autouse=True)
def _under_the_command_line() -> Iterator[None]:
    with as_under_the_command_line():
        yield


@dataclass(frozen=True)
class Shift(Attack):
    """An attack."""

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        return images


@dataclass(frozen=True)
class Nearest(MinimumNorm):
    """A minimum-norm attack."""

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return images


@dataclass(frozen=True)
class Same(Defense):
    """A defense."""

    def build(self, data: DataInfo) -> nn.Module:
        return nn.Identity()


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (Shift, "access", "gradients"),
        (Shift, "access", None),
        (Shift, "stops_at_first_success", "yes"),
        (Shift, "stops_at_first_success", lambda _: True),
        (Shift, "ball", lambda _: "l3"),
        (Shift, "ball", lambda _: 2),
        (Shift, "ball", "linf"),
        (Nearest, "ball", lambda _: None),
        (Same, "stochastic", "no"),
        (Same, "stochastic", 1),
        (Same, "independent_draws", "yes"),
        (Same, "uses_classifier", None),
        (Same, "inference_parameters", "restarts"),
        (Same, "inference_parameters", {1}),
        (Same, "version", "2"),
        (Same, "version", 1.5),
    ],
)
def test_a_value_of_another_type_is_refused(cls: type, name: str, value: object) -> None:
    other = type("Other", (cls,), {name: value})
    with pytest.raises(
        RequestError, match=rf"^plugin x: {name}|^plugin x raised TypeError"
    ) as caught:
        check_declarations("plugin x", other())
    assert_clean(str(caught.value))


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (Shift, "access", "decision"),
        (Shift, "ball", lambda _: None),
        (Nearest, "ball", lambda _: "l1"),
        (Same, "stochastic", True),
        (Same, "inference_parameters", {"restarts"}),
        (Same, "inference_parameters", ("restarts",)),
    ],
)
def test_a_value_of_the_type_is_accepted(cls: type, name: str, value: object) -> None:
    check_declarations("plugin x", type("Other", (cls,), {name: value})())


def test_every_registered_plugin_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x").touch()  # a plugin may need a file
    for info in list_plugins():
        spec = ":".join([info.name, *(f"{name}=x" for name in info.required)])
        check_declarations(info.name, configure(REGISTRIES[info.family], spec).plugin)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("registry", "name", "stage"),
    [
        (ATTACKS, "raising_attack", "access"),
        (ATTACKS, "raising_attack", "stops"),
        (ATTACKS, "raising_attack", "ball"),
        (DEFENSES, "raising", "stochastic"),
        (DEFENSES, "raising", "uses_classifier"),
        (DEFENSES, "raising", "inference_parameters"),
        (DEFENSES, "raising", "configure"),
        (DEFENSES, "raising", "files"),
    ],
)
def test_whatever_a_plugin_raises_while_it_is_configured_is_a_wrong_request(
    plugins: Path, registry, name: str, stage: str, kind: str
) -> None:  # type: ignore[no-untyped-def]
    import_plugin(str(plugins / "raising.py"))
    with pytest.raises(RequestError, match=f"'{name}'") as caught:
        configure(registry, f"{name}:stage={stage}:kind={kind}")
    assert_clean(str(caught.value))
