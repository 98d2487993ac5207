"""Image tables in Parquet: with paths, with images, in shards, as Hugging Face's `datasets` writes them."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.classification import ImageTable
from resnet_tl.data.images.decode import decode
from resnet_tl.data.sources import parquet
from resnet_tl.data.sources.folder import read_folder
from resnet_tl.data.sources.forms import form_of, forms_of
from resnet_tl.data.sources.table import Columns, read_table
from resnet_tl.errors import DataError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (value, 0, 0)).save(file, "png")
    return file.getvalue()


def write(path: Path, columns: dict[str, list[Any]], names: list[str] | None = None) -> str:
    """names: of the class numbers in the column `label`, in the metadata of `datasets`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if names:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)
    return str(path)


def images(*values: int) -> list[dict[str, Any]]:
    return [{"bytes": png(value), "path": f"{value}.png"} for value in values]


def test_images_inside_are_read_with_the_names_of_their_classes(tmp_path: Path) -> None:
    table = write(tmp_path / "set.parquet", {"image": images(10, 20, 30), "label": [1, 0, 1]}, ["cat", "dog"])
    found = read_table(table, cache=tmp_path / "cache")
    assert found.classes == ["cat", "dog"]
    samples = list(found.splits["train"])
    assert [(sample.key, sample.target) for sample in samples] == [
        ("set/0000001.png", 1), ("set/0000002.png", 0), ("set/0000003.png", 1)
    ]  # fmt: skip
    assert [int(decode(sample.path)[0, 0, 0]) for sample in samples] == [10, 20, 30]


def test_images_are_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = write(tmp_path / "set.parquet", {"image": images(1, 2), "label": ["a", "b"]})
    first = read_table(table, cache=tmp_path / "cache")
    monkeypatch.setattr(zipfile.ZipFile, "writestr", None)
    assert read_table(table, cache=tmp_path / "cache").splits["train"].keys() == first.splits["train"].keys()
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_plain_bytes_and_columns_of_other_names(tmp_path: Path) -> None:
    table = write(tmp_path / "set.parquet", {"photo": [png(1), png(2)], "kind": ["a", "b"], "other": [1.5, None]})
    found = read_table(table, columns=Columns("photo", "kind"), cache=tmp_path / "cache")
    assert found.classes == ["a", "b"]
    with pytest.raises(DataError, match=r"no column 'label' \(columns: photo, kind, other; data.label_column names"):
        read_table(table, columns=Columns("photo"), cache=tmp_path / "cache")


def test_paths_are_relative_to_the_table_and_labels_may_be_lists(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png(1))
    columns = {"path": ["a.png", "b.png"], "label": [["x", "y"], []], "split": ["train", "validation"]}
    found = read_table(write(tmp_path / "set.parquet", columns))
    assert (found.classes, found.multi_label) == (["x", "y"], True)
    assert {split: listing.keys() for split, listing in found.splits.items()} == {"train": ["a.png"], "val": ["b.png"]}
    only_paths = [{"bytes": None, "path": "a.png"}, {"bytes": None, "path": "b.png"}]
    found = read_table(write(tmp_path / "hf.parquet", {"image": only_paths, "label": ["x", "y"]}))
    assert found.splits["train"].keys() == ["a.png", "b.png"]


def test_the_shards_of_a_folder_are_named_after_their_split(tmp_path: Path) -> None:
    for name, value in (("train-00000-of-00002", 1), ("train-00001-of-00002", 2), ("test-00000-of-00001", 3)):
        write(
            tmp_path / "set" / "data" / f"{name}.parquet", {"image": images(value, value), "label": [0, 1]}, ["a", "b"]
        )
    assert form_of(str(tmp_path / "set"), "classification").module == "ImageTable"
    data = ImageTable(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"), num_workers=0, image_size=4)
    assert {split: len(listing) for split, listing in data.listings.items()} == {"train": 2, "val": 2, "test": 2}
    (batch,) = data.test_dataloader()
    assert np.asarray(batch.images)[:, 0].max() == 3


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"image": [{"bytes": png(1), "path": ""}, {"bytes": None, "path": ""}], "label": ["a", "b"]},
            "row 2 has no im",
        ),
        ({"image": images(1, 2), "label": ["a", None]}, "line 2 has no label"),
        ({"words": ["a"], "label": ["a"]}, r"has no column 'path' \(columns: words, label"),
    ],
)
def test_faults_are_one_sentence(tmp_path: Path, columns: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(write(tmp_path / "set.parquet", columns), cache=tmp_path / "cache")
    assert not list(tmp_path.glob("cache/*.part"))


def test_a_damaged_file_a_wrong_name_and_a_missing_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"set\.parquet: not a Parquet file, or a damaged one"):
        read_table(str(tmp_path / "set.parquet"))
    with pytest.raises(DataError, match=r"sat\.parquet does not exist; did you mean 'set\.parquet'"):
        read_table(str(tmp_path / "sat.parquet"))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"Parquet needs pyarrow: pip install 'resnet-tl\[parquet\]'"):
        parquet.read_rows(str(tmp_path / "set.parquet"), "path", "label", "split", "|", tmp_path)


@pytest.mark.parametrize(
    ("files", "how"),
    [
        (["dataset_info.json", "state.json", "data-00000-of-00001.arrow"], r"load_from_disk\(.*\)\.to_parquet\('train"),
        (["dataset_dict.json", "train/state.json"], r"for name, split in datasets.load_from_disk"),
    ],
)
def test_what_datasets_saved_to_disk_is_explained(tmp_path: Path, files: list[str], how: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    for read in (forms_of, read_folder):
        with pytest.raises(DataError, match=rf"was saved by Hugging Face's datasets; expected Parquet, .*{how}"):
            read(str(tmp_path))
