"""MNIST: LeCun, Cortes, Burges."""

from __future__ import annotations

from dataclasses import dataclass

from bench.contracts import Dataset, ImageSets, LoadContext
from bench.datasets._idx import original_images
from bench.registry import register_dataset
from bench.store.originals import ORIGINALS


@register_dataset("mnist")
@dataclass(frozen=True)
class MNIST(Dataset):
    """Handwritten digits, 28x28, through torchvision (LeCun, Cortes and Burges; CC BY-SA 3.0).

    60,000 training and 10,000 test images. Files other than the originals are refused.
    """

    def load(self, context: LoadContext) -> ImageSets:
        """The images of the original files."""
        return original_images(ORIGINALS["mnist"], context.folder)
