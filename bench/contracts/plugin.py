"""Contract of every plugin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar


class Plugin:
    """Base of defenses, attacks, classifiers and data sets.

    Attributes:
        version: version of the plugin's mathematics, 1 by default. Raise it when a change alters
            the results, so that stored networks and images are computed again.
        host_work: reason why the CPU does a part of the work on whichever device, such as a codec
            that exists for the CPU alone. By default there is none: tensors stay on the device.
    """

    version: ClassVar[int] = 1
    host_work: ClassVar[str] = ""

    def files(self) -> Sequence[Path]:
        """Files whose content changes the result, for example a checkpoint; none by default.

        Their digests are part of the plugin's identity, so a changed file is a changed plugin.
        """
        return ()
