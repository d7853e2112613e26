"""Fuzzed requests and files over all commands: one clean answer each, and nothing out of place.

Every case is drawn from a seed of its own, which the failure names.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.plugins.discovery import discover
from bench.records.folder import RunFolder
from bench.records.timing import Samples, TimedCall, Timing
from bench.store.keys import content_key
from bench.store.weights import MANIFEST, pretrained

REQUESTS = 300
FILES = 150
SECONDS = 20.0
"""Longest time for one answer."""

ODD_TEXT = (
    *("", " ", ",", ":", "=", "[", "]", "[[", "a" * 300, "a" * 5000, "-1", "nan", "inf", "1e999"),
    *("0", "00", "1_0", "0x10", "1/0", "8/255", "a=b=c", "../../up", "~nobody/x", "/dev/zero"),
    *("/dev/full", "/proc/self/mem", "\x1b[31mred\x1b[0m", "\u202ereversed", "é" * 130, "%s%n"),
    *("$(touch pwned)", "`touch pwned`", "=1+1", "<script>", "none,none", "convae:eps=", "fgsm:"),
    *("pgd:steps=0", "pgd:steps=1e9999", "convae:attack=[pgd:steps=[2]]", "cnn:width=-3", "\udc80"),
)
ODD_PATHS = ("", "/dev/zero", "/dev/null", "pipe", "file", "folder", "absent/x", "~nobody/x")
SPECS = ("none", "convae", "fgsm", "pgd", "cnn", "vgg16", "graybox", "digits", "eager", "float32")
NUMBERS = ("0", "1", "0.1", "2,3", "1000000000000", "0.1,0.1000000001", "8/255", "pgd=0.3")
LISTS = {
    *("--defenses", "--datasets", "--classifiers", "--attacks", "--threats"),
    *("--engines", "--precisions"),
}
NUMERIC = {
    *("--eps", "--seeds", "--n", "--batch-size", "--draws", "--convergence", "--batch-sizes"),
    *("--rounds", "--min-calls", "--min-seconds", "--max-seconds", "--shard"),
}
PATHS = {"--config", "--plugin", "--data", "--cache", "--out", "--weights"}
NAMES = {"--preset", "--device"}
SWITCHES = {"--pretrained", "--strict", "--no-latency", "--traceback"}
TIMING = {
    *("--engines", "--precisions", "--batch-sizes", "--rounds"),
    *("--min-calls", "--min-seconds", "--max-seconds"),
}
LATENCY_OPTIONS = sorted((LISTS - {"--attacks", "--threats"}) | TIMING | PATHS | NAMES)
RUN_OPTIONS = sorted((LISTS | NUMERIC | PATHS | NAMES | SWITCHES) - TIMING)

Bench = Callable[..., Any]


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Path:
    """A working folder with something of every kind in it, below the folder that is watched."""
    folder = tmp_path / "a" / "work"
    folder.mkdir(parents=True)
    os.chdir(folder)
    os.mkfifo("pipe")
    Path("file").write_text("x")
    Path("folder").mkdir()
    return folder


def value(option: str, draw: random.Random) -> str:
    """A value of an option, often an odd one."""
    if draw.random() < 0.5:
        return draw.choice(ODD_PATHS if option in PATHS else ODD_TEXT)
    if option in LISTS:
        return ",".join(draw.choices(SPECS, k=draw.randint(1, 3)))
    if option in NUMERIC:
        return draw.choice(NUMBERS)

    return draw.choice(("quick", "foo", "cpu", "mps", "cuda:7", "file", "folder"))


def options(names: list[str], draw: random.Random) -> list[str]:
    """Some options with values; one at least is certain to be wrong."""
    chosen = draw.sample(names, k=draw.randint(0, 3))
    given = [
        part
        for name in chosen
        for part in ([name] if name in SWITCHES else [name, value(name, draw)])
    ]
    wrong = draw.choice((["--n", "0"], ["--preset", "foo"], ["--eps", "x"], ["--defenses", ":"]))
    return [*given, *(wrong if wrong[0] in names else ["--preset", "foo"])]


def argument(draw: random.Random) -> str:
    return draw.choice((*ODD_PATHS, *ODD_TEXT))


REQUEST: dict[str, Callable[[random.Random], list[str]]] = {
    "run": lambda draw: options(RUN_OPTIONS, draw),
    "latency": lambda draw: options(LATENCY_OPTIONS, draw),
    "list": lambda draw: ["--plugin", draw.choice(ODD_PATHS)],
    "report": lambda draw: [argument(draw), *draw.choice(([], ["--against", argument(draw)]))],
    "compare": lambda draw: [argument(draw), argument(draw)],
    "board": lambda draw: [argument(draw), argument(draw), "--html"],
    "merge": lambda draw: [argument(draw), argument(draw), "--out", draw.choice(ODD_PATHS)],
    "gate": lambda draw: [
        *(argument(draw), argument(draw)),
        *draw.choice(([], ["--fail-slower", argument(draw)], ["--junit", draw.choice(ODD_PATHS)])),
    ],
    "table": lambda draw: [
        argument(draw),
        *draw.choice(
            ([], *([f"--{name}", argument(draw)] for name in ("columns", "where", "alias")))
        ),
    ],
    "export": lambda draw: [
        *(argument(draw), argument(draw)),
        *draw.choice(([], ["--format", draw.choice(("robustbench", argument(draw)))])),
    ],
    "check": lambda draw: [draw.choice((*ODD_PATHS, *ODD_TEXT[:-1], "none:x=1"))],
    "new": lambda draw: [draw.choice(("defense", "x", "")), argument(draw)],
    "doctor": lambda draw: ["--cache", draw.choice(ODD_PATHS), "--data", draw.choice(ODD_PATHS)],
}


def snapshot(folder: Path) -> set[str]:
    """Everything below a folder, and the folder's neighbors."""
    return {str(path) for path in folder.rglob("*")}


