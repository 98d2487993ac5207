"""Folders of images and masks, and every fault of a set in one error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.images.class_masks import NO_CLASS
from resnet_tl.data.sources.mask_folder import read_mask_folder
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE

Save = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path, save_photo: Save, save_mask: Save) -> Path:
    """`{train,val}/{images,masks}` of 3 and 1 images, classes sky, road and car."""
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\n")
    for split, count in (("train", 3), ("val", 1)):
        for number in range(count):
            save_photo(tmp_path / split / "images" / f"{number}.jpg")
            save_mask(tmp_path / split / "masks" / f"{number}.png", [0, 1, 2, IGNORE], colours=number == 1)
    return tmp_path


def test_images_and_masks_are_paired_by_stem_and_pixels_counted(folder: Path) -> None:
    found = read_mask_folder(str(folder), None, [IGNORE], 3)
    assert found.classes == ["sky", "road", "car"]
    assert {split: len(listing) for split, listing in found.splits.items()} == {"train": 3, "val": 1}
    sample = found.splits["train"][1]
    assert (sample.key, sample.target) == ("train/images/1.jpg", f"{folder}/train/masks/1.png")
    assert found.pixels.tolist() == [72, 72, 72]
    assert found.splits["train"].mask(1)[0, :4].tolist() == [0, 1, 2, IGNORE], "indices, not colours"


def test_every_fault_of_a_set_is_named_at_once(folder: Path, save_photo: Save, save_mask: Save) -> None:
    (folder / "classes.txt").write_text("sky\nroad\ncar\ntram\n")
    (folder / "train/masks/0.png").unlink()
    save_mask(folder / "train/masks/1.png", [0, 9], (12, 8))
    save_mask(folder / "train/masks/2.png", [0, 1], (10, 8))
    Image.new("RGB", (12, 8), (255, 0, 0)).save(folder / "train/masks/3.png")
    save_photo(folder / "train/images/3.jpg")
    save_mask(folder / "val/masks/alone.png", [0])
    with pytest.raises(DataError) as caught:
        read_mask_folder(str(folder), None, [IGNORE], 3).usable()
    message = str(caught.value)
    assert message.startswith(f"{folder} has 7 faults:")
    for fault in (
        "train/images/0.jpg: has no mask train/masks/0.png",
        "train/masks/1.png: has the value 9; expected 0 to 3 or 255 to ignore",
        "train/masks/2.png: is 10 x 8 pixels, but its image 12 x 8",
        "train/masks/3.png: is a mask of mode RGB",
        "val/masks/alone.png: is a mask without an image",
        "no training mask shows the class 'car'",
        "no training mask shows the class 'tram'",
    ):
        assert fault in message


def test_other_ignored_values_and_ids_of_a_class_file(folder: Path) -> None:
    (folder / "classes.txt").unlink()
    (folder / "classes.csv").write_text("id,name,colour\n2,car,#0a0b0c\n0,sky,\n1,road,#ffffff\n")
    found = read_mask_folder(str(folder), None, [IGNORE], 3)
    assert found.classes == ["car", "sky", "road"]
    assert found.splits["train"].coding.codes[[0, 1, 2, 3, 255]].tolist() == [1, 2, 0, NO_CLASS, IGNORE]
    assert found.colours[[0, 2]].tolist() == [[10, 11, 12], [255, 255, 255]]
    with pytest.raises(DataError, match="has the value 255"):
        read_mask_folder(str(folder), None, [11], 3).usable()


def test_masks_in_the_colours_of_the_class_file(folder: Path, save_photo: Save) -> None:
    (folder / "classes.txt").unlink()
    (folder / "classes.csv").write_text(
        "id,name,colour\n0,sky,#102030\n1,road,#ff0000\n2,car,#00ff00\n255,unknown,#ffffff\n"
    )
    colours = np.array([[0x10, 0x20, 0x30], [255, 0, 0], [0, 255, 0], [255, 255, 255]], np.uint8)
    path = folder / "train" / "masks" / "0.png"
    with Image.open(path) as image:
        values = np.asarray(image).copy()
    Image.fromarray(colours[np.where(values == IGNORE, 3, values)]).save(path)
    found = read_mask_folder(str(folder), None, [IGNORE], 3)
    assert found.classes == ["sky", "road", "car"]
    assert found.pixels.tolist() == [72, 72, 72]
    assert (found.splits["train"].mask(0) == values).all()
    save_photo(path)
    with pytest.raises(DataError, match=r"0.png: has the colour #000000, which the class file does not list"):
        read_mask_folder(str(folder), None, [IGNORE], 3).usable()
