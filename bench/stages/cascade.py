"""The steps of the cascade of the threat model `adaptive`, each on the images that still stand.

A step attacks with one member, judges each candidate image on fresh draws of the pipeline, and
keeps it where it is worse for the pipeline than the image kept so far. An image that is wrong in
all fresh draws leaves the cascade; one lucky draw of a randomized pipeline does not let it go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.contracts import MinimumNorm
from bench.errors import NotApplicable
from bench.geometry import Norm, within
from bench.plugins.faults import plugin_call
from bench.records.cell import CascadeMember
from bench.stages.cascade_member import MemberAttack
from bench.stages.cascade_models import learned_model, model_through, stand_ins_of
from bench.stages.cascade_state import Cost, Kept
from bench.stages.context import TaskContext
from bench.stages.crafting import minimise, perturb
from bench.stages.decisions import folded, rejects
from bench.stages.learned_stand_in import FITTED_IMAGES
from bench.stages.predict import guarded_pipeline
from bench.stages.probe import margins
from bench.stages.references import AdversarialRef, NetworkRef, SplitRef, is_stochastic
from bench.stages.seeding import seeded
from bench.stages.surrogates import AttackedModel, NoGradient
from bench.stages.task import Task
from bench.store.artifacts import Meta, Tensors
from bench.text import LONGEST_LINE, one_line


@dataclass(frozen=True)
class CascadeStep(Task):
    """The task that attacks the images that still stand with one member of the cascade.

    Attributes:
        member: member that attacks; None in the first step, which judges the clean images.
        index: position of the step, from 0.
        previous: set that the step before left; None in the first step.
        eps: budget on the [0, 1] scale.
        eot: number of draws over which a randomized pipeline is averaged.
        confirm: number of fresh draws of a randomized pipeline that judge a candidate.
        split: test images.
        train: training images, which a learned stand-in is fitted to; None for other members.
        classifier: classifier of the pipeline.
        purifier: defense of the pipeline.
        batch_size: number of images attacked at once; part of the key, because randomness is drawn
            per batch.
        seed: seed of the attack's randomness.
    """

    kind: ClassVar[str] = "adversarial"
    member: MemberAttack | None
    index: int
    previous: AdversarialRef | None
    eps: float
    eot: int
    confirm: int
    split: SplitRef
    train: SplitRef | None
    classifier: NetworkRef
    purifier: NetworkRef
    batch_size: int
    seed: int

    @property
    def title(self) -> str:
        """One line for people: member, budget and networks."""
        target = f"{self.purifier.plugin.label} + {self.classifier.plugin.label}"
        return f"adaptive eps {self.eps:g}, {self._name} on {target}"

    @property
    def _name(self) -> str:
        return self.member.name if self.member else "clean images"

    @property
    def _norm(self) -> Norm:
        """Norm of the member's budget."""
        norm = self.member.attack.plugin.ball() if self.member else None
        return norm or "linf"

    @property
    def _is_stochastic(self) -> bool:
        return is_stochastic(self.classifier, self.purifier)

    @property
    def _draws(self) -> int:
        """Number of fresh draws that judge a candidate; 1 for a deterministic pipeline."""
        return self.confirm if self._is_stochastic else 1

    @property
    def _eot(self) -> int:
        """Number of draws over which the member's gradient is averaged."""
        by_gradient = self.member is not None and self.member.through != "query"
        return self.eot if self._is_stochastic and by_gradient else 1

    def identity(self) -> Mapping[str, Any]:
        """Member, earlier steps, budget, draws, images, networks, batch size and seed."""
        return {
            "cascade": self.member.identity if self.member else None,
            "index": self.index,
            "previous": self.previous.digest if self.previous else None,
            "eps": self.eps,
            "eot": self._eot,
            "confirm": self._draws,
            "data": self.split.digest,
            "train": self.train.digest if self.train else None,
            "classifier": self.classifier.identity,
            "purifier": self.purifier.identity,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    def run(self, context: TaskContext) -> tuple[Tensors, Meta]:
        """Attack what stands, and keep what is worse for the pipeline.

        Tensors: `adversarial` (n, c, h, w); `attacked` (n,) bool, false for an image that the
        pipeline misclassifies without an attack; `gradient_norm` (n,), NaN; `wrong` (n,), the share
        of fresh draws in which the kept image is misclassified; `margin` (n,), the mean over the
        draws of the largest wrong logit minus the true one; `broken_by` (n,), the index of the step
        whose image is kept, 0 for the clean image.
        """
        images, labels = context.images(self.split)
        if self.member is None or self.previous is None:
            wrong, margin = self._judged(context, images, labels)
            if rejects(context.network(self.purifier)):
                # A rejection is no success of an attack; yet what is never accepted is lost.
                lost = self._judged(context, images, labels, is_clean=True)[0] >= 1
                wrong = torch.where(lost, torch.ones_like(wrong), wrong)
            state = Kept.clean(images, wrong, margin)
            broken = int((wrong >= 1).sum())
            member = CascadeMember(self._name, "", len(labels), broken, 0, 0)
            return state.tensors(), self._meta(member)

        state = Kept.of(context.adversarial_set(self.previous), images.device)
        standing = torch.nonzero(state.wrong < 1).flatten()
        cost = Cost()
        reason = ""
        try:
            candidates = self._candidates(context, self.member, state.adversarial, standing, cost)
            wrong, margin = self._judged(context, candidates, labels[standing])
            state.keep_worse(standing, candidates, wrong, margin, self.index)
        except NotApplicable as error:
            reason = one_line(str(error), LONGEST_LINE)

        member = CascadeMember(
            name=self._name,
            attack=self.member.attack.label,
            attacked=len(standing),
            broken=int((state.wrong[standing] >= 1).sum()),
            forward=cost.forward,
            backward=cost.backward,
            reason=reason,
        )
        return state.tensors(), self._meta(member)

    def _meta(self, member: CascadeMember) -> Meta:
        return {"title": self.title, "identity": self.identity(), "member": asdict(member)}

    def _candidates(
        self,
        context: TaskContext,
        member: MemberAttack,
        kept: Tensor,
        standing: Tensor,
        cost: Cost,
    ) -> Tensor:
        """The member's adversarial versions of the standing images; `kept` are those so far.

        Raises:
            NotApplicable: the model lacks what the attack needs.
        """
        images, labels = context.images(self.split)
        if member.given is not None:
            given = context.adversarial_set(member.given)["adversarial"]
            return torch.from_numpy(given.copy()).to(images.device)[standing]

        model = self._model(context, member)
        parts = []
        with context.progress.step(f"craft {self.title}", len(standing)) as step:
            for start, index in self._batches(standing):
                model.start = kept[index]
                with seeded(context.device, self.key, "attack", start):
                    parts.append(self._attacked(member, model, images[index], labels[index]))
                step.advance(len(index))

        cost.add(model)
        return torch.cat(parts)

    def _model(self, context: TaskContext, member: MemberAttack) -> AttackedModel | NoGradient:
        """The model that the member attacks."""
        purifier = context.network(self.purifier)
        classifier = context.network(self.classifier)
        description = self.purifier.description
        attacked = f"{description} (adaptive, {self._name})"

        with plugin_call(attacked):
            if member.through == "learned" and self.train is not None:
                training = context.training(self.train).pixels.first(FITTED_IMAGES)
                if not len(training):
                    raise NotApplicable("the data set has no training images to fit a network to")
                with seeded(context.device, self.key, "learned"):
                    model: AttackedModel | NoGradient = learned_model(
                        purifier,
                        classifier,
                        training.to(context.device),
                        self.eps,
                        self._norm,
                    )
            else:
                offered = stand_ins_of(description, purifier) if member.stand_in else {}
                stand_in = offered.get(member.stand_in)
                model = model_through(member.through, purifier, classifier, stand_in)
            model.eval()

        model.eot = self._eot
        model.evaluated = member.through != "graybox"
        model.microbatches = context.microbatches(attacked)
        return model

    def _attacked(
        self,
        member: MemberAttack,
        model: AttackedModel | NoGradient,
        images: Tensor,
        labels: Tensor,
    ) -> Tensor:
        plugin = member.attack.plugin
        if not isinstance(plugin, MinimumNorm):
            return perturb(member.attack, model, images, labels, self.eps)

        nearest = minimise(member.attack, model, images, labels)
        return within(images, nearest, self.eps, plugin.ball())

    def _judged(
        self, context: TaskContext, images: Tensor, labels: Tensor, *, is_clean: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The share of fresh draws in which each image is wrong, and its mean margin, (n,) each.

        A clean image that is rejected is wrong, an adversarial one is not.
        """
        pipeline = guarded_pipeline(context, self.classifier, self.purifier)
        is_folded = pipeline.rejects and not is_clean
        wrong = torch.zeros(len(images), device=images.device)
        margin = torch.zeros(len(images), device=images.device)
        everything = torch.arange(len(images), device=images.device)

        with torch.no_grad():
            for draw in range(self._draws):
                for start, index in self._batches(everything):
                    with seeded(context.device, self.key, "judge", draw, start):
                        logits = pipeline(images[index])
                    logits = folded(logits, labels[index], rejecting=is_folded)
                    wrong[index] += (logits.argmax(1) != labels[index]) / self._draws
                    margin[index] += margins(logits, labels[index]) / self._draws

        return wrong.round(decimals=6), margin

    def _batches(self, index: Tensor) -> Iterator[tuple[int, Tensor]]:
        """The positions of batches and the indices of their images."""
        for start in range(0, len(index), self.batch_size):
            yield start, index[start : start + self.batch_size]
