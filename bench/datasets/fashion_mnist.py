"""Fashion-MNIST: Xiao, Rasul, Vollgraf (arXiv:1708.07747)."""

from __future__ import annotations

from dataclasses import dataclass

from bench.contracts import Dataset, ImageSets, LoadContext
from bench.datasets._idx import original_images
from bench.registry import register_dataset
from bench.store.originals import ORIGINALS

_NAMES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
    "ankle boot",
)  # fmt: skip


@register_dataset("fashion_mnist")
@dataclass(frozen=True)
class FashionMNIST(Dataset):
    """Articles of clothing, 28x28, through torchvision (arXiv:1708.07747; MIT license).

    60,000 training and 10,000 test images. Files other than the originals are refused.
    """

    def load(self, context: LoadContext) -> ImageSets:
        """The images of the original files."""
        return original_images(ORIGINALS["fashion_mnist"], context.folder, _NAMES)
