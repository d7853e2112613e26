"""Tensors leave the device for the host in few named modules."""

from __future__ import annotations

import ast
from pathlib import Path

from bench.plugins.packages import ROOT

FOLDERS = ("bench", "defenses", "attacks", "classifiers")

MOVES = {"cpu", "cuda", "numpy", "pin_memory"}
"""Methods of a tensor or a module that move it, or hand it to NumPy."""

TO_HOST = {
    "attacks/_art.py": "ART computes in NumPy",
    "attacks/lbfgs.py": "L-BFGS-B is that of SciPy",
    "defenses/jpeg.py": "Pillow is the codec",
    "bench/datasets/digits.py": "made on the CPU",
    "bench/datasets/emnist.py": "made on the CPU",
    "bench/datasets/kmnist.py": "made on the CPU",
    "bench/latency/agreement.py": "outputs to compare, after the timing",
    "bench/library/evaluation.py": "what a program gives",
    "bench/plugins/live_code.py": "the digest of a tensor that a function in a notebook uses",
    "bench/stages/cascade_state.py": "the set that a task stores",
    "bench/stages/context.py": "the weights that a task stores",
    "bench/stages/craft.py": "the set that a task stores",
    "bench/stages/observation.py": "the digest of a module as it was built",
    "bench/stages/pixels.py": "the digest of images",
    "bench/stages/predict.py": "the predictions that a task stores",
    "bench/stages/probe.py": "the measurements that a task stores",
    "bench/sweep/cell_outcomes.py": "the outcome that a cell records",
    "bench/sweep/convergence.py": "the stronger variants that a cell records",
    "bench/sweep/probes.py": "the outcome that a cell records",
}
"""The modules that bring tensors to the host, and what they bring."""


def test_only_named_modules_bring_tensors_to_the_host() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if _moves(path)
    }
    assert found == set(TO_HOST), found ^ set(TO_HOST)


def _moves(path: Path) -> bool:
    calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if _is_call(node))
    return any(True for _ in calls)


def _is_call(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in MOVES
        and not node.args
    )
