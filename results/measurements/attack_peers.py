"""Table of the accuracy that APGD and Square leave, here and in adv-lib, torchattacks and ART.

All attack the same test images of the preset's CNN and of one that is trained adversarially. The
images that the network misclassifies count as such. An interval is the 95 % Wilson interval of this
harness; the column behind it says whether the other library's accuracy lies within. The table names
the libraries that are not installed. A network that the cache lacks is trained first.

    pip install '.[peers]' adv-lib
    python results/measurements/attack_peers.py --cache CACHE --data FOLDER
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import setting
import torch
from torch import Tensor, nn

from bench.analysis.metrics import accuracy
from bench.plugins.configured import configure
from bench.registry import ATTACKS
from bench.stages.crafting import perturb
from bench.stages.seeding import seeded

NORMS = {"linf": np.inf, "l2": 2}


@dataclass(frozen=True)
class Attacked:
    """A classifier with the images that all libraries attack, and the size of the attack."""

    model: nn.Module
    images: Tensor
    labels: Tensor
    norm: str
    eps: float
    steps: int
    queries: int


Peer = Callable[[Attacked], Tensor]


def advlib_apgd(attacked: Attacked, loss: str) -> Tensor:
    """APGD of adv-lib, which stops at an image's first success."""
    from adv_lib.attacks.auto_pgd import apgd

    return apgd(
        attacked.model, attacked.images, attacked.labels, attacked.eps, NORMS[attacked.norm],
        n_iter=attacked.steps, loss_function=loss,
    )  # fmt: skip


def advlib_targeted(attacked: Attacked) -> Tensor:
    """APGD-T of adv-lib: the targeted loss towards each wrong class."""
    from adv_lib.attacks.auto_pgd import apgd_targeted

    return apgd_targeted(
        attacked.model, attacked.images, attacked.labels, attacked.eps, NORMS[attacked.norm],
        n_iter=attacked.steps,
    )  # fmt: skip


def torchattacks_apgd(attacked: Attacked, loss: str) -> Tensor:
    """APGD of torchattacks."""
    import torchattacks

    norm = {"linf": "Linf", "l2": "L2"}[attacked.norm]
    attack = torchattacks.APGD(
        attacked.model, norm=norm, eps=attacked.eps, steps=attacked.steps, loss=loss
    )
    return attack(attacked.images, attacked.labels)


def torchattacks_square(attacked: Attacked) -> Tensor:
    """Square attack of torchattacks."""
    import torchattacks

    norm = {"linf": "Linf", "l2": "L2"}[attacked.norm]
    attack = torchattacks.Square(
        attacked.model, norm=norm, eps=attacked.eps, n_queries=attacked.queries
    )
    return attack(attacked.images, attacked.labels)


def _estimator(attacked: Attacked) -> Any:
    from art.estimators.classification import PyTorchClassifier

    classes = attacked.model(attacked.images[:1]).shape[1]
    shape = tuple(attacked.images.shape[1:])
    return PyTorchClassifier(
        attacked.model, nn.CrossEntropyLoss(), shape, classes, clip_values=(0, 1), device_type="cpu"
    )


def art_apgd(attacked: Attacked, loss: str) -> Tensor:
    """APGD of ART."""
    from art.attacks.evasion import AutoProjectedGradientDescent

    attack = AutoProjectedGradientDescent(
        _estimator(attacked), norm=NORMS[attacked.norm], eps=attacked.eps,
        eps_step=2 * attacked.eps,
        max_iter=attacked.steps, nb_random_init=1, batch_size=len(attacked.images),
        loss_type={"ce": "cross_entropy", "dlr": "difference_logits_ratio"}[loss], verbose=False,
    )  # fmt: skip
    return torch.from_numpy(attack.generate(attacked.images.numpy(), attacked.labels.numpy()))


def art_square(attacked: Attacked) -> Tensor:
    """Square attack of ART."""
    from art.attacks.evasion import SquareAttack

    attack = SquareAttack(
        _estimator(attacked), norm=NORMS[attacked.norm], eps=attacked.eps, p_init=0.8,
        max_iter=attacked.queries, nb_restarts=1, batch_size=len(attacked.images), verbose=False,
    )  # fmt: skip
    return torch.from_numpy(attack.generate(attacked.images.numpy(), attacked.labels.numpy()))


