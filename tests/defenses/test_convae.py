"""ConvAE: shape, noise in training only, training on adversarial and clean pairs."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Spec
from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.progress import Silent
from bench.registry import ATTACKS, DEFENSES
from bench.stages.pixels import Split
from bench.stages.training import TrainingContext
from defenses.convae import ConvAE


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 15, 17)])
def test_images_keep_their_shape(shape: tuple[int, int, int]) -> None:
    module = ConvAE(width=4).build(DataInfo(shape, 10)).eval()
    images = torch.rand(2, *shape)
    output = module(images)
    assert output.shape == images.shape
    assert 0 <= float(output.min().detach()) <= float(output.max().detach()) <= 1


def test_noise_and_no_clamp_in_training_only() -> None:
    module = ConvAE(width=4, noise=5.0).build(DataInfo((1, 28, 28), 10))
    images = torch.rand(2, 1, 28, 28)
    assert not torch.equal(module.train()(images), module(images))
    assert torch.equal(module.eval()(images), module(images))
    assert float(module.train()(images).detach().min()) < 0


def linear_problem() -> TrainingContext:
    """A linear classifier, whose FGSM perturbation is the same for all images of a class."""
    torch.manual_seed(0)
    return TrainingContext(
        title="x",
        data=DataInfo((1, 8, 8), 2),
        split=Split.of(torch.rand(64, 1, 8, 8).mul_(0.5).add_(0.25), torch.arange(64) % 2),
        seed="s",
        progress=Silent(),
        classifier=nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).requires_grad_(False).eval(),
    )


def test_it_learns_to_undo_the_attack_it_is_trained_on() -> None:
    """A perturbation that is the same for all images of a class can be undone almost fully."""
    context = linear_problem()
    settings = ConvAE(width=8, steps=120, batch_size=64, eps=0.2, learning_rate=3e-3)
    module = settings.build(context.data).train()
    settings.fit(module, context)
    losses = [value for _, value in context.history["mse"]]
    assert losses[-1] < 0.3 * losses[0]
    attacked = context.adversarial(Spec("fgsm"), context.split.images, context.split.labels, 0.2)
    with torch.no_grad():
        recovered = module.eval()(attacked)
    assert float(((recovered - context.split.images) ** 2).mean()) < 0.5 * float(
        ((attacked - context.split.images) ** 2).mean()
    )


@pytest.mark.parametrize(("pool", "crafted"), [(16, 2), (20, 3), (10_000, 8), (1, 1)])
def test_a_pool_is_attacked_once_and_every_batch_drawn_from_it(pool: int, crafted: int) -> None:
    context = linear_problem()
    settings = ConvAE(width=2, steps=30, batch_size=8, eps=0.2, pool=pool)
    module, seen, attacks = settings.build(context.data).train(), [], []
    module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    craft = context.adversarial

    def watched(*arguments: Any) -> Tensor:
        attacks.append(craft(*arguments))
        return attacks[-1]

    context.adversarial = watched  # type: ignore[assignment, method-assign]
    settings.fit(module, context)
    assert len(attacks) == crafted
    assert [images.shape for images in seen] == 30 * [(8, 1, 8, 8)]
    from_pool = {image.numpy().tobytes() for image in torch.cat(attacks)}
    drawn = {image.numpy().tobytes() for image in torch.cat(seen)}
    assert drawn <= from_pool
    assert len(from_pool) == 8 * crafted  # No image occurs twice.
    assert len(drawn) > 0.9 * len(from_pool)


def test_a_pool_trains_as_well_as_batches_attacked_afresh() -> None:
    def error(pool: int | None) -> float:
        torch.manual_seed(0)
        context = linear_problem()
        settings = ConvAE(width=8, steps=120, batch_size=32, eps=0.2, learning_rate=3e-3, pool=pool)
        module = settings.build(context.data).train()
        settings.fit(module, context)
        attacked = context.adversarial(
            Spec("fgsm"), context.split.images, context.split.labels, 0.2
        )
        with torch.no_grad():
            return float(((module.eval()(attacked) - context.split.images) ** 2).mean())

    assert error(64) < 1.25 * error(None)


def test_without_a_pool_the_identity_is_as_it_was() -> None:
    assert "pool" not in configure(DEFENSES, "convae").identity["parameters"]


def test_the_attacks_of_a_mixture_take_turns() -> None:
    settings = configure(
        DEFENSES, "convae:width=2:steps=5:batch_size=4:attack=[fgsm,pgd:steps=3]"
    ).plugin
    assert isinstance(settings, ConvAE)
    context = linear_problem()
    crafted: list[str] = []
    craft = context.adversarial

    def watched(attack: Spec, *arguments: Any) -> Tensor:
        crafted.append(attack.name)
        return craft(attack, *arguments)

    context.adversarial = watched  # type: ignore[method-assign, assignment]
    settings.fit(settings.build(context.data).train(), context)
    assert crafted == ["fgsm", "pgd", "fgsm", "pgd", "fgsm"]


def test_a_mixture_is_keyed_by_all_its_attacks_in_order() -> None:
    configured = configure(
        DEFENSES, "convae:attack=[fgsm,pgd:steps=3]", {"pgd": {"rel_stepsize": 0.25}}
    )
    first, second = configured.training_identity["parameters"]["attack"]
    assert (first["name"], second["name"]) == ("fgsm", "pgd")
    assert (second["parameters"]["steps"], second["parameters"]["rel_stepsize"]) == (3, 0.25)
    assert configure(DEFENSES, configured.resolved).identity == configured.identity
    assert configure(DEFENSES, "convae:attack=[pgd:steps=3,fgsm]").identity != configured.identity


def test_networks_stored_before_there_were_mixtures_stay_valid() -> None:
    """They are stored under the key of this text, in which a single attack is not in a list."""
    assert json.dumps(configure(DEFENSES, "convae").training_identity) == (
        '{"name": "convae", "version": 1, "parameters": {"attack": {"name": "fgsm", "version": 1, '
        '"parameters": {}, "files": {}}, "eps": 0.3, "width": 24, "noise": 0.1, "steps": 2000, '
        '"batch_size": 128, "learning_rate": 0.001}, "files": {}}'
    )
    single = configure(DEFENSES, "convae:attack=[pgd:steps=10]").training_identity
    assert single["parameters"]["attack"] == configure(ATTACKS, "pgd:steps=10").identity


def test_training_through_the_purifier_attacks_both_and_restores_clean_images_too() -> None:
    context = linear_problem()
    settings = ConvAE(width=2, steps=10, batch_size=8, eps=0.2, through=True)
    module, seen, calls = settings.build(context.data).train(), [], []
    craft = context.adversarial

    def watched(*arguments: Any, model: nn.Module) -> Tensor:
        calls.append((arguments, model))
        adversarial = craft(*arguments, model=model)
        module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        return adversarial

    context.adversarial = watched  # type: ignore[assignment, method-assign]
    settings.fit(module, context)
    budgets = [arguments[3] for arguments, _ in calls]
    assert budgets == pytest.approx([0.2 / 3, 0.4 / 3, *8 * [0.2]])
    (_, images, _, _), pipeline = calls[0]
    torch.testing.assert_close(pipeline(images), context.classifier(module(images)), atol=1, rtol=0)
    assert len(seen[0]) == 16
    assert torch.equal(seen[0][8:], images)
    assert not torch.equal(seen[0][:8], images)
    assert module.training


def test_the_weight_of_the_classifier_adds_its_cross_entropy() -> None:
    context = linear_problem()
    settings = ConvAE(width=2, steps=5, batch_size=8, classifier_weight=2.0)
    settings.fit(settings.build(context.data).train(), context)
    assert list(context.history) == ["mse", "classification"]


def test_a_pool_is_refused_where_the_attacked_purifier_changes() -> None:
    with pytest.raises(RequestError, match=r"parameter pool: .* through=true"):
        configure(DEFENSES, "convae:pool=64:through=true")


def test_the_loss_of_logits_is_their_mean_distance_at_clamped_images() -> None:
    """HGD's loss for logits, written out for each image and class."""
    context = linear_problem()
    settings = ConvAE(width=2, steps=1, batch_size=8, loss="logits", noise=0.0)
    module, seen = settings.build(context.data).train(), []
    module.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    craft, clean = context.adversarial, []

    def watched(attack: Spec, images: Tensor, *arguments: Any) -> Tensor:
        clean.append(images)
        return craft(attack, images, *arguments)

    context.adversarial = watched  # type: ignore[method-assign, assignment]
    settings.fit(module, context)
    ((_, restored),) = seen
    weight, bias = context.classifier[1].weight, context.classifier[1].bias  # type: ignore[index]
    total = 0.0
    for after, before in zip(restored.detach(), clean[0], strict=True):
        shown = after.clamp(0, 1).flatten()
        for row, offset in zip(weight, bias, strict=True):
            logits = [float(row @ pixels + offset) for pixels in (shown, before.flatten())]
            total += abs(logits[0] - logits[1])
    assert list(context.history) == ["logits"]
    assert context.history["logits"][0][1] == pytest.approx(total / (8 * 2), abs=2e-6)


