"""Example images of a model card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import resnet_tl
from resnet_tl.errors import RunError
from resnet_tl.publish.examples import ACROSS, COUNT, SIDE, write_examples
from resnet_tl.structures.evaluation import Evaluation

SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11"


def _evaluation(folder: Path, images: int) -> Evaluation:
    """Of images of 500 x 400 pixels, the first of which is gone."""
    keys = [f"{number}.png" for number in range(images)]
    for number, key in enumerate(keys[1:]):
        Image.new("RGB", (500, 400), (number, 0, 0)).save(folder / key)
    return Evaluation(["a"], str(folder), "val", 0, [], np.array(keys), np.zeros(images, np.float32))


def test_classes_and_objects_are_drawn_one_by_one(tmp_path: Path) -> None:
    predictor = resnet_tl.load(SAVED / "detection.ckpt")
    (tmp_path / "out").mkdir()
    names = write_examples(predictor, _evaluation(tmp_path, 10), tmp_path / "out")
    assert names == [f"examples/{number}.jpg" for number in range(1, COUNT + 1)]
    with Image.open(tmp_path / "out" / names[0]) as picture:
        assert picture.width == SIDE


def test_masks_are_drawn_together_with_the_colours_of_classes(tmp_path: Path) -> None:
    predictor = resnet_tl.load(SAVED / "segmentation.ckpt")
    (tmp_path / "out").mkdir()
    names = write_examples(predictor, _evaluation(tmp_path, 4), tmp_path / "out")
    assert names == ["examples/1.jpg"]
    with Image.open(tmp_path / "out" / names[0]) as picture:
        assert picture.width > ACROSS * SIDE


def test_images_that_are_gone_are_an_error(tmp_path: Path) -> None:
    predictor = resnet_tl.load(SAVED / "segmentation.ckpt")
    with pytest.raises(RunError, match="--with-images: the validation images of this run are not where"):
        write_examples(predictor, _evaluation(tmp_path, 1), tmp_path)
