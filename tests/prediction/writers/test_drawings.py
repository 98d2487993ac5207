"""A folder of images with predicted objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.writers.drawings import drawing_folder
from resnet_tl.prediction.writers.output import write

Detected = Callable[..., BoxPrediction]


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_drawings_of_equal_names_are_numbered(channels: int, tmp_path: Path, detected: Detected) -> None:
    same = [detected(0, "p/a.jpg", channels=channels), detected(1, "q/a.jpg", channels=channels)]
    write([*same, detected(2, None, masks=True)], [drawing_folder(tmp_path / "drawn")])
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["000002.jpg", "a.jpg", "a_1.jpg"]
    with Image.open(tmp_path / "drawn/a.jpg") as image:
        assert image.mode == "RGB"
