"""Times and accuracies of the three-defense comparison, by this harness and by a plain script.

Gray-box, on the preset's networks: FGSM at 0.21 and 0.3 and PGD-40 without random start at 0.15, on
each of ConvAE, PuVAE and Defense-GAN. The harness starts with the trained networks and an empty
cache. The script uses foolbox directly: for each defense it computes the clean accuracy, and for
each attack it crafts on the bare classifier, purifies and classifies; PuVAE class by class,
Defense-GAN restart by restart (`tests/defenses/plain.py`). It is timed twice: with weights as
built, for which autograd computes gradients that are not used, and with frozen weights. The script
takes the random draws that the harness's tasks derive from their keys, so that outcomes can be
compared image by image.

Outcomes may differ for two reasons. Where a gradient is almost zero, its sign depends on the
rounding of a batch, and the harness leaves misclassified images out of its batches. Defense-GAN's
projection is chaotic at large steps: two computations that first differ by rounding end at
different z. The frozen script therefore purifies images shifted by 1e-7, about one rounding. The
second table shows the number of images on which harness and script differ, and beside it the number
on which the script differs from the shifted script.

The harness's convergence check (twice the steps on some images) is work that the script does not
do, and is timed separately. There is no row for `keep=first`, which is another attack on the
defense under `graybox`.

    python results/measurements/sweep.py --cache CACHE --data FOLDER --n 200
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import setting
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

sys.path.append(str(Path(__file__).parents[2] / "tests" / "defenses"))

import plain

from bench.stages.context import TaskContext
from bench.stages.craft import Craft
from bench.stages.executor import LocalExecutor
from bench.stages.predict import Predict
from bench.stages.references import AdversarialRef
from bench.stages.seeding import seeded
from bench.stages.task import Task
from bench.store.artifacts import Artifact
from bench.sweep.cell import Cell
from bench.sweep.cell_tasks import CellTasks

Seconds = dict[str, float]
"""Seconds by part of the work, and `total`."""

Right = dict[tuple[str, str], tuple[NDArray[np.bool_], NDArray[np.bool_]]]
"""Correctness of each image through the defense, clean and attacked, by defense and attack."""

NUDGE = 1e-7
"""Shift of the images that the frozen script purifies, on the [0, 1] scale."""

ATTACKS = ("fgsm", "pgd:random_start=false")
BUDGETS = {"fgsm": (0.21, 0.3), "pgd": (0.15,)}


class Stopwatch(LocalExecutor):
    """Executor that sums the seconds of its tasks by part of the work."""

    def __init__(self, context: TaskContext, now: setting.Clock) -> None:
        super().__init__(context)
        self.seconds: Seconds = defaultdict(float)
        self.now = now

    def artifact(self, task: Task) -> Artifact:
        """The task's artifact, timed."""
        with timed(self.seconds, part_of(task), self.now):
            return super().artifact(task)


def part_of(task: Task) -> str:
    """Part of the work that a task's time is counted as."""
    if isinstance(task, Craft):
        return "crafting"
    if isinstance(task, Predict):
        return task.purifier.plugin.name if task.purifier else "undefended"
    return "loading networks"


@contextmanager
def timed(seconds: Seconds, part: str, now: setting.Clock) -> Iterator[None]:
    """Add the time of the block to a part."""
    start = now()
    yield
    seconds[part] += now() - start


def by_harness(
    used: setting.Setting, folder: Path, convergence: int, now: setting.Clock
) -> tuple[Seconds, Right]:
    """Times and outcomes of the harness, with a cache that has only the networks."""
    cache = setting.trained_cache(used, folder)
    start, found = now(), {}
    fresh = setting.renewed(used, cache, convergence=convergence)
    watch = Stopwatch(fresh.context, now)
    tasks = CellTasks(watch, fresh.context, fresh.config)
    for cell in fresh.cells:
        outcome = tasks.result(cell, tasks.networks(cell)).outcome
        clean, attacked = (
            predictions[0] == outcome.labels
            for predictions in (outcome.clean_defended, outcome.adversarial_defended)
        )
        found[cell.defense.name, attack_name(cell)] = (clean, attacked)
    return {**watch.seconds, "total": now() - start}, found


