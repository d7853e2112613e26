"""Hand-made records and outcomes, without any network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.analysis.outcomes import EvaluatedCell
from bench.records.cell import CellProperties, CellRecord
from bench.records.cell_images import CellImages
from bench.records.outcome import Outcome
from bench.records.pipeline import Pipeline
from bench.records.timing import Samples, TimedCall, Timing
from bench.stages.threats import THREATS
from bench.store.keys import content_key


class Made:
    """Cells as a run would leave them, of whatever is given."""

    def record(
        self, defense: str = "d", attack: str = "fgsm", eps: float = 0.1, **changes: Any
    ) -> CellRecord:
        threat = changes.get("threat", "graybox")
        kind = THREATS[threat.partition(":")[0]]
        facts = {
            "norm": "linf",
            "access": "gradient",
            "minimum_norm": False,
            "steps": None,
            "threat": kind.name,
            "gradient": kind.gradient,
            "sees_defense": kind.sees_defense,
            "stronger_than": kind.stronger_than,
            "eot": 1,
            "stochastic": False,
            "stops_at_first_success": False,
        }
        labels = {
            "dataset": changes.get("dataset", "digits"),
            "classifier": "cnn",
            "defense": defense,
            "attack": attack,
            "eps": eps,
            "threat": threat,
            "seed": changes.get("seed", 0),
        }
        return CellRecord(
            key=content_key(labels),
            labels=labels,
            properties=CellProperties(
                **{
                    **facts,
                    **{
                        name: changes[name]
                        for name in facts
                        if name in changes and name != "threat"
                    },
                }
            ),
            data=content_key({"images": changes.get("data", "images")}),
            n=changes.get("n", 20),
            status=changes.get("status", "ok"),
            reason=changes.get("reason", ""),
            parameters=changes.get("parameters", {}),
            networks={},
            environment="0123456789ab",
            adversarial_set=changes.get("adversarial_set", content_key({"of": labels})),
        )

    def outcome(
        self, robust: Any, clean: Any = None, undefended: Any = None, moved: float = 0.1
    ) -> Outcome:
        """Raw arrays from booleans (n,) or (draws, n): which images are right; None for all."""
        robust = np.atleast_2d(np.asarray(robust, bool))
        n = robust.shape[1]
        labels = (np.arange(n) % 10).astype(np.int16)

        def predictions(right: Any) -> np.ndarray:
            return np.where(
                np.ones(n, bool) if right is None else np.asarray(right, bool),
                labels,
                (labels + 1) % 10,
            )

        return Outcome(
            labels=labels,
            clean_undefended=predictions(None),
            clean_defended=np.broadcast_to(predictions(clean), robust.shape).copy(),
            adversarial_undefended=predictions(undefended),
            adversarial_defended=predictions(robust),
            attacked=np.ones(n, bool),
            gradient_norm=np.ones(n, np.float32),
            linf=np.full(n, moved, np.float32),
            l2=np.full(n, 4 * moved, np.float32),
            l1=np.full(n, 16 * moved, np.float32),
        )

    def images(self, moved: float = 0.1) -> CellImages:
        """Grey ramps; the adversarial ones are brighter, the purified ones darker."""
        picture = np.linspace(0, 255, 4 * 4).reshape(1, 1, 4, 4).repeat(10, axis=0)
        return CellImages(
            clean=picture.astype(np.uint8),
            adversarial=(picture + 255 * moved).clip(0, 255).astype(np.uint8),
            purified=(picture * 0.9).astype(np.uint8),
        )

    def cell(
        self, robust: Any, clean: Any = None, moved: float = 0.1, **labels: Any
    ) -> EvaluatedCell:
        """A cell that is ok; labels and properties as `record` takes them."""
        outcome = self.outcome(robust, clean, moved=moved)
        return EvaluatedCell(
            self.record(**labels, n=len(outcome.labels)), outcome, lambda: self.images(moved)
        )

    def timing(
        self, milliseconds: Any = None, defense: str = "d", target: str = "pipeline", **changes: Any
    ) -> Timing:
        """A timing at batch 1 on the CPU; milliseconds of its calls, or `status` and `reason`."""
        call = TimedCall(
            Pipeline(changes.get("dataset", "digits"), "cnn", defense),
            target,  # type: ignore[arg-type]
            changes.get("batch_size", 1),
            changes.get("engine", "eager"),
            "float32",
            "cpu",
            changes.get("round", 0),
        )
        environment = changes.get("environment", "0123456789ab")
        if milliseconds is None:
            return Timing(call, changes["status"], changes["reason"], environment=environment)
        seconds = tuple(float(each) / 1e3 for each in np.atleast_1d(milliseconds))
        samples = Samples(seconds, (), 3, True, None, None)
        return Timing(
            call,
            "ok",
            samples=samples,
            conditions=changes.get("conditions", {"threads": 2}),
            environment=environment,
        )


@pytest.fixture(scope="session")
def made() -> Made:
    """Makes cells by hand."""
    return Made()
