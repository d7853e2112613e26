"""Two runs side by side: cells and defenses paired image by image, timings by their ratio."""

from bench.report.comparison.cells import ACCURACIES
from bench.report.comparison.comparison import Comparison

__all__ = ["ACCURACIES", "Comparison"]
