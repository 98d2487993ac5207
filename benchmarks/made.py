"""Images and a classifier made on the spot, so that a benchmark needs nothing from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from resnet_tl import fit

HEIGHT, WIDTH = 375, 500


def photographs(
    root: Path, count: int, classes: int = 2, size: tuple[int, int] = (HEIGHT, WIDTH), noise: float = 6
) -> list[Path]:
    """Writes `root/CLASS/N.jpg`: colours that change smoothly, and noise; about 50 kB each at 500 x 375 pixels."""
    rng, paths = np.random.default_rng(0), []
    height, width = size
    for number in range(count):
        coarse = rng.integers(0, 256, (12, 16, 3), np.uint8)
        smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        image = np.clip(smooth + rng.normal(0, noise, smooth.shape), 0, 255).astype(np.uint8)
        path = root / str(number % classes) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 90])
        paths.append(path)
    return paths


def classifier(folder: Path, variant: str, size: int) -> Path:
    """Trains a network of random weights for a step, in `folder/run`; returns its checkpoint."""
    fit(recipe(folder, variant, size), run=str(folder / "run"))
    return folder / "run" / "checkpoints" / "last.ckpt"


def recipe(folder: Path, variant: str, size: int) -> dict[str, Any]:
    """Of one step on images made in `folder/photos`."""
    for split in ("train", "val"):
        photographs(folder / "photos" / split, 8, size=(size, size))
    data = {"root": str(folder / "photos"), "image_size": size, "batch_size": 8, "num_workers": 0}
    return {
        "model": {"class_path": "Classification", "init_args": {"backbone": {"name": variant}}},
        "data": {"class_path": "ImageFolder", "init_args": data},
        "trainer": {"max_epochs": 1, "precision": "32-true", "accelerator": "cpu"},
        "tracking": {"report": False},
    }
