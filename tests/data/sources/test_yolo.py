"""YOLO's labels: polygons, layouts, and the errors for faulty ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from resnet_tl.data.listings.boxes import BoxListing
from resnet_tl.data.listings.objects import Objects
from resnet_tl.data.sources.yolo import read_yolo
from resnet_tl.errors import DataError
from resnet_tl.structures.masks import to_pixels

ALIASES = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join(9 * [f'*a{n - 1}'])}]\n" for n in range(1, 30))
ALIASES += "names: *a29\n"
"""A file of 2 kB whose names are more text than memory holds."""


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 20)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One image of 40 x 20 in images/, its labels in labels/."""
    image(tmp_path / "images" / "1.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "1.txt").write_text("1 0.5 0.5 0.2 0.4\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n\n")
    return tmp_path


def objects_of(folder: Path) -> Objects:
    listing = read_yolo(str(folder)).splits["train"]
    assert isinstance(listing, BoxListing)
    return listing.objects(0)


def test_polygons_are_masks_and_boxes(folder: Path) -> None:
    (folder / "labels" / "1.txt").write_text("0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n\n1 0.5 0.5 0.2 0.4\n")
    objects = objects_of(folder)
    assert objects.boxes.tolist() == [[10, 5, 30, 15], [16, 6, 24, 14]]
    assert objects.labels.tolist() == [0, 1]
    assert objects.area.tolist() == [200, 64]
    assert objects.masks
    assert [to_pixels(mask, 20, 40).sum() for mask in objects.masks] == [200, 64]
    assert read_yolo(str(folder)).notes == [f"{folder}: objects without a mask, which fall back to their boxes: 1"]


def test_an_image_without_labels_has_no_objects_and_is_named(folder: Path) -> None:
    image(folder / "images" / "2.png")
    image(folder / "images" / "3.png")
    (folder / "labels" / "3.txt").write_text("")
    found = read_yolo(str(folder), keep_empty=True)
    assert len(found.splits["train"]) == 3
    assert found.notes == [f"{folder}: images without a label file, taken to have no objects (1): images/2.png"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("2 0.5 0.5 0.2 0.4", "line 1 has the class 2; expected 0 to 1"),
        ("-1 0.5 0.5 0.2 0.4", "line 1 has the class -1; expected 0 to 1"),
        ("0.5 0.5 0.5 0.2 0.4", "line 1 has the class 0.5; expected a whole number"),
        ("dog 0.5 0.5 0.2 0.4", "line 1 is 'dog 0.5 0.5 0.2 0.4'; expected numbers"),
        ("0 0.5 0.5 0.2", "line 1 has 3 numbers after the class; expected 4, or x and y of 3 corners or more"),
        ("0 12 9 20 14", "line 1 has the number 12; expected fractions of the image, 0 to 1"),
        ("0 nan 0.5 0.2 0.4", "line 1 (cat) has the box [nan, 6, nan, 14]; expected four finite numbers"),
        ("0 nan 0.5 0.2 0.4 0.1 0.1", "line 1 has a corner that is not a finite number"),
    ],
)
def test_a_faulty_line_is_named(folder: Path, line: str, complaint: str) -> None:
    (folder / "labels" / "1.txt").write_text(f"{line}\n1 0.5 0.5 0.2 0.4\n")
    with pytest.raises(DataError) as caught:
        read_yolo(str(folder)).usable()
    heading, fault = str(caught.value).splitlines()
    assert "has 1 fault" in heading
    assert complaint in fault
    assert "1.png" in fault or "labels/1.txt" in fault


def test_labels_without_an_image_and_for_two(folder: Path) -> None:
    (folder / "labels" / "9.txt").write_text("")
    image(folder / "images" / "1.jpg")
    with pytest.raises(DataError) as caught:
        read_yolo(str(folder)).usable()
    assert "labels/1.txt: is the label file of two images, one of them images/1.png" in str(caught.value)
    assert "labels/9.txt: is a label file without an image" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['cat']", "{split}/images/1.png"),
        ("path: ../datasets/set\ntrain: images/train\nval: [images/valid]\nnames: {0: cat}", "images/{split}/1.png"),
        ("train: train.txt\nval: images/valid\nnames: [cat]", "images/{split}/1.png"),
    ],
)
def test_splits_of_a_yaml(tmp_path: Path, text: str, path: str) -> None:
    (tmp_path / "data.yaml").write_text(text)
    (tmp_path / "train.txt").write_text("./images/train/1.png\n")
    for split in ("train", "valid", "elsewhere"):
        image(tmp_path / path.format(split=split))
        labels = tmp_path / path.format(split=split).replace("images", "labels").replace(".png", ".txt")
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("0 0.5 0.5 0.2 0.4\n")
    found = read_yolo(str(tmp_path))
    assert {split: listing.keys() for split, listing in found.splits.items()} == {
        "train": [path.format(split="train")],
        "val": [path.format(split="valid")],
    }