def test_the_loss_of_logits_restores_them_and_leaves_the_pixels_free() -> None:
    def distances(loss: Any) -> tuple[float, float]:
        torch.manual_seed(0)
        context = linear_problem()
        settings = ConvAE(width=4, steps=60, batch_size=32, eps=0.2, learning_rate=5e-3, loss=loss)
        module = settings.build(context.data).train()
        settings.fit(module, context)
        images, labels = context.split.images, context.split.labels
        attacked = context.adversarial(Spec("fgsm"), images, labels, 0.2)
        with torch.no_grad():
            restored = module.eval()(attacked)
            logits = (context.classifier(restored) - context.classifier(images)).abs().mean()
        return float(logits), float(((restored - images) ** 2).mean())

    logits, pixels = distances("logits")
    logits_of_pixels, least_pixels = distances("mse")
    assert logits < logits_of_pixels
    assert pixels > least_pixels


@pytest.mark.parametrize("option", ["loss=mse", "skips=true", "arch=unet", "loss=none"])
def test_options_that_are_not_taken_change_no_key(option: str) -> None:
    plain = configure(DEFENSES, "convae").training_identity
    assert configure(DEFENSES, f"convae:{option}").training_identity == plain


@pytest.mark.parametrize("option", ["loss=logits", "skips=false", "arch=author"])
def test_options_that_are_taken_change_the_key(option: str) -> None:
    configured = configure(DEFENSES, f"convae:{option}")
    assert configured.identity != configure(DEFENSES, "convae").identity
    assert configure(DEFENSES, configured.resolved).identity == configured.identity


@pytest.mark.parametrize("option", ["loss=l2", "arch=autor", "skips=maybe"])
def test_a_wrong_option_is_refused_with_what_is_allowed(option: str) -> None:
    with pytest.raises(RequestError, match=f"defense 'convae': parameter {option}: .*"):
        configure(DEFENSES, f"convae:{option}")
