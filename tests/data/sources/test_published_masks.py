"""Pascal VOC's and Cityscapes' own layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.sources.published_masks import CITYSCAPES, read_cityscapes, read_voc_masks
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE

Save = Callable[..., None]


def test_pascal_vocs_layout(tmp_path: Path, save_photo: Save, save_mask: Save) -> None:
    for split, name in (("train", "2007_1"), ("val", "2007_2")):
        save_photo(tmp_path / "JPEGImages" / f"{name}.jpg")
        save_mask(tmp_path / "SegmentationClass" / f"{name}.png", [*range(21), 255], colours=True)
        lists = tmp_path / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{split}.txt").write_text(f"{name}\n")
    found = read_voc_masks(str(tmp_path), 3)
    assert (len(found.classes), found.classes[15], found.splits["val"].keys()) == (
        21,
        "person",
        ["JPEGImages/2007_2.jpg"],
    )
    (tmp_path / "SegmentationClass" / "2007_2.png").unlink()
    with pytest.raises(DataError, match=r"has 1 fault:\n.*SegmentationClass/2007_2.png: does not exist"):
        read_voc_masks(str(tmp_path), 3).usable()


def test_pascal_vocs_masks_in_colours_and_other_lists(tmp_path: Path, save_photo: Save) -> None:
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (tmp_path / "SegmentationClass").mkdir()
    for name in ("a b", "c"):
        save_photo(tmp_path / "JPEGImages" / f"{name}.png")
        colours = np.zeros((8, 12, 3), np.uint8)
        colours[0], colours[1] = (192, 128, 128), (224, 224, 192)
        Image.fromarray(colours).save(tmp_path / "SegmentationClass" / f"{name}.png")
    (lists / "trainval.txt").write_text("a b\nc\n")
    found = read_voc_masks(str(tmp_path), 3).usable()
    assert found.splits["train"].keys() == ["JPEGImages/a b.png", "JPEGImages/c.png"]
    assert found.splits["train"].mask(0)[:3, 0].tolist() == [15, IGNORE, 0]
    assert "classes that no training mask shows (19): aeroplane" in found.notes[-1]
    (lists / "Train.txt").write_text("c\n")
    (lists / "Validation.txt").write_text("a b\n")
    assert {split: len(listing) for split, listing in read_voc_masks(str(tmp_path), 3).splits.items()} == {
        "train": 1,
        "val": 1,
    }
    for path in lists.iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"has no train.txt; expected Pascal VOC's layout"):
        read_voc_masks(str(tmp_path), 3)


def test_cityscapes_layout(tmp_path: Path, save_photo: Save, save_mask: Save) -> None:
    for split in ("train", "val"):
        save_photo(tmp_path / "leftImg8bit" / split / "ulm" / "ulm_0_leftImg8bit.png")
        save_mask(tmp_path / "gtFine" / split / "ulm" / "ulm_0_gtFine_labelIds.png", [*CITYSCAPES.values(), 0, 3])
    found = read_cityscapes(str(tmp_path), 3)
    assert found.classes[:2] == ["road", "sidewalk"]
    values = found.splits["train"].mask(0)
    assert values.ravel()[:21].tolist() == [*range(19), IGNORE, IGNORE]
