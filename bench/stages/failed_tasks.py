"""The tasks of a run that failed, of which none is tried again."""

from __future__ import annotations

from bench.errors import NotApplicable, PluginFault

_Kind = type[PluginFault] | type[NotApplicable]


class FailedTasks:
    """The tasks that failed, with their reasons.

    Executors of one run may share them: what failed for one fails at once for the others, with the
    same reason. A failure is never stored, so that the next run tries again.
    """

    def __init__(self) -> None:
        # An exception itself would keep its frames alive, and with them tensors of the device.
        self._reasons: dict[str, tuple[_Kind, str]] = {}

    def add(self, key: str, fault: PluginFault | NotApplicable) -> None:
        """Note why a task failed.

        Args:
            key: content key of the task.
            fault: what it raised.
        """
        self._reasons[key] = (type(fault), str(fault))

    def check(self, key: str) -> None:
        """Check that a task has not failed.

        Args:
            key: content key of the task.

        Raises:
            PluginFault: it has failed.
            NotApplicable: it has turned out to make no sense.
        """
        if key in self._reasons:
            kind, reason = self._reasons[key]
            raise kind(reason)
