"""Which images to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def worst_and_typical(losses: NDArray[np.floating[Any]], worst: int, typical: int) -> tuple[list[int], list[int]]:
    """Returns the images of the highest losses `[N]`, and those of the others that are nearest to the median."""
    highest = np.argsort(-losses, kind="stable")[:worst].tolist()
    near = np.argsort(abs(losses - np.median(losses)), kind="stable").tolist()
    return highest, [index for index in near if index not in highest][:typical]
