"""Networks in files: what is read, and the one line that says why a file is not."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.contracts import DataInfo, load_weights, read_network, read_weights, tried_output

INFO = DataInfo((1, 8, 8), 3)
IMAGES = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def small(width: int = 2) -> nn.Sequential:
    """A network with every kind of state: weights, statistics, a counter."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3),
        nn.BatchNorm2d(width),
        nn.Dropout(),
        nn.Flatten(),
        nn.Linear(36 * width, 3),
    )


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(1)
    made = small()
    made(IMAGES)  # statistics that differ from those of a new network
    return made.eval()


def exported(network: nn.Module, path: Path, *, dynamic: bool = True) -> None:
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    torch.export.save(torch.export.export(network, (IMAGES[:2],), dynamic_shapes=shapes), path)


def scripted(network: nn.Module, path: Path) -> None:
    torch.jit.save(torch.jit.script(network), path)


WRITERS: dict[str, Callable[[nn.Module, Path], None]] = {
    "plain": lambda net, path: torch.save(net.state_dict(), path),
    "before_1.6": lambda net, path: torch.save(
        net.state_dict(), path, _use_new_zipfile_serialization=False
    ),
    "safetensors": lambda net, path: save_file(net.state_dict(), path),
    **{
        wrapper: lambda net, path, wrapper=wrapper: torch.save(  # type: ignore[misc]
            {"epoch": 3, wrapper: net.state_dict(), "optimizer": {"lr": 0.1}}, path
        )
        for wrapper in ("state_dict", "model", "model_state_dict", "net")
    },
    **{
        prefix: lambda net, path, prefix=prefix: torch.save(  # type: ignore[misc]
            OrderedDict((prefix + name, value) for name, value in net.state_dict().items()), path
        )
        for prefix in ("module.", "model.", "_orig_mod.", "_orig_mod.module.")
    },
}


@pytest.mark.parametrize("writer", WRITERS)
def test_weights_are_read_as_they_were_saved(
    tmp_path: Path, network: nn.Module, writer: str
) -> None:
    path = tmp_path / "net"
    WRITERS[writer](network, path)
    assert torch.equal(read_network(path, small).eval()(IMAGES), network(IMAGES))


@pytest.mark.parametrize("writer", [scripted, exported])
def test_whole_networks_need_no_architecture_and_change_their_mode(
    tmp_path: Path, network: nn.Module, writer: Callable[[nn.Module, Path], None]
) -> None:
    path = tmp_path / "net"
    writer(network, path)
    read = read_network(path)

    for mode in (True, False):
        assert read.train(mode).training is mode
    assert torch.allclose(read(IMAGES), network(IMAGES), atol=1e-6)
    assert torch.allclose(read(IMAGES[:1]), network(IMAGES[:1]), atol=1e-6)
    inputs = IMAGES.clone().requires_grad_(True)
    read.requires_grad_(False)(inputs).sum().backward()
    assert inputs.grad is not None
    assert inputs.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="is a whole network: leave arch out"):
        read_network(path, small)
    with pytest.raises(ValueError, match="no file of weights"):
        read_weights(path)


def test_a_network_whose_own_names_begin_with_a_prefix_keeps_them(tmp_path: Path) -> None:
    network = nn.Sequential(OrderedDict(model=nn.Linear(2, 2)))
    torch.save(network.state_dict(), tmp_path / "net")
    load_weights(network, read_weights(tmp_path / "net"), tmp_path / "net")


def test_a_counter_that_old_files_lack_is_none_of_the_differences(
    tmp_path: Path, network: nn.Module
) -> None:
    state = {name: value for name, value in network.state_dict().items() if "num_" not in name}
    save_file(state, tmp_path / "net")
    assert torch.equal(read_network(tmp_path / "net", small).eval()(IMAGES), network(IMAGES))


