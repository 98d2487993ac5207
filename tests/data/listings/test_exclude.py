"""Excluding images by a file of keys."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from resnet_tl.data.classification import ImageFolder
from resnet_tl.data.segmentation import MaskFolder
from resnet_tl.errors import DataError
from resnet_tl.recipe.shipped import shipped_root

ROOT = str(shipped_root() / "data" / "samples" / "classification")


def test_excluded_images_are_in_no_split_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("key,reason\ntrain/cat/000.png,unreadable\nval/dog/003.png,duplicate\nval/dog/none.png,x\n")
    data = ImageFolder(ROOT, exclude=str(file))
    assert f"{file}: excludes 2 images; 1 of its keys are not in the set" in data.notes
    keys = {sample.key for listing in data.listings.values() for sample in listing}
    assert len(keys) == 700 - 2
    assert keys.isdisjoint({"train/cat/000.png", "val/dog/003.png"})


def test_groups_are_an_option_of_every_data_module() -> None:
    """The sample's number is its group: 0 of all classes is on one side."""
    data = ImageFolder(f"{ROOT}/train", group=r"/(\d+)\.png", val_fraction=0.2)
    sides = {split: {sample.key[-7:-4] for sample in listing} for split, listing in data.listings.items()}
    assert sides["train"].isdisjoint(sides["val"])
    assert len(data.listings["val"]) == 40


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\na\n", "has the columns path; expected a column key"),
        ("", "has no columns; expected a column key"),
        ('key\n"a', "is not a CSV in UTF-8"),
        (None, "cannot be read: No such file"),
    ],
)
def test_files_that_name_no_keys_are_refused(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "bad.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DataError, match=message):
        ImageFolder(ROOT, exclude=str(file))


def test_excluding_all_images_is_refused(tmp_path: Path) -> None:
    data, file = ImageFolder(ROOT), tmp_path / "bad.csv"
    file.write_text("\n".join(["key", *(sample.key for part in data.listings.values() for sample in part)]))
    with pytest.raises(DataError, match="excludes all images"):
        ImageFolder(ROOT, exclude=str(file))


def test_excluded_images_take_their_faults_with_them(tmp_path: Path) -> None:
    root = shutil.copytree(Path(ROOT).parent / "segmentation", tmp_path / "set")
    (root / "train/masks/03.png").unlink()
    Image.new("L", (96, 96), 77).save(root / "val/masks/02.png")
    with pytest.raises(DataError, match="2 faults"):
        MaskFolder(str(root))
    file = tmp_path / "bad.csv"
    file.write_text("key\ntrain/images/03.png\nval/images/02.png\n")
    data = MaskFolder(str(root), exclude=str(file))
    assert f"{file}: excludes 2 images" in data.notes
    assert {split: len(listing) for split, listing in data.listings.items()} == {"train": 23, "val": 7}
