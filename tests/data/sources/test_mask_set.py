"""What is checked before images and masks become a set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_tl.data.sources import mask_set
from resnet_tl.data.sources.class_list import ClassList, palette
from resnet_tl.data.sources.mask_set import checked_set, missing_files
from resnet_tl.errors import DataError

Save = Callable[..., None]
CLASSES = ClassList(["sky", "road"], [0, 1], palette(2))
PAIRS = [(f"{i}.jpg", f"{i}.png") for i in range(4)]


@pytest.fixture
def root(tmp_path: Path, save_photo: Save, save_mask: Save) -> Path:
    """Masks of 12 x 8 pixels; only the second shows the road."""
    for i in range(4):
        save_photo(tmp_path / f"{i}.jpg")
        save_mask(tmp_path / f"{i}.png", [int(i == 1)])
    return tmp_path


def test_pixels_of_the_training_masks_are_counted(root: Path) -> None:
    found = checked_set(str(root), CLASSES, CLASSES.coding([]), {"train": PAIRS[:2], "val": PAIRS[2:]}, [], 3)
    assert found.pixels.tolist() == [96, 96]
    assert [len(found.splits[split]) for split in ("train", "val")] == [2, 2]
    assert (found.splits["train"].mask(1) == 1).all()


def test_of_a_large_split_an_even_sample_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_set, "SCANNED", 2)
    found = checked_set(str(root), CLASSES, CLASSES.coding([]), {"train": PAIRS}, [], 3)
    assert found.notes == [f"{root}: 2 of the 4 masks of train were checked"]
    assert found.pixels.tolist() == [192, 0], "the others may show the road"


def test_a_file_that_does_not_exist_is_one_fault_and_not_read(root: Path) -> None:
    (root / "1.png").unlink()
    faults = missing_files(str(root), PAIRS)
    assert faults == [f"{root}/1.png: does not exist"]
    with pytest.raises(DataError) as caught:
        checked_set(str(root), CLASSES, CLASSES.coding([]), {"train": PAIRS}, faults, 3).usable()
    assert str(caught.value).splitlines()[1:] == [
        f"  {root}/1.png: does not exist",
        f"  {root}: no training mask shows the class 'road'; remove it or add images",
    ]


def test_a_mask_of_another_size_is_a_fault(root: Path, save_mask: Save) -> None:
    save_mask(root / "0.png", [0], (10, 8))
    with pytest.raises(DataError, match=r"0\.png: is 10 x 8 pixels, but its image 12 x 8"):
        checked_set(str(root), CLASSES, CLASSES.coding([]), {"train": PAIRS}, [], 3).usable()
