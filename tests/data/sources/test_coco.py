"""COCO's json: forms of masks, ids, layouts, and the errors for faulty ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from pycocotools import mask as pycocotools

from resnet_tl.data.listings.boxes import BoxListing
from resnet_tl.data.sources.coco import read_coco
from resnet_tl.errors import DataError
from resnet_tl.structures.masks import to_pixels

CATEGORIES = [{"id": 44, "name": "dog"}, {"id": 2, "name": "cat"}]
SQUARE = [3.0, 4.0, 13.0, 4.0, 13.0, 14.0, 3.0, 14.0]


def image(number: Any, name: str | None = None, width: int | None = 30, height: int | None = 20) -> dict[str, Any]:
    return {"id": number, "file_name": name or f"{number}.png", "width": width, "height": height}


def thing(number: Any, image_id: Any = 1, category: Any = 2, **more: Any) -> dict[str, Any]:
    box = {"id": number, "image_id": image_id, "category_id": category, "bbox": [3, 4, 10, 10], "area": 99.0}
    return {**box, "iscrowd": 0, "segmentation": [SQUARE], **more}


def write(
    root: Path, annotations: list[Any], images: list[Any] | None = None, file: str = "a.json", **more: Any
) -> Path:
    document = {"images": images or [image(1)], "annotations": annotations, "categories": CATEGORIES, **more}
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(json.dumps(document))
    if not (root / "1.png").exists():
        Image.new("RGB", (30, 20)).save(root / "1.png")
    return root


def listing_of(root: Path, split: str = "train") -> BoxListing:
    listing = read_coco(str(root)).splits[split]
    assert isinstance(listing, BoxListing)
    return listing


def faults_of(root: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_coco(str(root)).usable()
    return str(caught.value).splitlines()[1:]


@pytest.mark.parametrize("polygon", [SQUARE, [0.1, 0.2, 13 / 30, 0.2, 13 / 30, 0.7, 0.1, 0.7]])
def test_polygons_of_boxes_in_fractions_may_be_in_pixels(tmp_path: Path, polygon: list[float]) -> None:
    write(tmp_path, [thing(1, bbox=[0.1, 0.2, 1 / 3, 0.5], segmentation=[polygon])])
    objects = listing_of(tmp_path).objects(0)
    assert objects.boxes[0].tolist() == pytest.approx([3, 4, 13, 14])
    assert objects.area.tolist() == pytest.approx([100])
    assert objects.masks is not None
    assert to_pixels(objects.masks[0], 20, 30).sum() == 100


def test_polygons_and_both_forms_of_run_lengths_are_the_pixels_that_coco_means(tmp_path: Path) -> None:
    inside = np.random.default_rng(0).random((20, 30)) < 0.4
    inside[:, :9] = False
    text = pycocotools.encode(np.asfortranarray(inside.astype(np.uint8)))["counts"].decode()
    flat = np.concatenate([[False], inside.ravel(order="F")])
    counts = np.diff(np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]), [inside.size]])).tolist()
    forms: list[Any] = [
        {"size": [20, 30], "counts": text},
        {"size": [20, 30], "counts": counts},
        [SQUARE, [20.0, 2.0, 25.0, 2.0, 25.0, 8.0]],
    ]
    objects = listing_of(write(tmp_path, [thing(i, segmentation=form) for i, form in enumerate(forms)])).objects(0)
    assert objects.area.tolist() == [99.0] * 3
    assert objects.masks is not None
    compressed, plain, polygons = (to_pixels(mask, 20, 30) for mask in objects.masks)
    assert (compressed == inside).all()
    assert (plain == inside).all()
    assert polygons[4:14, 3:13].all()
    assert polygons.sum() == pytest.approx(100 + 15, abs=4)


def test_long_runs_and_falling_differences_in_the_text_of_run_lengths(tmp_path: Path) -> None:
    Image.new("RGB", (400, 500)).save(tmp_path / "1.png")
    inside = np.zeros((500, 400), np.uint8)
    inside[10:490, 20:380] = 1
    inside[200:203, 100:300:7] = 0
    text = pycocotools.encode(np.asfortranarray(inside))["counts"].decode()
    mask = {"size": [500, 400], "counts": text}
    root = write(tmp_path, [thing(1, segmentation=mask)], [image(1, width=400, height=500)])
    (found,) = listing_of(root).objects(0).masks or []
    assert (to_pixels(found, 500, 400) == inside).all()


def test_run_lengths_rotate_with_the_image(tmp_path: Path) -> None:
    inside = np.zeros((20, 30), np.uint8)
    inside[2:9, 4:6] = inside[8:9, 4:20] = 1
    for orientation in (6, 7):
        exif = Image.Exif()
        exif[274] = orientation
        Image.new("RGB", (30, 20)).save(tmp_path / "1.png", exif=exif)
        mask = {"size": [20, 30], "counts": pycocotools.encode(np.asfortranarray(inside))["counts"].decode()}
        root = write(tmp_path, [thing(1, bbox=[4, 2, 16, 7], segmentation=mask)])
        objects = listing_of(root).objects(0)
        shown = Image.fromarray(inside)
        shown.getexif()[274] = orientation
        expected = np.asarray(ImageOps.exif_transpose(shown))
        assert objects.masks
        assert (to_pixels(objects.masks[0], 30, 20) == expected).all()
        rows, columns = np.nonzero(expected)
        assert objects.boxes[0].tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_crowds_ids_and_images_without_objects(tmp_path: Path) -> None:
    images = [image(9, "9.png"), image(1)]
    Image.new("RGB", (30, 20)).save(tmp_path / "9.png")
    found = read_coco(str(write(tmp_path, [thing(5, category=44, iscrowd=1), thing(6)], images)))
    assert (found.classes, found.codes) == (["cat", "dog"], [2, 44])
    listing = found.splits["train"]
    assert isinstance(listing, BoxListing)
    assert len(listing.objects(0).labels) == 0
    objects = listing.objects(1)
    assert objects.labels.tolist() == [1, 0]
    assert objects.crowd.tolist() == [True, False]
    assert listing.class_counts(2).tolist() == [1, 0]
    assert [sample.target for sample in listing] == [(), (0, 1)]


def test_objects_without_a_mask_fall_back_to_their_boxes(tmp_path: Path) -> None:
    maskless = [thing(2, segmentation=[]), thing(3, segmentation=[[1, 1, 2, 2]])]
    found = read_coco(str(write(tmp_path, [thing(1), *maskless])), keep_empty=True)
    assert found.notes == [f"{tmp_path}: objects without a mask, which fall back to their boxes: 2"]
    listing = found.splits["train"]
    assert isinstance(listing, BoxListing)
    for mask in listing.objects(0).masks or []:
        assert to_pixels(mask, 20, 30)[4:14, 3:13].all()
    write(tmp_path, [{**thing(1), "segmentation": []}])
    assert listing_of(tmp_path).objects(0).masks is None


def test_every_fault_is_named_with_file_and_id(tmp_path: Path) -> None:
    images = [
        image(1),
        image(1, "2.png"),
        image(3, "lost.png"),
        image(4, "1.png"),
        image(5, "5.png", width=31),
        {"id": 6},
        {**image(7), "height": "wide"},
    ]
    for number in (5, 7):
        Image.new("RGB", (30, 20)).save(tmp_path / f"{number}.png")
    annotations = [
        thing(10),
        thing(10, category=44),
        thing(11, image_id=77),
        thing(12, category=3),
        thing(13, bbox=[1, 1, float("nan"), 4]),
        thing(14, bbox=[1, 1, None, 4]),
        thing(15, bbox=[1, 1, 4]),
        thing(16, segmentation={"size": [21, 30], "counts": [630]}),
        thing(17, segmentation={"size": [20, 30], "counts": [599]}),
        thing(18, segmentation={"size": [20, 30], "counts": "~"}),
        thing(19, segmentation=[[1, 2, 3, 4, 5, 6, 7]]),
        thing(20, segmentation=[[1, 2, 3, 4, 5, float("nan")]]),
        thing(21, image_id=3, category=9),
        thing(23, segmentation=7),
        thing(24, image_id=[1]),
        thing(25, segmentation=[[1, 2, 3, 4, 5, 1e300]], area=1e300),
        thing(26, category=6, bbox=[float("inf"), 1, 1, 1], segmentation="x"),
        thing(22, image_id=3),
    ]
    faults = faults_of(write(tmp_path, annotations, images))
    path = f"{tmp_path}/a.json"
    expected = [
        f"{path}: two images have the id 1",
        f"{path}: image 3 is lost.png, which does not exist in {tmp_path}",
        f"{path}: images 1 and 4 are both 1.png",
        f'{path}: the image {{"id": 6}} lacks id or file_name',
        f"{path}: image 5 (5.png): is 30 x 20 pixels, but annotated as 31 x 20",
        f"{path}: annotation 10 has the id of another annotation",
        f"{path}: annotation 11 has the image_id 77, which is not listed",
        f"{path}: annotation 12 has the category 3, which is not listed",
        f"{path}: image 1 (1.png): annotation 13 (cat) has the box [1, 1, nan, 5]; expected four finite numbers",
        f"{path}: annotation 14 has the box [1, 1, null, 4]; expected four finite numbers",
        f"{path}: annotation 15 has the box [1, 1, 4]; expected four finite numbers",
        f"{path}: annotation 16 has a mask of [21, 30] (h, w), but its image is [20, 30]",
        f"{path}: annotation 17 has a mask whose run lengths are not those of 20 x 30 (h, w) pixels",
        f"{path}: annotation 18 has a mask that is neither run lengths nor COCO's compressed text",
        f"{path}: annotation 19 has a polygon that is not a list of x, y, x, y ...",
        f"{path}: annotation 20 has a polygon with a corner that is not a finite number",
        f"{path}: annotation 21 has the category 9, which is not listed",
        f"{path}: annotation 23 has a segmentation that is neither polygons nor run lengths",
        f"{path}: annotation 24 has the image_id None, which is not listed",
        f"{path}: annotation 25 has a polygon with a corner that is not a finite number",
        f"{path}: annotation 26 has the category 6, which is not listed",
        f"{path}: annotation 26 has a segmentation that is neither polygons nor run lengths",
        f"{path}: image 1 (1.png): annotation 26 has the box [inf, 1, inf, 2]; expected four finite numbers",
        f"{path}: image 7 has the size 30 x wide; expected whole numbers",
    ]
    assert sorted(fault.strip() for fault in faults) == sorted(expected)


def test_broken_files_and_categories(tmp_path: Path) -> None:
    write(tmp_path, [thing(1)], file="train.json")
    (tmp_path / "val.json").write_text('{"images": [')
    assert faults_of(tmp_path) == [
        f"  {tmp_path}/val.json: is not valid JSON (Expecting value: line 1 column 13 (char 12))"
    ]
    (tmp_path / "val.json").write_text('{"images": [], "annotations": [7], "categories": [[]]}')
    assert "has no list of annotations and none of categories" in faults_of(tmp_path)[0]
    twice = [{"id": 2, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 4.5, "name": "x"}]
    write(tmp_path, [], file="val.json", categories=twice)
    faults = faults_of(tmp_path)
    assert len(faults) == 4
    assert "two categories have the id 2" in faults[0]
    assert "two categories are called 'cat'" in faults[1]
    assert "lacks an id (a whole number or text) or a name" in faults[2]
    assert "lists other categories than train.json (44 is 'none' and not 'dog')" in faults[3]


@pytest.mark.parametrize(
    ("files", "images"),
    [
        ({"train": "annotations/instances_train2017.json", "val": "annotations/instances_val2017.json"}, "{split}2017"),
        ({"train": "train/_annotations.coco.json", "val": "valid/_annotations.coco.json"}, "{own}"),
        ({"train": "instances_train.json", "val": "instances_val.json"}, "images"),
        ({"train": "labels.json"}, "data"),
    ],
)
def test_layouts_are_found(tmp_path: Path, files: dict[str, str], images: str) -> None:
    for split, file in files.items():
        write(tmp_path, [thing(1)], [image(1, "x.png")], file)
        folder = tmp_path / images.format(split=split, own=Path(file).parent)
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20)).save(folder / "x.png")
    (tmp_path / "1.png").unlink()
    (tmp_path / "annotations").mkdir(exist_ok=True)
    if "instances" in files["train"]:
        (tmp_path / "annotations" / "captions_train2017.json").write_text("{}")
    found = read_coco(str(tmp_path))
    assert {split: listing.keys() for split, listing in found.splits.items()} == {
        split: [f"{images.format(split=split, own=Path(file).parent)}/x.png"] for split, file in files.items()
    }


def test_files_can_be_named_and_names_without_a_split_are_an_error(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path, [thing(1)], file=f"{name}.json")
    with pytest.raises(DataError, match=r"no file name contains a split \(one.json, two.json\)"):
        read_coco(str(tmp_path)).usable()
    found = read_coco(str(tmp_path), {"train": "two.json"}, images="")
    assert found.splits.keys() == {"train"}
    elsewhere = {"train": str(tmp_path / "two.json")}
    (tmp_path / "photos").mkdir()
    (tmp_path / "1.png").rename(tmp_path / "photos" / "1.png")
    assert read_coco(str(tmp_path / "photos"), elsewhere).splits["train"].keys() == ["1.png"]
    (tmp_path / "one.json").rename(tmp_path / "train_a.json")
    (tmp_path / "two.json").rename(tmp_path / "train_b.json")
    with pytest.raises(DataError, match=r"has two files for the split train, train_a.json and train_b.json"):
        read_coco(str(tmp_path)).usable()


def test_a_listing_is_small(tmp_path: Path) -> None:
    names = [f"COCO_train2014_{i:012d}.jpg" for i in range(1000)]
    for name in names:
        (tmp_path / name).symlink_to(tmp_path / "1.png")
    annotations = [thing(i, image_id=i) for i in range(1000)]
    listing = listing_of(write(tmp_path, annotations, [image(i, name) for i, name in enumerate(names)]))
    numbers = 1000 * (4 * 4 + 4 + 1 + 4 + 8 * 4)
    assert listing.nbytes - numbers <= 200 * 1000


def test_ids_may_be_text_and_come_back_as_they_are(tmp_path: Path) -> None:
    """`1` and `"1"` are the same, as tools write one in categories and the other in annotations."""
    categories = [{"id": "10", "name": "dog"}, {"id": "9", "name": "cat"}, {"id": "x", "name": "emu"}]
    annotations = [
        thing("a", image_id="first", category=10),
        thing("b", image_id="first", category="9"),
        thing(7, image_id="first", category="x"),
    ]
    found = read_coco(str(write(tmp_path, annotations, [image("first", "1.png")], categories=categories)))
    assert (found.classes, found.codes) == (["cat", "dog", "emu"], ["9", "10", "x"])
    assert found.splits["train"].objects(0).labels.tolist() == [1, 0, 2]
    annotations[1]["id"] = "a"
    assert (
        "annotation a has the id of another annotation"
        in faults_of(write(tmp_path, annotations, [image("first", "1.png")], categories=categories))[0]
    )


@pytest.mark.parametrize("unknown", [-1, 0, None])
def test_a_size_that_is_unknown_is_the_files(tmp_path: Path, unknown: int | None) -> None:
    listing = listing_of(write(tmp_path, [thing(1)], [image(1, width=unknown, height=unknown)]))
    assert listing.size(0) == (20, 30)


def test_categories_without_objects_are_excluded_unless_a_checkpoint_has_them(tmp_path: Path) -> None:
    """Roboflow's category 0 is the name of the set, without objects."""
    categories = [{"id": 0, "name": "animals"}, *CATEGORIES]
    write(tmp_path, [thing(1), thing(2, category=44)], categories=categories)
    found = read_coco(str(tmp_path))
    assert (found.classes, found.codes) == (["cat", "dog"], [2, 44])
    (note,) = found.notes
    assert note.endswith("excluded (data.keep_empty_classes: true keeps them) (1): animals")
    assert read_coco(str(tmp_path), keep_empty=True).classes == ["animals", "cat", "dog"]
    known = read_coco(str(tmp_path), classes=["dog", "cat"])
    assert (known.classes, known.codes, known.notes) == (["dog", "cat"], [44, 2], [])
    assert known.splits["train"].objects(0).labels.tolist() == [1, 0]
    known = read_coco(str(tmp_path), classes=["dog", "cat", "animals"])
    assert (known.classes, known.codes, known.notes) == (["dog", "cat", "animals"], [44, 2, 0], [])
    with pytest.raises(DataError, match=r"has classes \('dog'\)"):
        read_coco(str(tmp_path), classes=["cat"])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"images": ' + "[" * 100_000, "is not valid JSON"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "\\ud83d"}]}', "has no boxes at all"),
        ('{"images": ' + "9" * 5000 + "}", "is not valid JSON"),
    ],
)
def test_hostile_json_is_one_sentence(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "train.json").write_text(text)
    assert any(fault in line for line in faults_of(tmp_path))


