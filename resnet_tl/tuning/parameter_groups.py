"""Learning rates by stage for any optimizer, whatever its groups are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from resnet_tl.errors import RecipeError

Factors = Mapping[str, float]


_OWN = ("params", "lr", "weight_decay", "stage")
"""What a part has for itself; what else an optimizer notes in a group is the whole group's."""


class PartedSteps:
    """Shows the optimizer its groups parted by stage while it makes a step, each part at its own rate.

    Frozen stages (factor 0) are left out: no optimizer can move what it does not see. Before and after a step the
    groups are the user's own, so that schedulers and checkpoints meet neither parts nor factors. What an optimizer
    notes in a group during a step (a counter, say) is kept.

    Args:
        owner: id of a parameter -> its stage.
        factors: asked at every step: the current phase's factor on the rate of every stage.
        undecayed: stages without weight decay, whatever their group says.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        owner: Mapping[int, str],
        factors: Callable[[], Factors],
        undecayed: Collection[str] = (),
    ) -> None:
        self.optimizer, self.owner, self.factors, self.undecayed = optimizer, owner, factors, undecayed
        self.whole: list[dict[str, Any]] | None = None
        for number, group in enumerate(optimizer.param_groups):
            if any(id(parameter) not in owner for parameter in group["params"]):
                raise RecipeError(f"the optimizer's group {number} holds a parameter that is in no stage")
        optimizer.register_step_pre_hook(self._part)
        optimizer.register_step_post_hook(self._join)

    def rates(self) -> dict[str, float]:
        """Stage -> the rate of a step now, 0 where it is frozen; of a stage in several groups, the first one's."""
        factors, rates = self.factors(), dict[str, float]()
        for group in self.optimizer.param_groups if self.whole is None else self.whole:
            for stage in self._stages(group):
                rates.setdefault(stage, group["lr"] * factors[stage])
        return rates

    def _stages(self, group: dict[str, Any]) -> list[str]:
        return list(dict.fromkeys(self.owner[id(parameter)] for parameter in group["params"]))

    def _part(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        factors, self.whole = self.factors(), optimizer.param_groups
        self.origins, parts = [], []
        for group in self.whole:
            for stage in self._stages(group):
                if factors[stage] > 0:
                    own = [parameter for parameter in group["params"] if self.owner[id(parameter)] == stage]
                    noted = {key: value.clone() for key, value in group.items() if isinstance(value, Tensor)}
                    rate = group["lr"] * factors[stage]
                    parts.append({**group, **noted, "params": own, "lr": rate, "stage": stage})
                    if stage in self.undecayed:
                        parts[-1]["weight_decay"] = 0.0
                    self.origins.append(group)
        optimizer.param_groups = parts

    def _join(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group, part in zip(self.origins, optimizer.param_groups, strict=True):
            group.update({key: value for key, value in part.items() if key not in _OWN})
        self.restore()

    def restore(self) -> None:
        """The groups as they were: also after an error in the middle of a step."""
        if self.whole is not None:
            self.optimizer.param_groups, self.whole = self.whole, None


def check_held(
    optimizers: list[torch.optim.Optimizer], parameters: Mapping[str, torch.nn.Parameter], owner: Mapping[int, str]
) -> None:
    """That some optimizer holds every parameter.

    Raises:
        RecipeError: one is missing, as after `[p for p in self.parameters() if p.requires_grad]`: it would never learn.
    """
    held = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in parameters.items():
        if id(parameter) not in held:
            raise RecipeError(
                f"no optimizer holds the parameter {name!r} of stage {owner[id(parameter)]!r}, which the plan trains; "
                "give configure_optimizers all parameters, the frozen ones too"
            )
