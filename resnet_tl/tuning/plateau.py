"""When a phase with `until: plateau` is over: its metric has stopped improving."""

from __future__ import annotations

import math

from resnet_tl.tuning.plan import Phase


class Plateau:
    """Counts the validations since the best one; a NaN is never the best."""

    def __init__(self, phase: Phase) -> None:
        self.patience = phase.patience
        self.sign = -1.0 if phase.monitor.endswith(("loss", "error", "ece")) else 1.0
        self.best = -math.inf
        self.waited = 0

    def see(self, value: float) -> bool:
        """Takes a validation's value; whether it is the best so far."""
        better = self.sign * value > self.best
        if better:
            self.best, self.waited = self.sign * value, 0
        else:
            self.waited += 1
        return better

    @property
    def stalled(self) -> bool:
        return self.waited >= self.patience

    def state_dict(self) -> dict[str, float]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.best, self.waited = state["best"], int(state["waited"])