def test_numbers_beyond_floats_are_faults(tmp_path: Path) -> None:
    huge = 10**400
    annotations = [
        thing(1, bbox=[huge, 1, 1, 1]),
        thing(2, segmentation=[[huge, 1, 1, 1, 5, 5]]),
        thing(3, segmentation={"size": [20, 30], "counts": [2**62, 2**62, 2**62, 2**62, 600]}),
        thing(4, area=huge),
    ]
    Image.new("RGB", (30, 20)).save(tmp_path / "2.png")
    faults = faults_of(write(tmp_path, annotations, [image(1), image(2, width=huge)]))
    assert [fault.split("a.json: ")[1][:40] for fault in faults] == [
        f"image 2 has the size {huge}"[:40],
        "annotation 1 has the box [1000000000000000"[:40],
        "annotation 2 has a polygon that is not a list of"[:40],
        "annotation 3 has a mask whose run lengths"[:40],
    ]


def test_file_names_of_another_machine_are_searched_in_folders_of_the_same_split(tmp_path: Path) -> None:
    write(tmp_path, [thing(1)], [image(1, "C:\\me\\photos\\x.png")], "train.json")
    for folder in ("photos", "val"):
        (tmp_path / folder).mkdir()
    (tmp_path / "1.png").rename(tmp_path / "photos" / "x.png")
    assert listing_of(tmp_path).keys() == ["photos/x.png"]
    (tmp_path / "photos" / "x.png").rename(tmp_path / "val" / "x.png")
    assert "x.png, which does not exist in" in faults_of(tmp_path)[0]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (30, 20)).save(tmp_path / folder / "x.png")
    (tmp_path / "val" / "x.png").unlink()
    assert "x.png, which may be a/x.png or b/x.png" in faults_of(tmp_path)[0]


def test_missing_images_alone_are_the_fault_of_a_set_without_any(tmp_path: Path) -> None:
    write(tmp_path, [thing(1)])
    (tmp_path / "1.png").unlink()
    assert faults_of(tmp_path) == [f"  {tmp_path}/a.json: image 1 is 1.png, which does not exist in {tmp_path}"]


def test_names_of_images_may_differ_in_the_case_of_their_ending(tmp_path: Path) -> None:
    write(tmp_path, [thing(1)])
    (tmp_path / "1.png").rename(tmp_path / "1.PNG")
    assert listing_of(tmp_path).key(0) == "1.PNG"
