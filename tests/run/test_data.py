"""`check_data`: faults planted in small sets are named with their paths, and real sets have no false alarms."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import photographs
import pytest
from PIL import Image

from resnet_tl.data.listings.finding import Finding
from resnet_tl.errors import DataError
from resnet_tl.run.data import check_data, open_data

Planted = dict[str, str]
"""The end of a finding's path -> its kind, or a part of its text."""


def photograph(seed: int, height: int = 90, width: int = 120) -> Image.Image:
    return Image.fromarray(photographs.photograph(seed, height, width))


def save(path: Path, image: Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def classes(root: Path) -> Planted:
    """`{train,val}/{cat,dog}/<n>.jpg` with 14 faults."""
    for number in range(60):
        split, name = ("train", "val")[number % 3 == 2], ("cat", "dog")[number % 2]
        save(root / split / name / f"{number}.jpg", photograph(number), quality=92)
    train, val = root / "train", root / "val"
    cut = train / "cat/0.jpg"
    cut.write_bytes(cut.read_bytes()[:1500])
    (train / "dog/1.jpg").write_bytes(b"")
    (train / "dog/3.jpg").write_bytes(b"<html>not found</html>")
    data = (train / "cat/4.jpg").read_bytes()
    (train / "cat/4.jpg").write_bytes(data[:1500] + np.random.default_rng(0).bytes(500) + data[2000:])
    shutil.copy(train / "cat/6.jpg", train / "cat/copy.jpg")
    shutil.copy(train / "cat/10.jpg", val / "cat/leak.jpg")
    shutil.copy(train / "cat/12.jpg", train / "dog/wrong.jpg")
    smaller = photograph(16).resize((96, 72))
    save(val / "cat/twin.jpg", smaller, quality=70)
    save(train / "cat/print.jpg", photograph(100).convert("CMYK"))
    save(train / "cat/strip.jpg", photograph(101, 40, 400))
    save(train / "dog/icon.png", photograph(102, 10, 12))
    exif = Image.Exif()
    exif[0x0112] = 6
    save(train / "dog/turned.jpg", photograph(103), exif=exif)
    save(train / "Cat/0.jpg", photograph(104))
    return {
        "cat/0.jpg": "unreadable", "dog/1.jpg": "the file is empty", "dog/3.jpg": "not an image",
        "cat/4.jpg": "damaged", "cat/copy.jpg": "duplicate", "cat/leak.jpg": "duplicate across splits",
        "dog/wrong.jpg": "duplicate with another label", "cat/12.jpg": "duplicate with another label",
        "cat/twin.jpg": "near-duplicate across splits",
        "cat/print.jpg": "unusual mode", "cat/strip.jpg": "unusual aspect", "dog/icon.png": "unusual size",
        "dog/turned.jpg": "EXIF rotation", "cat": "similar class names", "Cat": "empty class",
    }  # fmt: skip


def boxes(root: Path) -> Planted:
    """YOLO's layout with 10 faults."""
    lines = {number: [f"{k} {0.2 + 0.5 * k} 0.5 0.2 0.3" for k in (0, 1)] for number in range(40)}
    lines[1].append("0 nan 0.5 0.2 0.3")
    lines[2].append("2 0.5 0.5 0.2 0.3")
    lines[3].append("0 1.1 0.5 0.5 0.3")
    lines[4].append("1 0.4 0.4 0 0.2")
    lines[5].append("0 0.2005 0.5 0.2 0.3")
    lines[6].append("0 0.5 0.5 1 1")
    lines[7].append("1 0.2 0.5 0.2 0.3")
    for number, text in lines.items():
        save(root / f"images/{number}.jpg", photograph(number))
        (root / "labels").mkdir(exist_ok=True)
        (root / f"labels/{number}.txt").write_text("\n".join(text))
    (root / "classes.txt").write_text("cat\ndog\n")
    (root / "labels/8.txt").unlink()
    (root / "labels/99.txt").write_text("0 0.5 0.5 0.2 0.3\n")
    (root / "images/9.jpg").write_bytes(b"\xff\xd8 broken")
    return {
        "images/1.jpg": "expected four finite numbers",
        "labels/2.txt": "has the class 2",
        "images/3.jpg": "box out of frame",
        "images/4.jpg": "degenerate box",
        "images/5.jpg": "duplicate box",
        "images/6.jpg": "giant box",
        "images/7.jpg": "box of two classes",
        "images/8.jpg": "missing partner",
        "99.txt": "is a label file without an image",
        "images/9.jpg": "unreadable",
    }


def masks(root: Path) -> Planted:
    """`images/` and `masks/` with 6 faults."""
    for number in range(30):
        save(root / f"images/{number}.png", photograph(number))
        values = np.zeros((90, 120), np.uint8)
        values[20:60, 30 : 60 + number] = 1 + number % 2
        save(root / f"masks/{number}.png", Image.fromarray(values))
    (root / "classes.txt").write_text("ground\ncat\ndog\n")
    (root / "masks/1.png").unlink()
    (root / "images/2.png").unlink()
    save(root / "masks/3.png", Image.new("L", (120, 90), 9))
    save(root / "masks/4.png", Image.new("L", (60, 45), 1))
    save(root / "masks/5.png", Image.new("L", (120, 90), 255))
    (root / "masks/6.png").write_bytes(b"broken")
    return {
        "images/1.png": "has no mask", "masks/2.png": "is a mask without an image", "masks/3.png": "has the value 9",
        "masks/4.png": "but its image 120 x 90", "masks/5.png": "ignored mask", "masks/6.png": "not a readable mask",
    }  # fmt: skip


@pytest.mark.parametrize("plant", [classes, boxes, masks])
def test_planted_faults_are_named_and_nothing_else(tmp_path: Path, plant: Callable[[Path], Planted]) -> None:
    planted = plant(tmp_path)
    findings = check_data([], [], str(tmp_path))[1]
    for end, expected in planted.items():
        about = [finding for finding in findings if finding.path.endswith(end)]
        assert any(expected == finding.kind or expected in finding.text for finding in about), (end, expected)
    alarms = [finding for finding in findings if not any(finding.path.endswith(end) for end in planted)]
    assert alarms == []


def test_what_is_written_for_exclusion_makes_a_set_usable(tmp_path: Path) -> None:
    planted = masks(tmp_path / "set")
    keys = {finding.exclude for finding in check_data([], [], str(tmp_path / "set"))[1]} - {""}
    file = tmp_path / "bad.csv"
    file.write_text("\n".join(["key", *sorted(keys)]))
    overrides = [("data.exclude", str(file))]
    data = open_data([], overrides, str(tmp_path / "set"))
    assert sum(map(len, data.listings.values())) == 30 - len(planted)
    assert check_data([], overrides, str(tmp_path / "set"))[1] == []


def test_a_set_of_faults_alone_has_findings(tmp_path: Path) -> None:
    save(tmp_path / "images/a.png", photograph(0))
    save(tmp_path / "masks/a.png", Image.new("L", (60, 45), 1))
    (tmp_path / "classes.txt").write_text("ground\ncat\n")
    first, *_ = check_data([], [], str(tmp_path))[1]
    assert first == Finding(
        *("fault", "", f"{tmp_path}/masks/a.png"),
        "is 60 x 45 pixels, but its image 120 x 90; resize the mask to that without interpolation",
        "images/a.png",
    )
    with pytest.raises(DataError, match="nowhere does not exist"):
        check_data([], [], "nowhere")


def test_a_set_whose_images_are_all_missing_has_findings_alone(tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/a.xml").write_text("<annotation><filename>a.jpg</filename></annotation>")
    notes, findings = check_data([], [], str(tmp_path))
    assert {finding.kind for finding in findings} == {"fault"}
    assert not any("split" in note for note in notes)


def bursts(root: Path, folder: Callable[[int, int], str]) -> Path:
    """40 bursts of 5 images a few pixels apart: `<folder>/<burst>_<shot>.jpg`."""
    for burst in range(40):
        scene = photograph(1000 + burst, 100, 130)
        for shot in range(5):
            part = scene.crop((shot, shot, shot + 120, shot + 90))
            save(root / folder(burst, shot) / f"{burst}_{shot}.jpg", part)
    return root


def test_bursts_leak_without_a_group_and_not_in_any_fold_with_one(tmp_path: Path) -> None:
    root = str(bursts(tmp_path, lambda burst, shot: "ab"[burst % 2]))
    leaks = [each for each in check_data([], [], root)[1] if each.kind == "near-duplicate across splits"]
    assert len(leaks) > 20
    group = ("data.group", r"/(\d+)_")
    validated: list[str] = []
    for fold in range(5):
        data = open_data([], [group, ("data.folds", "5"), ("data.fold", str(fold))], root)
        train, val = ({key.partition("_")[0] for _, _, key in data.listings[name]} for name in ("train", "val"))
        assert train.isdisjoint(val)
        validated += data.listings["val"].keys()
    assert len(validated) == len(set(validated)) == 200
    kinds = {each.kind for each in check_data([], [group], root)[1]}
    assert kinds == {"near-duplicate"}


def test_groups_in_two_splits_of_the_set_itself(tmp_path: Path) -> None:
    def folder(burst: int, shot: int) -> str:
        return f"{'val' if shot == 4 and burst < 12 else 'train'}/{'ab'[burst % 2]}"

    root, group = str(bursts(tmp_path, folder)), ("data.group", r"/(\d+)_")
    faults = [each for each in check_data([], [group], root)[1] if each.kind == "fault"]
    assert faults[0] == Finding(
        "fault", "", f"{root}/val/a/0_4.jpg", "is of group '0' in val, as train/a/0_3.jpg in train", "val/a/0_4.jpg"
    )
    assert len(faults) == 12
    with pytest.raises(DataError, match=r"12 groups are both in train and in val, as .*; data\.folds splits"):
        open_data([], [group], root)
    file = tmp_path / "bad.csv"
    file.write_text("\n".join(["key", *(each.exclude for each in faults[1:])]))
    with pytest.raises(DataError, match=r"1 group is both in train and in val"):
        open_data([], [group, ("data.exclude", str(file))], root)


def test_images_without_labels_in_one_split_alone(tmp_path: Path) -> None:
    for number in range(60):
        split = ("train", "val")[number % 3 == 2]
        save(tmp_path / split / f"images/{number}.png", photograph(number))
        (tmp_path / split / "labels").mkdir(exist_ok=True)
        lost = split == "val" and number < 15
        (tmp_path / split / f"labels/{number}.txt").write_text("" if lost else "0 0.5 0.5 0.2 0.3\n1 0.2 0.2 0.1 0.1\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    findings = check_data([], [], str(tmp_path))[1]
    assert [Path(each.path).name for each in findings if each.kind == "gap in labels"] == [
        "11.png", "14.png", "2.png", "5.png", "8.png",
    ]  # fmt: skip
    assert len(findings) == 5
    assert findings[0].text == "has no labels, as 25% of val, but only 0% of train"


def test_every_faulty_line_of_a_table_and_every_faulty_class_folder(tmp_path: Path) -> None:
    for number in range(24):
        save(tmp_path / "set" / f"{number}.png", photograph(number))
    lines = [f"{i}.png,{'cat' if i % 2 else 'dog'},{'train' if i < 16 else 'val'}" for i in range(24)]
    lines[3], lines[5], lines[7] = "3.png,,train", "none.png,cat,train", "2.png,dog,train"
    lines[19], lines[20] = "19.png,Cat,val", "20.png,dog,vall"
    table = tmp_path / "set/labels.csv"
    table.write_text("\n".join(["path,label,split", *lines]))
    faults = {f"{each.path}: {each.text}"[len(str(table.parent)) + 1 :][:34] for each in _faults(str(table))}
    assert faults == {
        "labels.csv: line 5 has no label in", "none.png: does not exist, but is l",
        "labels.csv: line 9 lists 2.png aga", "labels.csv: line 21 has the class ",
        "labels.csv: line 22 has the split ",
    }  # fmt: skip

    for number in range(24):
        split, name = ("train", "val")[number % 2], "cat" if number < 12 else "dog"
        save(tmp_path / "folder" / split / name / f"{number}.png", photograph(number))
    save(tmp_path / "folder/val/Cat/x.png", photograph(50))
    (tmp_path / "folder/train/bird").mkdir()
    root = str(tmp_path / "folder")
    assert [(each.path, each.text) for each in _faults(root)] == [
        (f"{root}/train/bird", "is a class folder without images"),
        (root, "has the class 'Cat' in its val split, but not in train; did you mean 'cat'?"),
    ]


def _faults(root: str) -> list[Finding]:
    findings = check_data([], [], root)[1]
    assert {each.kind for each in findings} == {"fault"}
    return findings


@pytest.mark.parametrize(
    ("name", "overrides", "expected"),
    [
        ("hymenoptera", [], {}),
        # two photographs of one field of cells; the degenerate boxes that the set's README names
        ("bccd", [], {"near-duplicate across splits": 1, "degenerate box": 2}),
        ("camvid", [("data.ignore", "[11]")], {"near-duplicate": None}),  # neighbouring frames of a video
        ("coco128", [], {"tiny box": 3, "small class": None, "empty class": None}),  # 71 of the 80 categories occur
    ],
)
def test_real_sets_have_no_false_alarms(
    shared_data: Path, name: str, overrides: list[tuple[str, str]], expected: dict[str, int | None]
) -> None:
    counts = Counter(each.kind for each in check_data([], overrides, str(shared_data / name))[1])
    assert set(counts) == set(expected)
    assert all(counts[kind] == count for kind, count in expected.items() if count is not None)
