"""`bench run`: the request checked as a whole, the plan, the sweep, latency, the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.artifacts import ArtifactStore
from bench.commands.places import RUNS, cache_folder, data_folder
from bench.commands.report import told_invalid
from bench.config import RunConfig, read_file, resolve
from bench.discovery import discover
from bench.environment import choose_device, describe, device_name
from bench.errors import RequestError
from bench.grid import Grid
from bench.keys import content_key
from bench.presets import read_preset
from bench.progress import reporter, say
from bench.report import print_tables, table_console, write_report
from bench.report.frames import title_of
from bench.runner import Plan, Runner
from bench.runs import RunFolder
from bench.spec import split_list
from bench.stages.base import Lab
from bench.stages.executor import LocalExecutor

DEFAULT_PRESET = "quick"


@dataclass(frozen=True)
class Places:
    """Where a run computes, reads and writes; None for the default."""

    device: str
    data: Path | None
    cache: Path | None
    out: Path | None


def run(
    axes: Mapping[str, str | None],
    scalars: Mapping[str, str | None],
    preset: str | None,
    config_file: Path | None,
    plugins: tuple[str, ...],
    places: Places,
    strict: bool = False,
) -> int:
    """Run a grid.

    Args:
        axes: comma-separated lists by axis, None where the preset decides.
        scalars: single values likewise.
        preset: the preset's name; None for `quick`.
        config_file: a TOML file instead.
        plugins: files or modules outside the package.
        places: device and folders.
        strict: an invalid cell is a failure.

    Returns:
        0 when no cell failed (nor, under `strict`, is invalid), else 1.

    Raises:
        RequestError: the request is wrong; nothing was computed.
    """
    messages, output = Console(stderr=True), table_console()
    discover(plugins)
    name, config = configuration(axes, scalars, preset, config_file)
    device = choose_device(places.device)
    grid = Grid.of(config)
    lab = Lab(device, ArtifactStore(cache_folder(places.cache)), data_folder(places.data), reporter(messages))
    for dataset in grid.datasets:
        lab.dataset(dataset).test_images(config.n)
    resolved = {"device": device.type, "plugins": grid.identities(), **config.model_dump(mode="json")}
    path = places.out or RUNS / f"{name}-{content_key(resolved)[:8]}"
    folder = RunFolder.create(path, {"preset": name, **resolved})
    runner = Runner(grid, config, lab, LocalExecutor(lab), folder)
    show_plan(messages, runner.plan(), f"{device} ({device_name(device)})", path)

    environment = folder.save_environment(describe(device))
    failed = 0
    for result in runner.run(environment):
        if result.status == "failed":
            failed += 1
            say(messages, f"failed: {title_of(result.labels)}: {result.reason}")
    untimed = runner.time(environment)
    derived = write_report(folder)
    print_tables(output, derived)
    say(messages, f"Tables and plots are in {path}/tables and {path}/plots")
    if failed:
        say(messages, f"{failed} of {len(list(grid.cells()))} cells failed; the same command tries them again")
    invalid = strict and told_invalid(messages, derived)
    return 1 if failed or untimed or invalid else 0


def configuration(
    axes: Mapping[str, str | None], scalars: Mapping[str, str | None], preset: str | None, config_file: Path | None
) -> tuple[str, RunConfig]:
    """The name and the resolved configuration of a request."""
    if preset is not None and config_file is not None:
        raise RequestError("give --preset or --config, not both")
    overrides: dict[str, Any] = {axis: None if text is None else tuple(split_list(text)) for axis, text in axes.items()}
    overrides.update(scalars, **budgets(overrides.get("eps")))
    if config_file is not None:
        return config_file.stem, resolve(read_file(config_file), overrides, str(config_file))
    name = preset or DEFAULT_PRESET
    return name, resolve(read_preset(name), overrides, f"preset {name}")


def budgets(items: Iterable[str] | None) -> dict[str, Any]:
    """The overrides `eps` and `attack_eps` that the items of `--eps` come to; None for what they do not name.

    Args:
        items: numbers, and `ATTACK=NUMBER` for the attack of that name or spec, such as `pgd:norm=l2=2`.
    """
    general: list[str] = []
    named: dict[str, tuple[str, ...]] = {}
    for item in items or ():
        attack, equals, value = item.rpartition("=")
        if equals:
            named[attack] = (*named.get(attack, ()), value)
        else:
            general.append(item)
    return {"eps": tuple(general) or None, "attack_eps": named or None}


def show_plan(console: Console, plan: Plan, device: str, path: Path) -> None:
    """What is going to happen, in three lines."""
    to_train = [title for title, cached in plan.networks.values() if not cached]
    say(
        console,
        f"Plan: {plan.cells} cells on {device}, {plan.recorded} already recorded in {path}\n"
        f"  networks: {len(plan.networks) - len(to_train)} cached, {len(to_train)} to train"
        + "".join(f"\n    - {title}" for title in to_train)
        + f"\n  adversarial sets: {sum(plan.crafted.values())} cached, "
        f"{len(plan.crafted) - sum(plan.crafted.values())} to craft",
    )
