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
        origins: folders that the files come from, by number.
    """

    plugins: tuple[ShippedPlugin, ...]
    contents: Mapping[str, bytes]
    origins: Mapping[str, Path]

    def unpacked(self, folder: Path) -> tuple[ShippedPlugin, ...]:
        """The plugins where they lie, and those without files.

        The files of a folder that is here too, with the same content, are used where they are: it
        may be one of those that modules are imported from, which must not have a helper twice. All
        others are written below a folder.

        Args:
            folder: folder for the files.

        Raises:
            StorageError: a file cannot be written.
        """
        places = {number: self._place(number, folder) for number in self.origins}
        for path, content in self.contents.items():
            number, _, name = path.partition("/")
            if places[number] != self.origins[number]:
                write_bytes(places[number] / name, content)

        return tuple(self._placed(plugin, places) for plugin in self.plugins)

    def _place(self, number: str, folder: Path) -> Path:
        """Where the files of a number lie, or are to lie."""
        origin = self.origins[number]
        try:
            is_here = all(
                (origin / path.partition("/")[-1]).read_bytes() == content
                for path, content in self.contents.items()
                if path.partition("/")[0] == number
            )
        except OSError:
            is_here = False

        return origin if is_here else folder / number

    def _placed(self, plugin: ShippedPlugin, places: Mapping[str, Path]) -> ShippedPlugin:
        """A plugin with the path of its file."""
        if plugin.source not in self.contents:
            return plugin

        number, _, name = plugin.source.partition("/")
        return plugin._replace(source=str(places[number] / name))


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
        path = plugin_source(plugin.source).absolute()
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
    origins = {number: folder for folder, number in numbers.items()}
    return PackedPlugins(tuple(moved), contents, origins)


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
