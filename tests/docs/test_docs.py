"""The pages behind the front page: their commands, links, numbers and size."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.markdown import PAGES, ROOT, Block, anchors, blocks, links
from tests.docs.quoted import has_decimals, wrong_numbers

BLOCKS = [block for page in PAGES for block in blocks(page)]
MEASURED = [
    block
    for page in sorted((ROOT / "results" / "reference").glob("*.md"))
    for block in blocks(page)
]
"""The blocks of the pages that the measurement scripts wrote."""

LARGEST_README = 10_000
"""Bytes."""

STAND_INS = {"RUN": "run", "RUN_A": "a", "RUN_B": "b", "FOLDER": "data", "W": "w", "NAME": "mine"}
"""What the capitals in a command stand for."""

EXAMPLES = ("my_median", "my_checkpoint", "my_chain", "my_ensemble", "my_descent", "my_detector")
"""Plugins that the pages define and whose files their commands name."""

TESTED = ("my_chain", "my_ensemble", "my_descent", "my_detector")
"""Those that lie among the plugins for tests too, where they are run."""

WRONG = (
    ["run", "--defences", "none"],
    ["run", "--defenses", "nonee"],
    ["run", "--attacks", "pgd:stepz=3"],
    ["run", "--eps", "3"],
    ["latency", "--engines", "steam"],
    ["report", "results/reference/nowhere"],
    ["compare", "a"],
    ["rum"],
)
"""Commands that the check must object to."""

_ACCURACY = re.compile(r"(?<![\w.:])[01]?\.\d{3}(?!\d)")
_PATH = re.compile(r"`((?:bench|defenses|attacks|classifiers|tests|docs|results)/[\w./*-]*)`")


def commands(blocks_: list[Block]) -> Iterator[tuple[Block, str]]:
    """The command lines of fenced blocks, continued lines joined; of a workflow file its steps."""
    for block in blocks_:
        if block.kind == "code" and block.language in ("", "sh", "yaml"):
            text = re.sub(r"\\\n\s*", "", "\n".join(block.lines))
            for line in text.splitlines():
                yield block, re.sub(r"^\s*(- )?(run: )?", "", line)


def bench_commands() -> list[tuple[str, list[str]]]:
    """Every `bench` command: where it stands, and its arguments."""
    found = []
    for block, line in commands(BLOCKS):
        if line.startswith("bench "):
            arguments = shlex.split(line, comments=True)[1:]
            found.append((str(block), [STAND_INS.get(word, word) for word in arguments]))
    return found


def example(name: str) -> str:
    """The code of the plugin that the pages define under a name."""
    (code,) = [
        "\n".join(block.lines)
        for block in BLOCKS
        if block.language == "python"
        and re.search(rf'^@register_\w+\("{name}"\)', "\n".join(block.lines), re.M)
    ]
    return code


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is wrong with each command, asked of one process in a scratch folder."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("resolve.py"))],
        input=json.dumps(
            {
                "commands": [*(arguments for _, arguments in bench_commands()), *WRONG],
                "files": {f"{name}.py": example(name) for name in EXAMPLES},
            }
        ),
        capture_output=True,
        text=True,
        cwd=tmp_path_factory.mktemp("commands"),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[str] = json.loads(done.stdout)
    return answers


def test_commands_resolve(answers: list[str]) -> None:
    asked = bench_commands()
    assert len(asked) > 40
    wrong = [
        f"{place}: bench {shlex.join(arguments)}: {answer}"
        for (place, arguments), answer in zip(asked, answers, strict=False)
        if answer
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", TESTED)
def test_a_plugin_that_is_shown_is_the_one_that_is_tested(name: str, plugins: Path) -> None:
    assert f"{example(name)}\n" == (plugins / f"{name}.py").read_text()


def test_wrong_commands_do_not_resolve(answers: list[str]) -> None:
    assert all(answers[-len(WRONG) :])
    assert len(answers) == len(bench_commands()) + len(WRONG)


def test_evaluations_on_mnist_take_pretrained_networks() -> None:
    """Without the option they train for 100 minutes first, so a page that means that says so."""
    for place, arguments in bench_commands():
        on_mnist = "mnist" in arguments and "--datasets" not in arguments
        if "--threats" in arguments and on_mnist:
            assert "--pretrained" in arguments, f"{place}: {shlex.join(arguments)}"


def test_make_targets_and_scripts_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for block, line in commands([*BLOCKS, *MEASURED]):
        words = shlex.split(line, comments=True) if re.match(r"(make|python|cp) ", line) else []
        named = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        if words[:1] == ["make"] and "-C" not in words:
            assert set(named) <= targets, f"{block}: {line}"
        if words[:1] == ["python"] and "-m" not in words:
            assert (ROOT / named[0]).is_file(), f"{block}: {line}"
        if words[:1] == ["cp"]:
            assert (ROOT / named[0]).is_dir(), f"{block}: {line}"


def broken_links(page: Path) -> list[str]:
    """The relative links and images of a page that lead nowhere, anchors included."""
    broken = []
    for block in blocks(page):
        for link in links(block):
            path, _, anchor = unquote(link).partition("#")
            target = (page.parent / path).resolve() if path else page
            outside = re.match(r"[a-z]+:", link)
            if not outside and (not target.exists() or (anchor and anchor not in anchors(target))):
                broken.append(f"{block}: {link}")
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert not broken_links(page)


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One two\n\n[a](#one-two) [b](page.md#three) ![c](gone.png) [d](page.md)\n")
    assert [line.rpartition(" ")[2] for line in broken_links(page)] == ["page.md#three", "gone.png"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_in_code_exist(page: Path) -> None:
    for block in blocks(page):
        if block.kind != "code":
            for path in _PATH.findall(" ".join(block.lines)):
                if not path.startswith(("results/runs", "results/benchmarks")):
                    assert any(ROOT.glob(path.rstrip("/"))), f"{block}: {path}"


def test_every_page_of_docs_is_linked_from_the_front_page() -> None:
    linked = {link for block in blocks(ROOT / "README.md") for link in links(block)}
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in linked


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.source is not None], ids=str)
def test_quoted_numbers_are_those_of_the_file(block: Block) -> None:
    wrong = wrong_numbers(block)
    assert not wrong, "\n".join(wrong)


def changed_digits(block: Block) -> Iterator[Block]:
    """The heading and one row of a table, with the last digit of one quotation changed."""
    for line in block.lines[2:]:
        for quotation in re.finditer(r"(?<=[|\[ ])[01]\.\d{2,4}(?=[ ,\]])", line):
            digit = str((int(quotation[0][-1]) + 5) % 10)
            changed = line[: quotation.end() - 1] + digit + line[quotation.end() :]
            yield dataclasses.replace(block, lines=(*block.lines[:2], changed))


def test_a_changed_digit_is_noticed() -> None:
    """In at least nine of ten cases: a wrong number may stand in the right row by chance."""
    tables = [block for block in BLOCKS if block.source is not None and block.kind == "table"]
    changed = [other for block in tables for other in changed_digits(block)][::3]
    noticed = sum(bool(wrong_numbers(block)) for block in changed)
    assert len(changed) > 100
    assert noticed >= 0.9 * len(changed)


def test_numbers_name_their_file() -> None:
    """A table with decimals, and a paragraph with an accuracy, has a comment that names a file."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    unnamed = [
        str(block)
        for block in BLOCKS
        if block.source is None
        and block.page in pages
        and (
            (block.kind == "table" and has_decimals(block))
            or (block.kind == "text" and _ACCURACY.search(block.prose))
        )
    ]
    assert not unnamed, unnamed


def test_the_front_page_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= LARGEST_README


def test_the_median_on_the_page_is_the_one_under_test() -> None:
    """The example of a whole defense is the plugin that the tests run, less its comments."""
    plugin = (ROOT / "tests" / "plugins" / "my_median.py").read_text(encoding="utf-8")
    for line in example("my_median").splitlines():
        assert line.strip().rstrip('"') in plugin
