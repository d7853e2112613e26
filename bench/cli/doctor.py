"""The command `bench doctor`."""

from __future__ import annotations

from bench.cli import options


def command(data: options.Data = None, cache: options.Cache = None) -> None:
    """Show versions, devices, data sets and the cache."""
    from bench.commands.doctor import doctor

    doctor(data, cache)
