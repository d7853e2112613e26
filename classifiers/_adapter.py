"""Networks from elsewhere as classifiers: images and classes as the network knows them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from bench.contracts import DataInfo, tried_output


class Adapted(nn.Module):
    """A network behind resizing, repeated channels and normalization, with the classes in order.

    Args:
        network: network that maps its images to logits (n, outputs).
        data: images and classes that the module is for.
        size: height and width in pixels to which images are resized, bilinearly; None to leave
            them.
        channels: number of channels to which gray images are repeated; None to leave them.
        mean: mean that is subtracted, one for all channels or one for each; None for none.
        std: standard deviation that is then divided by, likewise.
        classes: index of the output of each class of the data; None if the outputs are the
            classes.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        data: DataInfo,
        *,
        size: int | None = None,
        channels: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        classes: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.data = data
        self.size = size
        self.channels = channels
        self.normalizes = mean is not None or std is not None
        self.outputs = None if classes is None else list(classes)
        self.register_buffer("mean", torch.tensor(mean or (0.0,)).view(1, -1, 1, 1), False)
        self.register_buffer("std", torch.tensor(std or (1.0,)).view(1, -1, 1, 1), False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, channels, height, width) in [0, 1]."""
        return self._of_classes(self.network(self._inputs(images)))

    def _inputs(self, images: Tensor) -> Tensor:
        """The images as the network knows them."""
        if self.size is not None:
            size = (self.size, self.size)
            images = interpolate(images, size=size, mode="bilinear", align_corners=False)
        if self.channels is not None:
            images = images.expand(-1, self.channels, -1, -1)

        return (images - self.mean) / self.std if self.normalizes else images

    def _of_classes(self, logits: Tensor) -> Tensor:
        """The outputs of the data's classes; a single output x becomes the logits (-x/2, x/2)."""
        if self.data.classes == 2 and logits.dim() <= 2 and logits.numel() == len(logits):
            # The softmax of this pair is the sigmoid of x.
            logits = logits.view(-1, 1) * logits.new_tensor([-0.5, 0.5])

        return logits if self.outputs is None else logits[:, self.outputs]


def check_adapted(module: Adapted) -> None:
    """Check a network on a few images: what it takes, and how many outputs it has.

    Raises:
        ValueError: images or classes are not those of the data.
    """
    data = module.data
    needed = module.channels
    if needed is not None and data.shape[0] not in (1, needed):
        raise ValueError(f"channels={needed}: the images have {data.shape[0]} channels")
    for name, values in (("mean", module.mean), ("std", module.std)):
        if values.numel() not in (1, needed or data.shape[0]):
            raise ValueError(
                f"{name} has {values.numel()} numbers, and the images {needed or data.shape[0]} "
                "channels: give one for all channels, or one for each"
            )

    outputs = module.outputs
    module.outputs = None  # an index that does not exist is reported here, not by PyTorch
    logits = tried_output(module, data)
    module.outputs = outputs
    if logits.dim() != 2:
        raise ValueError(
            f"the network returned shape {tuple(logits.shape)} for {len(logits)} images"
        )
    _check_outputs(logits.shape[1], data.classes, outputs)


def _check_outputs(found: int, classes: int, outputs: Sequence[int] | None) -> None:
    """Check the number of outputs, and those that are chosen among them."""
    if outputs is None and found != classes:
        remedy = f"; classes=[...] names the {classes} outputs" if found > classes else ""
        raise ValueError(f"the network has {found} outputs, and the data {classes} classes{remedy}")
    if outputs is not None and len(outputs) != classes:
        raise ValueError(
            f"classes names {len(outputs)} outputs, and the data have {classes} classes"
        )
    if outputs is not None and len(set(outputs)) < len(outputs):
        raise ValueError("classes names an output twice: each class of the data has one of its own")
    if outputs is not None and max(outputs) >= found:
        raise ValueError(
            f"classes names output {max(outputs)}, and the network has the outputs 0 to {found - 1}"
        )
