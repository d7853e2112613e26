"""Images of one's own from the arrays of an `.npz` file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.contracts import Dataset, ImageSets, LabelledImages, LoadContext
from bench.datasets._archive import read_arrays
from bench.registry import register_dataset

_TEST = ("x_test", "y_test")

_TRAIN = ("x_train", "y_train")

_NAMES = "class_names"


@register_dataset("npz")
@dataclass(frozen=True)
class Npz(Dataset):
    """Images of your own in an .npz file: arrays x_train, y_train, x_test and y_test.

    Images are uint8, or floating-point numbers in [0, 1], of shape (n, height, width), (n,
    channels, height, width) or (n, height, width, channels) with one or three channels; labels are
    integers (n,) from 0 on. Without x_train and y_train nothing can be trained. An array
    class_names of texts names the classes.

    Attributes:
        file: path of the file.
        channels: where the channels are, `first` or `last`; only where the shape does not say it.
    """

    file: str
    channels: Literal["first", "last"] | None = None

    def load(self, context: LoadContext) -> ImageSets:
        """The arrays; large ones are unpacked into the folder of data sets and memory-mapped."""
        path = Path(self.file).expanduser()
        try:
            arrays = read_arrays(path, _TEST, (*_TRAIN, _NAMES), context)
        except FileNotFoundError:
            raise ValueError(f"the file {path} does not exist") from None
        except ValueError as error:
            raise ValueError(f"the file {path}: {error}") from None

        missing = [name for name in _TRAIN if name not in arrays]
        if len(missing) == 1:
            raise ValueError(
                f"the file {path} lacks {missing[0]}: give both {' and '.join(_TRAIN)}"
            )

        test, *train = (
            LabelledImages(arrays[images], arrays[labels], self.channels)
            for images, labels in (_TEST, *([] if missing else [_TRAIN]))
        )
        names = tuple(map(str, arrays[_NAMES])) if _NAMES in arrays else ()
        return ImageSets(test, train[0] if train else None, names)
