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
