"""The comparison of an engine's output with that of eager float32."""

from __future__ import annotations

import pytest
import torch

from bench.latency.agreement import Output, UnusableOutput, agreement_of


def output(value: float, classes: list[int]) -> Output:
    return Output(torch.full((len(classes), 1, 2, 2), value), torch.tensor(classes))


EXPECTED = [output(0.0, [1, 2]), output(0.0, [3, 4])]


def test_agreement_counts_images_and_takes_the_largest_difference() -> None:
    agreement = agreement_of([output(0.1, [1, 0]), output(-0.2, [3, 4])], EXPECTED, "x")
    assert agreement.difference == pytest.approx(0.2)
    assert (agreement.alike, agreement.images) == (0.75, 4)


@pytest.mark.parametrize("wrong", [output(float("nan"), [1, 2]), output(0.0, [1])])
def test_an_output_that_cannot_be_compared_is_a_fault(wrong: Output) -> None:
    with pytest.raises(UnusableOutput, match="x: its output is not finite, or of another shape"):
        agreement_of([wrong, EXPECTED[1]], EXPECTED, "x")