def attack_name(cell: Cell) -> str:
    """Name of a cell's attack, with its budget."""
    return f"{cell.attack.name} {cell.eps:g}"


def keys_of(used: setting.Setting) -> dict[tuple[str, str], str]:
    """Keys that seed the purifier in the harness, by defense and attack (or `clean`)."""
    keys = {}
    for cell in used.cells:
        networks = used.tasks.networks(cell)
        craft = used.tasks.craft_task(cell, networks)
        made = AdversarialRef(craft.key, used.executor.artifact(craft).digest)
        task = Predict(
            split=craft.split,
            adversarial_set=made,
            classifier=networks.classifier,
            purifier=networks.defense,
            batch_size=used.config.batch_size,
            seed=cell.seed,
        )
        keys[cell.defense.name, attack_name(cell)] = task.key
        keys[cell.defense.name, "clean"] = replace(task, adversarial_set=None).key
    return keys


def by_script(
    used: setting.Setting, keys: dict[tuple[str, str], str], *, frozen: bool, now: setting.Clock
) -> tuple[Seconds, Right]:
    """Times and outcomes of the script; if frozen, it purifies images shifted by `NUDGE`."""
    seconds: Seconds = defaultdict(float)
    found: Right = {}
    images, labels = used.context.images(used.context.split(used.config.datasets[0], used.config.n))
    size, start = used.config.batch_size, now()
    for defense, group in groupby(used.cells, lambda cell: cell.defense.name):
        cells = list(group)
        networks = used.tasks.networks(cells[0])
        classifier, purifier = (
            used.context.network(each) for each in (networks.classifier, networks.defense)
        )
        weights = nn.ModuleList([classifier, purifier]).requires_grad_(not frozen)
        purify = purification(purifier, NUDGE if frozen else 0.0)
        with timed(seconds, defense, now):
            clean = classes(purify, classifier, images, size, keys[defense, "clean"]) == labels
        with timed(seconds, "undefended", now):
            classes(nn.Identity(), classifier, images, size, "")
        for cell in cells:
            with timed(seconds, "crafting", now):
                adversarial = crafted(classifier, cell, images.split(size), labels.split(size))
            with timed(seconds, "undefended", now):
                classes(nn.Identity(), classifier, adversarial, size, "")
            with timed(seconds, defense, now):
                predictions = classes(
                    purify, classifier, adversarial, size, keys[defense, attack_name(cell)]
                )
            found[defense, attack_name(cell)] = clean.numpy(), (predictions == labels).numpy()
        weights.requires_grad_(False).zero_grad()
    return {**seconds, "total": now() - start}, found


def classes(
    purify: Callable[[Tensor], Tensor], classifier: nn.Module, images: Tensor, size: int, key: str
) -> Tensor:
    """Predicted classes of the images through the purifier, with the random draws of a key."""
    predictions = []
    for start in range(0, len(images), size):
        with seeded(torch.device("cpu"), key, start):
            purified = purify(images[start : start + size])
        with torch.no_grad():
            predictions.append(classifier(purified).argmax(1))
    return torch.cat(predictions)


def crafted(
    model: nn.Module, cell: Cell, images: Sequence[Tensor], labels: Sequence[Tensor]
) -> Tensor:
    """Adversarial images by plain foolbox, batch by batch."""
    import foolbox

    wrapped, attack = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), foolbox_attack(cell)
    batches = zip(images, labels, strict=True)
    return torch.cat([attack(wrapped, *batch, epsilons=cell.eps)[1] for batch in batches]).detach()


def foolbox_attack(cell: Cell) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """The attack of a cell as an object of foolbox."""
    import foolbox

    if cell.attack.name == "fgsm":
        return foolbox.attacks.LinfFastGradientAttack()
    given = cell.attack.parameters
    return foolbox.attacks.LinfPGD(
        steps=given["steps"], rel_stepsize=given["rel_stepsize"], random_start=given["random_start"]
    )


