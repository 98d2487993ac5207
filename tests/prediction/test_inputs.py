"""What `predict` takes, as a list of images."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from resnet_tl.data.images.transforms import evaluation_transform
from resnet_tl.errors import DataError
from resnet_tl.prediction.base import Predictor
from resnet_tl.prediction.inputs import check_array, decode_input, list_images


def test_folders_zips_globs_files_and_arrays_are_listed_in_the_order_given(photos: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(photos / "bee" / "1.png", "in/1.png")
        archive.writestr("in/notes.txt", "no image")
    array = np.zeros((4, 5, 3), np.uint8)
    single = photos / "cat" / "2.png"
    listed = list_images([single, array, photos / "ant", str(tmp_path / "more.zip"), f"{photos}/**/4.png", str(single)])
    assert listed[0] == listed[-1] == str(single)
    assert listed[1] is array
    assert listed[2:10] == sorted(str(path) for path in (photos / "ant").iterdir())
    assert listed[10:12] == [f"{tmp_path}/more.zip/in/1.png", f"{photos}/bee/4.png"]
    assert len(listed) == 13


def test_one_input_needs_no_list(photos: Path) -> None:
    assert len(list_images(photos)) == len(list_images(str(photos))) == 24
    assert len(list_images(np.zeros((4, 5, 3), np.uint8))) == 1
    several = list_images(np.arange(120, dtype=np.uint8).reshape(2, 4, 5, 3))
    assert [each[0, 0, 0] for each in several if isinstance(each, np.ndarray)] == [0, 60]


def test_a_path_with_nothing_there_is_named(photos: Path) -> None:
    with pytest.raises(DataError, match="beee"):
        list_images([photos / "ant", photos / "beee"])


def test_files_and_arrays_decode_alike(photos: Path) -> None:
    file, transform = photos / "bee" / "1.png", evaluation_transform(24)
    array = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
    for source in (file, array):
        image, size = decode_input(source, 0, transform, 3)
        assert (image == array).all()
        assert size == array.shape[:2]


def test_a_jpeg_may_be_decoded_at_a_fraction_of_its_size(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((128, 160, 3), 90, np.uint8))
    image, size = decode_input(tmp_path / "a.jpg", 0, evaluation_transform(24), 3, reduce=True)
    assert (image.shape[:2], size) == ((32, 40), (128, 160))


def test_grey_arrays_need_no_channel_axis() -> None:
    assert check_array(np.zeros((4, 5), np.uint8), 0, 1).shape == (4, 5, 1)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 24, 24), np.uint8), r"shape \(3, 24, 24\), expected \(height, width, 3\)"),
        (np.zeros((24, 24), np.uint8), r"shape \(24, 24\)"),
        (np.zeros((24, 24, 3), np.float32), r"is float32, expected uint8"),
        (np.zeros((0, 24, 3), np.uint8), r"shape \(0, 24, 3\)"),
    ],
)
def test_arrays_of_another_kind_are_refused(
    predictor: Callable[..., Predictor], array: np.ndarray, message: str
) -> None:
    with pytest.raises(DataError, match=f"^array 1 {'has the ' if 'shape' in message else ''}{message}"):
        predictor("classification").predict([np.zeros((24, 24, 3), np.uint8), array])
