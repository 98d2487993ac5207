"""Lines of YOLO's label files: boxes and polygons in fractions of the image, and what other tools append to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from resnet_tl.data.sources.annotations import FAR, BoxListingBuilder
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.text_files import read_text
from resnet_tl.errors import DataError
from resnet_tl.structures.masks import Polygon, area


class Extras(NamedTuple):
    """What follows the boxes and polygons of a set. tracks: a score and a track's number. scores: of polygons.
    keypoints: x, y and visibility of each, though no kpt_shape says so."""

    tracks: bool
    scores: bool
    keypoints: bool


class LabelReader:
    """Reads lines into builders, and counts what is skipped or assumed; `note` reports it.

    A line is a class and: `x y w h` (centre and size of a box), perhaps followed by a score, or by a score and the
    number of a track; `x1 y1 x2 y2 x3 y3 ...` (a polygon), perhaps followed by a score; or a box and keypoints.

    Args:
        root: the files are below it.
        files: all label files of the set: three corners look like a box with a score and a track, which all of them
            decide.
        classes: their number.
        keypoints: how many numbers the keypoints of an object have; 0: objects have none.
    """

    def __init__(self, root: str, files: Sequence[str], classes: int, keypoints: int, findings: Findings) -> None:
        self.root, self.files, self.classes, self.keypoints, self.findings = root, files, classes, keypoints, findings
        self.counts: Counter[str] = Counter()
        self.lengths: set[int] = set()
        """How many corners polygons have; 0 for closed ones, whose last corner is the first."""

    def read(self, builder: BoxListingBuilder, row: int, file: str) -> None:
        """Adds the objects in a file to the image at `row`; faulty lines become faults."""
        path = f"{self.root}/{file}"
        for number, line in enumerate(read_lines_of(path, self.findings), 1):
            try:
                label, values = _parsed(line)
                box, polygon = self._shape(values, builder.file_size(row))
            except ValueError as error:
                self.findings.faults.append(f"{path}: line {number} {error}")
                continue
            known = 0 <= label < self.classes
            if not known:
                self.findings.faults.append(
                    f"{path}: line {number} has the class {label}; expected 0 to {self.classes - 1}"
                )
            place, index = f"line {number}", label if known else None
            if polygon is None:
                builder.add(row, index, box, place)
            else:
                builder.add(row, index, box, place, area=area([polygon]), mask=[polygon])

    def note(self) -> None:
        """Adds notes about all lines that were read."""
        name, counts = self.findings.root, self.counts
        sentences = {
            "score": "lines that end in a score, read without it",
            "track": "lines that end in a score and the number of a track, read without them",
            "keypoints": "objects with keypoints (kpt_shape), read as their boxes alone",
            "unnamed keypoints": "objects with what looks like keypoints (x, y, visibility), though the YAML has no "
            "kpt_shape, read as their boxes alone",
        }
        self.findings.notes += [f"{name}: {text}: {counts[key]}" for key, text in sentences.items() if counts[key]]
        if counts["quad"] and counts["quad"] == counts.total():
            self.findings.notes.append(
                f"{name}: all lines have four corners ({counts['quad']}), as oriented boxes (OBB) have; read as "
                "polygons, whose boxes are upright"
            )

        (length,) = self.lengths if len(self.lengths) == 1 else (0,)
        if length > 4 and counts["other"] > 1:
            self.findings.notes.append(
                f"{name}: all polygons have {length} corners; boxes with keypoints, which look alike, need kpt_shape "
                f"in the YAML, as [{length - 2}, 2]"
            )

    def _shape(self, values: list[float], size: tuple[int, int]) -> tuple[list[float], Polygon | None]:
        """Returns the box and the polygon of the numbers after a class, in pixels of an image of `size` (h, w)."""
        values = self._without_extras(values)
        if far := [value for value in values if abs(value) > FAR]:
            raise ValueError(f"has the number {far[0]:g}; expected fractions of the image, 0 to 1")
        points = np.array(values).reshape(-1, 2) * np.array([size[1], size[0]], np.float64)
        if len(values) == 4:
            centre, half = points[0], points[1] / 2
            return [*(centre - half), *(centre + half)], None
        if not np.isfinite(points).all():
            raise ValueError("has a corner that is not a finite number")
        return [*points.min(0), *points.max(0)], points.astype(np.float32)

    def _without_extras(self, values: list[float]) -> list[float]:
        """Returns the four numbers of a box, or the corners of a polygon."""
        count = len(values)
        if self.keypoints:
            if count - 4 - self.keypoints not in (0, 1):
                raise ValueError(
                    f"has {count} numbers after the class; expected {4 + self.keypoints}, a box and its keypoints"
                )
            self.counts["keypoints"] += 1
            return values[:4]
        if count == 5:
            self.counts["score"] += 1
            return values[:4]
        if count == 6 and self._extras.tracks:
            self.counts["track"] += 1
            return values[:4]
        if count > 6 and _end_in_flags(values) and self._extras.keypoints:
            self.counts["unnamed keypoints"] += 1
            return values[:4]
        if count > 6 and count % 2 and self._extras.scores:
            self.counts["score"] += 1
            return values[:-1]
        if count != 4 and (count < 6 or count % 2):
            pose = " (keypoints after a box need kpt_shape in the YAML)" if count > 6 else ""
            raise ValueError(f"has {count} numbers after the class; expected 4, or x and y of 3 corners or more{pose}")
        if count > 4:
            self.lengths.add(0 if values[:2] == values[-2:] else count // 2)
        self.counts["quad" if count == 8 else "other"] += 1
        return values

    @cached_property
    def _extras(self) -> Extras:
        """What all files have: only for sets with lines that can be read in two ways, as it reads them once more."""
        tracks, scores, flags, keypoints, highest = True, True, True, True, 0.0
        counts: set[int] = set()
        for file in self.files:
            for line in read_lines_of(f"{self.root}/{file}", Findings("")):
                count, last = len(line.split()) - 1, line.split()[-1]
                if count == 6:
                    tracks &= last.isdecimal() and last != "0"
                elif count > 6:
                    scores &= count % 2 == 1
                    flags &= last in ("0", "1", "2")  # as keypoints end, whose kpt_shape nobody has written
                    values = _numbers(line)
                    counts.add(count)
                    keypoints &= _end_in_flags(values)
                    highest = max((highest, *values[6::3]))
        # A corner of a polygon may be at 0 or 1, but not at 2.
        return Extras(tracks, scores and not flags, keypoints and highest == 2 and len(counts) == 1)


def _end_in_flags(values: Sequence[float]) -> bool:
    """Whether every third number after those of a box is the visibility of a keypoint."""
    return (len(values) - 4) % 3 == 0 and all(value in (0, 1, 2) for value in values[6::3])


def _numbers(line: str) -> list[float]:
    try:
        return _parsed(line)[1]
    except ValueError:
        return []


def read_lines_of(path: str, findings: Findings) -> list[str]:
    """Returns the lines of a file that are not blank. An empty file belongs to an image without objects."""
    try:
        return [line for line in read_text(path, allow_empty=True).splitlines() if line.strip()]
    except DataError as error:
        findings.faults.append(str(error))
    return []


def _parsed(line: str) -> tuple[int, list[float]]:
    """Returns the class, and the numbers after it."""
    first, *rest = line.split()
    try:
        label, values = float(first), [float(text) for text in rest]
    except ValueError:
        raise ValueError(f"is {line[:60]!r}; expected numbers") from None
    if not label.is_integer():
        raise ValueError(f"has the class {first[:40]}; expected a whole number")
    return int(label), values
