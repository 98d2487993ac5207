"""One annotation that is probably wrong."""

from __future__ import annotations

from typing import NamedTuple

NOTHING = "nothing"
"""The label of a place without an object, and of a class that an image does not show."""

Box = tuple[float, float, float, float]


class Suspect(NamedTuple):
    """One annotation that is probably wrong, by what a network predicted that has not learned from it.

    kind: `label`, of images with several `missing label` and `wrong label`; of boxes `class`, `missed`, `spurious` and
        `badly placed`; of masks `region`.
    key: of the image.
    given, suggested: class names, or `NOTHING`.
    score: 0...1, one minus the probability of what is given.
    box: x1, y1, x2, y2 in pixels of the image: of the annotation, or where one is missing; around a region.
    suggested_box: where a badly placed box belongs.
    pixels: of a region.
    """

    kind: str
    key: str
    given: str
    suggested: str
    score: float
    box: Box | None = None
    suggested_box: Box | None = None
    pixels: int = 0
