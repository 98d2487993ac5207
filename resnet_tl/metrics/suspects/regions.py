"""Regions of masks that are probably of another class.

By the rule of confident learning: a region is suspicious where the given class is unlikely, and another at least as
probable as it is on the average over the pixels that are labelled with it. cleanlab holds all probabilities of all
images at once for it (7 MB an image of 480 x 360 with 11 classes); here images pass one by one.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from resnet_tl.metrics.suspects.suspect import Suspect
from resnet_tl.structures.records import IGNORE

THICKNESS = 1 / 60
"""How far a region's middle is from its edge at least, as a share of the image's shorter side: thinner ones are the
uncertain edges of objects."""
UNLIKELY = 0.05
"""The mean probability of the given class in a region at most: networks of pixels are too unsure of small objects for
cleanlab's estimate of how many labels are wrong."""


class RegionSuspects:
    """Collects what differs between masks and predictions, image by image.

    Args:
        classes: K names.
    """

    def __init__(self, classes: list[str]) -> None:
        self.classes = classes
        self._sums, self._counts = np.zeros(len(classes)), np.zeros(len(classes), np.int64)
        self._regions: list[tuple[int, float, Suspect]] = []

    def add(self, key: str, probabilities: NDArray[np.float32], mask: NDArray[np.uint8]) -> None:
        """Adds an image: probabilities `[K, H, W]` and its mask `[H, W]`, class indices or `IGNORE`."""
        guesses = probabilities.argmax(0).astype(np.uint8)
        for given in np.unique(mask[mask != IGNORE]).tolist():
            labelled = mask == given
            own = probabilities[given]
            self._sums[given] += own[labelled].sum(dtype=np.float64)
            self._counts[given] += labelled.sum()
            for guess in np.unique(guesses[labelled]).tolist():
                if guess != given:
                    self._add_regions(key, labelled & (guesses == guess), given, guess, probabilities)

    def found(self) -> list[Suspect]:
        """Returns the regions that are unlikely, and whose other class is as probable as where it is the label."""
        usual = self._sums / np.maximum(self._counts, 1)
        return [suspect for guess, probability, suspect in self._regions if probability >= usual[guess] > 0]

    def _add_regions(
        self, key: str, where: NDArray[np.bool_], given: int, guess: int, probabilities: NDArray[np.float32]
    ) -> None:
        least = max(2.0, THICKNESS * min(where.shape))
        count, regions, stats, _ = cv2.connectedComponentsWithStats(where.astype(np.uint8), connectivity=4)
        depth = cv2.distanceTransform(where.astype(np.uint8), cv2.DIST_L2, 3)
        for number in range(1, count):
            left, top, width, height, pixels = (int(value) for value in stats[number])
            part = slice(top, top + height), slice(left, left + width)
            inside = regions[part] == number
            if depth[part][inside].max() < least:
                continue
            own = float(probabilities[given][part][inside].mean())
            if own > UNLIKELY:
                continue
            box = (float(left), float(top), float(left + width), float(top + height))
            names = self.classes[given], self.classes[guess]
            suspect = Suspect("region", key, *names, 1 - own, box, pixels=pixels)
            self._regions.append((guess, float(probabilities[guess][part][inside].mean()), suspect))
