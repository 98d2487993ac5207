"""A matrix of true and predicted classes, or the worst pairs of many classes, with pictures in its cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_tl.report.section import Picture, Section

Cell = tuple[int, int]
"""(true class, predicted class)."""

LARGEST = 30
"""Classes at most that are shown as a matrix."""


def confusion(
    names: list[str],
    true: NDArray[np.int64],
    predicted: NDArray[np.int64],
    order: NDArray[np.int64],
    picture: Callable[[list[int]], dict[int, Picture]],
    lead: str,
    *,
    in_a_cell: int,
    in_all: int,
) -> Section:
    """Builds the section.

    Args:
        names: K.
        true, predicted: classes `[N]` of what is counted.
        order: `[N]`, the order of the N in their cells.
        picture: returns pictures of some of them by their indices, as far as there are any.
        in_a_cell, in_all: pictures at most; the largest cells of mistakes come first.
    """
    cells: dict[Cell, list[int]] = {}
    for index in order.tolist():
        cells.setdefault((int(true[index]), int(predicted[index])), []).append(index)
    ranked = sorted(cells, key=lambda cell: (cell[0] == cell[1], -len(cells[cell])))
    large = len(names) > LARGEST
    if large:
        ranked = [cell for cell in ranked if cell[0] != cell[1]][:LARGEST]
        lead = f"The pairs of classes that were confused most often. {lead}"
    shown = shared_out(ranked, cells, in_a_cell, in_all)
    pictures = picture([index for cell in ranked for index in shown[cell]])
    content: dict[str, Any] = {
        "names": names,
        "counts": {cell: len(indices) for cell, indices in cells.items()},
        "totals": np.bincount(true, minlength=len(names)).tolist(),
        "pairs": ranked if large else None,
        "galleries": {cell: [pictures[index] for index in shown[cell] if index in pictures] for cell in ranked},
    }
    return Section("confusion", "Confusions", "confusion.html", content, lead)


def shared_out(order: list[Cell], cells: dict[Cell, list[int]], in_a_cell: int, in_all: int) -> dict[Cell, list[int]]:
    """Returns the first indices of each cell, as many as there is room for; the first of all cells come first."""
    shown: dict[Cell, list[int]] = {cell: [] for cell in order}
    ranked = [(rank, cell) for rank in range(in_a_cell) for cell in order if rank < len(cells[cell])]
    for rank, cell in ranked[:in_all]:
        shown[cell].append(cells[cell][rank])
    return shown
