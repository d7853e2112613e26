"""The command `bench list`."""

from __future__ import annotations

from bench.cli import options


def command(plugin: options.Plugins = None) -> None:
    """List plugins, data sets, threat models, engines and presets.

    Plugins are shown with their parameters, defaults and descriptions.
    """
    from bench.commands.listing import show

    show(tuple(plugin or ()))
