"""Mask files as class indices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from resnet_tl.data.images.class_masks import (
    NO_CLASS,
    Coding,
    read_mask,
    read_pixels,
    read_values,
    runs,
    unknown_values,
    without_class,
)
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE


def coding(colours: dict[int, int] | None = None) -> Coding:
    """Values 1 and 2 are the classes 0 and 1, 0 is ignored."""
    codes = np.full(256, NO_CLASS, np.uint8)
    codes[[0, 1, 2]] = [IGNORE, 0, 1]
    return Coding(codes, colours or {})


@pytest.mark.parametrize("mode", ["L", "P"])
def test_values_and_indices_of_a_palette_become_classes(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2], [2, 2, 1]], np.uint8))
    if mode == "P":
        image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    image.save(tmp_path / "a.png")
    mask = read_mask(str(tmp_path / "a.png"), coding())
    assert mask.tolist() == [[IGNORE, 0, 1], [1, 1, 0]]


def test_colours_become_the_values_assigned_to_them(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)).save(tmp_path / "a.png")
    assert read_mask(str(tmp_path / "a.png"), coding({0xFF0000: 2, 0x0000FF: 0})).tolist() == [[1, IGNORE]]
    with pytest.raises(DataError, match=r"a\.png: has the colour #0000ff, which the class file does not list"):
        read_mask(str(tmp_path / "a.png"), coding({0xFF0000: 2}))


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA", "I;16", "1"])
def test_one_value_a_pixel_in_any_mode(mode: str, tmp_path: Path) -> None:
    values = np.array([[0, 1], [1, 0]] if mode == "1" else [[0, 1], [2, 1]], np.uint8)
    if mode == "I;16":
        image = Image.fromarray(values.astype(np.uint16))
    elif mode == "1":
        image = Image.fromarray(values.astype(bool))
    else:
        image = Image.fromarray(values).convert(mode)
    assert image.mode == mode
    image.save(tmp_path / "a.png")
    assert read_values(str(tmp_path / "a.png"), coding()).tolist() == values.tolist()


def test_values_beyond_8_bits_have_classes_of_their_own(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 700]], np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: has the value 700; expected 1 to 2 or 0 to ignore"):
        read_mask(str(tmp_path / "a.png"), coding())
    codes = np.full(1 << 16, NO_CLASS, np.uint8)
    codes[[0, 700]] = 0, 1
    assert read_mask(str(tmp_path / "a.png"), Coding(codes, {})).tolist() == [[0, 1]]
    Image.fromarray(np.array([[0, 70000]], np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif: has the value 70000; expected 0 to 65535"):
        read_mask(str(tmp_path / "a.tif"), coding())


def test_colours_without_a_list_and_other_modes_are_named(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2), (9, 0, 0)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: is a mask of mode RGB; expected one value a pixel, or the colours"):
        read_mask(str(tmp_path / "a.png"), coding())
    Image.new("CMYK", (2, 2)).save(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"a\.jpg: is a mask of mode CMYK; expected grey, palette or RGB"):
        read_mask(str(tmp_path / "a.jpg"), coding())


def test_palettes_are_read_by_colour_where_the_coding_says_so(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([0, 0, 255, 255, 0, 0])
    image.save(tmp_path / "a.png")
    by_colour = coding({0xFF0000: 1, 0x0000FF: 2})
    assert read_mask(str(tmp_path / "a.png"), by_colour).tolist() == [[IGNORE, 0]]
    assert read_mask(str(tmp_path / "a.png"), by_colour._replace(palettes=True)).tolist() == [[1, 0]]


@settings(deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.integers(0, 2)))
def test_runs_cover_every_pixel(values: npt.NDArray[np.uint8]) -> None:
    of_runs, lengths = runs(values)
    assert np.repeat(of_runs, lengths).tolist() == values.ravel().tolist()
    assert (of_runs[1:] != of_runs[:-1]).all()


def test_a_value_without_a_class_is_named(tmp_path: Path) -> None:
    Image.fromarray(np.array([[7, 1]], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(
        DataError,
        match=r"a\.png: has the value 7; expected 1 to 2 or 0 to ignore \(data\.ignore: \[7, 0\] ignores it too\)$",
    ):
        read_mask(str(tmp_path / "a.png"), coding())
    assert unknown_values(np.array([[9, 8, 1]], np.uint8), coding()) == [8, 9]
    assert without_class([8, 9], coding()) == (
        "has the values 8, 9; expected 1 to 2 or 0 to ignore (data.ignore: [8, 9, 0] ignores them too)"
    )
    assert (
        without_class([*range(3, 9)], coding()) == "has the values 3, 4, 5, 6, 7, ...; expected 1 to 2 or 0 to ignore"
    )


def test_a_file_that_is_not_an_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"a\.png: not a readable mask \(it starts with b'<html>'\); expected PNG$"):
        read_mask(str(tmp_path / "a.png"), coding())


@pytest.mark.parametrize(
    ("stored", "kind"), [(np.uint8, np.uint8), (bool, np.uint8), (np.int64, np.uint8), (np.uint16, np.uint16)]
)
def test_an_array_is_a_mask(tmp_path: Path, stored: type, kind: type) -> None:
    values = np.array([[0, 1, 1], [1, 0, 0]], stored) * (300 if stored is np.uint16 else 1)
    np.save(tmp_path / "a.npy", values.astype(stored))
    pixels = read_pixels(str(tmp_path / "a.npy"))
    assert (pixels.values.dtype, pixels.kind, pixels.values.tolist()) == (kind, "grey", values.astype(int).tolist())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((2, 3, 3), np.uint8), r"is a mask of shape \(2, 3, 3\) and uint8; expected integers, height x width"),
        (np.zeros((2, 3)), r"is a mask of shape \(2, 3\) and float64"),
        (np.full((2, 3), -1), "has the value -1; expected 0 to 65535"),
    ],
)
def test_an_array_that_is_not_a_mask_is_named(tmp_path: Path, values: npt.NDArray[Any], reason: str) -> None:
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(DataError, match=rf"a\.npy: {reason}"):
        read_pixels(str(tmp_path / "a.npy"))
