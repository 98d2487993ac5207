"""A folder of masks, overlays and areas."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.prediction.segmentation import MaskPrediction
from resnet_tl.prediction.writers.masks import mask_folder, overlay
from resnet_tl.prediction.writers.output import write

Segmented = Callable[..., MaskPrediction]
CLASSES = ["sky", "road", "car"]
COLOURS = np.array([[10, 20, 30], [200, 0, 0], [0, 0, 250]], np.uint8)


def test_masks_are_in_the_classes_colours_and_areas_are_shares(tmp_path: Path, segmented: Segmented) -> None:
    predictions = [segmented(0, "p/a.jpg"), segmented(1, None, label=2)]
    assert write(predictions, [mask_folder(tmp_path / "new" / "out", CLASSES, COLOURS)]) == 2
    folder = tmp_path / "new" / "out"
    for prediction, name in zip(predictions, ("a", "000001"), strict=True):
        with Image.open(folder / "masks" / f"{name}.png") as image:
            assert image.mode == "P"
            assert (np.asarray(image) == prediction.mask).all()
            assert (np.asarray(image.convert("RGB")) == COLOURS[prediction.mask]).all()
        with Image.open(folder / "overlays" / f"{name}.jpg") as image:
            assert image.size == (6, 8)
    rows = list(csv.DictReader((folder / "areas.csv").open()))
    assert rows == [
        {"path": "p/a.jpg", "mask": "masks/a.png", "sky": "0.750000", "road": "0.250000", "car": "0.000000"},
        {"path": "1", "mask": "masks/000001.png", "sky": "0.750000", "road": "0.000000", "car": "0.250000"},
    ]


def test_every_mask_has_a_file_of_its_own(tmp_path: Path, segmented: Segmented) -> None:
    """`y/a.jpg`, the third image, must not be called `a_2`, as the second one is."""
    paths = ["x/a.jpg", "x/a_2.jpg", "y/a.jpg"]
    write([segmented(n, path, n) for n, path in enumerate(paths)], [mask_folder(tmp_path / "m", CLASSES, COLOURS)])
    rows = list(csv.DictReader((tmp_path / "m/areas.csv").open()))
    assert [row["path"] for row in rows] == paths
    assert len({row["mask"] for row in rows}) == len(list((tmp_path / "m/masks").iterdir())) == 3
    for number, row in enumerate(rows):
        with Image.open(tmp_path / "m" / row["mask"]) as image:
            assert np.asarray(image).max() == number


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_an_overlay_is_half_image_and_half_colour(channels: int, segmented: Segmented) -> None:
    prediction = segmented(0, "a.jpg", channels=channels)
    pixels = np.asarray(overlay(prediction.image, prediction.mask, COLOURS)).astype(float)
    grey = 100 if channels <= 3 else 255  # 16 bits are stretched to the brightest pixel
    expected = grey / 2 + COLOURS[prediction.mask] / 2
    assert abs(pixels - expected).max() < 1
