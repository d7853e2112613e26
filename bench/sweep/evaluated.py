"""A cell whose adversarial images were evaluated, as its probes see it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.geometry import Norm
from bench.records.probes import Array
from bench.stages.attacked import AttackedRef
from bench.stages.references import AdversarialRef, CellNetworks
from bench.store.artifacts import Tensors
from bench.sweep.cell import Cell


@dataclass(frozen=True)
class Evaluated:
    """A cell whose adversarial images were evaluated.

    Attributes:
        cell: cell of the grid.
        networks: trained networks of the cell.
        reference: adversarial set of the cell.
        clean: clean test images, float32 (n, c, h, w).
        tensors: arrays of the adversarial set.
        purified: first adversarial images after the defense, (m, c, h, w).
    """

    cell: Cell
    networks: CellNetworks
    reference: AdversarialRef
    clean: Array
    tensors: Tensors
    purified: Array

    @property
    def adversarial(self) -> Array:
        """The adversarial images, float32 (n, c, h, w)."""
        return self.tensors["adversarial"]

    @property
    def attacked(self) -> AttackedRef:
        """The model that the attack was given."""
        return AttackedRef.of(self.cell.threat.kind.name, self.networks)

    @property
    def attacks(self) -> bool:
        """Whether the threat model attacks anything, and the budget allows it to."""
        return self.cell.threat.kind.surrogate is not None and self.cell.eps > 0

    @property
    def knows_draw(self) -> bool:
        """Whether the attacker knows the draw, in which the images are evaluated too."""
        return self.cell.threat.fixed_draw

    @property
    def follows_gradient(self) -> bool:
        """Whether the attack follows a gradient."""
        uses_gradient = self.cell.attack.plugin.access == "gradient"
        return self.attacks and self.cell.threat.kind.gradient and uses_gradient

    @property
    def norm(self) -> Norm | None:
        """Norm of the budget, if its ball is convex; None for any other."""
        norm = self.cell.attack.plugin.ball()
        return None if norm == "l0" else norm
