"""Whether the metric of a phase with `until: plateau` has stopped improving."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resnet_tl.tuning.plan import Phase

if TYPE_CHECKING:
    from torch import Tensor


class Plateau:
    """Counts the validations since the best one; NaN is never the best.

    Attributes:
        weights: the best validation's, `raw` and `average`, with `restore_best`; else empty.
    """

    def __init__(self, phase: Phase) -> None:
        self.phase = phase
        # Improvement is a rise of sign * value.
        self.sign = -1.0 if phase.monitor.endswith(("loss", "error", "ece")) else 1.0
        self.best = -math.inf
        self.waited = 0
        self.weights: dict[str, dict[str, Tensor]] = {}

    def update(self, value: float) -> bool:
        """Takes a validation's value and returns whether it is the best so far."""
        better = self.sign * value > self.best
        if better:
            self.best, self.waited = self.sign * value, 0
        else:
            self.waited += 1
        return better

    def store(self, **weights: Mapping[str, Tensor]) -> None:
        """Copies the best validation's weights."""
        if self.phase.restore_best:
            self.weights = {kind: {key: t.clone() for key, t in state.items()} for kind, state in weights.items()}

    @property
    def stalled(self) -> bool:
        return self.waited >= self.phase.patience

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.waited, self.weights = state["best"], int(state["waited"]), state["weights"]