def check_answer(case: str, code: int, out: str, err: str, seconds: float) -> None:
    """An answer that a user can read."""
    assert code in (0, 1, 2), case
    assert "Traceback" not in err + out, f"{case}\n{err}"
    assert "\x1b" not in out + err, case
    assert "\u202e" not in out + err, case
    assert seconds < SECONDS, case
    if code == 2:
        errors = [line for line in err.splitlines() if line.lower().startswith("error")]
        assert len(errors) == 1, f"{case}\n{err}"
        assert len(errors[0]) < 1000, case


@pytest.mark.slow
def test_wrong_requests_of_every_command_get_one_clean_answer(
    bench: Bench, place: Path, tmp_path: Path
) -> None:
    commands = sorted(REQUEST)
    codes: dict[int, int] = {}
    for seed in range(REQUESTS):
        draw = random.Random(seed)
        command = commands[seed % len(commands)]
        arguments = [command, *REQUEST[command](draw)]
        if any("\x00" in argument for argument in arguments):
            continue

        start = time.perf_counter()
        finished = bench(*arguments)
        case = f"seed {seed}: bench {arguments}"
        check_answer(case, finished.code, finished.out, finished.err, time.perf_counter() - start)
        if command in ("run", "latency"):
            assert finished.code == 2, case
        codes[finished.code] = codes.get(finished.code, 0) + 1
        outside = {path for path in snapshot(tmp_path) if not Path(path).is_relative_to(place)}
        assert outside == {str(tmp_path / "a")}, case

    assert not (place / "pwned").exists()
    assert codes[2] > REQUESTS / 2


