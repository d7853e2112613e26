"""Tables of the undefended accuracy of our VGG-16 by the protocol of the paper's author.

The author's notebooks (see the note in results/published/paper.json) leave the network in training
mode, so that dropout and the statistics of each batch of 64 act while it is attacked and evaluated.
Their FGSM lowers the true logit instead of raising the cross-entropy. Their PGD takes 40 steps of
0.01 from the clean image and does not clip the images. The tables show evaluation and training
mode, and both losses of FGSM, beside the published figures; epsilon is the printed one on [0, 1].

    python results/measurements/paper_protocol.py --cache CACHE --data FOLDER
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import setting
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.report.published.curves import undefended_curves
from bench.report.published.publication import read_published

BATCH = 64


def gradient(network: nn.Module, images: Tensor, labels: Tensor, logit: bool) -> Tensor:
    """Gradient of minus the true logit, or of the cross-entropy, with respect to the images."""
    images = images.clone().requires_grad_()
    logits = network(images)
    loss = (
        -logits.gather(1, labels[:, None]).sum()
        if logit
        else cross_entropy(logits, labels, reduction="sum")
    )
    (found,) = torch.autograd.grad(loss, images)
    return found


def right(network: nn.Module, images: Tensor, labels: Tensor) -> int:
    """Number of images that are classified correctly."""
    with torch.no_grad():
        return int((network(images).argmax(1) == labels).sum())


def batches(images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of 64 images with their labels, as in the notebooks."""
    yield from zip(images.split(BATCH), labels.split(BATCH), strict=True)


def fgsm(
    network: nn.Module, images: Tensor, labels: Tensor, budgets: Sequence[float], logit: bool
) -> list[float]:
    """Accuracy at each budget under FGSM, images clipped to [0, 1]."""
    found = [0] * len(budgets)
    for some, theirs in batches(images, labels):
        sign = gradient(network, some, theirs, logit).sign()
        for index, eps in enumerate(budgets):
            found[index] += right(network, (some + eps * sign).clamp(0, 1), theirs)
    return [count / len(labels) for count in found]


def pgd(
    network: nn.Module, images: Tensor, labels: Tensor, budgets: Sequence[float], logit: bool
) -> list[float]:
    """Accuracy at each budget under PGD of 40 steps of 0.01 from the clean image, not clipped."""
    found = [0] * len(budgets)
    for some, theirs in batches(images, labels):
        for index, eps in enumerate(budgets):
            change = torch.zeros_like(some)
            for _ in range(40):
                change = (
                    change + 0.01 * gradient(network, some + change, theirs, logit).sign()
                ).clamp(-eps, eps)
            found[index] += right(network, some + change, theirs)
    return [count / len(labels) for count in found]


def main() -> None:
    """Print a table for each attack."""
    parser = setting.options(__doc__, "paper-cpu")
    parser.add_argument("--dataset", choices=("mnist", "fashion_mnist"), default="mnist")
    parser.add_argument(
        "--n", type=int, default=1000, help="number of images under FGSM; 0 skips FGSM"
    )
    parser.add_argument(
        "--pgd-n",
        type=int,
        default=64,
        help="number of images under PGD, which takes 40 steps at each epsilon; 0 skips PGD",
    )
    given = setting.parsed(parser)
    used = setting.prepared(given.preset, {"n": given.n}, given.cache, given.data)
    of_it = next(
        cell for cell in used.cells if cell.dataset == given.dataset
    )  # the preset's own classifier for it
    trained = used.tasks.networks(of_it).classifier
    images, labels = used.context.images(used.context.split(given.dataset, given.n))
    published = undefended_curves(read_published("paper")[1].figures)
    torch.manual_seed(0)
    setting.say(f"{trained.plugin.label} on {given.dataset}; {setting.machine(given)}")
    for name, attack, n, losses in (
        ("fgsm", fgsm, given.n, (False, True)),
        ("pgd", pgd, given.pgd_n, (False,)),
    ):
        if n == 0:
            continue
        curve = {eps: value for eps, value in published[given.dataset, name].items() if eps <= 1}
        setting.say("")
        setting.row(f"{name}, epsilon on [0, 1], n = {n}", *curve, "mean distance to the paper")
        setting.row(":--", *["--:"] * (len(curve) + 1))
        setting.row("the paper", *(f"{value:.3f}" for value in curve.values()), "")
        for training in (False, True):
            for logit in losses:
                network = copy.deepcopy(used.context.network(trained)).train(training)
                ours = attack(network, images[:n], labels[:n], list(curve), logit)
                mode = "training" if training else "evaluation"
                loss = "true logit" if logit else "cross-entropy"
                mode = f"{mode} mode, {loss}"
                distance = sum(abs(a - b) for a, b in zip(ours, curve.values(), strict=True)) / len(
                    ours
                )
                setting.row(mode, *(f"{value:.3f}" for value in ours), f"{distance:.3f}")


if __name__ == "__main__":
    main()
