"""Photographs that are made on the spot, and a recipe that trains on them.

The files are 500 x 375 pixels, of smooth noise with grain, about as large as photographs; few are distinct.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.gpu_parts.setting import Setting

DISTINCT, CLASSES = 256, 10
WIDTH, HEIGHT, QUALITY = 500, 375, 90


def recipe(
    setting: Setting, variant: str, photos: Path, data: dict[str, Any], trainer: dict[str, Any]
) -> dict[str, Any]:
    """Returns the recipe of a classifier of the photographs, with further options of its data and Trainer."""
    return {
        "model": {"class_path": "Classification", "init_args": {"backbone": {"name": variant}}},
        "data": {"class_path": "ImageFolder", "init_args": {"root": str(photos), **data}},
        "trainer": {"accelerator": setting.device.kind, "devices": 1, **trainer},
        "tracking": {"report": False},
    }


def write_images(root: Path, count: int) -> None:
    """Writes `count` JPEGs for training, links to few distinct ones, and as few for validation."""
    rng = np.random.default_rng(0)
    distinct = min(DISTINCT, count)
    for number in range(count):
        path = root / "train" / str(number % CLASSES) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < distinct:
            _image(rng).save(path, quality=QUALITY)
        else:
            first = number % distinct
            os.link(root / "train" / str(first % CLASSES) / f"{first}.jpg", path)
    for number in range(CLASSES):
        path = root / "val" / str(number) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        _image(rng).save(path, quality=QUALITY)


def _image(rng: np.random.Generator) -> Image.Image:
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).resize(
        (WIDTH, HEIGHT), Image.Resampling.BICUBIC
    )
    grain = rng.normal(0, 6, (HEIGHT, WIDTH, 3))
    return Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8))
