"""CSVs of images: columns, several labels, splits, and the errors for faulty ones."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from resnet_tl.data.sources import listed_images
from resnet_tl.data.sources.table import Columns, read_table
from resnet_tl.errors import DataError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "c.jpg", "in/d.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "photos"


def write(folder: Path, text: str, encoding: str = "utf-8") -> str:
    (folder / "set.csv").write_text(text, encoding=encoding)
    return str(folder / "set.csv")


def test_paths_are_relative_to_the_csvs_folder(photos: Path) -> None:
    found = read_table(write(photos, "path,label\nb.jpg,dog\na.jpg,cat\nin/d.jpg,cat\n"))
    assert found.classes == ["cat", "dog"]
    assert not found.multi_label
    assert [tuple(sample) for sample in found.splits["train"]] == [
        (f"{photos}/a.jpg", 0, "a.jpg"),
        (f"{photos}/b.jpg", 1, "b.jpg"),
        (f"{photos}/in/d.jpg", 0, "in/d.jpg"),
    ]


def test_spaces_around_cells_in_quotes_mean_nothing(photos: Path) -> None:
    table = write(photos, '"path" , "label"\r\n"a.jpg" , "cat" \r\n"b.jpg", "a ""big"" dog"\r\n c.jpg ,cat\r\n')
    found = read_table(table)
    assert found.classes == ['a "big" dog', "cat"]
    assert found.splits["train"].keys() == ["a.jpg", "b.jpg", "c.jpg"]


@pytest.mark.parametrize("written", ["b.jpg", "./b.jpg", "in/../b.jpg", "in\\..\\b.jpg", "ABSOLUTE/b.jpg"])
def test_an_image_has_one_key_however_its_path_is_written(photos: Path, tmp_path: Path, written: str) -> None:
    table = write(tmp_path, f"path,label\n{written.replace('ABSOLUTE', str(photos))},dog\na.jpg,cat\n")
    assert read_table(table, str(photos)).splits["train"].keys() == ["a.jpg", "b.jpg"]


def test_an_image_is_not_in_two_splits_by_two_paths(photos: Path, tmp_path: Path) -> None:
    up = f"../{photos.name}/b.jpg"
    table = write(photos, f"path,label,split\na.jpg,cat,train\nb.jpg,dog,train\n{up},cat,val\n")
    with pytest.raises(DataError, match=rf"line 4 lists {up} again \(first in line 3\)"):
        read_table(table)
    (tmp_path / "link").symlink_to(photos, target_is_directory=True)
    for path in (up, f"{photos}/b.jpg", f"{tmp_path}/link/b.jpg"):
        table = write(photos, f"path,label\na.jpg,cat\nb.jpg,dog\n{path},cat\n")
        with pytest.raises(DataError, match=r"line 4 lists .* again \(first in line 3\)"):
            read_table(table, str(tmp_path / "link"))


def test_an_image_elsewhere_is_not_in_two_splits_by_two_paths(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.jpg").write_bytes(b"")
    (tmp_path / "link").symlink_to(photos, target_is_directory=True)
    rows = f"../x.jpg,cat,train\na.jpg,dog,train\n{tmp_path}/link/b.jpg,dog,train\n"
    found = read_table(write(photos, "path,label,split\n" + rows))
    assert found.splits["train"].keys() == ["../x.jpg", "a.jpg", "b.jpg"]
    for many in (10, 2):
        monkeypatch.setattr(listed_images, "MANY", many)
        for path in (f"{tmp_path}/x.jpg", f"{tmp_path}/link/../x.jpg", f"{tmp_path}/link/a.jpg"):
            with pytest.raises(DataError, match=r"line 5 lists .*\.jpg again \(first in line [23]\)"):
                read_table(write(photos, f"path,label,split\n{rows}{path},cat,val\n"))


def test_an_image_elsewhere_keeps_its_absolute_path(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"")
    found = read_table(write(photos, f"path,label\n{tmp_path}/x.jpg,dog\na.jpg,cat\n"))
    assert [sample.path for sample in found.splits["train"]] == [f"{tmp_path}/x.jpg", f"{photos}/a.jpg"]


def test_several_labels(photos: Path) -> None:
    found = read_table(write(photos, "path,label\na.jpg,indoors| cat\nb.jpg,cat\nc.jpg,\n"))
    assert found.multi_label
    assert found.classes == ["cat", "indoors"]
    assert [sample.target for sample in found.splits["train"]] == [(0, 1), (0,), ()]


def test_commas_separate_labels_that_are_classes_elsewhere(photos: Path) -> None:
    found = read_table(write(photos, 'path,label\na.jpg,cat\nb.jpg,"cat, dog"\nc.jpg,dog\n'))
    assert (found.multi_label, found.classes) == (True, ["cat", "dog"])
    assert found.notes == [f"{photos}/set.csv: labels with a comma are several classes each (first 'cat, dog')"]
    names = write(photos, 'path,label\na.jpg,cat\nb.jpg,"cat,dog"\n')
    found = read_table(names)
    assert (found.multi_label, found.classes) == (False, ["cat", "cat,dog"])
    assert found.notes[0].endswith("labels with a comma are one class each (first 'cat,dog'); several are written a|b")
    assert read_table(names, classes=["cat", "cat,dog"]).notes == []


def test_an_image_is_found_by_its_name_with_or_without_ending(photos: Path) -> None:
    (photos / "in" / "d.png").write_bytes(b"")
    found = read_table(write(photos, "id,label\na,cat\nb.jpg,dog\nd.png,cat\n"), columns=Columns(path="id"))
    assert found.splits["train"].keys() == ["a.jpg", "b.jpg", "in/d.png"]
    refused("line 3 lists d, which may be in/d.jpg or in/d.png", write(photos, "path,label\na,cat\nd,dog\n"))


def test_headings_are_of_any_case(photos: Path) -> None:
    found = read_table(write(photos, "Path,Label,Split\na.jpg,cat,train\nb.jpg,dog,train\nc.jpg,dog,val\n"))
    assert set(found.splits) == {"train", "val"}


def test_multi_label_can_be_set(photos: Path) -> None:
    table = write(photos, "path,label\na.jpg,dog\nb.jpg,cat\n")
    assert [sample.target for sample in read_table(table, multi_label=True).splits["train"]] == [(1,), (0,)]
    table = write(photos, "path,label\na.jpg,cat|kitten\nb.jpg,cat\n")
    assert read_table(table, multi_label=False).classes == ["cat", "cat|kitten"]


def test_splits_and_names_of_columns(photos: Path) -> None:
    text = "id;file;species;fold\n1;a.jpg;cat;Train\n2;b.jpg;dog;train\n3;c.jpg;dog;valid\n4;in/d.jpg;cat;test\n"
    found = read_table(write(photos, text), columns=Columns("file", "species", "fold"))
    assert {split: listing.keys() for split, listing in found.splits.items()} == {
        "train": ["a.jpg", "b.jpg"],
        "val": ["c.jpg"],
        "test": ["in/d.jpg"],
    }


@pytest.mark.parametrize(
    "text",
    [
        'path\tlabel\n"a.jpg"\tcat\n\nb.jpg\tdog\n',
        '"path","label"\r\n"a.jpg","cat"\r\n"b.jpg","dog"\r\n',
        "\ufeffpath;label\na.jpg;cat\nb.jpg;dog",
        'path,label,"a\nnote",\na.jpg,cat,"two\nlines",\nb.jpg,dog,"",\n',
    ],
)
def test_dialects(photos: Path, text: str) -> None:
    assert read_table(write(photos, text)).splits["train"].keys() == ["a.jpg", "b.jpg"]


def test_images_in_a_zip(photos: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(photos / "a.jpg", "photos/in/a.jpg")
        archive.write(photos / "b.jpg", "photos/in/b.jpg")
    table = write(tmp_path, "path,label\nin/a.jpg,cat\nin/b.jpg,dog\n")
    found = read_table(table, str(tmp_path / "photos.zip" / "photos"))
    assert found.splits["train"][0].path == f"{tmp_path}/photos.zip/photos/in/a.jpg"


def test_classes_of_a_checkpoint(photos: Path) -> None:
    table = write(photos, "path,label\na.jpg,cat\nb.jpg,dog\n")
    assert read_table(table, classes=["dog", "cat"]).splits["train"][0].target == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("filename,label\na.jpg,cat\n", "no column 'path' (columns: filename, label; data.path_column names another"),
        ("path,lable\na.jpg,cat\n", "did you mean 'lable'? (columns: path, lable; data.label_column names another"),
        ("file,klass\na.jpg,cat\n", "has no column 'path' and no column 'label' (columns: file, klass; data"),
        ("a.jpg,cat\nb.jpg,dog\n", "has no header; expected a first line path,label (its first line: a.jpg, cat)"),
        ("path,label\n", "lists no images"),
        ("", "has no column 'path'"),
        ("path,label\na.jpg,cat\nb.jpg\n", "line 3 has 1 cells; expected 2 (path, label)"),
        ("path,label\na.jpg,cat\nb.jpg,\n", "line 3 has no label in column 'label'"),
        ("path,label\n,cat\n", "line 2 has no path in column 'path'"),
        ('path,label\na.jpg,cat\nb.jpg,"dog\nc.jpg,cat\n', "from line 3 on: unexpected end of data"),
        ('path,label\na.jpg,"cat\nb.jpg,"dog"\n', "from line 2 on: ',' expected after '\"'; is a quote not closed?"),
        ('path,label\na.jpg,"cat\nb.jpg,dog"\n', "line 2 has a line break in 'cat\\nb.jpg,dog'; is a quote not"),
        ('path,"label\na.jpg,cat\n', "cannot be read as a CSV from line 1 on: unexpected end of data"),
        ("path,label,label\na.jpg,cat,dog\n", "has several columns 'label' (columns: path, label, label); expected"),
        ("path,label\na.jpg,cat\nx.jpg,dog\ny.jpg,dog\n", "lists 2 images of 3 that do not exist below"),
        (
            "path,label\nhttps://x.org/a.jpg,cat\nhttps://x.org/b.jpg,dog\n",
            "lists addresses (2, first https://x.org/a.jpg); expected paths of files: download the images and",
        ),
        ("path,label\na.jpg,cat\nb.jpg,cat\n", "has only 1 class (cat); expected two or more"),
        ("path,label\na.jpg,cat\n./a.jpg,dog\n", "line 3 lists ./a.jpg again (first in line 2)"),
        ("path,label,split\na.jpg,cat,trian\n", "line 2 has the split 'trian'; expected train, val or test"),
        (
            "path,label,split\na.jpg,cat,train\nb.jpg,dog,train\nc.jpg,dgo,val\n",
            "line 4 has the class 'dgo' in the val split, but train has no image of it; did you mean 'dog'?",
        ),
    ],
)  # fmt: skip
def test_faults_are_one_sentence(photos: Path, text: str, says: str) -> None:
    refused(says, write(photos, text))


def test_accents_are_one_name_however_table_and_disk_spell_them(photos: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    (photos / f"{decomposed}.jpg").write_bytes(b"")
    found = read_table(write(photos, f"path,label\n{composed}.jpg,{composed}\na.jpg,{decomposed}\nb.jpg,tea\n"))
    assert found.classes == [composed, "tea"]
    assert found.splits["train"].keys() == ["a.jpg", "b.jpg", f"{decomposed}.jpg"]


def test_labels_that_are_numbers_are_sorted_as_text_and_noted(photos: Path) -> None:
    found = read_table(write(photos, "path,label\na.jpg,2\nb.jpg,10\n"))
    assert found.notes == [f"{photos}/set.csv: the class names are numbers, and sorted as text: 10, 2"]


def test_the_first_of_many_missing_files_are_named(photos: Path) -> None:
    lines = "".join(f"gone{i}.jpg,dog\n" for i in range(20))
    refused(
        "gone0.jpg, gone1.jpg, gone2.jpg, gone3.jpg, gone4.jpg, ...", write(photos, "path,label\na.jpg,cat\n" + lines)
    )


def test_other_faults(photos: Path, tmp_path: Path) -> None:
    table = write(photos, "path,label\na.jpg,cat\nb.jpg,dog\n")
    refused("ste.csv does not exist; did you mean 'set.csv'?", str(photos / "ste.csv"))
    refused("cannot be read as a CSV: is a directory", str(photos))
    refused("phtos does not exist; did you mean 'photos'?", table, str(tmp_path / "phtos"))
    refused("has no column 'fold'", table, columns=Columns(split="fold"))
    refused("classes ('dog')", table, classes=["cat", "emu"])
    refused("is not UTF-8", write(photos, "path,label\na.jpg,Löwe\nb.jpg,dog\n", "latin-1"))


def refused(says: str, *args: Any, **options: Any) -> None:
    with pytest.raises(DataError) as caught:
        read_table(*args, **options)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_many_paths_are_looked_up_by_their_folders(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"path,label\n{photos}/a.jpg,cat\nb.jpg,dog\n./in/d.jpg,cat\n"
    expected = read_table(write(photos, text))
    monkeypatch.setattr(listed_images, "MANY", 2)
    found = read_table(write(photos, text))
    assert [*found.splits["train"]] == [*expected.splits["train"]]
    with pytest.raises(DataError, match=r"lists 2 images of 3 that do not exist .*: b2\.jpg, nowhere/e\.jpg$"):
        read_table(write(photos, "path,label\na.jpg,cat\nb2.jpg,dog\nnowhere/e.jpg,cat\n"))
