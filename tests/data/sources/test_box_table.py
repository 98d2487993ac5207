"""CSVs of boxes: columns, and the errors for faulty lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from resnet_tl.data.listings.boxes import BoxListing
from resnet_tl.data.sources.box_table import read_box_table
from resnet_tl.errors import DataError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (12, 10)).save(tmp_path / name)
    return tmp_path


def write(folder: Path, text: str) -> str:
    (folder / "set.csv").write_text(text)
    return str(folder / "set.csv")


def test_few_columns_are_enough_and_a_single_split_is_train(images: Path) -> None:
    found = read_box_table(
        write(images, "path;label;x1;y1;x2;y2\na.png;dog;1;2;3.5;4\nb.png;;;;;\na.png;cat;0;0;9;9\n")
    )
    listing = found.splits["train"]
    assert isinstance(listing, BoxListing)
    assert (found.classes, listing.keys()) == (["cat", "dog"], ["a.png", "b.png"])
    assert listing.objects(0).boxes.tolist() == [[1, 2, 3.5, 4], [0, 0, 9, 9]]
    assert listing.objects(0).labels.tolist() == [1, 0]
    assert len(listing.objects(1).labels) == 0


def test_images_may_be_elsewhere(images: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    table = write(elsewhere, f"path,label,x1,y1,x2,y2\n{images}/a.png,dog,1,2,3,4\nb.png,dog,1,2,3,4\n")
    found = read_box_table(table, str(images))
    assert [sample.path for sample in found.splits["train"]] == [f"{images}/a.png", f"{images}/b.png"]


def test_every_faulty_line_is_named(images: Path) -> None:
    lines = (
        "a.png,dog,1,2,3,4,train,12,10",
        "a.png,dog,1,2,3,,train,12,10",
        "lost.png,dog,1,2,3,4,train,12,10",
        "a.png,,1,2,3,4,train,12,10",
        "a.png,dog,1,2,3,4,trian,12,10",
        ",dog,1,2,3,4,train,12,10",
        "b.png,dgo,1,2,3,4,val,12,10",
        "b.png,dog,1,2,3,4,val,12,11",
    )
    table = write(images, "path,label,x1,y1,x2,y2,split,width,height\n" + "\n".join(lines) + "\n")
    with pytest.raises(DataError) as caught:
        read_box_table(table).usable()
    heading, *faults = str(caught.value).splitlines()
    assert "has 7 faults" in heading
    for fault in (
        "line 3 has the box 1, 2, 3, ; expected four numbers",
        "line 4 lists lost.png, which does not exist",
        "line 5 has the label '', which is not a class",
        "line 6 has the split 'trian'; expected train, val or test",
        "line 7 has no path",
        "line 8 has the label 'dgo', which is not a class; did you mean 'dog'?",
        "line 8 and others of its image give no size, or several",
    ):
        assert sum(fault in line for line in faults) == 1, fault


@pytest.mark.parametrize("path", ["a.png", "./a.png", "../FOLDER/a.png"])
def test_an_image_in_two_splits_is_noted_however_its_path_is_written(images: Path, path: str) -> None:
    path = path.replace("FOLDER", images.name)
    lines = f"a.png,dog,1,2,3,4,train\n{path},dog,1,2,3,4,val\nb.png,dog,1,2,3,4,val\n"
    found = read_box_table(write(images, "path,label,x1,y1,x2,y2,split\n" + lines)).usable()
    assert any("images both in train and in val (1): a.png" in note for note in found.notes)


def test_images_outside_the_folders_of_csvs_have_one_key_each(images: Path) -> None:
    for split in ("train", "val"):
        (images / "set" / split).mkdir(parents=True)
        (images / "set" / split / "data.csv").write_text("path,label,x1,y1,x2,y2\n../c.png,dog,1,2,3,4\n")
    (images / "a.png").rename(images / "set" / "c.png")
    found = read_box_table(str(images / "set")).usable()
    assert {split: listing.keys() for split, listing in found.splits.items()} == {"train": ["c.png"], "val": ["c.png"]}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("path,label,x1,y1,x2\na.png,dog,1,2,3\n", "has no column 'y2'"),
        ("paht,label,x1,y1,x2,y2\na.png,dog,1,2,3,4\n", r"has no column 'path'; did you mean 'paht'\?"),
        ("path,label,x1,y1,x2,y2\na.png,dog,1,2,3\n", "line 2 has 5 cells; expected 6"),
        ("path,label,x1,y1,x2,y2\n", "lists no images"),
    ],
)
def test_a_faulty_table_is_one_sentence(images: Path, text: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read_box_table(write(images, text)).usable()


def test_a_label_of_several_lines_is_a_fault(images: Path) -> None:
    table = write(images, 'path,x1,y1,x2,y2,label\na.png,1,2,3,4,"dog\nb.png,1,2,3,4,cat"\nb.png,1,2,3,4,dog\n')
    with pytest.raises(DataError, match=r"line 2 has a line break in 'dog\\nb.png,1,2,3,4,cat'; is a quote not closed"):
        read_box_table(table).usable()


def test_boxes_in_fractions_are_noted(images: Path) -> None:
    table = write(images, "path,label,x1,y1,x2,y2\na.png,dog,0.25,0.2,0.5,0.4\n")
    found = read_box_table(table).usable()
    assert found.splits["train"].objects(0).boxes.tolist() == [[3, 2, 6, 4]]
    assert found.notes == [f"{table}: all boxes are between 0 and 1, read as fractions of their images"]


def test_a_size_that_is_unknown_is_the_files(images: Path) -> None:
    table = write(images, "path,label,x1,y1,x2,y2,width,height\na.png,dog,1,2,3,4,-1,0\nb.png,dog,1,2,3,4,wide,10\n")
    with pytest.raises(DataError, match=r"has 1 fault:\n.*line 3 .* has the size wide x 10; expected whole numbers"):
        read_box_table(table).usable()


def test_openimages(tmp_path: Path) -> None:
    """A CSV for each split, images by their ids, and a file that describes the classes."""
    for split in ("train", "validation"):
        (tmp_path / split).mkdir()
        Image.new("RGB", (20, 10)).save(tmp_path / split / f"{split}01.jpg")
        (tmp_path / f"{split}-annotations-bbox.csv").write_text(
            "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
            f"{split}01,xclick,/m/01yrx,1,0.1,0.5,0.2,0.8,0,0,0,0,0\n"
            f"{split}01,xclick,/m/0bt9lr,1,0,1,0,1,0,0,1,0,0\n"
        )
    unnamed = read_box_table(str(tmp_path)).usable()
    assert unnamed.classes == ["/m/01yrx", "/m/0bt9lr"]
    assert "ids; class-descriptions-boxable.csv next to it gives names" in "".join(unnamed.notes)
    (tmp_path / "class-descriptions-boxable.csv").write_text("/m/01yrx,Cat\n/m/0bt9lr,Dog\n/m/0k4j,Car\n")
    found = read_box_table(str(tmp_path)).usable()
    assert found.classes == ["Cat", "Dog"]
    assert {split: listing.keys() for split, listing in found.splits.items()} == {
        "train": ["train/train01.jpg"],
        "val": ["validation/validation01.jpg"],
    }
    objects = found.splits["val"].objects(0)
    assert objects.boxes.tolist() == [[2, 2, 10, 8], [0, 0, 20, 10]]
    assert objects.crowd.tolist() == [False, True]


def test_a_folder_with_a_table_and_images_for_each_split(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        Image.new("RGB", (20, 10)).save(tmp_path / split / "a.jpg")
        text = "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,20,10,cat,1,2,3,4\n"
        (tmp_path / split / "_annotations.csv").write_text(text)
    found = read_box_table(str(tmp_path)).usable()
    assert {split: listing.keys() for split, listing in found.splits.items()} == {
        "train": ["train/a.jpg"],
        "val": ["valid/a.jpg"],
    }
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no CSV with columns of boxes; expected one for each split"):
        read_box_table(str(tmp_path / "empty"))


def test_an_image_is_searched_where_it_does_not_lie_at_its_path(images: Path) -> None:
    (images / "photos").mkdir()
    (images / "a.png").rename(images / "photos" / "c.png")
    found = read_box_table(write(images, "path,label,x1,y1,x2,y2\nC:\\me\\c.png,dog,1,2,3,4\nb.png,dog,1,2,3,4\n"))
    assert found.usable().splits["train"].keys() == ["photos/c.png", "b.png"]


def test_an_image_in_the_folder_of_another_split_is_another_image(tmp_path: Path) -> None:
    text = "path,label,x1,y1,x2,y2\na.png,cat,1,2,3,4\n"
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "_annotations.csv").write_text(text)
    Image.new("RGB", (12, 10)).save(tmp_path / "val" / "a.png")
    with pytest.raises(DataError, match=r"train/_annotations\.csv: line 2 lists a\.png, which does not exist below"):
        read_box_table(str(tmp_path)).usable()


def test_openimages_as_fiftyone_stores_it(tmp_path: Path) -> None:
    """Folders of images, tables and names below each split."""
    for split in ("train", "validation"):
        for folder in ("data", "labels", "metadata"):
            (tmp_path / split / folder).mkdir(parents=True)
        Image.new("RGB", (20, 10)).save(tmp_path / split / "data" / f"{split}01.jpg")
        (tmp_path / split / "labels" / "detections.csv").write_text(
            f"ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n{split}01,xclick,/m/01yrx,1,0.1,0.5,0.2,0.8\n"
        )
        (tmp_path / split / "labels" / "classifications.csv").write_text("ImageID,Source,LabelName,Confidence\n")
        (tmp_path / split / "metadata" / "classes.csv").write_text("/m/01yrx,Cat\n/m/0bt9lr,Dog\n")
    found = read_box_table(str(tmp_path)).usable()
    assert found.classes == ["Cat"]
    assert [listing.keys() for listing in found.splits.values()] == [
        ["train/data/train01.jpg"],
        ["validation/data/validation01.jpg"],
    ]
