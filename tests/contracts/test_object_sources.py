"""What every source of images with objects guarantees, whatever its format."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from object_writers import SOURCES, Shot, Shots, plain
from PIL import Image, ImageOps

from resnet_tl.data.listings.boxes import BoxListing, BoxSet
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Code

CLASSES = ["cat", "dog"]
NAN = float("nan")


SAYS_SIZES = [kind for kind in SOURCES if not kind.startswith(("yolo", "via"))]
CODES: dict[str, list[Code]] = {"coco": [3, 90], "coco text": ["3", "90"], "coco fractions": [3, 90]}
OWN_NOTES = {
    "yolo scores": "lines that end in a score, read without it",
    "yolo pose": "objects with keypoints (kpt_shape), read as their boxes alone",
    "coco fractions": "all boxes are between 0 and 1, read as fractions of their images",
    "voc fractions": "all boxes are between 0 and 1, read as fractions of their images",
    "table fractions": "all boxes are between 0 and 1, read as fractions of their images",
}
"""What is said of every set of a form."""


ANY_CORNERS = ("labelme", "supervisely")
"""Formats whose boxes have their corners in any order."""


@pytest.fixture(params=SOURCES)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def read(kind: str, tmp_path: Path) -> Callable[..., BoxSet]:
    """`read(shots)` writes a set and reads it; without the note that every set of its form has."""

    def call(shots: Shots, **how: Any) -> BoxSet:
        write, source = SOURCES[kind]
        write(tmp_path, shots)
        images = source(tmp_path, **how)
        own = [note for note in images.notes if kind in OWN_NOTES and OWN_NOTES[kind] in note]
        boxes = any(shot.objects for shots_of_split in shots.values() for shot in shots_of_split.values())
        assert len(own) == (boxes and kind in OWN_NOTES)
        return replace(images, notes=[note for note in images.notes if note not in own])

    return call


def found(images: BoxSet, split: str) -> dict[str, list[tuple[Any, ...]]]:
    """Returns the objects of a split by image name: label, x1, y1, x2, y2."""
    listing = images.splits[split]
    assert isinstance(listing, BoxListing)
    answer = {}
    for i, key in enumerate(listing.keys()):
        boxes, labels, crowd, area, _ = listing.objects(i)
        assert not crowd.any()
        assert area.tolist() == pytest.approx(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).tolist())
        lines = [
            (images.classes[label], *np.round(box.astype(float), 3))
            for label, box in zip(labels.tolist(), boxes, strict=True)
        ]
        answer[Path(key).stem] = lines
    return answer


def test_a_clean_set_is_read_without_notes(read: Callable[..., BoxSet], kind: str, tmp_path: Path) -> None:
    shots = plain()
    images = read(shots)
    assert images.notes == []
    assert images.classes == CLASSES
    assert images.codes == CODES.get(kind, [0, 1])
    for split, planted in shots.items():
        assert found(images, split) == {name: shot.objects for name, shot in planted.items()}
        listing = images.splits[split]
        for i, sample in enumerate(listing):
            assert Path(sample.path).is_file()
            assert sample.path == f"{tmp_path}/{sample.key}"
            assert listing.size(i) == planted[Path(sample.key).stem].size[::-1]
    assert images.splits["train"].class_counts(2).tolist() == [1, 2]


def test_boxes_are_clipped_and_degenerate_ones_skipped_by_name(read: Callable[..., BoxSet], kind: str) -> None:
    shots = plain()
    shots["train"]["a"].objects += [("cat", -6, 4, 9, 34), ("cat", 50, 2, 60, 9)]
    if kind != "supervisely":  # where a box covers one pixel at least
        shots["train"]["a"].objects += [("dog", 5, 5, 5, 9)]
    if kind not in ANY_CORNERS:
        shots["val"]["d"].objects += [("cat", 9, 9, 4, 12)]
    counts = [2 - (kind in ANY_CORNERS), 1 - (kind == "supervisely")]
    images = read(shots)
    assert found(images, "train")["a"] == [*plain()["train"]["a"].objects, ("cat", 0, 4, 9, 30)]
    assert found(images, "val")["d"] == plain()["val"]["d"].objects
    clipped, degenerate = images.notes
    assert "clipped (1): " in clipped
    assert f"degenerate boxes, skipped ({sum(counts)}): " in degenerate
    assert clipped.count("(cat)") == 1
    assert [degenerate.count(f"({name})") for name in CLASSES] == counts
    assert "a." in clipped


def test_a_box_rounded_over_the_edge_is_clipped_without_a_note(read: Callable[..., BoxSet]) -> None:
    shots = plain()
    shots["train"]["c"].objects = [("dog", -0.4, 0, 40.6, 30)]
    images = read(shots)
    assert images.notes == []
    assert found(images, "train")["c"] == [("dog", 0, 0, 40, 30)]


@pytest.mark.parametrize("orientation", range(2, 9))
def test_annotations_made_before_the_exif_rotation_rotate_with_the_image(
    read: Callable[..., BoxSet], kind: str, orientation: int
) -> None:
    """Orientations from 5 on swap the sides, which shows what was annotated; the others are treated like those."""
    shots = plain()
    objects = [("cat", 4, 5, 20, 25)]
    shots["train"]["a"] = Shot((40, 30), objects, orientation=orientation)
    shots["train"]["b"] = Shot((40, 30), objects, orientation=6)
    images = read(shots)
    listing = images.splits["train"]
    sizes = {Path(key).stem: listing.size(i) for i, key in enumerate(listing.keys())}
    assert sizes["a"] == ((40, 30) if orientation >= 5 else (30, 40))
    if kind not in SAYS_SIZES:
        assert found(images, "train")["a"] == objects, "what no size is said of is annotated upright"
        return
    pixels = np.zeros((30, 40), np.uint8)
    pixels[5:25, 4:20] = 255
    image = Image.fromarray(pixels)
    image.getexif()[274] = orientation
    rows, columns = np.nonzero(np.asarray(ImageOps.exif_transpose(image)))
    assert found(images, "train")["a"] == [("cat", columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]
    (note,) = images.notes
    assert "rotated by their EXIF data, their annotations with them (2)" in note


def test_annotations_of_the_upright_image_stay(read: Callable[..., BoxSet]) -> None:
    shots = plain()
    shots["train"]["a"] = Shot((30, 40), [("cat", 4, 5, 20, 25)], annotated=(40, 30), orientation=6)
    images = read(shots)
    assert images.notes == []
    assert found(images, "train")["a"] == [("cat", 4, 5, 20, 25)]


def test_every_fault_of_a_set_is_named_at_once(read: Callable[..., BoxSet], kind: str) -> None:
    shots = plain()
    shots["train"]["lost"] = Shot(objects=[("cat", 1, 1, 5, 5)], file=False)
    shots["train"]["odd"] = Shot(annotated=(44, 30), objects=[("cat", 1, 1, 5, 5)])
    shots["train"]["nan"] = Shot(objects=[("cat", 1, 1, 5, 5), ("dog", NAN, 1, 5, 5)])
    shots["val"]["cow"] = Shot(objects=[("cow", 1, 1, 5, 5)])
    with pytest.raises(DataError) as caught:
        read(shots).usable()
    first, *faults = str(caught.value).splitlines()
    expected = ["lost", "odd", "nan", "cow"] if kind in SAYS_SIZES else ["lost", "nan", "cow"]
    assert f"has {len(expected)} faults:" in first
    assert len(faults) == len(expected)
    names = {"lost": "lost", "odd": "odd", "nan": "nan", "cow": "category 55" if kind in CODES else "cow"}
    for name in expected:
        assert sum(names[name] in fault for fault in faults) == 1
    assert not kind.startswith("yolo") or any("has the class 2" in fault for fault in faults)
    assert any("is 40 x 30 pixels, but annotated as 44 x 30" in fault for fault in faults) == (kind in SAYS_SIZES)


def test_images_in_two_splits_are_noted(read: Callable[..., BoxSet], kind: str) -> None:
    if kind not in ("coco", "voc"):
        pytest.skip("its splits are folders, or a column")
    shots = plain()
    shots["val"]["a"] = shots["train"]["a"]
    (note,) = read(shots).notes
    assert "images both in train and in val (1): " in note
    assert note.endswith("/a.jpg")


def test_a_zip_of_a_set_is_read_in_place(read: Callable[..., BoxSet], kind: str, tmp_path: Path) -> None:
    if kind.startswith("table"):
        pytest.skip("the CSV lies outside")
    expected = read(plain())
    archive = shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path)
    images = SOURCES[kind][1](Path(archive))
    assert {split: found(images, split) for split in images.splits} == {
        split: found(expected, split) for split in expected.splits
    }
    assert images.splits["train"][0].path.startswith(f"{archive}/")


def test_a_set_without_a_box_is_refused(read: Callable[..., BoxSet]) -> None:
    with pytest.raises(DataError, match=r"has 1 fault:\n.*train has no boxes at all"):
        read({"train": {"a": Shot(), "b": Shot()}, "val": {"c": Shot()}}, classes=CLASSES).usable()


def test_a_checkpoints_classes_give_the_order_and_must_be_known(read: Callable[..., BoxSet], kind: str) -> None:
    shots = plain()
    images = read(shots, classes=CLASSES[::-1])
    assert images.classes == ["dog", "cat"]
    assert found(images, "val") == {name: shot.objects for name, shot in shots["val"].items()}
    assert images.codes == (CODES[kind][::-1] if kind in CODES else [1, 0] if kind.startswith("yolo") else [0, 1])
    with pytest.raises(DataError, match="dog"):
        SOURCES[kind][1](Path(images.splits["train"].root), classes=["cat", "bird"]).usable()
