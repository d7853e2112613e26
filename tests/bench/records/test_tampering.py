"""Every change to the files of a run is noticed or changes nothing: flips, swaps, copies, edits."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.errors import RequestError
from bench.records.folder import RunFolder
from bench.report import Report
from tests.forked import ForkedCommand

OPTIONS = ("--defenses", "none,median", "--attacks", "fgsm", "--eps", "0.1", "--n", "20")
FLIPS = 40
"""Number of flipped bits in each file."""

FAULT = r"error: {folder}/[0-9a-f]{{16}}\{ending} is damaged \(.*\): run the same .*\n"
"""Line about a file of a folder with a certain ending."""

ENVIRONMENTS, IMAGES = "damaged environment", "damaged images"


@dataclass(frozen=True)
class State:
    """Everything that a run's folder tells, and the warnings while it was read."""

    facts: dict[str, str]
    warnings: str


@pytest.fixture(scope="module")
def sound(tiny: Path, session_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run: two cells, their images, and the times of two pipelines."""
    folder = tmp_path_factory.mktemp("sound")
    command = ("run", "--config", tiny, *OPTIONS, "--cache", session_cache, "--out", "out")
    code, err = ForkedCommand.start(folder, *command).wait()
    assert code == 0, err
    return folder / "out"


@pytest.fixture
def run(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "run"))


@pytest.fixture
def observe(run: Path, caplog: pytest.LogCaptureFixture) -> Callable[[], State | None]:
    """The state of the run as it is now; None where reading it is refused in one line."""

    def observed() -> State | None:
        caplog.clear()
        try:
            facts = read_all(run)
        except RequestError as error:
            is_one_line = "\n" not in str(error) and str(run) in str(error)
            return None if is_one_line else State({}, str(error))
        return State(facts, caplog.text)

    return observed


def read_all(run: Path) -> dict[str, str]:
    """What the report reads, as text; the frames are derived from nothing else."""
    folder = RunFolder.open(run)
    records = folder.records()
    outcomes = [folder.outcome(record).to_arrays() for record in records]
    images = [folder.images(record) for record in records]

    return {
        "config": repr(folder.config()),
        "records": repr(records),
        "outcomes": repr([(name, of(array)) for each in outcomes for name, array in each.items()]),
        "timings": repr(folder.timings()),
        ENVIRONMENTS: repr(folder.environments()),
        IMAGES: repr([each and list(map(of, vars(each).values())) for each in images]),
    }


def of(array: np.ndarray) -> tuple[Any, ...]:
    return array.dtype.str, array.shape, array.tobytes()


def is_harmless(state: State | None, expected: State) -> bool:
    """Whether a state is refused, or told with a warning, or as it was."""
    if state is None:
        return True
    differing = [name for name, fact in expected.facts.items() if state.facts.get(name) != fact]
    return all(name in (ENVIRONMENTS, IMAGES) and name in state.warnings for name in differing)


def raw_files(run: Path) -> list[Path]:
    """The raw files of a run."""
    folders = ("cells", "environments", "images", "latency")
    files = [path for folder in folders for path in sorted((run / folder).iterdir())]
    assert len(files) >= 2 * 2 + 1 + 3 + 8
    return [run / "config.json", *files]


def test_the_sound_run_is_read_without_a_warning(
    run: Path, observe: Callable[[], State | None]
) -> None:
    state = observe()
    assert state is not None
    assert state.warnings == ""
    assert observe() == state


def test_flipped_bits(run: Path, observe: Callable[[], State | None]) -> None:
    expected, draw = observe(), random.Random(0)
    assert expected is not None
    noticed = tried = 0

    for path in raw_files(run):
        content = path.read_bytes()
        for position in draw.sample(range(len(content)), FLIPS):
            flipped = bytearray(content)
            flipped[position] ^= 1 << draw.randrange(8)
            path.write_bytes(flipped)
            state = observe()
            assert is_harmless(state, expected), (path.name, position)
            noticed += state != expected
            tried += 1
        path.write_bytes(content)

    # Only spaces of JSON headers may change, to other spaces.
    assert noticed >= 0.99 * tried


def test_swapped_files(run: Path, observe: Callable[[], State | None]) -> None:
    expected = observe()
    assert expected is not None

    for first, second in itertools.combinations(raw_files(run), 2):
        contents = first.read_bytes(), second.read_bytes()
        first.write_bytes(contents[1])
        second.write_bytes(contents[0])
        state = observe()
        assert state != expected, (first.name, second.name)
        assert is_harmless(state, expected), (first.name, second.name)
        first.write_bytes(contents[0])
        second.write_bytes(contents[1])


def test_files_copied_over_others(run: Path, observe: Callable[[], State | None]) -> None:
    expected = observe()
    assert expected is not None

    for source, target in itertools.permutations(raw_files(run), 2):
        content = target.read_bytes()
        target.write_bytes(source.read_bytes())
        state = observe()
        assert state != expected, (source.name, target.name)
        assert is_harmless(state, expected), (source.name, target.name)
        target.write_bytes(content)


@pytest.mark.parametrize("name", ["0" * 16, "0" * 12, "F" * 16, "x", "0" * 64, "a b"])
def test_renamed_files(run: Path, observe: Callable[[], State | None], name: str) -> None:
    expected = observe()
    assert expected is not None

    for path in raw_files(run)[1:]:
        renamed = path.with_name(f"{name}{path.suffix}")
        path.rename(renamed)
        state = observe()
        assert state != expected, path.name
        assert is_harmless(state, expected), path.name
        renamed.rename(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-2],
        lambda content: content + b"x",
        lambda content: b"\x00" * len(content),
        lambda content: b"{}",
        lambda content: b"[" * 100_000,
        lambda content: b"\xff" + content[1:],
    ],
)
def test_other_contents(
    run: Path, observe: Callable[[], State | None], damage: Callable[[bytes], bytes]
) -> None:
    expected = observe()
    assert expected is not None

    for path in raw_files(run):
        content = path.read_bytes()
        path.write_bytes(damage(content))
        state = observe()
        assert state != expected, path.name
        assert is_harmless(state, expected), path.name
        path.write_bytes(content)


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "sparse", "nowhere"])
def test_what_is_no_file_of_sensible_size(
    run: Path, observe: Callable[[], State | None], kind: str
) -> None:
    expected = observe()
    assert expected is not None

    for path in raw_files(run):
        aside = path.rename(run / "aside")
        _replace(path, kind)
        state = observe()
        assert state != expected, path.name
        assert is_harmless(state, expected), path.name
        path.rmdir() if kind == "folder" else path.unlink()
        aside.rename(path)


def _replace(path: Path, kind: str) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(2**40)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "/nowhere")


def test_edited_numbers(run: Path, observe: Callable[[], State | None]) -> None:
    """Numbers of every JSON file, multiplied by three."""
    expected, tried = observe(), 0
    assert expected is not None

    for path in raw_files(run):
        if path.suffix == ".json":
            text = path.read_text()
            for edited in _edits(json.loads(text)):
                path.write_text(json.dumps(edited))
                state = observe()
                assert state != expected, path.name
                assert is_harmless(state, expected), path.name
                tried += 1
            path.write_text(text)

    assert tried > 150


def _edits(value: Any) -> Iterator[Any]:
    """The value with one number changed: each of an object, the first ones of a list."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from ({**value, key: edited} for edited in _edits(part))
    elif isinstance(value, list):
        for index, part in list(enumerate(value))[:3]:
            yield from ([*value[:index], edited, *value[index + 1 :]] for edited in _edits(part))
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield 3 * value + (value == 0)


def test_the_same_facts_give_the_same_frames(sound: Path, run: Path) -> None:
    """The other tests compare what is read; this one, what is derived from it.

    The name of the folder, a column of the provenance, is that of each copy.
    """
    assert read_all(sound) == read_all(run)
    first, second = (Report.of(RunFolder.open(path)) for path in (sound, run))
    for name, frame in vars(first).items():
        if isinstance(frame, pd.DataFrame):
            pair = (
                each.drop(columns="run", errors="ignore") for each in (frame, getattr(second, name))
            )
            pd.testing.assert_frame_equal(*pair)


def _swap(files: list[Path]) -> Path:
    first, second = files[:2]
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    return first


CHANGES: dict[str, Callable[[Path], Path]] = {
    "swapped records": lambda run: _swap(sorted((run / "cells").glob("*.json"))),
    "swapped outcomes": lambda run: _swap(sorted((run / "cells").glob("*.safetensors"))),
    "swapped timings": lambda run: _swap(sorted((run / "latency").iterdir())),
    "renamed record": lambda run: min((run / "cells").glob("*.json")).rename(
        run / "cells" / f"{'0' * 16}.json"
    ),
    "emptied timing": lambda run: _emptied(min((run / "latency").iterdir())),
}


def _emptied(path: Path) -> Path:
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize("change", CHANGES)
def test_a_command_names_the_file_in_one_line(
    bench: Callable[..., Any], sound: Path, change: str
) -> None:
    shutil.copytree(sound, "out")
    path = CHANGES[change](Path("out"))

    commands = [("report", "out"), ("export", "out", "weights"), ("compare", "out", "out")]
    for command in commands[:1] if path.parent.name == "latency" else commands:
        done = bench(*command)
        assert done.code == 2
        assert re.fullmatch(FAULT.format(folder=path.parent, ending=path.suffix), done.err)


def test_bench_run_makes_damaged_files_again(
    bench: Callable[..., Any], tiny: Path, sound: Path
) -> None:
    shutil.copytree(sound, "out")
    for change in CHANGES.values():
        change(Path("out"))
    for path in [*Path("out/images").iterdir(), *list(Path("out/latency").iterdir())[3:]]:
        path.write_bytes(path.read_bytes()[:-1])

    done = bench("run", "--config", tiny, *OPTIONS, "--out", "out")
    assert done.code == 0, done.err
    assert numbers(Path("out")).equals(numbers(sound))

    assert read_all(Path("out"))["outcomes"] == read_all(sound)["outcomes"]
    assert read_all(Path("out"))[IMAGES] == read_all(sound)[IMAGES]
    names = {path.name for path in raw_files(Path("out")) if path.name[0] != "."}
    assert names >= {path.name for path in raw_files(sound)}


def numbers(run: Path) -> pd.DataFrame:
    results = pd.read_csv(run / "tables" / "results.csv")
    return results.drop(columns=[name for name in results if name.startswith("latency")])


@pytest.mark.parametrize(
    ("stray", "message"),
    [
        ("cells/notes.txt", "is not a file of a run: move it elsewhere"),
        ("cells/0123.json", "is not a file of a run: move it elsewhere"),
        ("latency/x.json", "is not a file of a run: move it elsewhere"),
        ("images/0.png", "is not a file of a run: move it elsewhere"),
        ("cells/dir/", "is not a file of a run: move it elsewhere"),
        ("cells/0123456789abcdef.json/", "it is a folder, not a regular file: move it elsewhere"),
        ("images/0123456789abcdef.safetensors/", "it is a folder, not a regular file"),
    ],
)
def test_a_stray_file_is_refused_before_anything_is_computed(
    bench: Callable[..., Any], tiny: Path, sound: Path, stray: str, message: str
) -> None:
    shutil.copytree(sound, "out")
    shutil.rmtree("out/cells")
    path = Path("out", stray)
    path.mkdir(parents=True) if stray.endswith("/") else path.parent.mkdir(exist_ok=True)
    path.touch()

    done = bench("run", "--config", tiny, *OPTIONS, "--out", "out")
    assert done.code == 2
    assert str(path) in done.err
    assert message in done.err
    assert not list(Path("out/cells").glob("*.safetensors"))


def test_hidden_files_are_ignored(run: Path, observe: Callable[[], State | None]) -> None:
    expected = observe()
    for folder in ("cells", "environments", "images", "latency"):
        for name in (".DS_Store", "._0123456789abcdef.json", ".x.json.ab.partial", ".x.damaged"):
            (run / folder / name).write_text("?")
    assert observe() == expected
