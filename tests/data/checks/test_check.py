"""Faults planted in clean sets are found by name, and nothing else is."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from photographs import photograph
from PIL import Image

from resnet_tl.data.checks.check import check
from resnet_tl.data.classification import ImageFolder
from resnet_tl.data.detection import CocoDetection, YoloDetection
from resnet_tl.data.listings.finding import Finding
from resnet_tl.data.regression import RegressionTable
from resnet_tl.data.segmentation import MaskFolder
from resnet_tl.recipe.shipped import shipped_root

SAMPLES = shipped_root() / "data" / "samples"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """`{train,val}/{cat,dog}/<n>.jpg`: 12 and 6 of each class."""
    number = 0
    for split, count in (("train", 12), ("val", 6)):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for _ in range(count):
                Image.fromarray(photograph(number)).save(tmp_path / split / name / f"{number}.jpg", quality=92)
                number += 1
    return tmp_path


def of_kind(findings: list[Finding], kind: str) -> list[str]:
    return sorted(Path(finding.path).name for finding in findings if finding.kind == kind)


def test_clean_sets_have_no_findings(photos: Path) -> None:
    assert check(ImageFolder(str(photos))) == []
    assert check(ImageFolder(str(SAMPLES / "classification"))) == []
    assert check(MaskFolder(str(SAMPLES / "segmentation"))) == []


def test_damaged_images_are_named_with_the_reason(photos: Path) -> None:
    path = photos / "train/cat/3.jpg"
    path.write_bytes(path.read_bytes()[:2000])
    (photos / "val/dog/31.jpg").write_bytes(b"")
    findings = check(ImageFolder(str(photos)))
    assert of_kind(findings, "unreadable") == ["3.jpg", "31.jpg"]
    assert {finding.exclude for finding in findings} == {"train/cat/3.jpg", "val/dog/31.jpg"}
    assert len(findings) == 2


def test_equal_files_within_and_across_splits_and_with_another_label(photos: Path) -> None:
    shutil.copy(photos / "train/cat/1.jpg", photos / "train/cat/copy.jpg")
    shutil.copy(photos / "train/cat/2.jpg", photos / "val/cat/leak.jpg")
    shutil.copy(photos / "train/cat/5.jpg", photos / "train/dog/wrong.jpg")
    findings = check(ImageFolder(str(photos)))
    assert Counter(finding.kind for finding in findings) == {
        "duplicate": 1,
        "duplicate across splits": 1,
        "duplicate with another label": 2,
    }
    wrong, right = (finding for finding in findings if "label" in finding.kind)
    assert wrong.text.endswith("train/cat/5.jpg, which is 'cat', not 'dog'")
    assert right.text.endswith("train/dog/wrong.jpg, which is 'dog', not 'cat'")
    assert (wrong.exclude, right.exclude) == ("train/dog/wrong.jpg", "train/cat/5.jpg")  # either may be the wrong one


def test_the_first_of_several_equal_files_is_named_once(photos: Path) -> None:
    for name in ("one", "two"):
        shutil.copy(photos / "train/cat/5.jpg", photos / f"train/dog/{name}.jpg")
    found = of_kind(check(ImageFolder(str(photos))), "duplicate with another label")
    assert found == ["5.jpg", "one.jpg", "two.jpg"]


def test_numbers_of_near_duplicates_may_differ_but_not_those_of_equal_files(photos: Path) -> None:
    images = sorted((photos / "train").glob("*/*.jpg"))
    Image.open(images[0]).save(photos / "near.jpg", quality=60)
    shutil.copy(images[1], photos / "equal.jpg")
    rows = [*images, photos / "near.jpg", photos / "equal.jpg"]
    (photos / "set.csv").write_text("path,age\n" + "".join(f"{row},{age}\n" for age, row in enumerate(rows)))
    findings = check(RegressionTable(str(photos / "set.csv"), val_fraction=1.0))
    assert [(finding.kind, finding.exclude) for finding in findings] == [
        ("duplicate with another label", "train/cat/1.jpg"),
        ("duplicate with another label", "equal.jpg"),
        ("near-duplicate", ""),
    ]


@pytest.mark.parametrize("change", ["recompressed", "resized", "brighter", "shifted"])
def test_an_image_that_was_changed_a_little_is_a_near_duplicate(photos: Path, change: str) -> None:
    scene = photograph(0)
    changed = {
        "recompressed": scene,
        "resized": cv2.resize(scene, (120, 90), interpolation=cv2.INTER_AREA),
        "brighter": np.clip(scene.astype(int) * 1.1 + 5, 0, 255).astype(np.uint8),
        "shifted": np.roll(scene, 2, axis=1),
    }[change]
    Image.fromarray(changed).save(photos / "val/cat/again.jpg", quality=60)
    findings = check(ImageFolder(str(photos)))
    assert [(finding.kind, Path(finding.path).name) for finding in findings] == [
        ("near-duplicate across splits", "again.jpg")
    ]


def test_bursts_are_leaks(tmp_path: Path) -> None:
    """40 bursts of 5 images a few pixels apart, split without regard to them: the validation images are named."""
    for burst in range(40):
        scene = photograph(1000 + burst, 130, 170)
        for shot in range(5):
            folder = tmp_path / ("ab"[burst % 2])
            folder.mkdir(exist_ok=True)
            Image.fromarray(scene[shot : shot + 120, shot : shot + 160]).save(folder / f"{burst}_{shot}.jpg")
    data = ImageFolder(str(tmp_path), seed=0)
    findings = check(data)
    val = {Path(sample.key).name for sample in data.listings["val"]}
    alone = {name for name in val if all(f"{name.split('_')[0]}_{shot}.jpg" in val for shot in range(5))}
    named = set(of_kind(findings, "near-duplicate across splits"))
    assert len(named & (val - alone)) >= 0.95 * len(val - alone)
    grouped = ImageFolder(str(tmp_path), seed=0, group=r"/(\d+)_")
    assert of_kind(check(grouped), "near-duplicate across splits") == []


def test_unusual_modes_and_shapes(photos: Path) -> None:
    Image.fromarray(photograph(900)).convert("CMYK").save(photos / "train/cat/print.jpg")
    Image.fromarray(photograph(901, 60, 600)).save(photos / "train/cat/strip.jpg")
    Image.fromarray(photograph(902, 12, 14)).save(photos / "train/dog/icon.png")
    findings = check(ImageFolder(str(photos)))
    assert of_kind(findings, "unusual mode") == ["print.jpg"]
    assert of_kind(findings, "unusual aspect") == ["strip.jpg"]
    assert of_kind(findings, "unusual size") == ["icon.png"]
    assert len(findings) == 3


def test_classes_that_are_empty_small_or_nearly_called_the_same(photos: Path) -> None:
    (photos / "train/Cat").mkdir()
    Image.fromarray(photograph(903)).save(photos / "train/Cat/0.jpg")
    findings = check(ImageFolder(str(photos)))
    assert {(finding.kind, finding.path) for finding in findings} == {
        ("small class", "Cat"),
        ("empty class", "Cat"),
        ("similar class names", "cat"),
    }


def test_boxes_that_are_doubled_tiny_or_cover_everything(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    for number in range(30):
        Image.fromarray(photograph(number)).save(tmp_path / "images" / f"{number}.jpg")
        lines = [f"{k} {0.2 + 0.3 * k} 0.5 0.2 0.3" for k in (0, 1)]
        lines += {
            1: ["0 0.2005 0.5 0.2 0.3"],
            2: ["0 0.5 0.5 1 1"],
            3: ["1 0.8 0.8 0.005 0.2"],
            4: ["1 0.2 0.5 0.2 0.3"],
        }.get(number, [])
        (tmp_path / "labels" / f"{number}.txt").write_text("\n".join(lines))
    findings = check(YoloDetection(str(tmp_path)))
    assert {(finding.kind, Path(finding.path).name) for finding in findings} == {
        ("duplicate box", "1.jpg"),
        ("giant box", "2.jpg"),
        ("tiny box", "3.jpg"),
        ("box of two classes", "4.jpg"),
    }


def test_masks_that_are_ignored_everywhere(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / "segmentation", tmp_path / "set")
    path = tmp_path / "set/train/masks/00.png"
    values = np.asarray(Image.open(path))
    Image.fromarray(np.full_like(values, 255)).save(path)
    (finding,) = check(MaskFolder(str(tmp_path / "set")))
    assert (finding.kind, Path(finding.path).name) == ("ignored mask", "00.png")


def test_real_sets(shared_data: Path) -> None:
    """What is found in them is there: two photographs of one field of cells in both splits, three boxes of less than
    two pixels, frames of a video."""
    kinds = {
        "hymenoptera": Counter(finding.kind for finding in check(ImageFolder(str(shared_data / "hymenoptera")))),
        "coco128": Counter(finding.kind for finding in check(CocoDetection(str(shared_data / "coco128")))),
    }
    assert kinds["hymenoptera"] == {}
    assert kinds["coco128"]["tiny box"] == 3
    assert set(kinds["coco128"]) == {"tiny box", "small class", "empty class"}