@pytest.fixture(scope="module")
def sound(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder made by hand, and the shipped weights, in one folder."""
    discover()
    root = tmp_path_factory.mktemp("sound")
    run = RunFolder.create(root / "run", {"preset": "quick", "defenses": ["none", "median"]})
    for defense in ("none", "median"):
        cell = made.cell(np.arange(20) % 3 > 0, defense=defense)
        run.save(cell.record, cell.outcome, cell.images)
        call = TimedCall(cell.pipeline.without_seed, "pipeline", 1, "eager", "float32", "cpu", 0)
        samples = Samples((0.1, 0.2, 0.3), (), 3, True, None, None)
        run.save_timing(Timing(call, "ok", samples=samples, environment="0123456789ab"))
    (root / "weights").mkdir()
    shutil.copy(pretrained() / MANIFEST, root / "weights" / MANIFEST)
    (root / "tiny.toml").write_text('datasets = ["digits"]\n[parameters.pgd]\nsteps = 5\n')

    return root


ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1e308, 2**70, "", "x/../../../../escaped:std=0.0", "../../o", [], {}),
    *(
        "=cmd()",
        "a|b",
        "<script>x</script>",
        "\x1b[2J",
        "\u202e",
        "$\\frac{",
        "x" * 20_000,
        "0" * 64,
    ),
    *([[[[[]]]]], {"a": {"a": {}}}, [1] * 5000, "`touch pwned`", "\\input{/etc/passwd}"),
)


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all values inside a JSON value."""
    if path:
        yield path
    pairs: Any = ()
    if isinstance(content, dict):
        pairs = content.items()
    elif isinstance(content, list):
        pairs = enumerate(content)
    for key, inner in pairs:
        yield from places(inner, (*path, key))


def change_json(path: Path, draw: random.Random) -> None:
    """Change, remove or add one value, and seal the file again, as a stranger would."""
    content = json.loads(path.read_text())
    *way, last = draw.choice(list(places(content)))
    inner = content
    for key in way:
        inner = inner[key]
    if isinstance(inner, dict) and draw.random() < 0.3:
        inner.pop(last) if draw.random() < 0.5 else inner.update({"odd": draw.choice(ODD_VALUES)})
    else:
        inner[last] = draw.choice(ODD_VALUES)

    if "seal" in content:
        content["seal"] = content_key({k: v for k, v in content.items() if k != "seal"})
    path.write_text(json.dumps(content))


def change_bytes(path: Path, draw: random.Random) -> None:
    """Cut, overwrite or insert bytes."""
    content = bytearray(path.read_bytes())
    start = draw.randrange(len(content))
    noise = draw.randbytes(draw.choice((1, 8, 300)))
    end = draw.choice((start, start + len(noise), len(content)))
    content[start:end] = draw.choice((b"", noise))
    path.write_bytes(bytes(content))


def replace_file(path: Path, draw: random.Random) -> None:
    """Put something else in the place of a file."""
    path.unlink()
    kind = draw.choice(("pipe", "folder", "sparse", "deep", "zero", "dangling", "empty", "dots"))
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind in ("zero", "dangling"):
        path.symlink_to("/dev/zero" if kind == "zero" else "/nowhere")
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(2**36)
    else:
        text = {"deep": "[" * 200_000, "empty": "", "dots": "a" + ".a" * 100_000 + " = 1"}[kind]
        path.write_text(text)


def change_some_file(folder: Path, draw: random.Random) -> Path:
    """Change one file of a folder; returns its path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    path = draw.choice(paths)
    changes: list[Callable[[Path, random.Random], None]] = [change_bytes, replace_file]
    if path.suffix == ".json":
        changes = [change_json, change_json, change_json, *changes]
    draw.choice(changes)(path, draw)

    return path


COMMANDS = (
    ("run", ["report", "run"]),
    ("run", ["compare", "run", "run"]),
    ("run", ["table", "run", "--columns", "eps", "--out", "out"]),
    ("run", ["board", "run", "--html", "--out", "out"]),
    ("run", ["merge", "run", "--out", "out", "--no-plots", "--no-html"]),
    ("run", ["gate", "run", "run", "--junit", "out.xml", "--json", "out.json"]),
    ("run", ["export", "run", "out"]),
    ("run", ["export", "run", "out", "--format", "robustbench"]),
    ("weights", ["run", "--weights", "weights", "--n", "10", "--out", "out"]),
    ("tiny.toml", ["run", "--config", "tiny.toml", "--seeds", "x"]),
)


@pytest.mark.slow
def test_files_of_strangers_get_one_clean_answer(
    bench: Bench, place: Path, sound: Path, tmp_path: Path
) -> None:
    for seed in range(FILES):
        draw = random.Random(seed)
        root, arguments = COMMANDS[seed % len(COMMANDS)]
        case_folder = place / str(seed)
        shutil.copytree(sound, case_folder)
        os.chdir(case_folder)
        subject = case_folder / root
        changed = change_some_file(subject if subject.is_dir() else case_folder, draw)

        start = time.perf_counter()
        finished = bench(*arguments)
        case = f"seed {seed}: bench {arguments}, {changed.relative_to(case_folder)} changed"
        check_answer(case, finished.code, finished.out, finished.err, time.perf_counter() - start)
        outside = {path for path in snapshot(tmp_path) if not Path(path).is_relative_to(place)}
        assert outside == {str(tmp_path / "a")}, case
        assert not re.search(
            "pwned|escaped", " ".join(path.name for path in case_folder.iterdir())
        ), case
        shutil.rmtree(case_folder)


def test_the_files_that_the_fuzz_changes_are_sound(bench: Bench, place: Path, sound: Path) -> None:
    os.chdir(sound)
    for arguments in (["report", "run"], ["compare", "run", "run"], ["gate", "run", "run"]):
        finished = bench(*arguments)
        assert (finished.code, "error" in finished.err) == (0, False), finished.err
