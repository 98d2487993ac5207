"""Images in memory: what shows the same pixels is predicted the same, whatever holds it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from resnet_tl.errors import DataError
from resnet_tl.prediction.base import Predictor
from resnet_tl.prediction.memory import as_array

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
GREY = PIXELS[..., 0]


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


SAME: dict[str, Any] = {
    "array": PIXELS,
    "array of BGR, its channels reversed": np.ascontiguousarray(PIXELS[..., ::-1])[..., ::-1],
    "array upside down twice": np.ascontiguousarray(PIXELS[::-1])[::-1],
    "array in Fortran's order": np.asfortranarray(PIXELS),
    "array with transparency": np.dstack([PIXELS, np.full((20, 30), 7, np.uint8)]),
    "read-only array": np.frombuffer(PIXELS.tobytes(), np.uint8).reshape(PIXELS.shape),
    "floats": PIXELS.astype(np.float32) / 255,
    "doubles": PIXELS / 255,
    "half floats": (PIXELS / 255).astype(np.float16),
    "tensor [C, H, W]": torch.from_numpy(PIXELS).permute(2, 0, 1),
    "tensor [H, W, C]": torch.from_numpy(PIXELS),
    "tensor of floats": torch.from_numpy(PIXELS).permute(2, 0, 1) / 255,
    "tensor with a gradient": (torch.from_numpy(PIXELS).permute(2, 0, 1) / 255).requires_grad_(),
    "Pillow": Image.fromarray(PIXELS),
    "Pillow RGBA": Image.fromarray(np.dstack([PIXELS, np.full((20, 30), 255, np.uint8)])),
    "bytes": png(PIXELS),
}


@pytest.mark.parametrize("kind", SAME)
def test_equal_pixels_give_equal_predictions(predictor: Callable[..., Predictor], kind: str) -> None:
    predict = predictor("classification").predict
    (expected,), (found,) = predict(PIXELS), predict(SAME[kind])
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_a_frame_of_a_video_is_predicted_as_its_pixels(predictor: Callable[..., Predictor], tmp_path: Path) -> None:
    film = str(tmp_path / "film.avi")
    writer = cv2.VideoWriter(film, cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"FFV1"), 10, (30, 20))  # lossless
    writer.write(np.ascontiguousarray(PIXELS[..., ::-1]))
    writer.release()
    predict = predictor("classification").predict
    (expected,), (found,) = predict(PIXELS), predict(film)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


@pytest.mark.parametrize(
    "grey", [GREY, GREY[..., None], torch.from_numpy(GREY), torch.from_numpy(GREY)[None], Image.fromarray(GREY)]
)
def test_grey_is_repeated(grey: Any) -> None:
    assert (as_array(grey, 0, 3) == GREY[..., None]).all()
    assert as_array(grey, 0, 3).shape == (20, 30, 3)
    assert (as_array(grey, 0, 1) == GREY[..., None]).all()


def test_colour_becomes_grey_for_a_network_of_one_channel() -> None:
    found = as_array(PIXELS, 0, 1)[..., 0].astype(int)
    assert abs(found - PIXELS @ np.array([0.299, 0.587, 0.114])).max() <= 1


def test_16_bits_stay() -> None:
    deep = PIXELS.astype(np.uint16) * 257
    assert as_array(deep, 0, 3).dtype == np.uint16
    pillow = Image.fromarray(deep[..., 0])
    assert (as_array(pillow, 0, 1)[..., 0] == deep[..., 0]).all()


def test_the_exif_rotation_of_a_pillow_image_is_applied() -> None:
    image = Image.fromarray(PIXELS)
    image.getexif()[274] = 6
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=image.getexif())
    assert as_array(Image.open(buffer), 0, 3).shape == (30, 20, 3)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 24, 24), np.uint8), r"array 1 has the shape \(3, 24, 24\), expected \(height, width, 3\)"),
        (np.zeros((0, 24, 3), np.uint8), r"array 1 has the shape \(0, 24, 3\)"),
        (np.zeros((24,), np.uint8), r"array 1 has the shape \(24,\)"),
        (np.zeros((24, 24, 3), np.int64), r"array 1 is int64, expected uint8, uint16, or floats from 0 to 1"),
        (np.full((24, 24, 3), 255.0), r"array 1 has floats from 255 to 255, expected 0 to 1, or uint8"),
        (np.full((24, 24, 3), np.nan), r"array 1 has floats from nan to nan"),
        (torch.zeros(3, 24, 3), r"tensor 1 has the shape \(3, 24, 3\), which may be \(channels, height, width\) or"),
        (None, "input 1 is a NoneType; expected a path, bytes, an array, a tensor or a Pillow image"),
    ],
)
def test_what_is_not_an_image_is_refused(predictor: Callable[..., Predictor], image: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        predictor("classification").predict([np.zeros((24, 24, 3), np.uint8), image])
