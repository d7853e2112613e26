"""Table of the time to craft PGD-40 with this harness, plain foolbox, torchattacks and ART.

All attack the preset's CNN with frozen weights, the same step size, a uniform random start, and the
same images and batches. They take turns in each round; the first round is not counted. The harness
does more than the others: it leaves out images that are already misclassified, computes the
gradient at the clean images for the verdict, and checks the result. It reads no adversarial images
from a cache. A ratio is the time divided by that of plain foolbox in the same round. The table
names the libraries that are not installed.

    pip install '.[peers]'
    python results/measurements/peers.py --cache CACHE --data FOLDER
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import setting
import torch
from torch import Tensor, nn

from bench.analysis.metrics import accuracy
from bench.plugins.configured import configure
from bench.registry import ATTACKS
from bench.stages.craft import Craft

STEPS, SHARE = 40, 0.01 / 0.3
BASELINE = "foolbox, plain"

Peer = Callable[[nn.Module, Tensor, Tensor, float], Tensor]
"""Function of a model, the images of a batch, their labels and eps; returns adversarial images."""


def foolbox_pgd(model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """PGD of foolbox, called as in its manual."""
    import foolbox

    attack = foolbox.attacks.LinfPGD(steps=STEPS, rel_stepsize=SHARE, random_start=True)
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
    _, clipped, _ = attack(wrapped, images, labels, epsilons=eps)
    return clipped


def torchattacks_pgd(model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """PGD of torchattacks, called as in its manual."""
    import torchattacks

    return torchattacks.PGD(model, eps=eps, alpha=SHARE * eps, steps=STEPS, random_start=True)(
        images, labels
    )


def art_pgd(model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """PGD of ART in PyTorch, called as in its manual."""
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    classes = model(images[:1]).shape[1]
    estimator = PyTorchClassifier(
        model,
        nn.CrossEntropyLoss(),
        tuple(images.shape[1:]),
        classes,
        clip_values=(0, 1),
        device_type="cpu",
    )
    attack = ProjectedGradientDescentPyTorch(
        estimator,
        eps=eps,
        eps_step=SHARE * eps,
        max_iter=STEPS,
        num_random_init=1,
        batch_size=len(images),
        verbose=False,
    )
    return torch.from_numpy(attack.generate(images.numpy(), labels.numpy()))


PEERS: dict[str, tuple[str, Peer]] = {
    BASELINE: ("foolbox", foolbox_pgd),
    "torchattacks": ("torchattacks", torchattacks_pgd),
    "ART": ("art", art_pgd),
}


def contenders(
    used: setting.Setting, eps: float, installed: dict[str, Peer]
) -> dict[str, Callable[[int], Tensor]]:
    """Functions that craft the whole set with the seed of a round, by name."""
    cell = used.cells[0]
    networks = used.tasks.networks(cell)
    task = used.tasks.craft_task(cell, networks)
    model = used.context.network(networks.classifier)
    images, labels = used.context.images(task.split)

    def harness(task: Craft) -> Callable[[int], Tensor]:
        def craft(number: int) -> Tensor:
            tensors, _ = replace(task, seed=number).run(used.context)
            return torch.from_numpy(tensors["adversarial"])

        return craft

    def batched(peer: Peer) -> Callable[[int], Tensor]:
        def craft(number: int) -> Tensor:
            torch.manual_seed(number)
            np.random.seed(number)  # ART draws from it
            size = used.config.batch_size
            batches = zip(images.split(size), labels.split(size), strict=True)
            return torch.cat([peer(model, *batch, eps) for batch in batches])

        return craft

    spec = f"pgd:steps={STEPS}:rel_stepsize={SHARE}"
    last, first = (configure(ATTACKS, text) for text in (spec, f"{spec}:keep=first"))
    return {
        **{name: batched(peer) for name, peer in installed.items()},
        "this harness": harness(replace(task, attack=last, eps=eps)),
        "this harness, keep=first": harness(replace(task, attack=first, eps=eps)),
    }


def installed_peers() -> tuple[dict[str, Peer], list[str]]:
    """The libraries that can be imported, and the names of the others."""
    found, missing = {}, []
    for name, (module, peer) in PEERS.items():
        try:
            __import__(module)
        except ImportError:
            missing.append(name)
        else:
            found[name] = peer
    return found, missing


def compare(used: setting.Setting, eps: float, rounds: int, now: setting.Clock) -> None:
    """Measure one budget and print its rows."""
    installed, missing = installed_peers()
    entries = contenders(used, eps, installed)
    cell = used.cells[0]
    networks = used.tasks.networks(cell)
    images, labels = used.context.images(used.tasks.craft_task(cell, networks).split)
    model = used.context.network(networks.classifier)
    seconds: dict[str, list[float]] = {name: [] for name in entries}
    made: dict[str, Tensor] = {}
    for number in range(rounds + 1):  # the first round warms up
        names = list(entries)[number % len(entries) :] + list(entries)[: number % len(entries)]
        for name in names:
            start = now()
            made[name] = entries[name](number)
            seconds[name].append(now() - start)
    reached = {}
    for name, adversarial in made.items():
        with torch.no_grad():
            reached[name] = accuracy(model(adversarial).argmax(1).numpy(), labels.numpy())
    base = reached[BASELINE]
    for name in entries:
        took, there = seconds[name][1:], reached[name]
        ratios = [mine / theirs for mine, theirs in zip(took, seconds[BASELINE][1:], strict=True)]
        agrees = "yes" if base.low <= there.value <= base.high else "no"
        far = float((made[name] - images).abs().max())
        times = setting.quartiles(took, 2), setting.quartiles(ratios)
        setting.row(eps, name, *times, f"{there.value:.3f}", agrees, f"{far:.4f}")
    for name in missing:
        setting.row(eps, name, "not installed", "", "", "", "")


def main() -> None:
    """Print the table as Markdown."""
    parser = setting.options(__doc__)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--eps", default="0.1,0.3")
    given = setting.parsed(parser)
    logging.disable(logging.INFO)
    overrides = {"defenses": ("none",), "attacks": ("pgd",), "n": given.n}
    used = setting.prepared(given.preset, overrides, given.cache, given.data)
    images = f"{given.n} images in batches of {used.config.batch_size}"
    what = f"PGD-{STEPS}, {images}, preset {given.preset}"
    setting.say(f"{what}, {given.rounds} rounds; {setting.machine(given)}\n")
    setting.row(
        "eps",
        "implementation",
        "seconds",
        "ratio to foolbox",
        "attacked accuracy",
        "in its interval",
        "max change",
    )
    setting.say("|--:|:--|--:|--:|--:|:--|--:|")
    for eps in map(float, given.eps.split(",")):
        compare(used, eps, given.rounds, given.now)


if __name__ == "__main__":
    main()
