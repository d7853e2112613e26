"""A run with faulty plugins beside sound ones."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from tests.plugins.kinds import assert_clean

FAULTY_DEFENSES = {
    "raising:stage=build:kind=exit_0": "raised SystemExit: 0",
    "raising:stage=fit:kind=interrupt": "raised KeyboardInterrupt",
    "raising:stage=forward:kind=escapes": "raised RuntimeError: red",
    "raising:stage=forward:kind=torch_memory": "try a smaller --batch-size",
}
FAULTY_ATTACKS = {
    "raising_attack:stage=perturb:kind=unprintable": "raised Unprintable: (its message cannot",
    "raising_attack:stage=describe:kind=exit_none": "raised SystemExit",
}


def test_sound_cells_are_recorded_and_faulty_ones_fail_with_one_line(
    bench, tiny: Path, plugins: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    done = bench(
        "run", "--config", tiny, "--plugin", plugins / "raising.py", "--out", out,
        "--n", "20", "--eps", "0.1", "--no-latency",
        "--defenses", ",".join(["none", "raising", *FAULTY_DEFENSES]),
        "--attacks", ",".join(["fgsm", *FAULTY_ATTACKS]),
    )  # fmt: skip

    assert done.code == 1, done.err
    assert "Traceback" not in done.err + done.out
    assert "\x1b" not in done.err + done.out

    states = defaultdict(set)
    for path in (out / "cells").glob("*.json"):
        record = json.loads(path.read_text())
        labels = record["labels"]
        expected = FAULTY_ATTACKS.get(labels["attack"]) or FAULTY_DEFENSES.get(labels["defense"])
        states["failed" if expected else "ok"].add(record["status"])
        if expected:
            reasons = (expected, FAULTY_DEFENSES.get(labels["defense"], expected))
            assert any(reason in record["reason"] for reason in reasons), record["reason"]
            assert_clean(record["reason"])

    assert states == {"ok": {"ok"}, "failed": {"failed"}}, done.err
    assert len(list((out / "cells").glob("*.json"))) == 6 * 3
    assert "16 of 18 cells failed" in done.err
