"""The scores from which on objects are predicted, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NAMED = 6
"""Classes up to which each is named."""


def described(scores: NDArray[np.floating], classes: Sequence[str]) -> str:
    """Returns `0.31 (RBC), 0.42 (WBC)`, or `0.21 (cup) to 0.55 (cat)` of many classes, from scores `[K]`."""
    if len(set(scores.tolist())) == 1:
        return f"{scores[0]:.2f}"
    each = [f"{score:.2f} ({name})" for score, name in zip(scores, classes, strict=True)]
    return ", ".join(each) if len(each) <= NAMED else f"{each[scores.argmin()]} to {each[scores.argmax()]}"
