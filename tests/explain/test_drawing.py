"""Heat maps: transparent where nothing counts, at the image's own size, with their scale."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_tl.explain.drawing import _colours, heat, picture
from resnet_tl.explain.explain import Explanation


def explanation(height: int, width: int, values: np.ndarray | None = None, **options: object) -> Explanation:
    image = np.full((height, width, 3), 100, np.uint8)
    shown = np.zeros((height, width), np.float32) if values is None else values
    given = {"label": "bees", "score": 0.9, "box": None, "map": shown, "caption": "bees 0.90 · Grad-CAM at layer4"}
    return Explanation(0, "a.jpg", **{"image": image, **given, **options})  # type: ignore[arg-type]


def test_zero_and_less_leave_the_image_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    values = np.array([[-1, 0, 1, 2, 4]] * 4, np.float32)
    drawn = heat(image, values)
    np.testing.assert_array_equal(drawn[:, :2], image[:, :2])
    assert (drawn[:, 2:] != image[:, 2:]).any()
    np.testing.assert_array_equal(heat(image, np.zeros((4, 5), np.float32)), image)


def test_equal_steps_look_equally_large() -> None:
    """Lightness rises, by about as much at each step."""
    linear = (_colours() / 255) ** 2.2 @ (0.2126, 0.7152, 0.0722)
    lightness = 116 * np.cbrt(np.maximum(linear, 0.009)) - 16
    steps = np.diff(lightness[40::8])
    assert steps.min() > 0.5 * steps.mean()
    assert steps.max() < 2 * steps.mean()


@pytest.mark.parametrize(("size", "drawn"), [((300, 400), (400, 300)), ((50, 60), (240, 200)), ((16, 16), (240, 240))])
def test_pictures_keep_the_images_size_or_a_multiple_of_it(size: tuple[int, int], drawn: tuple[int, int]) -> None:
    image = picture(explanation(*size))
    assert image.width == drawn[0]
    assert drawn[1] < image.height <= drawn[1] + 60
    np.testing.assert_array_equal(np.asarray(image)[: drawn[1]], 100)


def test_the_box_and_the_scale_are_drawn() -> None:
    values = np.zeros((300, 400), np.float32)
    values[150, 200] = 3
    plain, boxed = (
        picture(explanation(300, 400, values)),
        picture(explanation(300, 400, values, box=(50, 60, 150, 160))),
    )
    differs = (np.asarray(plain) != np.asarray(boxed)).any(2)
    rows, columns = np.nonzero(differs)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (60, 159, 50, 149)
    strip = np.asarray(plain)[300:]
    other = np.asarray(picture(explanation(300, 400, values * 2)))[300:]
    assert (strip != other).any()  # the number at its end


def test_sixteen_bits_and_one_channel_are_drawn() -> None:
    image = np.linspace(0, 65535, 300 * 260).reshape(300, 260, 1).astype(np.uint16)
    assert picture(explanation(300, 260, image=image)).mode == "RGB"
