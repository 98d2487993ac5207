"""A matrix of true and predicted classes, or the worst pairs of many classes, with pictures in its cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_tl.report.section import Picture, Section

Integers = NDArray[np.int64]
Cell = tuple[int, int]
"""(true class, predicted class)."""

LARGEST = 30
"""Classes at most that are shown as a matrix."""


def cells_of(true: Integers, predicted: Integers, order: Integers) -> dict[Cell, list[int]]:
    """Returns the indices in each cell, in the given order, from classes `[N]`."""
    cells: dict[Cell, list[int]] = {}
    for index in order.tolist():
        cells.setdefault((int(true[index]), int(predicted[index])), []).append(index)
    return cells


def confusion(
    names: list[str],
    cells: dict[Cell, list[int]],
    picture: Callable[[list[int]], dict[int, Picture]],
    lead: str,
    *,
    in_a_cell: int,
    in_all: int,
    counts: dict[Cell, int] | None = None,
) -> Section:
    """Builds the section.

    Args:
        names: K.
        cells: the indices in each cell, those to show first.
        picture: returns pictures of some of them by their indices, as far as there are any.
        in_a_cell, in_all: pictures at most; the largest cells of mistakes come first.
        counts: pixels by cell, where indices are images; None: the cells' own lengths.
    """
    numbers = {cell: len(indices) for cell, indices in cells.items()} if counts is None else counts
    ranked = sorted(cells, key=lambda cell: (cell[0] == cell[1], -numbers[cell]))
    large = len(names) > LARGEST
    if large:
        ranked = [cell for cell in ranked if cell[0] != cell[1]][:LARGEST]
        lead = f"The pairs of classes that were confused most often. {lead}"
    shown = shared_out(ranked, cells, in_a_cell, in_all)
    pictures = picture([index for cell in ranked for index in shown[cell]])
    content: dict[str, Any] = {
        "names": names,
        "counts": numbers,
        "totals": [sum(number for (true, _), number in numbers.items() if true == k) for k in range(len(names))],
        "pixels": counts is not None,
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
