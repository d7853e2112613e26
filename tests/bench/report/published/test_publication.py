"""The literature's numbers against a transcription of their own, and what a file must not hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.errors import RequestError
from bench.report.published.publication import PublishedFigure, read_published
from bench.store.packaged import published_names

ROOT = Path(__file__).parents[4]

# Columns: epsilon, MNIST, Fashion-MNIST, as printed.
TABLE_1A = """
0.00 .9901 .9122
0.10 .9099 .4751
0.20 .8237 .3798
0.30 .7274 .2973
0.40 .5840 .2376
0.50 .4054 .1889
0.60 .2648 .1417
0.70 .1610 .0955
1.00 .0531 .0444
1.50 .0523 .0412
"""
TABLE_1B = """
0.00 .9922 .9206
0.05 .6130 .3150
0.10 .1723 .2962
0.15 .0418 .2942
0.20 .0181 .2940
0.30 .0118 .2934
"""


def figures(name: str, table: str | None) -> list[PublishedFigure]:
    found = [figure for figure in read_published(name)[1].figures if figure.table == table]
    assert found
    return found


@pytest.mark.parametrize(
    ("table", "attack", "printed"), [("1(a)", "fgsm", TABLE_1A), ("1(b)", "pgd", TABLE_1B)]
)
def test_table_1_is_as_printed(table: str, attack: str, printed: str) -> None:
    wanted = {}
    for line in printed.split("\n")[1:-1]:
        epsilon, mnist, fashion = line.split()
        wanted.update(
            {("mnist", epsilon): float(mnist), ("fashion_mnist", epsilon): float(fashion)}
        )
    found = figures("paper", table)
    assert {(figure.dataset, figure.epsilon): figure.accuracy for figure in found} == wanted
    assert len(found) == len(wanted)
    assert {(figure.attack, figure.defense, figure.scale) for figure in found} == {
        (attack, "none", "unstated")
    }


def test_table_2_is_as_printed() -> None:
    found = {(f.attack, f.epsilon, f.dataset, f.defense): f.accuracy for f in figures("paper", "2")}
    assert found == {
        ("fgsm", "0.60", "mnist", "none"): 0.2648,
        ("fgsm", "0.60", "fashion_mnist", "none"): 0.1417,
        ("fgsm", "0.60", "mnist", "convae"): 0.9209,
        ("fgsm", "0.60", "fashion_mnist", "convae"): 0.7393,
        ("pgd", "0.15", "mnist", "none"): 0.0418,
        ("pgd", "0.15", "fashion_mnist", "none"): 0.2942,
        ("pgd", "0.15", "mnist", "convae"): 0.9406,
        ("pgd", "0.15", "fashion_mnist", "convae"): 0.7291,
    }


def test_table_3_is_as_printed() -> None:
    found = {
        (f.defense, f.attack, f.epsilon): (f.accuracy, f.latency_s, f.device)
        for f in figures("paper", "3")
    }
    assert found == {
        ("none", None, None): (0.9901, None, None),
        ("defensegan", "fgsm", "0.60"): (0.8529, 14.80, None),
        ("puvae", "fgsm", "0.60"): (0.8133, 0.11, None),
        ("convae", "fgsm", "0.60"): (0.9209, 0.008, None),
    }
    assert {figure.dataset for figure in figures("paper", "3")} == {"mnist"}


def test_the_paper_calls_gray_box_white_box() -> None:
    found = read_published("paper")[1].figures
    assert len(found) == 20 + 12 + 8 + 4
    attacked = [figure for figure in found if figure.attack]
    assert {(figure.threat_printed, figure.threat) for figure in attacked} == {
        ("white-box", "graybox")
    }
    assert {figure.classifier for figure in found} == {"VGG-16"}


def test_what_was_not_read_in_its_source_says_so() -> None:
    evidence = {
        name: {figure.evidence for figure in read_published(name)[1].figures}
        for name in published_names()
    }
    assert evidence == {"defensegan": {"verified"}, "paper": {"verified"}, "puvae": {"summary"}}
    bpda = read_published("defensegan")[1].figures[0]
    assert (bpda.accuracy, bpda.threat, bpda.norm, bpda.epsilon) == (0.55, "bpda", "l2", "0.005")


def test_the_names_are_the_files_of_the_repository() -> None:
    assert published_names() == sorted(
        path.stem for path in (ROOT / "results" / "published").glob("*.json")
    )


def test_a_path_is_read_and_called_by_its_stem(tmp_path: Path) -> None:
    copy = tmp_path / "mine.json"
    copy.write_text(
        (ROOT / "results" / "published" / "puvae.json").read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    assert read_published(str(copy)) == ("mine", read_published("puvae")[1])


def content(source: dict[str, Any], figure: dict[str, Any], **top: Any) -> str:
    """A sound file of one figure, but for what is given."""
    sound = json.loads((ROOT / "results" / "published" / "puvae.json").read_text(encoding="utf-8"))
    (key,) = sound["sources"]
    sound["sources"][key].update(source)
    sound["figures"][0].update(figure)
    return json.dumps({**sound, **top})


@pytest.mark.parametrize(
    ("source", "figure", "top", "message"),
    [
        (
            {},
            {"accuracy": 1.2},
            {},
            r"figures\.0\.accuracy = 1\.2: input should be less than or equal to 1",
        ),
        (
            {},
            {"accuracy": "0.8"},
            {},
            r"figures\.0\.accuracy = '0\.8': input should be a valid number",
        ),
        ({}, {"accuracy": float("nan")}, {}, "a number that is not finite, NaN"),
        (
            {},
            {"latency_s": 0.0},
            {},
            r"figures\.0\.latency_s = 0\.0: input should be greater than 0",
        ),
        (
            {},
            {"accuracy": None, "latency_s": None},
            {},
            r"figures\.0: there is neither an accuracy nor a latency",
        ),
        ({}, {"eps": 0.15}, {}, r"figures\.0: eps is not the epsilon that is printed, 0\.3"),
        ({}, {"epsilon": "large"}, {}, r"figures\.0: could not convert"),
        ({}, {"eps": None}, {}, r"figures\.0: eps is not the epsilon"),
        (
            {},
            {"attack": None},
            {},
            r"figures\.0: an attack goes with an epsilon and a threat model",
        ),
        ({}, {"threat": "white-box"}, {}, r"figures\.0\.threat = 'white-box': input should be"),
        ({}, {"scale": "[0, 255]"}, {}, r"figures\.0\.scale"),
        ({}, {"sead": 1}, {}, r"figures\.0\.sead = 1: extra inputs are not permitted"),
        ({}, {"source": "other"}, {}, "named, or described, but not both: source"),
        ({"arxiv": "v1"}, {}, {}, r"sources\.hwang2019\.arxiv = 'v1'"),
        ({}, {}, {"figures": []}, "figures: tuple should have at least 1 item"),
    ],
)
def test_a_bad_file_is_one_clear_line(
    tmp_path: Path,
    source: dict[str, Any],
    figure: dict[str, Any],
    top: dict[str, Any],
    message: str,
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content(source, figure, **top), encoding="utf-8")
    with pytest.raises(RequestError, match=message) as error:
        read_published(str(path))
    assert str(error.value).startswith(f"published figures {path}: ")
    assert "\n" not in str(error.value)


def test_the_same_figure_twice_is_refused(tmp_path: Path) -> None:
    twice = json.loads(content({}, {}))
    twice["figures"] *= 2
    (tmp_path / "bad.json").write_text(json.dumps(twice), encoding="utf-8")
    with pytest.raises(RequestError, match=r"two figures at hwang2019 mnist puvae fgsm 0\.3"):
        read_published(str(tmp_path / "bad.json"))


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"{", "bad.json: it is not JSON"), (b'"\xff"', "not UTF-8"), (None, "cannot read")],
)
def test_a_file_that_cannot_be_read_is_one_clear_line(
    tmp_path: Path, data: bytes | None, message: str
) -> None:
    path = tmp_path / "bad.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(RequestError, match=message):
        read_published(str(path))


def test_an_unknown_name_is_met_with_the_known_ones() -> None:
    with pytest.raises(
        RequestError, match=r"unknown published figures 'papre' .*did you mean 'paper'"
    ):
        read_published("papre")
