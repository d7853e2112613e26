"""The model card: names from a manifest are shown, and nothing in the card obeys them."""

from __future__ import annotations

import ast
import re
import shlex
from typing import Any

import pytest
from markdown_it import MarkdownIt

from bench.report.model_card import model_card
from bench.store.weights import Entry, Manifest, Score, pretrained

NAMES = (
    "x; touch escaped",
    "$(touch escaped) `touch escaped`",
    "'; touch escaped; '",
    'a" + exit() + "b',
    "a\n```\n# heading\n<b>",
    "@SPEC@ @SCORES@ @NONE@",
    "![x](https://example.org/x.png) | <img src=x>",
    "\x1b[2J\u202e",
)


def entry(name: str, family: str = "classifier", **changes: Any) -> Entry:
    """An entry of a manifest that nobody checked."""
    first = Manifest.read(pretrained()).networks[0]
    score = Score.model_construct(
        **{**first.scores[0].model_dump(), "classifier": name, "machine": name, "images": name},
    )
    foreign = {"spec": name, "dataset": name, "device": name, "file": f"{name}.safetensors"}
    values = {**first.model_dump(), **foreign, "family": family, "role": "", "scores": [score]}
    return Entry.model_construct(**{**values, **changes})


def tokens(card: str) -> list[Any]:
    parsed = MarkdownIt("commonmark").enable("table").parse(card)
    return [leaf for token in parsed for leaf in (token.children or [token])]


@pytest.mark.parametrize("name", NAMES)
def test_the_card_shows_foreign_names(name: str) -> None:
    classifier = entry(name)
    defense = entry(name, "defense", against=classifier.digest, digest="d" * 64)
    card = model_card([classifier, defense])
    found = tokens(card)
    harmless = tokens(model_card([entry("x"), entry("x", "defense", digest="d" * 64)]))

    def kinds(all_tokens: list[Any]) -> list[str]:
        kept = (
            "fence",
            "image",
            "link_open",
            "html_inline",
            "html_block",
            "heading_open",
            "tr_open",
        )
        return [token.type for token in all_tokens if token.type in kept]

    assert kinds(found) == kinds(harmless)
    commands, example = (
        token.content
        for token in found
        if token.type == "fence" and "FOLDER ..." not in token.content
    )
    shown = re.sub(r"\s+", " ", name.replace("\x1b[2J\u202e", "\ufffd"))
    (command,) = commands.splitlines()
    words = shlex.split(command)
    assert words[:2] == ["bench", "run"]
    assert words[words.index("--datasets") + 1] == shown
    assert words[words.index("--defenses") + 1] == f"none,{shown}"
    calls = [node for node in ast.walk(ast.parse(example)) if isinstance(node, ast.Constant)]
    assert {name.replace("\x1b[2J\u202e", "\ufffd")} <= {node.value for node in calls}


@pytest.mark.parametrize(
    ("shape", "classes", "argument", "line"),
    [
        ((3, 48, 64), 2, "DataInfo(shape=(3, 48, 64), classes=2)", "- `x` (3x48x64, 2 classes): "),
        (
            (1, 28, 28),
            43,
            "DataInfo(shape=(1, 28, 28), classes=43)",
            "- `x` (1x28x28, 43 classes): ",
        ),
        (None, None, "DataInfo(shape=(CHANNELS, HEIGHT, WIDTH), classes=CLASSES)", "- `x`: "),
    ],
)
def test_the_example_builds_a_network_for_the_images_of_its_training(
    shape: tuple[int, int, int] | None, classes: int | None, argument: str, line: str
) -> None:
    card = model_card([entry("x", shape=shape, classes=classes)])
    assert f"module = plugin.build({argument})" in card
    assert line in card.splitlines()


def test_a_list_of_many_defenses_is_whole_in_its_command() -> None:
    classifier = entry("cnn")
    defenses = [
        entry(f"convae:width={width}", "defense", against=classifier.digest, dataset="cnn")
        for width in range(200)
    ]
    card = model_card([classifier, *defenses])
    (line,) = (line for line in card.splitlines() if line.startswith("bench run --datasets"))
    assert len(shlex.split(line)[-1].split(",")) == 201
