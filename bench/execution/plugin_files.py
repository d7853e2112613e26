"""Plugin files on their way to workers that may not see the folders of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import RequestError
from bench.execution.jobs import ShippedPlugin
from bench.plugins.catalog import is_file_name, plugin_source
from bench.plugins.code import plugin_files
from bench.plugins.origins import is_builtin_plugin
from bench.store.atomic import write_bytes


@dataclass(frozen=True)
class PackedPlugins:
    """Plugins with the content of their files.

    Attributes:
        plugins: plugins; the source of one whose files are packed is its path among these.
        contents: content of the files by their path, which begins with the number of a folder.
    """

    plugins: tuple[ShippedPlugin, ...]
    contents: Mapping[str, bytes]

    def unpacked(self, folder: Path) -> tuple[ShippedPlugin, ...]:
        """Write the files below a folder; the plugins that lie there, and those without files.

        Raises:
            StorageError: a file cannot be written.
        """
        for path, content in self.contents.items():
            write_bytes(folder / path, content)

        return tuple(
            plugin._replace(source=str(folder / plugin.source))
            if plugin.source in self.contents
            else plugin
            for plugin in self.plugins
        )


def packed(plugins: Sequence[ShippedPlugin]) -> PackedPlugins:
    """The plugins with their files and those helpers that lie in the same folders.

    Modules that are installed, and files of other folders, must be on every machine that works.

    Args:
        plugins: imported plugins.

    Raises:
        RequestError: a file has vanished, or cannot be read any more.
    """
    numbers: dict[Path, str] = {}
    contents: dict[str, bytes] = {}
    sources: list[str] = []

    for plugin in plugins:
        path = plugin_source(plugin.source)
        if is_builtin_plugin(path):
            sources.append(f"{path.parent.name}.{path.stem}")
        elif not is_file_name(plugin.source):
            sources.append(plugin.source)
        else:
            number = numbers.setdefault(path.parent, str(len(numbers)))
            contents.update(_contents(path, number))
            sources.append(f"{number}/{path.name}")

    moved = (
        plugin._replace(source=source) for plugin, source in zip(plugins, sources, strict=True)
    )
    return PackedPlugins(tuple(moved), contents)


def _contents(plugin: Path, number: str) -> dict[str, bytes]:
    """The content of the files of a plugin that lie in its folder, by path."""
    folder = plugin.parent
    files = (file for file in plugin_files(plugin) if file.is_relative_to(folder))
    try:
        return {
            f"{number}/{file.relative_to(folder).as_posix()}": file.read_bytes() for file in files
        }
    except OSError as error:
        raise RequestError(
            f"plugin {plugin}: cannot read {error.filename}: {error.strerror or error}"
        ) from None