class Evil:
    """A value whose pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_pickle_with_code_is_refused_and_does_not_run_it(
    tmp_path: Path, zipped: bool, wrapped: bool
) -> None:
    path, made = tmp_path / "net.pth", tmp_path / "made"
    content: Any = {"state_dict": {}, "more": Evil(made)} if wrapped else Evil(made)
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"net.pth is a pickle that would run code") as caught:
        read_network(path, small)

    assert not made.exists()
    message = str(caught.value)
    assert "mkdir" in message
    assert "torch.save(network.state_dict(), PATH)" in message
    assert "\x1b" not in message
    assert "\n" not in message


def test_an_exported_program_with_pickled_code_does_not_run_it(
    tmp_path: Path, network: nn.Module
) -> None:
    path, changed, made = tmp_path / "net.pt2", tmp_path / "changed.pt2", tmp_path / "made"
    exported(network, path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("sample_inputs/model.pt"):
                torch.save(Evil(made), tmp_path / "evil")
                content = (tmp_path / "evil").read_bytes()
            new.writestr(name, content)

    before = dict(os.environ)
    with pytest.raises(ValueError, match=r"changed.pt2 cannot be loaded"):
        read_network(changed)
    assert not made.exists()
    assert dict(os.environ) == before


def test_a_whole_network_by_torch_save_is_a_pickle_with_code(
    tmp_path: Path, network: nn.Module
) -> None:
    torch.save(network, tmp_path / "net")
    with pytest.raises(ValueError, match=r"it names torch\.nn\.modules\.\w+\.\w+\)"):
        read_network(tmp_path / "net", small)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"epochs = 3\n", "is not a network's file"),
        (b"PK\x03\x04 and no archive", "is not a network's file"),
        (b"\x80\x02 and no pickle", "cannot be loaded"),
        (pickle.dumps([1, 2]), "cannot be loaded"),
        (b"\x10\0\0\0\0\0\0\0{no header", "cannot be loaded"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "net"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        read_network(path, small)
    assert str(path) in str(caught.value)


@given(st.binary(max_size=40))
def test_any_content_is_refused_with_a_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="any") as caught:
        read_network(path, small)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [[torch.zeros(1)], {"epoch": 3}, {}, {"model": {}}, {"net": {1: torch.zeros(1)}}]
)
def test_a_file_without_weights_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "net")
    with pytest.raises(ValueError, match="holds no weights by name"):
        read_network(tmp_path / "net", small)


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", x=np.zeros(1))
    with pytest.raises(ValueError, match="is not a network's file"):
        read_network(tmp_path / "net.npz", small)


def test_another_architecture_is_counted_in_one_line(tmp_path: Path, network: nn.Module) -> None:
    path = tmp_path / "net"
    state = network.state_dict()
    state["extra.weight"] = state.pop("0.bias")
    torch.save(state, path)
    with pytest.raises(ValueError, match="another architecture") as caught:
        read_network(path, lambda: small(3))
    assert str(caught.value).endswith(
        "1 missing (first 0.bias), 1 unexpected (first extra.weight), "
        "6 of another shape (first 0.weight): (2, 1, 3, 3) instead of (3, 1, 3, 3)"
    )
    with pytest.raises(ValueError, match=r"weights alone: name their architecture with arch="):
        read_network(path)


def test_an_export_for_one_number_of_images_says_what_to_do(
    tmp_path: Path, network: nn.Module
) -> None:
    exported(network, tmp_path / "net", dynamic=False)
    with pytest.raises(ValueError, match=r"takes exactly 2 images at a time: export it again"):
        read_network(tmp_path / "net")


class Answer(nn.Module):
    """A network that answers with what a function makes of its images."""

    def __init__(self, answer: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, images: Tensor) -> Any:
        return self.answer(images)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda images: nn.Linear(5, 3)(images.flatten(1)), r"\(1, 8, 8\): mat1 and mat2"),
        (lambda images: (images, images), "returned tuple instead of a tensor"),
        (lambda images: images[:1], r"returned shape \(1, 1, 8, 8\) for 3 images"),
        (lambda images: images.sum(), r"returned shape \(\) for 1 images"),
        (lambda images: 1 / 0, "division by zero"),
    ],
)
def test_a_network_that_does_not_take_the_images_is_refused(
    answer: Callable[[Tensor], Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        tried_output(Answer(answer), INFO)


def test_a_tried_network_is_in_evaluation_mode(network: nn.Module) -> None:
    assert tried_output(network.train(), INFO).shape == (3, 3)
    assert not network.training
