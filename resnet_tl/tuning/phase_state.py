"""A plan on its way: which phase counts, what it holds frozen, when it is over. Knows no Trainer."""

from __future__ import annotations

from typing import Any

from torch import nn

from resnet_tl.tuning.freezing import freeze, kinds_in, unfreeze, unfreeze_only
from resnet_tl.tuning.plan import Plan, Stretch, Tuning, resolve
from resnet_tl.tuning.plateau import Plateau
from resnet_tl.tuning.stages import Stages


class Course:
    """The plan of a run of `epochs` over the `stages` of `module`, which need not have begun.

    Args:
        tuning: what the recipe says.
        module: names its `loaded_stages` where it knows which of its weights were loaded.
    """

    def __init__(self, tuning: Tuning, stages: Stages, epochs: int, module: nn.Module) -> None:
        self.tuning, self.stages = tuning, stages
        kinds = {stage: kinds_in(modules) for stage, modules in stages.items()}
        self.plan: Plan = resolve(tuning, list(stages), epochs, getattr(module, "loaded_stages", None), kinds)
        self.phase = -1
        self.plateau: Plateau | None = None

    @property
    def stretch(self) -> Stretch:
        """The phase that counts."""
        return self.plan.stretches[self.phase]

    @property
    def in_last_phase(self) -> bool:
        return self.phase + 1 == len(self.plan.stretches)

    @property
    def stalled(self) -> bool:
        """Whether the phase is over before its time."""
        return self.plateau is not None and self.plateau.stalled

    def due(self, epoch: int) -> int:
        """The phase to be in from the beginning of `epoch` on."""
        if self.stalled and not self.in_last_phase:
            self.plan = self.plan.begun(self.phase + 1, epoch)
        return self.plan.phase(epoch)

    def enter(self, phase: int) -> None:
        self.phase = phase
        self.plateau = Plateau(self.stretch.phase) if self.stretch.phase.until == "plateau" else None
        self.hold()

    def hold(self) -> None:
        """Freeze and unfreeze the stages as the phase says."""
        norms_frozen = self.tuning.norm == "frozen"
        for stage in self.stretch.frozen:
            freeze(self.stages[stage])
        for stage in self.stretch.trained:
            if parts := self.stretch.parts.get(stage):
                unfreeze_only(self.stages[stage], parts, norms_frozen=norms_frozen)
            else:
                unfreeze(self.stages[stage], norms_frozen=norms_frozen)

    def spans(self) -> list[tuple[int, int]]:
        """Epochs over which the schedule begins anew, from the present one on; empty where it never does."""
        spans = self.plan.spans()
        return [span for span in spans if span[1] > self.stretch.start] if len(spans) > 1 else []

    def state_dict(self) -> dict[str, Any]:
        """The phases begun, by their first epochs, and how far the one that counts is from its end."""
        starts = [stretch.start for stretch in self.plan.stretches[: self.phase + 1]]
        return {"starts": starts, "plateau": {} if self.plateau is None else self.plateau.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for number, start in enumerate(state["starts"]):
            self.plan = self.plan.begun(number, start)
        self.enter(len(state["starts"]) - 1)
        if self.plateau is not None:
            self.plateau.load_state_dict(state["plateau"])
