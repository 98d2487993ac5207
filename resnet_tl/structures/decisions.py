"""What validation decided for prediction: best.ckpt stores it, predictors apply it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le, MinLen
from numpy.typing import NDArray

from resnet_tl.ranges import Fraction

TEMPERATURES = (0.1, 10.0)
Temperature = Annotated[float, Ge(TEMPERATURES[0]), Le(TEMPERATURES[1])]


@dataclass(frozen=True)
class Decisions:
    """Fitted on the validation images after training; whatever is None leaves predictions as the network gives them.

    temperature: what logits are divided by: one value, or for several labels K, one for each class.
    box_scores: K, of a detector: objects of a class with lower scores are dropped by default.
    """

    temperature: Annotated[list[Temperature], MinLen(1)] | None = None
    box_scores: Annotated[list[Fraction], MinLen(1)] | None = None

    def calibrated(self, probabilities: NDArray[np.floating], *, multi_label: bool) -> NDArray[np.float32]:
        """Returns the probabilities `[N, K]` that the temperature makes of those of the network, in the same order."""
        if self.temperature is None:
            return probabilities.astype(np.float32)
        values = np.array(self.temperature)
        if not multi_label:
            return _tempered(probabilities, values).astype(np.float32)
        outcomes = np.stack([probabilities, 1 - probabilities], -1)
        return _tempered(outcomes, values[:, None])[..., 0].astype(np.float32)


def _tempered(probabilities: NDArray[Any], temperature: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divides the logits of distributions `[..., K]` by a temperature: softmax(z / T) is p^(1 / T), normalised."""
    relative = probabilities.astype(np.float64) / probabilities.max(-1, keepdims=True)
    powers = relative ** (1 / temperature)
    return powers / powers.sum(-1, keepdims=True)
