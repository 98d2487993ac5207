"""What loggers draw in addition to numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Cell: TypeAlias = str | int | float | None


@dataclass(frozen=True)
class Table:
    """rows: of cells, one per column."""

    columns: list[str]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Confusion:
    """counts: `[K, K]`, rows are true classes, columns predictions."""

    names: list[str]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Calibration:
    """confidence, accuracy: of the bins that are not empty, 0...1, by rising confidence."""

    confidence: list[float]
    accuracy: list[float]


@dataclass(frozen=True)
class LabelledBox:
    """corners: x1, y1, x2, y2 as shares of width and height. score: None for a true object."""

    corners: tuple[float, float, float, float]
    label: int
    score: float | None = None


@dataclass(frozen=True)
class Picture:
    """An image with a caption, and the boxes of `classes` or masks on it, if there are any.

    pixels: `[H, W, 3]` uint8.
    true_mask, predicted_mask: `[H, W]` uint8, class indices; 255 is ignored.
    """

    pixels: NDArray[np.uint8]
    caption: str
    true: list[LabelledBox] = field(default_factory=list)
    predicted: list[LabelledBox] = field(default_factory=list)
    true_mask: NDArray[np.uint8] | None = None
    predicted_mask: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Pictures:
    """classes: K names, those of the boxes and masks."""

    pictures: list[Picture]
    classes: list[str]


Drawing: TypeAlias = Table | Confusion | Calibration | Pictures
