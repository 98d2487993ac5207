"""Learning rates per stage for any optimizer, whatever its parameter groups are."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from resnet_tl.errors import RecipeError

Group = dict[str, Any]
Factors = Mapping[str, float]

_PER_STAGE = ("params", "lr", "weight_decay", "stage")
"""Keys that differ between the stages of a group; whatever else an optimizer stores in a group belongs to all of it."""


class StageParameterGroups:
    """Splits an optimizer's parameter groups by stage while it takes a step, each stage at its own rate.

    Frozen stages (factor 0) are excluded: an optimizer cannot move what it does not see. Between steps the groups are
    the user's own, so that schedulers and checkpoints see neither stages nor factors. What an optimizer stores in a
    group during a step, such as a counter, is kept.

    Args:
        owner: id of a parameter -> its stage.
        factors: returns the factor on every stage's rate; called in every step.
        undecayed: stages without weight decay, whatever their group has.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        owner: Mapping[int, str],
        factors: Callable[[], Factors],
        undecayed: Collection[str] = (),
    ) -> None:
        if isinstance(optimizer, torch.optim.LBFGS):
            raise RecipeError(
                "LBFGS takes all parameters in one group, but each stage has a learning rate of its own; choose "
                "another optimizer in configure_optimizers"
            )
        self.optimizer, self.owner, self.factors, self.undecayed = optimizer, owner, factors, undecayed
        self._unsplit: list[Group] | None = None
        """The user's groups, during a step."""
        self._origins: list[Group] = []
        """The user's group of each split one."""
        self._of_stages: dict[int, tuple[list[Tensor], dict[str, list[Tensor]]]] = {}
        """By the id of a group's `params`: a copy of it, and its parameters by stage."""
        for number, group in enumerate(optimizer.param_groups):
            if any(id(parameter) not in owner for parameter in group["params"]):
                raise RecipeError(f"the optimizer's group {number} holds a parameter that is in no stage")
        optimizer.register_step_pre_hook(self._split)
        optimizer.register_step_post_hook(self._merge)

    def rates(self) -> dict[str, float]:
        """Returns each stage's current rate, 0 if it is frozen; the first group's for a stage in several groups."""
        factors, rates = self.factors(), dict[str, float]()
        for group in self.optimizer.param_groups if self._unsplit is None else self._unsplit:
            for stage in self._by_stage(group):
                rates.setdefault(stage, group["lr"] * factors[stage])
        return rates

    def restore(self) -> None:
        """Puts the user's groups back; also called after an error within a step."""
        if self._unsplit is not None:
            self.optimizer.param_groups, self._unsplit = self._unsplit, None

    def _by_stage(self, group: Group) -> dict[str, list[Tensor]]:
        """Returns the group's parameters by stage."""
        params = group["params"]
        known, stages = self._of_stages.get(id(params), ([], {}))
        if len(known) != len(params) or any(map(operator.is_not, known, params)):
            stages = {}
            for parameter in params:
                stages.setdefault(self.owner[id(parameter)], []).append(parameter)
            self._of_stages[id(params)] = list(params), stages
        return stages

    def _split(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        factors, self._unsplit = self.factors(), optimizer.param_groups
        self._origins, split = [], []
        for group in self._unsplit:
            for stage, params in self._by_stage(group).items():
                if factors[stage] > 0:
                    # Copies: an optimizer that counts in place must not count once for every stage.
                    stored = {key: value.clone() for key, value in group.items() if isinstance(value, Tensor)}
                    rate = group["lr"] * factors[stage]
                    split.append({**group, **stored, "params": [*params], "lr": rate, "stage": stage})
                    if stage in self.undecayed:
                        split[-1]["weight_decay"] = 0.0
                    self._origins.append(group)
        optimizer.param_groups = split

    def _merge(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group, split in zip(self._origins, optimizer.param_groups, strict=True):
            group.update({key: value for key, value in split.items() if key not in _PER_STAGE})
        self.restore()


def check_all_optimized(
    optimizers: list[torch.optim.Optimizer], parameters: Mapping[str, torch.nn.Parameter], owner: Mapping[int, str]
) -> None:
    """Checks that every parameter is in some optimizer.

    Raises:
        RecipeError: one is missing, as after `[p for p in self.parameters() if p.requires_grad]`: it would never learn.
    """
    optimized = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in parameters.items():
        if id(parameter) not in optimized:
            raise RecipeError(
                f"no optimizer holds the parameter {name!r} of stage {owner[id(parameter)]!r}, which the plan trains; "
                "pass all parameters to the optimizer in configure_optimizers, frozen ones too"
            )
