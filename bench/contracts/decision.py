"""Contract of a decision: what a defense that decides by itself may return beside logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Decision(NamedTuple):
    """Logits with further numbers for each image, as `classify` of a defense may return them.

    Attributes:
        logits: (n, classes), or (n, classes + 1) from a module with `rejects = True`.
        extras: numbers by name, (n,) each, such as a certified radius; NaN for an image without.
            They are kept with the outcome; their mean over the clean images is a column, and so is
            how well they tell adversarial from clean images.
    """

    logits: Tensor
    extras: Mapping[str, Tensor]