def purification(module: Any, nudge: float) -> Callable[[Tensor], Tensor]:
    """The plain form of a purifier's module, on shifted images, with the harness's random draws."""

    def project(images: Tensor) -> Tensor:
        n, settings = len(images), module.settings
        starts = settings.start_std * torch.randn(n * settings.restarts, settings.latent)
        return plain.defensegan(
            module.generator, settings, images, starts.view(n, settings.restarts, settings.latent)
        )

    def decode(images: Tensor) -> Tensor:
        noise = torch.randn(len(images) * module.classes, module.latent)
        return plain.puvae(module, images, noise.view(len(images), module.classes, module.latent))

    by_parts = {"generator": project, "classes": decode}
    plainly = next(
        (form for part, form in by_parts.items() if hasattr(module, part)), torch.no_grad()(module)
    )
    return lambda images: plainly((images + nudge).clamp(0, 1))


def main() -> None:
    """Print both tables as Markdown."""
    parser = setting.options(__doc__)
    for name, default in (
        ("n", 200),
        ("restarts", 10),
        ("steps", 100),
        ("rounds", 1),
        ("convergence", 50),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = setting.parsed(parser)
    logging.disable(logging.INFO)
    defenses = ("convae", "puvae", f"defensegan:restarts={given.restarts}:steps={given.steps}")
    overrides = {
        "defenses": defenses,
        "attacks": ATTACKS,
        "attack_eps": BUDGETS,
        "n": given.n,
        "draws": 1,
    }
    measured: dict[str, list[tuple[Seconds, Right]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        source = setting.prepared(given.preset, overrides, given.cache, given.data)
        known = setting.renewed(source, setting.trained_cache(source, Path(scratch, "known")))
        keys, folder = keys_of(known), Path(scratch, "fresh")
        for _ in range(given.rounds):
            measured["script"].append(by_script(known, keys, frozen=False, now=given.now))
            measured["script, weights frozen"].append(
                by_script(known, keys, frozen=True, now=given.now)
            )
            measured["harness"].append(by_harness(known, folder, 0, given.now))
            checked = by_harness(known, folder, given.convergence, given.now)
            measured["harness, convergence checked"].append(checked)
    what = f"{given.n} images, preset {given.preset}, R = {given.restarts}, L = {given.steps}"
    setting.say(f"{what}, {given.rounds} rounds; {setting.machine(given)}\n")
    show_times(measured)
    show_accuracies(
        *(measured[name][0][1] for name in ("script", "script, weights frozen", "harness"))
    )


def show_times(measured: dict[str, list[tuple[Seconds, Right]]]) -> None:
    """Print seconds by part, medians over the rounds, and the total relative to the harness."""
    parts = ("crafting", "undefended", "convae", "puvae", "defensegan", "total")
    setting.row("seconds", *parts, "total / harness")
    setting.say("|:--|" + "--:|" * (len(parts) + 1))
    base = [seconds["total"] for seconds, _ in measured["harness"]]
    for name, rounds in measured.items():
        medians = [f"{np.median([seconds[part] for seconds, _ in rounds]):.2f}" for part in parts]
        ratios = [seconds["total"] / one for (seconds, _), one in zip(rounds, base, strict=True)]
        setting.row(name, *medians, setting.quartiles(ratios, 2))


def show_accuracies(script: Right, nudged: Right, harness: Right) -> None:
    """Print both accuracies of every cell, and the number of outcomes that differ."""
    setting.say("")
    differ = ("harness differs", "script differs from itself")
    setting.row(
        "defense", "attack", "clean: script", "harness", "attacked: script", "harness", *differ
    )
    setting.say("|:--|:--|--:|--:|--:|--:|--:|--:|")
    for key, theirs in script.items():
        values = [
            f"{right.mean():.3f}"
            for pair in zip(theirs, harness[key], strict=True)
            for right in pair
        ]
        counts = [
            sum(int((a != b).sum()) for a, b in zip(theirs, other[key], strict=True))
            for other in (harness, nudged)
        ]
        setting.row(*key, *values, *counts)


if __name__ == "__main__":
    main()
