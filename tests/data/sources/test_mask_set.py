"""What is checked before images and masks become a set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from resnet_tl.data.images.class_masks import Coding
from resnet_tl.data.listings.exclude import exclude_images
from resnet_tl.data.listings.faults import kept_faults
from resnet_tl.data.listings.masks import MaskSet
from resnet_tl.data.sources import mask_scan
from resnet_tl.data.sources.class_list import ClassList, palette
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.mask_scan import Pair, scan_masks
from resnet_tl.data.sources.mask_set import checked_set, in_order_of, missing_files
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE

Save = Callable[..., None]
CLASSES = ClassList(["sky", "road"], [0, 1], palette(2))
PAIRS = [(f"{i}.jpg", f"{i}.png") for i in range(4)]


def read(
    root: Path, splits: dict[str, list[Pair]], coding: Coding | None = None, *, faults: Sequence[str] = (), **how: bool
) -> MaskSet:
    findings = Findings(str(root), faults=list(faults))
    scans = scan_masks(str(root), splits, findings)
    coding = CLASSES.coding([]) if coding is None else coding
    return checked_set(CLASSES, coding, splits, scans, findings, 3, **{"all_shown": True, **how})


@pytest.fixture
def root(tmp_path: Path, save_photo: Save, save_mask: Save) -> Path:
    """Masks of 12 x 8 pixels; only the second shows the road."""
    for i in range(4):
        save_photo(tmp_path / f"{i}.jpg")
        save_mask(tmp_path / f"{i}.png", [int(i == 1)])
    return tmp_path


def test_pixels_of_the_training_masks_are_counted(root: Path) -> None:
    found = read(root, {"train": PAIRS[:2], "val": PAIRS[2:]})
    assert found.pixels.tolist() == [96, 96]
    assert [len(found.splits[split]) for split in ("train", "val")] == [2, 2]
    assert (found.splits["train"].mask(1) == 1).all()


def test_of_a_large_split_an_even_sample_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_scan, "SCANNED", 2)
    found = read(root, {"train": PAIRS})
    assert found.notes == [f"{root}: 2 of the 4 masks of train were checked"]
    assert found.pixels.tolist() == [192, 0], "the others may show the road"
    assert not found.absent


def test_files_that_do_not_exist_are_faults(root: Path) -> None:
    faults = missing_files(str(root), PAIRS, {file.name for file in root.iterdir()} - {"1.png"})
    assert faults == [f"{root}/1.png: does not exist"]
    with pytest.raises(DataError) as caught:
        read(root, {"train": [PAIRS[0], *PAIRS[2:]]}, faults=faults).usable()
    assert str(caught.value).splitlines()[1:] == [
        f"  {root}/1.png: does not exist",
        f"  {root}: no training mask shows the class 'road'; remove it or add images",
    ]


def test_a_class_that_no_mask_shows_may_be_an_ignored_value(root: Path, save_mask: Save) -> None:
    save_mask(root / "0.png", [0, IGNORE])
    with pytest.raises(
        DataError, match=r"give it its value in classes.csv if it is one of those ignored \(value 255\)"
    ):
        read(root, {"train": PAIRS[:1]}, CLASSES.coding([IGNORE])).usable()


def test_a_value_without_a_class_in_many_masks_is_one_fault_in_the_error_and_excluded_by_mask(
    tmp_path: Path, save_photo: Save, save_mask: Save
) -> None:
    pairs = [(f"{i}.jpg", f"{i}.png") for i in range(10)]
    for i, (image, mask) in enumerate(pairs):
        save_photo(tmp_path / image)
        save_mask(tmp_path / mask, [0, 1, *([11] if i in range(1, 8) else [])])
    found = read(tmp_path, {"train": pairs[:5], "val": pairs[5:]}, CLASSES.coding([IGNORE]))
    with pytest.raises(DataError, match=r"has 1 fault:\n.*: 7 masks are like .*/1\.png, which has the value 11; "):
        found.usable()
    with kept_faults() as faults:
        found.usable()
    assert list(faults.values()) == [f"{i}.jpg" for i in range(1, 8)]
    (tmp_path / "some.csv").write_text("\n".join(["key", *list(faults.values())[2:]]))
    with pytest.raises(DataError, match=r"2 faults:\n  .*/1\.png: has the value 11; .*\n  .*/2\.png: has the value 11"):
        exclude_images(found, str(tmp_path / "some.csv")).usable()
    (tmp_path / "all.csv").write_text("\n".join(["key", *faults.values()]))
    usable = exclude_images(found, str(tmp_path / "all.csv")).usable()
    assert {split: listing.keys() for split, listing in usable.splits.items()} == {
        "train": ["0.jpg"],
        "val": ["8.jpg", "9.jpg"],
    }


def test_a_mask_of_another_size_is_a_fault(root: Path, save_mask: Save) -> None:
    save_mask(root / "0.png", [0], (10, 8))
    with pytest.raises(DataError, match=r"0\.png: is 10 x 8 pixels, but its image 12 x 8"):
        read(root, {"train": PAIRS}).usable()


def test_an_image_that_cannot_be_read_is_a_fault(root: Path) -> None:
    (root / "2.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"has 1 fault:\n  .*/2\.jpg: not an image"):
        read(root, {"train": PAIRS}).usable()


def test_classes_that_are_not_shown_are_noted_where_that_is_no_fault(root: Path) -> None:
    found = read(root, {"train": PAIRS[:1], "val": PAIRS[2:]}, all_shown=False)
    assert found.notes == [f"{root}: classes that no training mask shows (1): road"]
    assert found.absent == [1]


def test_many_ignored_pixels_and_masks_of_nothing_else_are_noted(root: Path, save_mask: Save) -> None:
    save_mask(root / "0.png", [0, 1, *[0] * 18])
    save_mask(root / "2.png", [0, 0, IGNORE])
    save_mask(root / "3.png", [0, 1, IGNORE])
    found = read(root, {"train": PAIRS[:2], "val": PAIRS[2:]}, CLASSES.coding([IGNORE]))
    assert found.notes == [
        f"{root}: masks of val that show nothing but 'sky' and ignored pixels (1): 2.png",
        f"{root}: 33% of the pixels of val are ignored (value 255)",
    ]
    assert next(iter(found.remarks)).path == f"{root}/2.png"


@pytest.mark.parametrize("scanned", [2, 5000])
def test_masks_of_rotated_images_rotate_with_them(
    root: Path, save_mask: Save, monkeypatch: pytest.MonkeyPatch, scanned: int
) -> None:
    monkeypatch.setattr(mask_scan, "SCANNED", scanned)
    exif = Image.Exif()
    exif[274] = 6
    for i in range(4):
        Image.new("RGB", (12, 8)).save(root / f"{i}.jpg", exif=exif)
        save_mask(root / f"{i}.png", [0, 1])
    found = read(root, {"train": PAIRS})
    listing = found.splits["train"]
    assert [listing.mask(i).shape for i in range(4)] == [(12, 8)] * 4
    assert listing.mask(0)[:4, 0].tolist() == [0, 1, 0, 1]
    assert "images rotated by their EXIF data, their annotations with them (4)" in found.notes[-1]


def test_a_set_takes_the_order_of_a_checkpoints_classes(root: Path) -> None:
    found = in_order_of(read(root, {"train": PAIRS[:2], "val": PAIRS[2:]}), ["car", "road", "sky"])
    assert (found.classes, found.pixels.tolist(), found.absent) == (["car", "road", "sky"], [0, 96, 96], [0])
    assert found.colours.tolist() == [[128, 128, 0], [128, 0, 0], [0, 0, 0]]
    assert [int(found.splits["train"].mask(i).max()) for i in range(2)] == [2, 1]
    with pytest.raises(DataError, match=r"classes \('road'"):
        in_order_of(found, ["car", "sky"])
