"""Sets of images and masks: layouts, class files, and every fault of a set in one error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.images.class_masks import NO_CLASS
from resnet_tl.data.sources.mask_files import (
    CITYSCAPES,
    palette,
    read_cityscapes,
    read_classes,
    read_mask_folder,
    read_voc,
)
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE


def photo(path: Path, size: tuple[int, int] = (12, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(path)


def mask(path: Path, values: list[int], size: tuple[int, int] = (12, 8), colours: bool = False) -> None:
    """The values one after another, over and over; as a palette PNG where `colours`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.resize(np.array(values, np.uint8), (size[1], size[0])))
    if colours:
        image.putpalette(palette(256).tobytes())
    image.save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`{train,val}/{images,masks}` of 3 and 1 images, classes sky, road and car."""
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\n")
    for split, count in (("train", 3), ("val", 1)):
        for number in range(count):
            photo(tmp_path / split / "images" / f"{number}.jpg")
            mask(tmp_path / split / "masks" / f"{number}.png", [0, 1, 2, IGNORE], colours=number == 1)
    return tmp_path


def test_images_and_masks_are_paired_by_stem_and_pixels_counted(folder: Path) -> None:
    found = read_mask_folder(str(folder), None, [IGNORE], 3)
    assert found.classes == ["sky", "road", "car"]
    assert {split: len(listing) for split, listing in found.splits.items()} == {"train": 3, "val": 1}
    sample = found.splits["train"][1]
    assert (sample.key, sample.target) == ("train/images/1.jpg", f"{folder}/train/masks/1.png")
    assert found.pixels.tolist() == [72, 72, 72]
    assert found.splits["train"].mask(1)[0, :4].tolist() == [0, 1, 2, IGNORE], "indices, not colours"


def test_every_fault_of_a_set_is_named_at_once(folder: Path) -> None:
    (folder / "classes.txt").write_text("sky\nroad\ncar\ntram\n")
    (folder / "train/masks/0.png").unlink()
    mask(folder / "train/masks/1.png", [0, 9], (12, 8))
    mask(folder / "train/masks/2.png", [0, 1], (10, 8))
    photo(folder / "train/masks/3.png")
    photo(folder / "train/images/3.jpg")
    mask(folder / "val/masks/alone.png", [0])
    with pytest.raises(DataError) as caught:
        read_mask_folder(str(folder), None, [IGNORE], 3)
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


def test_other_values_to_ignore_and_ids_of_a_class_file(folder: Path) -> None:
    (folder / "classes.txt").unlink()
    (folder / "classes.csv").write_text("id,name,colour\n2,car,#0a0b0c\n0,sky,\n1,road,#ffffff\n")
    found = read_mask_folder(str(folder), None, [IGNORE], 3)
    assert found.classes == ["car", "sky", "road"]
    assert found.splits["train"].coding.codes[[0, 1, 2, 3, 255]].tolist() == [1, 2, 0, NO_CLASS, IGNORE]
    assert found.colours[[0, 2]].tolist() == [[10, 11, 12], [255, 255, 255]]
    with pytest.raises(DataError, match="has the value 255"):
        read_mask_folder(str(folder), None, [11], 3)


def test_masks_in_the_colours_of_the_class_file(folder: Path) -> None:
    (folder / "classes.txt").unlink()
    (folder / "classes.csv").write_text(
        "id,name,colour\n0,sky,#102030\n1,road,#ff0000\n2,car,#00ff00\n255,nobody knows,#ffffff\n"
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
    photo(path)
    with pytest.raises(DataError, match=r"0.png: has the colour #000000, which the class file does not list"):
        read_mask_folder(str(folder), None, [IGNORE], 3)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("name\ncar\ncar\n", "names 2 classes; expected two or more, each name and id once"),
        ("name,id\ncar,0\nsky,254\n", "has the id 254; expected 0 to 253"),
        ("title\ncar\nsky\n", "expected the columns id, name, colour"),
        ("name,colour\ncar,#000001\nsky,#000001\n", "has a colour twice"),
        ("name,colour\ncar,red\nsky,\n", "expected the columns id, name, colour"),
    ],
)
def test_a_wrong_class_file_is_one_sentence(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "classes.csv").write_text(content)
    with pytest.raises(DataError, match=complaint):
        read_classes(str(tmp_path / "classes.csv"), [IGNORE])


def test_pascal_vocs_layout(tmp_path: Path) -> None:
    for split, name in (("train", "2007_1"), ("val", "2007_2")):
        photo(tmp_path / "JPEGImages" / f"{name}.jpg")
        mask(tmp_path / "SegmentationClass" / f"{name}.png", [*range(21), 255], colours=True)
        lists = tmp_path / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{split}.txt").write_text(f"{name}\n")
    found = read_voc(str(tmp_path), 3)
    assert (len(found.classes), found.classes[15], found.splits["val"].keys()) == (
        21,
        "person",
        ["JPEGImages/2007_2.jpg"],
    )
    (tmp_path / "SegmentationClass" / "2007_2.png").unlink()
    with pytest.raises(DataError, match=r"has 1 fault:\n.*SegmentationClass/2007_2.png: does not exist"):
        read_voc(str(tmp_path), 3)


def test_cityscapes_layout(tmp_path: Path) -> None:
    for split in ("train", "val"):
        photo(tmp_path / "leftImg8bit" / split / "ulm" / "ulm_0_leftImg8bit.png")
        mask(tmp_path / "gtFine" / split / "ulm" / "ulm_0_gtFine_labelIds.png", [*CITYSCAPES.values(), 0, 3])
    found = read_cityscapes(str(tmp_path), 3)
    assert found.classes[:2] == ["road", "sidewalk"]
    values = found.splits["train"].mask(0)
    assert values.ravel()[:21].tolist() == [*range(19), IGNORE, IGNORE]


def test_the_palette_is_pascal_vocs() -> None:
    assert palette(4).tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert palette(21)[20].tolist() == [0, 64, 128]
