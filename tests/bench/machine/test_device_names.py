"""Names of devices."""

from __future__ import annotations

import pytest

from bench.errors import RequestError
from bench.machine.device_names import DeviceName, parse_device


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("auto", DeviceName("auto", 0)),
        ("cpu", DeviceName("cpu", 0)),
        ("cuda", DeviceName("cuda", 0)),
        ("cuda:3", DeviceName("cuda", 3)),
    ],
)
def test_a_device_has_a_kind_and_an_index(text: str, device: DeviceName) -> None:
    assert parse_device(text) == device


@pytest.mark.parametrize("name", ["mps", "mps:0", "xpu", "xpu:1", "hpu", "mtia", "vulkan"])
def test_another_device_of_pytorch_is_known_and_not_supported(name: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_device(name)
    assert f"--device {name}: PyTorch has this device" in str(refused.value)
    assert "use --device cpu" in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        *("", "tpu", "CUDA", "cpu:0", "auto:0", "cuda:", "cuda:-1", "cuda:x", "cuda:²", "cuda:٣"),
        *("cuda:1:2", "cuda: 1", "cuda:" + "9" * 5000, "c" * 5000, "cpu\x1b[31m\n"),
    ],
)
def test_what_is_no_device_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(RequestError, match=r"unknown device .*\(choose from: auto, cpu") as no:
        parse_device(name)
    assert len(str(no.value)) < 200
    assert str(no.value).isprintable()
