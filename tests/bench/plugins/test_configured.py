"""From text to a checked plugin."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.plugins.discovery import import_plugin
from bench.registry import ATTACKS, CLASSIFIERS, DEFENSES
from tests.plugins.kinds import assert_clean


def test_parameters_are_read_as_their_type_asks() -> None:
    plugin = configure(ATTACKS, "pgd:steps=7:random_start=false").plugin
    assert (plugin.steps, plugin.random_start) == (7, False)  # type: ignore[attr-defined]


def test_precedence_is_spec_over_overrides_over_defaults() -> None:
    overrides = {"pgd": {"steps": 10, "rel_stepsize": 0.5}}
    found = configure(ATTACKS, "pgd:steps=7", overrides)
    assert (
        found.parameters["steps"],
        found.parameters["rel_stepsize"],
        found.parameters["random_start"],
    ) == (
        7,
        0.5,
        True,
    )
    assert found.label == "pgd:steps=7"


def test_a_nested_spec_is_configured_and_written_out() -> None:
    found = configure(DEFENSES, "convae:attack=[pgd:steps=3]", {"pgd": {"rel_stepsize": 0.25}})
    assert found.parameters["attack"].startswith("pgd:steps=3:rel_stepsize=0.25:")
    assert found.parameters["attack"].endswith(":random_start=true:norm=linf")
    assert found.identity["parameters"]["attack"]["parameters"]["steps"] == 3
    assert configure(DEFENSES, found.resolved).identity == found.identity


def test_a_wrapped_defense_is_the_one_that_is_trained() -> None:
    overrides = {"puvae": {"channels": 4}}
    inner = configure(DEFENSES, "puvae:noise=0.5", overrides)
    outer = configure(DEFENSES, "vote:defense=[puvae:noise=0.5]:draws=3", overrides)

    assert outer.trained.identity == inner.identity
    assert outer.training_identity == inner.training_identity
    assert outer.identity["parameters"]["defense"] == inner.identity
    assert outer.identity != inner.identity
    assert (inner.inner, inner.trained) == (None, inner)
    assert outer.plugin.uses_classifier
    assert outer.plugin.stochastic
    assert configure(DEFENSES, outer.resolved).identity == outer.identity
    assert str(outer.resolved).startswith("vote:defense=[puvae:latent=32:channels=4:")


def test_a_wrapped_defense_is_as_random_as_the_inner_one() -> None:
    for name in ("puvae", "gaussian_noise", "defensegan", "median", "bitdepth", "convae", "none"):
        inner = configure(DEFENSES, name).plugin
        outer = configure(DEFENSES, f"vote:defense={name}").plugin
        assert (outer.stochastic, outer.uses_classifier) == (
            inner.stochastic,
            inner.uses_classifier,
        )


WRAPPER = """
from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from bench.contracts import DefenseSpec, Spec, WrappedDefense
from bench.registry import register_defense


@register_defense("{name}")
@dataclass(frozen=True)
class Wrapper(WrappedDefense):
    \"\"\"A defense around another one.\"\"\"

    {parameters}

    def wrap(self, module: nn.Module) -> nn.Module:
        return module
