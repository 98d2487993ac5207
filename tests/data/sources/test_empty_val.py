"""An empty folder to validate on is refused, in every layout that is read by folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.classification import ImageFolder
from resnet_tl.data.detection import YoloDetection
from resnet_tl.data.segmentation import MaskFolder
from resnet_tl.errors import DataError
from resnet_tl.run.data import check_data


def plant(root: Path, folder: str) -> None:
    (root / folder).mkdir(parents=True)
    for number in range(2):
        Image.fromarray(np.eye(8, dtype=np.uint8)).save(root / folder / f"{number}.png")


def test_of_class_folders(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        plant(tmp_path, f"train/{name}")
    (tmp_path / "val/cat").mkdir(parents=True)
    with pytest.raises(DataError, match=r"val: holds no images; fill it, or remove it to validate on a part of train"):
        ImageFolder(str(tmp_path))
    (tmp_path / "val").rename(tmp_path / "test")
    assert ImageFolder(str(tmp_path)).notes == [f"{tmp_path}: 2 train, 2 val (split here); no test split: val is used"]


def test_a_check_names_the_folder_and_no_split_in_its_place(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        plant(tmp_path, f"train/{name}")
    (tmp_path / "val").mkdir()
    notes, findings = check_data([], [], str(tmp_path))
    assert notes[1:] == [f"{tmp_path}: 4 train"]
    assert (findings[0].path, findings[0].text[:20]) == (f"{tmp_path}/val", "holds no images; fil")


@pytest.mark.parametrize("description", ["names: [a]", "{names: [a], train: images/train, val: images/val}"])
def test_of_yolo(tmp_path: Path, description: str) -> None:
    plant(tmp_path, "images/train")
    (tmp_path / "images/val").mkdir()
    (tmp_path / "data.yaml").write_text(description)
    with pytest.raises(DataError, match="images/val: holds no images; fill it, or"):
        YoloDetection(str(tmp_path), keep_empty=True)


@pytest.mark.parametrize("val", ["val/images", "val"])
def test_of_masks(tmp_path: Path, val: str) -> None:
    plant(tmp_path, "train/images")
    plant(tmp_path, "train/masks")
    (tmp_path / val).mkdir(parents=True)
    with pytest.raises(DataError, match="val: holds no images; fill it, or"):
        MaskFolder(str(tmp_path))
