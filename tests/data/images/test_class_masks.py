"""Mask files as class indices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.images.class_masks import NO_CLASS, Coding, read_mask, unknown_values
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


def test_a_value_without_a_class_is_named(tmp_path: Path) -> None:
    Image.fromarray(np.array([[7, 1]], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(
        DataError,
        match=r"a\.png: has the value 7; expected 1 to 2 or 0 to ignore \(data\.ignore: \[7, 0\] ignores it too\)$",
    ):
        read_mask(str(tmp_path / "a.png"), coding())
    assert unknown_values(np.array([[8, 9, 1]], np.uint8), coding()).startswith("has the value 8, 9; ")


def test_a_file_that_is_not_an_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"a\.png: not a readable mask"):
        read_mask(str(tmp_path / "a.png"), coding())