"""


@pytest.mark.parametrize(
    ("name", "parameters", "has"),
    [
        ("wraps_nothing", "inner: int = 3", "none"),
        ("wraps_two", "a: DefenseSpec = Spec('none')\n    b: DefenseSpec = Spec('none')", "a, b"),
        ("wraps_none", "a: DefenseSpec | None = None", "a"),
    ],
)
def test_a_wrapper_has_exactly_one_inner_defense(
    tmp_path: Path, name: str, parameters: str, has: str
) -> None:
    path = tmp_path / f"{name}.py"
    path.write_text(WRAPPER.format(name=name, parameters=parameters))
    import_plugin(str(path))
    with pytest.raises(RequestError, match=f"exactly one parameter.*it has: {has}") as caught:
        configure(DEFENSES, name)
    assert_clean(str(caught.value))


def test_several_specs_are_configured_each_as_text_or_as_a_list() -> None:
    text = configure(DEFENSES, "convae:attack=[fgsm,pgd:steps=3]")
    listed = configure(DEFENSES, "convae", {"convae": {"attack": ["fgsm", "pgd:steps=3"]}})
    assert text.identity == listed.identity
    assert [inner["name"] for inner in text.identity["parameters"]["attack"]] == ["fgsm", "pgd"]
    assert configure(DEFENSES, text.resolved).identity == text.identity
    for wrong in (3, [3]):
        with pytest.raises(RequestError, match="must be the spec of a plugin"):
            configure(DEFENSES, "convae", {"convae": {"attack": wrong}})


def test_an_option_not_taken_is_none_and_no_part_of_the_identity() -> None:
    plain = configure(CLASSIFIERS, "cnn")
    assert plain.parameters["adversarial"] is None
    assert "adversarial" not in plain.identity["parameters"]
    assert configure(CLASSIFIERS, str(plain.resolved)).identity == plain.identity
    assert configure(CLASSIFIERS, "cnn:adversarial=none").identity == plain.identity
    assert configure(CLASSIFIERS, "cnn:adversarial=pgd:eps=0.3").identity != plain.identity


def test_an_option_with_a_marker_is_no_part_of_the_identity_at_the_markers_value() -> None:
    plain = configure(CLASSIFIERS, "vgg16")
    assert plain.parameters["autocast"] is False
    assert "autocast" not in plain.identity["parameters"]
    for text in ("vgg16:autocast=false", "vgg16:autocast=none", str(plain.resolved)):
        assert configure(CLASSIFIERS, text).identity == plain.identity
    taken = configure(CLASSIFIERS, "vgg16:autocast=true")
    assert taken.identity["parameters"] == {**plain.identity["parameters"], "autocast": True}
    assert configure(CLASSIFIERS, taken.resolved).identity == taken.identity


def test_identity_does_not_depend_on_how_it_was_written() -> None:
    written = configure(
        ATTACKS, "pgd:steps=40:random_start=true:norm=linf:targeted=false:keep=none"
    )
    assert written.identity == configure(ATTACKS, "pgd").identity
    assert configure(ATTACKS, "pgd", {"pgd": {"steps": 40}}).identity == written.identity


def test_inference_parameters_do_not_change_the_training_identity() -> None:
    few, many = (configure(DEFENSES, f"defensegan:restarts={count}") for count in (1, 10))
    assert few.identity != many.identity
    assert few.training_identity == many.training_identity
    assert configure(DEFENSES, "defensegan:latent=8").training_identity != many.training_identity


@given(st.integers(max_value=0))
def test_out_of_range_is_refused(steps: int) -> None:
    with pytest.raises(RequestError, match="parameter steps="):
        configure(ATTACKS, f"pgd:steps={steps}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("pgd:stps=3", "unknown parameter of attack 'pgd': 'stps'.*did you mean 'steps'"),
        ("pgd:steps=many", "parameter steps=many"),
        ("pgd:rel_stepsize=nan", "parameter rel_stepsize=nan"),
        ("pgd:rel_stepsize=inf", "should be a finite number"),
        ("pdg", "did you mean 'pgd'"),
    ],
)
def test_bad_specs_name_the_thing(spec: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        configure(ATTACKS, spec)


def test_a_number_without_bounds_is_finite_too() -> None:
    with pytest.raises(RequestError, match="parameter dropout=nan: must be a finite number"):
        configure(CLASSIFIERS, "vgg16:dropout=nan")


def test_a_pickled_checkpoint_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    import torch

    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(RequestError, match="pickled checkpoints"):
        configure(CLASSIFIERS, f"vgg16:weights={tmp_path / 'weights.pt'}")
    with pytest.raises(RequestError, match="No such file"):
        configure(CLASSIFIERS, f"vgg16:weights={tmp_path / 'absent.safetensors'}")


PLUGIN = """
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from bench.contracts import DataInfo, Defense
from bench.registry import register_defense


@register_defense("{name}")
@dataclass(frozen=True)
class Odd(Defense):
    \"\"\"A defense.\"\"\"

    odd: {hint} = "x"

    def files(self) -> list[Path]:
        return [Path({file!r})]

    def build(self, data: DataInfo) -> nn.Module:
        return nn.Identity()
"""


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("undefined", "Undefined"),
        ("undefined_inside", "list[Undefined]"),
        ("raising_hint", "1 / 0"),
        ("unknown_to_pydantic", "Tensor"),
    ],
)
def test_a_parameter_of_a_type_that_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, hint: str
) -> None:
    path = tmp_path / f"{name}.py"
    path.write_text(PLUGIN.format(name=name, hint=hint, file=str(path)))
    import_plugin(str(path))
    with pytest.raises(RequestError, match=f"^defense '{name}' raised ") as caught:
        configure(DEFENSES, f"{name}:odd=3")
    assert_clean(str(caught.value))


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("a pipe", os.mkfifo),
        ("a folder", os.mkdir),
        ("a device", lambda path: path.symlink_to("/dev/zero")),
        ("No such file", lambda path: path),
    ],
)
def test_a_declared_file_is_a_regular_file(
    tmp_path: Path, kind: str, make: Callable[[Path], object]
) -> None:
    file = tmp_path / "declared"
    make(file)
    name = f"declares{kind.replace(' ', '_')}"
    path = tmp_path / "plugin.py"
    path.write_text(PLUGIN.format(name=name, hint="str", file=str(file)))
    import_plugin(str(path))
    with pytest.raises(RequestError, match=f"^defense '{name}': cannot read {file}: .*{kind}"):
        configure(DEFENSES, name)


def test_the_content_of_a_file_is_part_of_the_identity(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from safetensors.torch import save_file
    from torch import ones

    path = tmp_path / "weights.safetensors"
    save_file({"a": ones(1)}, path)
    first = configure(CLASSIFIERS, f"vgg16:weights={path}").identity
    save_file({"a": ones(2)}, path)
    assert configure(CLASSIFIERS, f"vgg16:weights={path}").identity != first


def test_the_path_of_a_file_is_no_part_of_the_identity(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from safetensors.torch import save_file
    from torch import ones

    paths = [tmp_path / "a.safetensors", tmp_path / "elsewhere" / "b.safetensors"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        save_file({"a": ones(1)}, path)
    monkeypatch.chdir(tmp_path)
    spellings = [*paths, "a.safetensors", "./elsewhere/../a.safetensors"]
    configured = [configure(CLASSIFIERS, f"vgg16:weights={path}") for path in spellings]

    assert len({str(each.identity) for each in configured}) == 1
    assert configured[0].identity["parameters"]["weights"].startswith("sha256-")
    assert [each.parameters["weights"] for each in configured] == list(map(str, spellings))
    assert str(tmp_path) not in str(configured[1].identity)