ATTACKS_AND_PEERS: Mapping[str, Mapping[str, tuple[str, Peer]]] = {
    "apgd:loss=ce:steps={steps}": {
        "adv-lib": ("adv_lib", lambda attacked: advlib_apgd(attacked, "ce")),
        "torchattacks": ("torchattacks", lambda attacked: torchattacks_apgd(attacked, "ce")),
        "ART": ("art", lambda attacked: art_apgd(attacked, "ce")),
    },
    "apgd:loss=dlr:steps={steps}": {
        "adv-lib": ("adv_lib", lambda attacked: advlib_apgd(attacked, "dlr")),
        "torchattacks": ("torchattacks", lambda attacked: torchattacks_apgd(attacked, "dlr")),
        "ART": ("art", lambda attacked: art_apgd(attacked, "dlr")),
    },
    "apgd:loss=targeted:steps={steps}": {"adv-lib": ("adv_lib", advlib_targeted)},
    "square:queries={queries}": {
        "torchattacks": ("torchattacks", torchattacks_square),
        "ART": ("art", art_square),
    },
}
"""The spec of each attack, and the same attack of other libraries with the module they need."""


def ours(attacked: Attacked, spec: str) -> Tensor:
    """Adversarial images of this harness."""
    configured = configure(ATTACKS, f"{spec}:norm={attacked.norm}")
    return perturb(configured, attacked.model, attacked.images, attacked.labels, attacked.eps)


def measured(attacked: Attacked, attack: Peer, now: setting.Clock) -> tuple[Any, str, str]:
    """Accuracy with its interval, seconds, and largest distance in the budget's norm."""
    torch.manual_seed(0)
    np.random.seed(0)  # ART draws from it
    start = now()
    with seeded(torch.device("cpu"), 0):
        adversarial = attack(attacked).detach()
    seconds = f"{now() - start:.1f}"

    with torch.no_grad():
        predicted = attacked.model(adversarial).argmax(1).numpy()
    far = (adversarial - attacked.images).flatten(1).norm(p=NORMS[attacked.norm], dim=1).max()
    return accuracy(predicted, attacked.labels.numpy()), seconds, f"{float(far):.4f}"


def is_installed(module: str) -> bool:
    """Whether a library can be imported."""
    try:
        __import__(module)
    except ImportError:
        return False
    return True


def compare(network: str, attacked: Attacked, now: setting.Clock) -> None:
    """Print the rows of a network and a budget."""
    for template, peers in ATTACKS_AND_PEERS.items():
        spec = template.format(steps=attacked.steps, queries=attacked.queries)
        head = (network, attacked.norm, attacked.eps, spec)
        base, seconds, far = measured(attacked, lambda given, spec=spec: ours(given, spec), now)
        interval = f"{base.value:.3f} [{base.low:.3f}, {base.high:.3f}]"
        setting.row(*head, "this harness", interval, "", seconds, far)

        for name, (module, peer) in peers.items():
            if not is_installed(module):
                setting.row(*head, name, "not installed", "", "", "")
                continue
            there, seconds, far = measured(attacked, peer, now)
            agrees = "yes" if base.low <= there.value <= base.high else "no"
            setting.row(*head, name, f"{there.value:.3f}", agrees, seconds, far)


def main() -> None:
    """Print the table as Markdown."""
    parser = setting.options(__doc__)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--budgets", default="linf:0.1,linf:0.3,l2:1.5")
    parser.add_argument(
        "--classifiers",
        nargs="+",
        default=["cnn", "cnn:adversarial=[pgd:steps=10:rel_stepsize=0.25]:eps=0.3"],
    )
    given = setting.parsed(parser)
    logging.disable(logging.INFO)
    setting.say(f"{given.n} images, preset {given.preset}; {setting.machine(given)}\n")
    setting.row(
        "network", "norm", "eps", "attack", "implementation", "attacked accuracy",
        "in the interval", "seconds", "max distance",
    )  # fmt: skip
    setting.say("|:--|:--|--:|:--|:--|--:|:--|--:|--:|")

    for spec in given.classifiers:
        overrides = {"defenses": ("none",), "classifiers": (spec,), "n": given.n}
        used = setting.prepared(given.preset, overrides, given.cache, given.data)
        cell = used.cells[0]
        networks = used.tasks.networks(cell)
        model = used.context.network(networks.classifier)
        images, labels = used.context.images(used.tasks.craft_task(cell, networks).split)
        for budget in given.budgets.split(","):
            norm, _, eps = budget.partition(":")
            sizes = (norm, float(eps), given.steps, given.queries)
            compare(spec, Attacked(model, images, labels, *sizes), given.now)


if __name__ == "__main__":
    main()
