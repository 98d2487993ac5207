"""Drawn photographs for tests that compare images."""

from __future__ import annotations

import cv2
import numpy as np


def photograph(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    """A scene of random blobs: no two seeds look alike."""
    rng = np.random.default_rng(seed)
    scene = np.full((height, width, 3), rng.integers(40, 200, 3), np.uint8)
    for _ in range(14):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = (int(rng.integers(5, 50)), int(rng.integers(5, 40)))
        colour = [int(value) for value in rng.integers(0, 255, 3)]
        cv2.ellipse(scene, centre, axes, float(rng.integers(0, 180)), 0, 360, colour, -1)
    return cv2.GaussianBlur(scene, (0, 0), 1)
