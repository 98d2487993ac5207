"""A folder of images with predicted objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.prediction.classification import ClassPrediction
from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.writers.drawings import (
    class_drawing,
    class_drawing_folder,
    class_frame,
    drawing,
    drawing_folder,
)
from resnet_tl.prediction.writers.output import write

Detected = Callable[..., BoxPrediction]


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_drawings_of_equal_names_are_numbered(channels: int, tmp_path: Path, detected: Detected) -> None:
    same = [detected(0, "p/a.jpg", channels=channels), detected(1, "q/a.jpg", channels=channels)]
    write([*same, detected(2, None, masks=True)], [drawing_folder(tmp_path / "drawn")])
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["000002.jpg", "a.jpg", "a_1.jpg"]
    with Image.open(tmp_path / "drawn/a.jpg") as image:
        assert image.mode == "RGB"


@pytest.mark.parametrize("channels", [1, 3])
def test_classes_are_drawn_on_what_the_network_sees(channels: int, tmp_path: Path) -> None:
    pixels = np.zeros((24, 24, channels), np.uint8)
    one = ClassPrediction(0, "p/a.jpg", ["ant", "bee"], [0.8, 0.2], np.array([0.8, 0.2], np.float32), pixels=pixels)
    doubted = [one, replace(one, possible=["ant"], outlier_score=0.5), replace(one, possible=[], outlier_score=2.0)]
    write(doubted, [class_drawing_folder(tmp_path / "drawn")])
    found = [np.asarray(class_drawing(each)) for each in doubted]
    assert len(list((tmp_path / "drawn").iterdir())) == 3
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()
    assert class_drawing(replace(one, classes=[], multi_label=True)).size == (480, 480)


def test_frames_keep_their_size(detected: Detected) -> None:
    one = ClassPrediction(
        0, "p/a.jpg", ["ant"], [0.8], np.array([0.8], np.float32), image=np.zeros((40, 31, 3), np.uint8)
    )
    for frame in (class_frame(one), drawing(detected(0, "a.jpg"), smallest=0)):
        assert frame.size == (31, 40)
        assert np.asarray(frame).any()
