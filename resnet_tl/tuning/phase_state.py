"""The progress of a run through its plan: which phase it is in, what that freezes, when it ends. Knows no Trainer."""

from __future__ import annotations

from typing import Any

from torch import nn

from resnet_tl.tuning.freezing import freeze, kinds_in, unfreeze, unfreeze_only
from resnet_tl.tuning.plan import Plan, ResolvedPhase, Tuning
from resnet_tl.tuning.plateau import Plateau
from resnet_tl.tuning.resolve import resolve
from resnet_tl.tuning.solved_head import check_solvable
from resnet_tl.tuning.stages import Stages, blocks_of, units_of


class PhaseState:
    """The phase of a run of `epochs` over the `stages` of `module`; before `enter` there is none.

    Args:
        tuning: the recipe's.
        module: may have `loaded_stages`, the names of the stages whose weights were loaded, and `blocks()`.

    Attributes:
        index: of the current phase in the plan.
        plateau: of the current phase, if it has `until: plateau`.
    """

    def __init__(self, tuning: Tuning, stages: Stages, epochs: int, module: nn.Module) -> None:
        self.tuning, self.stages = tuning, stages
        kinds = {stage: kinds_in(modules) for stage, modules in stages.items()}
        blocks = blocks_of(module, stages) if tuning.by_block else {}
        loaded = getattr(module, "loaded_stages", None)
        self.plan: Plan = resolve(tuning, list(stages), epochs, loaded, kinds, blocks)
        check_solvable(self.plan, module)
        self.index = -1
        self.plateau: Plateau | None = None

    @property
    def current(self) -> ResolvedPhase:
        return self.plan.phases[self.index]

    @property
    def in_last_phase(self) -> bool:
        return self.index + 1 == len(self.plan.phases)

    @property
    def stalled(self) -> bool:
        """Whether the phase ends early."""
        return self.plateau is not None and self.plateau.stalled

    def index_at(self, epoch: int) -> int:
        """Returns the phase to be in when `epoch` starts; a stalled phase ends here."""
        if self.stalled and not self.in_last_phase:
            self.plan = self.plan.with_start(self.index + 1, epoch)
        return self.plan.index_at(epoch)

    def enter(self, index: int) -> None:
        self.index = index
        settings = self.current.settings
        self.plateau = Plateau(settings) if settings.until == "plateau" else None
        self.apply()

    def apply(self) -> None:
        """Freezes and unfreezes the stages for the current phase."""
        norms_frozen = self.tuning.norm == "frozen"
        for stage in self.current.frozen:
            freeze(self.stages[stage])
        for stage in self.current.trained:
            if parts := self.current.parts.get(stage):
                unfreeze_only(self.stages[stage], parts, norms_frozen=norms_frozen)
            else:
                unfreeze(self.stages[stage], norms_frozen=norms_frozen)

    def units(self, module: nn.Module) -> dict[str, Stages]:
        """Returns what has a rate of its own in some phase, by stage: see `units_of`."""
        return units_of(self.stages, blocks_of(module, self.stages) if self.tuning.by_block else {})

    def schedule_spans(self) -> list[tuple[int, int]]:
        """Returns the epochs of every schedule from the current one on; none if no phase restarts the schedule."""
        spans = self.plan.schedule_spans()
        return [span for span in spans if span[1] > self.current.start] if len(spans) > 1 else []

    def state_dict(self) -> dict[str, Any]:
        """Returns the first epochs of the phases up to the current one, and the state of its plateau."""
        starts = [phase.start for phase in self.plan.phases[: self.index + 1]]
        return {"starts": starts, "plateau": {} if self.plateau is None else self.plateau.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # One after another: each start moves the phases after it, as when they were entered.
        for index, start in enumerate(state["starts"]):
            self.plan = self.plan.with_start(index, start)
        self.enter(len(state["starts"]) - 1)
        if self.plateau is not None:
            self.plateau.load_state_dict(state["plateau"])
