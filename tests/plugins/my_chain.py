from dataclasses import dataclass

from torch import nn

from bench.contracts import DataInfo, Defense, DefenseSpecs, FitContext
from bench.registry import register_defense


@register_defense("my_chain")
@dataclass(frozen=True)
class Chain(Defense):
    """Chain of defenses: each purifies what the one before it has made of the images."""

    defenses: DefenseSpecs

    @property
    def stochastic(self) -> bool:
        return any(self.member(spec).stochastic for spec in self.defenses)

    @property
    def uses_classifier(self) -> bool:
        return any(self.member(spec).uses_classifier for spec in self.defenses)

    def build(self, data: DataInfo) -> nn.Module:
        return nn.Sequential(*(self.member(spec).build(data) for spec in self.defenses))

    def fit(self, module: nn.Module, context: FitContext) -> None:
        for stage, spec in zip(module, self.defenses, strict=True):
            stage.load_state_dict(context.build(spec).state_dict())
