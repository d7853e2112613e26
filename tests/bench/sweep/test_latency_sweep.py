"""The latency sweep, through `bench latency`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.latency import stopwatch


def test_a_defense_that_cannot_be_trained_fails(bench: Any, tiny: Path, plugins: Path) -> None:
    command = (
        "latency",
        "--config",
        tiny,
        "--plugin",
        plugins / "faulty.py",
        "--batch-sizes",
        "1",
        "--out",
        "out",
    )
    done = bench(*command, "--defenses", "none,broken:how=fit")
    assert done.code == 1
    assert "cannot learn this" in done.err
    assert "2 timings failed" in done.err


def test_times_of_another_environment_are_measured_anew(
    bench: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (
        "latency",
        "--config",
        tiny,
        "--defenses",
        "none",
        "--batch-sizes",
        "1",
        "--out",
        "out",
    )
    assert bench(*command).code == 0
    monkeypatch.setattr(
        "bench.commands.preparation.describe_environment", lambda _: {"threads": 99}
    )
    assert "latency 2 of 2" in bench(*command).err
    assert "of 2" not in bench(*command).err


def test_a_run_that_has_its_times_measures_nothing(
    bench: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (
        "latency",
        "--config",
        tiny,
        "--defenses",
        "none,convae",
        "--batch-sizes",
        "1,4",
        "--out",
        "out",
    )
    first = bench(*command)
    assert first.code == 0, first.err
    assert "latency 8 of 8" in first.err
    assert not list(Path("out").glob("cells/*"))

    def refuse(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(stopwatch, "measure", refuse)
    again = bench(*command)
    assert again.code == 0, again.err
    assert again.out == first.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engines", "eagr"), "unknown engine 'eagr'"),
        (("--precisions", "tf23"), "unknown precision 'tf23'"),
        (("--batch-sizes", "0"), "--batch-sizes = '0'"),
        (("--rounds", "x"), "--rounds = 'x'"),
        (("--defenses", "convea"), "did you mean 'convae'"),
    ],
)
def test_a_wrong_request_ends_with_2_and_computes_nothing(
    bench: Any, options: tuple[str, str], message: str
) -> None:
    done = bench("latency", *options)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not list(Path().iterdir())


def test_damaged_networks_are_made_again(bench: Any, tiny: Path) -> None:
    command = (
        *("latency", "--config", tiny, "--defenses", "convae", "--batch-sizes", "1"),
        *("--rounds", "1", "--cache", "cache", "--out"),
    )
    assert bench(*command, "first").code == 0
    sound = {path: path.read_bytes() for path in Path("cache/network").glob("*.safetensors")}
    assert len(sound) == 2
    for path, content in sound.items():
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    done = bench(*command, "second")

    assert done.code == 0, done.err
    assert done.err.count("damaged artifact") == 2
    for path, content in sound.items():
        assert path.read_bytes() != content[:-1] + bytes([content[-1] ^ 1])
