"""Pascal VOC's files: difficult objects, broken ones, lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from resnet_tl.data.listings.boxes import BoxListing
from resnet_tl.data.sources.coco import read_coco
from resnet_tl.data.sources.voc import read_voc_boxes
from resnet_tl.errors import DataError

BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
CAT = f"<object><name>cat</name>{BOX}</object>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of one image of 12 x 10, 2007_1."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    Image.new("RGB", (12, 10)).save(tmp_path / "JPEGImages" / "2007_1.jpg")
    write(tmp_path, CAT)
    (tmp_path / "ImageSets/Main/train.txt").write_text("2007_1 1\n\n")
    return tmp_path


def write(folder: Path, objects: str, name: str = "2007_1") -> None:
    (folder / "Annotations" / f"{name}.xml").write_text(f"<annotation>{objects}</annotation>")


def test_difficult_objects_are_as_crowds(folder: Path) -> None:
    write(folder, CAT + f"<object><name>cat</name><difficult>1</difficult>{BOX}</object>")
    listing = read_voc_boxes(str(folder)).splits["train"]
    assert isinstance(listing, BoxListing)
    assert listing.objects(0).crowd.tolist() == [False, True]
    assert listing.objects(0).boxes.tolist() == [[0, 1, 9, 8]] * 2


def test_a_box_that_starts_at_0_shows_that_corners_count_from_0(folder: Path) -> None:
    write(folder, CAT + CAT.replace("<xmin>1", "<xmin>0"))
    images = read_voc_boxes(str(folder))
    listing = images.splits["train"]
    assert isinstance(listing, BoxListing)
    assert listing.objects(0).boxes.tolist() == [[1, 2, 9, 8], [0, 2, 9, 8]]
    (note,) = images.notes
    assert "boxes start at pixel 0, so no 1 is subtracted" in note


def test_a_size_that_nobody_wrote_is_the_files(folder: Path) -> None:
    write(folder, f"<size><width>0</width><height>0</height></size>{CAT}")
    listing = read_voc_boxes(str(folder)).splits["train"]
    assert isinstance(listing, BoxListing)
    assert listing.size(0) == (10, 12)


def test_every_fault_is_named(folder: Path) -> None:
    (folder / "ImageSets/Main/train.txt").write_text("2007_1\n2007_1\n2007_2\n2007_3\n2007_4\n")
    write(folder, CAT + "<object></object><object><name>dog</name></object>" + CAT.replace("<xmin>1", "<xmin>one"))
    write(folder, CAT, "2007_3")
    (folder / "Annotations/2007_4.xml").write_text("<annotation><object>")
    Image.new("RGB", (12, 10)).save(folder / "JPEGImages" / "2007_4.jpg")
    with pytest.raises(DataError) as caught:
        read_voc_boxes(str(folder)).usable()
    heading, *faults = str(caught.value).splitlines()
    assert "has 7 faults" in heading
    for fault, expected in zip(
        faults,
        (
            "train.txt: lists 2007_1 twice",
            "train.txt: lists 2007_2, but",
            "2007_3.xml: its image JPEGImages/2007_3.jpg does not exist",
            "2007_1.xml: object 2 has no name",
            "2007_1.xml: object 3 (dog) has no bndbox of four numbers",
            "2007_1.xml: object 4 (cat) has no bndbox of four numbers",
            "2007_4.xml: is not valid XML (no element found: line 1, column 20)",
        ),
        strict=True,
    ):
        assert expected in fault


def test_images_without_an_xml_file_next_to_them_are_skipped(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (12, 10)).save(tmp_path / f"{name}.png")
    (tmp_path / "a.xml").write_text(f"<annotation>{CAT}</annotation>")
    found = read_voc_boxes(str(tmp_path))
    assert found.splits["train"].keys() == ["a.png"]
    assert found.notes == [f"{tmp_path}: images without an XML file, skipped (1): b.png"]
    (tmp_path / "a.xml").unlink()
    with pytest.raises(DataError, match=r"holds neither ImageSets/Main nor.* next to their images$"):
        read_voc_boxes(str(tmp_path)).usable()


def test_a_folder_in_another_format_names_its_reader(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DataError, match=r"; --data YoloDetection reads its \.txt files$"):
        read_voc_boxes(str(tmp_path)).usable()
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match=r"; --data CocoDetection reads its \.json files$"):
        read_voc_boxes(str(tmp_path)).usable()
    (tmp_path / "a.json").rename(tmp_path / "a.xml")
    with pytest.raises(DataError, match=r"as instances_train\.json; --data VOCDetection reads its \.xml files$"):
        read_coco(str(tmp_path)).usable()


def test_an_xml_file_is_of_the_image_of_the_same_name_with_decomposed_letters(tmp_path: Path) -> None:
    Image.new("RGB", (12, 10)).save(tmp_path / "e\N{COMBINING ACUTE ACCENT}.JPG")
    (tmp_path / "\N{LATIN SMALL LETTER E WITH ACUTE}.xml").write_text(f"<annotation>{CAT}</annotation>")
    assert len(read_voc_boxes(str(tmp_path)).usable().splits["train"]) == 1
