"""Where the images of Pascal VOC's XML files are, and which split they belong to."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from resnet_tl.data.sources.voc import read_voc_boxes
from resnet_tl.errors import DataError

XML = (
    "<annotation><object><name>cat</name>"
    "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>"
)


def write(root: Path, *files: str) -> str:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        if file.endswith(".xml"):
            (root / file).write_text(XML)
        else:
            Image.new("RGB", (12, 10)).save(root / file)
    return str(root)


def keys(root: str) -> dict[str, list[str]]:
    return {split: listing.keys() for split, listing in read_voc_boxes(root).splits.items()}


@pytest.mark.parametrize(
    ("image", "xml", "split"),
    [
        ("JPEGImages/a.jpg", "Annotations/a.xml", "train"),
        ("images/a.jpg", "annotations/a.xml", "train"),
        ("images/a.jpg", "annotations/xmls/a.xml", "train"),
        ("images/day 1/a.jpg", "Annotations/day 1/a.xml", "train"),
        ("valid/images/a.jpg", "valid/annotations/a.xml", "val"),
        ("images/val/a.jpg", "annotations/val/a.xml", "val"),
        ("test/a.jpg", "labels/a.xml", "test"),
        ("a.png", "a.xml", "train"),
        ("set/a.png", "set/a.xml", "train"),
    ],
)
def test_the_image_of_an_xml_file_is_found_by_its_name(tmp_path: Path, image: str, xml: str, split: str) -> None:
    assert keys(write(tmp_path, image, xml)) == {split: [image]}


def test_of_images_of_one_name_the_nearest_counts_and_masks_do_not(tmp_path: Path) -> None:
    root = write(tmp_path, "train/images/a.jpg", "val/images/a.jpg", "train/xml/a.xml", "val/xml/a.xml")
    assert keys(root) == {"train": ["train/images/a.jpg"], "val": ["val/images/a.jpg"]}


def test_masks_of_the_same_name_are_not_the_image(tmp_path: Path) -> None:
    root = write(tmp_path, "JPEGImages/a.jpg", "SegmentationClass/a.png", "Annotations/a.xml")
    assert keys(root) == {"train": ["JPEGImages/a.jpg"]}


def test_images_that_may_or_may_not_belong_are_faults(tmp_path: Path) -> None:
    root = write(tmp_path, "one/a.jpg", "two/a.jpg", "xml/a.xml", "xml/b.xml", "c.jpg", "c.xml", "xml/c.xml")
    with pytest.raises(DataError) as caught:
        read_voc_boxes(root).usable()
    assert str(caught.value).splitlines()[1:] == [
        f"  {root}/xml/a.xml: its image may be one/a.jpg or two/a.jpg",
        f"  {root}/xml/b.xml: has no image of its name; expected one next to it, or images/",
        f"  {root}/xml/c.xml: its image c.jpg has another XML file, too",
    ]


def listed(root: Path, name: str, text: str | bytes, base: str = "") -> None:
    folder = root / base / "ImageSets" / "Main"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def test_cvats_list_of_a_task_without_subsets(tmp_path: Path) -> None:
    """CVAT puts names with spaces in quotes, lists each label, and keeps the folders of images."""
    names = ("a b", "day/c", "d")
    files = [
        f"{folder}/{name}.{end}" for folder, end in (("JPEGImages", "jpg"), ("Annotations", "xml")) for name in names
    ]
    root = write(tmp_path, *files)
    listed(tmp_path, "default.txt", '"a b"\nday/c\nd -1\n')
    listed(tmp_path, "cat_default.txt", "d  1\n")
    assert keys(root) == {"train": [f"JPEGImages/{name}.jpg" for name in names]}


def test_a_set_in_a_folder_of_its_own_and_lists_of_other_spelling(tmp_path: Path) -> None:
    root = write(tmp_path, "VOC/JPEGImages/a.jpg", "VOC/Annotations/a.xml")
    listed(tmp_path, "valid.txt", "a", base="VOC")
    assert keys(root) == {"val": ["VOC/JPEGImages/a.jpg"]}
    listed(tmp_path, "train.txt", "a", base="VOC2")
    with pytest.raises(DataError, match=r"holds VOC/ImageSets/Main and VOC2/ImageSets/Main; expected one"):
        read_voc_boxes(root)


def test_a_list_that_is_not_text_or_of_nothing_known(tmp_path: Path) -> None:
    root = write(tmp_path, "JPEGImages/a.jpg", "Annotations/a.xml")
    listed(tmp_path, "cat_train.txt", "a 1")
    with pytest.raises(
        DataError, match=r"ImageSets/Main holds no train\.txt, val\.txt, test\.txt, trainval\.txt or def"
    ):
        read_voc_boxes(root)
    listed(tmp_path, "train.txt", "caf\u00e9".encode("latin-1"))
    with pytest.raises(DataError, match=r"train\.txt: is not UTF-8 text \(.* at byte 3\); save it as UTF-8$"):
        read_voc_boxes(root)