def test_labels_next_to_their_images(tmp_path: Path) -> None:
    image(tmp_path / "a b.png")
    (tmp_path / "a b.txt").write_text("0 0.5 0.5 0.2 0.4\n")
    (tmp_path / "classes.txt").write_text("cat\n")
    assert objects_of(tmp_path).labels.tolist() == [0]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("data.yaml", "names: [cat, cat]", r"data.yaml: names is \['cat', 'cat'\]; expected a list of names"),
        ("data.yaml", "names: {1: cat}", r"data.yaml: names is \{1: 'cat'\}"),
        ("data.yaml", "names: [cat", "data.yaml: is not valid YAML"),
        ("data.yaml", ALIASES, r"data.yaml: names is \[\[\[.{70,80}; expected a list of names"),
        ("data.yaml", "names: {0: cat, x: dog}", "data.yaml: names is .*; expected a list of names"),
        ("data.yaml", "names: [cat]\ntrain: [[a]]", r"data.yaml: train is \[\['a'\]\]; expected a folder, or a list"),
        ("data.yaml", "names: [cat, dog]\ntrain: nowhere", "the train images are in nowhere, which does not exist"),
        ("other.txt", "cat", "has neither a data.yaml with names nor classes.txt"),
    ],
)
def test_faulty_descriptions(folder: Path, name: str, text: str, complaint: str) -> None:
    (folder / "classes.txt").unlink()
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=complaint):
        read_yolo(str(folder)).usable()


def exported(root: Path, yaml: str, *splits: str) -> None:
    """As Roboflow exports: a folder of images and labels for each split, and a YAML in `root`."""
    for split in splits:
        image(root / split / "images" / f"{split}.png")
        (root / split / "labels").mkdir()
        (root / split / "labels" / f"{split}.txt").write_text("0 0.5 0.5 0.2 0.4\n")
    (root / "data.yaml").write_text(yaml + "names: [cat]\n")


def test_a_test_split_that_does_not_exist_is_noted_and_another_is_a_fault(tmp_path: Path) -> None:
    exported(tmp_path, "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n", "train", "valid")
    found = read_yolo(str(tmp_path)).usable()
    assert list(found.splits) == ["train", "val"]
    assert found.notes == [f"{tmp_path}: the test images are in ../test/images, which does not exist"]
    (tmp_path / "data.yaml").write_text("train: ../train/images\nval: ../eval/images\nnames: [cat]\n")
    with pytest.raises(DataError, match=r"the val images are in ../eval/images, which does not exist"):
        read_yolo(str(tmp_path)).usable()


def test_paths_of_a_yaml_in_a_folder_are_found_in_it(tmp_path: Path) -> None:
    exported(tmp_path / "Pets.v1", "train: ../train/images\nval: ../valid/images\n", "train", "valid")
    found = read_yolo(str(tmp_path)).usable()
    assert [listing.key(0) for listing in found.splits.values()] == [
        "Pets.v1/train/images/train.png",
        "Pets.v1/valid/images/valid.png",
    ]
    assert found.notes == []


def test_splits_that_only_their_folders_name_are_used_where_they_have_labels(tmp_path: Path) -> None:
    exported(tmp_path, "train: train/images\n", "train", "valid")
    image(tmp_path / "test" / "images" / "1.png")
    found = read_yolo(str(tmp_path)).usable()
    assert list(found.splits) == ["train", "val"]
    assert found.notes == [f"{tmp_path}/data.yaml: names no val images; those in valid/images are used (1)"]


def test_label_files_are_those_of_the_same_name_with_decomposed_letters(folder: Path) -> None:
    image(folder / "images" / "e\N{COMBINING ACUTE ACCENT}.png")
    (folder / "labels" / "\N{LATIN SMALL LETTER E WITH ACUTE}.txt").write_text("0 0.5 0.5 0.2 0.4\n")
    found = read_yolo(str(folder)).usable()
    assert found.notes == []
    assert found.splits["train"].class_counts(2).tolist() == [1, 1]
