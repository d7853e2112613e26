"""Auto-PGD: closed forms, a plain loop written from the paper, its losses and its choices."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from attacks._auto_steps import checkpoints
from attacks._losses import dlr, margin, targeted_dlr
from bench.errors import RequestError
from bench.geometry import Norm, distances
from bench.plugins.configured import configure
from bench.registry import ATTACKS
from bench.stages.crafting import perturb
from bench.stages.seeding import seeded

LOSSES = ["ce", "dlr", "targeted", "margin"]


class Plane(nn.Module):
    """Logits that are linear in the images, times a factor, with no boundary within reach."""

    def __init__(self, classes: int = 2, factor: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        weight = torch.randn(64, generator=torch.Generator().manual_seed(5))
        self.register_buffer("weight", weight)
        self.classes = classes
        self.factor = factor
        self.bias = bias

    def forward(self, images: Tensor) -> Tensor:
        score = (images.flatten(1) @ self.weight).unsqueeze(1) + self.bias
        rest = -torch.arange(2.0, self.classes).repeat(len(images), 1) * 1e3
        return self.factor * torch.cat([score, -score, rest], dim=1)


def gray(n: int = 6) -> Tensor:
    return 0.5 + 0.05 * torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def linf_step(gradient: Tensor) -> Tensor:
    return gradient.sign()


def l2_step(gradient: Tensor) -> Tensor:
    return gradient / gradient.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()


def plain_apgd(
    model: nn.Module, image: Tensor, label: Tensor, start: Tensor, eps: float, norm: str, steps: int
) -> tuple[Tensor, list[float]]:
    """Algorithm 1 of Croce and Hein 2020 on a single image: best iterate and its step sizes."""

    def project(x: Tensor) -> Tensor:
        delta = x - image
        if norm == "linf":
            return (image + delta.clamp(-eps, eps)).clamp(0, 1)
        return (image + delta * min(1.0, eps / float(delta.norm()))).clamp(0, 1)

    def value(x: Tensor) -> tuple[float, Tensor]:
        inputs = x.clone().requires_grad_(True)
        loss = cross_entropy(model(inputs), label)
        return float(loss.detach()), torch.autograd.grad(loss, inputs)[0]

    direct = linf_step if norm == "linf" else l2_step
    percents = [0.0, 0.22]
    while percents[-1] < 1:
        percents.append(percents[-1] + max(percents[-1] - percents[-2] - 0.03, 0.06))
    ends = [int(-(-round(p * steps, 6) // 1)) for p in percents]
    old = new = start
    loss, gradient = value(start)
    best, best_loss, best_gradient = start, loss, gradient
    size, rises, at_check, changed, sizes, last_end = 2 * eps, 0, loss, False, [], 0
    for k in range(1, steps + 1):
        z = project(new + size * direct(gradient))
        x = z if k == 1 else project(new + 0.75 * (z - new) + 0.25 * (new - old))
        old, new = new, x
        before, (loss, gradient) = loss, value(x)
        rises += loss > before
        if loss > best_loss:
            best, best_loss, best_gradient = x, loss, gradient
        if k in ends:
            halve = rises < 0.75 * (k - last_end) or (not changed and at_check == best_loss)
            if halve:
                size, new, loss, gradient = size / 2, best, best_loss, best_gradient
            rises, at_check, changed, last_end = 0, best_loss, halve, k
        sizes.append(size)
    return best, sizes


@settings(max_examples=40, deadline=None)
@given(
    eps=st.floats(0.01, 1),
    loss=st.sampled_from(LOSSES),
    classes=st.integers(2, 6),
    exponent=st.sampled_from([-30, -3, 0]),
)
def test_the_optimum_of_a_linear_model_in_linf(
    eps: float, loss: str, classes: int, exponent: int
) -> None:
    model = Plane(classes, 10.0**exponent, bias=1e3 if exponent else 0.0).eval()
    images, labels = gray(), torch.tensor([0, 1, 0, 1, 0, 1])
    if model.bias:
        labels = torch.zeros_like(labels)
    attack = configure(ATTACKS, f"apgd:steps=20:loss={loss}")
    with seeded(torch.device("cpu"), 0):
        adversarial = perturb(attack, model, images, labels, eps)
    away = torch.where(labels == 0, -1.0, 1.0).view(-1, 1, 1, 1) * model.weight.view(1, 1, 8, 8)
    best = (images + eps * away.sign()).clamp(0, 1)
    if exponent == 0 and loss in ("ce", "margin"):
        torch.testing.assert_close(adversarial, best, rtol=0, atol=1e-5)
    # Where the loss is flat to the last digit, or a ratio, any iterate may be the worst one.
    reached = (model.weight.view(1, 1, 8, 8) * (adversarial - images)).sum(dim=(1, 2, 3)).abs()
    assert bool((reached > 0).all())


@pytest.mark.parametrize("factor", [1.0, 1e-30])
@pytest.mark.parametrize("loss", ["ce", "margin"])
def test_the_optimum_of_a_linear_model_in_l2(loss: str, factor: float) -> None:
    model = Plane(2, factor).eval()
    images, labels = gray(), torch.tensor([0, 1, 0, 1, 0, 1])
    attack = configure(ATTACKS, f"apgd:norm=l2:steps=50:loss={loss}")
    with seeded(torch.device("cpu"), 0):
        adversarial = perturb(attack, model, images, labels, 0.5)
    away = torch.where(labels == 0, -1.0, 1.0).view(-1, 1, 1, 1) * model.weight.view(1, 1, 8, 8)
    best = images + 0.5 * away / model.weight.norm()
    gain = ((adversarial - images) * away).sum(dim=(1, 2, 3)) / ((best - images) * away).sum(
        (1, 2, 3)
    )
    # With logits of 1e-30 cross-entropy is constant in float32, and the steps stay large.
    assert float(gain.min()) > (0.999 if (loss, factor) != ("ce", 1e-30) else 0.95)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 1.5)])
def test_it_is_the_papers(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor], norm: Norm, eps: float
) -> None:
    images, labels = (part[:12] for part in digits)
    steps = 30
    plugin = configure(ATTACKS, f"apgd:norm={norm}:steps={steps}").plugin
    with seeded(torch.device("cpu"), 3):
        starts = plugin._start(images, eps)
    with seeded(torch.device("cpu"), 3):
        ours = plugin.perturb(trained_cnn, images, labels, eps)

    theirs, sizes = [], []
    for i in range(len(images)):
        one = slice(i, i + 1)
        best, used = plain_apgd(
            trained_cnn, images[one], labels[one], starts[one], eps, norm, steps
        )
        theirs.append(best)
        sizes.append(used[-1])
    plain = torch.cat(theirs)
    # The plain loop keeps the highest loss alone, which is misclassified if any iterate is.
    same = (ours - plain).abs().flatten(1).amax(dim=1) < 1e-3
    assert float(same.float().mean()) >= 0.8
    assert torch.equal(
        trained_cnn(ours).argmax(1) == labels, trained_cnn(plain).argmax(1) == labels
    )
    assert len(set(sizes)) > 1  # the images differ in how often their steps were halved


def test_the_checkpoints_are_the_papers() -> None:
    assert sorted(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert all(1 <= min(checkpoints(n)) <= max(checkpoints(n)) <= n for n in range(1, 200))


def test_dlr_has_the_papers_definition() -> None:
    logits = torch.tensor([[4.0, 1.0, 3.0, 0.0], [0.0, 5.0, 1.0, 2.0]])
    labels = torch.tensor([0, 2])
    assert dlr(logits, labels).tolist() == pytest.approx([(3 - 4) / (4 - 1), (5 - 1) / (5 - 1)])
    targets = torch.tensor([1, 0])
    assert targeted_dlr(logits, labels, targets).tolist() == pytest.approx(
        [(1 - 4) / (4 - 0.5), (0 - 1) / (5 - 0.5)]
    )
    assert margin(logits, labels).tolist() == [-1.0, 4.0]


@pytest.mark.parametrize("classes", [2, 3])
def test_with_few_classes_the_ratio_is_a_difference(classes: int) -> None:
    logits, labels = torch.randn(5, classes), torch.zeros(5, dtype=torch.long)
    targets = torch.ones_like(labels)
    gap = logits[:, 1] - logits[:, 0]
    torch.testing.assert_close(targeted_dlr(logits, labels, targets), gap)
    if classes == 2:
        torch.testing.assert_close(dlr(logits, labels), gap)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.15), ("l2", 2.0)])
def test_it_is_at_least_as_strong_as_pgd(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor], norm: Norm, eps: float, loss: str
) -> None:
    images, labels = (part[:30] for part in digits)
    accuracy = []
    for spec in (f"apgd:norm={norm}:steps=20:loss={loss}", f"pgd:norm={norm}:steps=20"):
        with seeded(torch.device("cpu"), 0):
            adversarial = perturb(configure(ATTACKS, spec), trained_cnn, images, labels, eps)
        accuracy.append(float((trained_cnn(adversarial).argmax(1) == labels).float().mean()))
        assert float(distances(images, adversarial, norm).max()) <= eps * (1 + 1e-5)
    assert accuracy[0] <= accuracy[1] + 0.04
    assert accuracy[0] < 0.8


class Noisy(nn.Module):
    """A classifier that is wrong about every image in one call of two, and records its batches."""

    def __init__(self, model: nn.Module, period: int, eot: int) -> None:
        super().__init__()
        self.model = model
        self.period = period
        self.eot = eot
        self.batches: list[int] = []
        self.followed: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        if images.requires_grad:
            self.followed.append(len(images))
        is_wrong = len(self.batches) % self.period == 0
        return self.model(images) * (-1 if is_wrong else 1)


@pytest.mark.parametrize("eot", [1, 2])
def test_one_lucky_draw_lets_no_image_go(eot: int) -> None:
    images, labels = gray(), torch.zeros(6, dtype=torch.long)
    model = Noisy(Plane(2, bias=1e3), 2, eot).eval()
    configure(ATTACKS, "apgd:steps=4:restarts=3").plugin.perturb(model, images, labels, 0.1)
    assert len(model.batches) >= 3 * 5 * eot


@pytest.mark.parametrize("option", ["restarts=3", "loss=targeted:target_classes=3"])
def test_a_misclassified_image_leaves_restarts_and_targets(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor], option: str
) -> None:
    images, labels = (part[:20] for part in digits)
    model = Noisy(trained_cnn, 10**9, 1).eval()
    with seeded(torch.device("cpu"), 0):
        adversarial = configure(ATTACKS, f"apgd:steps=6:{option}").plugin.perturb(
            model, images, labels, 0.12
        )
    runs = model.followed[::6]
    assert runs == sorted(runs, reverse=True)
    assert runs[0] == 20 > runs[-1]
    wrong = int((trained_cnn(adversarial).argmax(1) != labels).sum())
    assert wrong >= 20 - runs[-1]


def test_each_target_is_a_likely_wrong_class() -> None:
    attack = configure(ATTACKS, "apgd:loss=targeted:target_classes=2").plugin
    logits = torch.tensor([[3.0, 1.0, 2.0, 0.0], [0.0, 5.0, 1.0, 2.0]])
    targets = attack._targets(lambda _: logits, torch.zeros(2, 1, 1, 1), torch.tensor([0, 0]))
    assert torch.stack(targets).T.tolist() == [[2, 1], [1, 3]]


def test_the_number_of_targets_is_refused_without_them() -> None:
    with pytest.raises(RequestError, match="target_classes=3: only for loss=targeted"):
        configure(ATTACKS, "apgd:target_classes=3")
    assert configure(ATTACKS, "apgd:loss=targeted").parameters["target_classes"] == 9
    assert "target_classes" not in configure(ATTACKS, "apgd").identity["parameters"]


def test_more_restarts_never_help_the_model(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor]
) -> None:
    images, labels = (part[:30] for part in digits)
    right = []
    for restarts in (1, 3):
        with seeded(torch.device("cpu"), 0):
            adversarial = perturb(
                configure(ATTACKS, f"apgd:steps=5:restarts={restarts}"),
                trained_cnn, images, labels, 0.1,
            )  # fmt: skip
        right.append(trained_cnn(adversarial).argmax(1) == labels)
    assert bool((right[1] <= right[0]).all())
