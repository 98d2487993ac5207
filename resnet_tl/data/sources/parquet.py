"""Image tables in Parquet, with paths of images or with the images themselves, as Hugging Face's `datasets` writes it.

Images in a table are copied once into a zip in the cache: Parquet is compressed in groups of rows, and to draw images
at random would read a whole group for each of them.
"""

from __future__ import annotations

import json
import logging
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from resnet_tl.data.images.key_hash import hash64
from resnet_tl.data.sources.tree import Tree, missing, walk
from resnet_tl.errors import DataError
from resnet_tl.files import as_run_error, atomic_create

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

IMAGE = "image"
"""What the column of images is usually called."""
ROWS = 64
"""Rows that are in memory at a time while their images are copied."""
ENDINGS = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"GI": ".gif", b"RI": ".webp", b"BM": ".bmp", b"II": ".tif"}
"""By a file's first two bytes."""

log = logging.getLogger("resnet_tl")


class Rows(NamedTuple):
    """A table as text: its headings, the number of each row (from 1) and its cells, and the zip that the paths are
    relative to (None: those of the table itself)."""

    headings: list[str]
    lines: list[tuple[int, list[str]]]
    root: str | None


def is_parquet(table: str) -> bool:
    """Whether this is a Parquet file, or a folder of Parquet files."""
    return bool(_parts(table)) if os.path.isdir(table) else table.lower().endswith(".parquet")


def saved_by_datasets(tree: Tree) -> str:
    """Returns how to write what `datasets.save_to_disk` wrote in a form that is read; "" for another folder."""
    saved = f"datasets.load_from_disk({tree.root!r})"
    if "dataset_dict.json" in tree.files:
        how = f"for name, split in {saved}.items(): split.to_parquet(f'parquet/{{name}}.parquet')"
    elif {"dataset_info.json", "state.json"} <= set(tree.files):
        how = f"{saved}.to_parquet('train.parquet')"
    else:
        return ""
    return f"{tree.root} was saved by Hugging Face's datasets; expected Parquet, which it writes by {how}"


def read_rows(table: str, path: str, label: str, split: str, separator: str, cache: Path, group: str = "") -> Rows:
    """Reads the columns of images, labels, splits and groups; the other cells are empty.

    Args:
        table: a Parquet file, or a folder of files whose names begin with their split: `train-00000-of-00002.parquet`.
        path: the column of images: paths, bytes, or both as `datasets` stores them. If there is no `path`: `image`.
        label: class numbers become names where the file has them, lists become `a|b`.
        separator: of the labels of an image.
        cache: the folder of the zip of images.

    Raises:
        DataError: pyarrow is not installed, there is no file or a damaged one, or a row without an image.
    """
    files = {part: _open(part) for part in _parts(table)}
    columns = next(iter(files.values())).schema_arrow.names
    if path not in columns and path == "path" and IMAGE in columns:
        path = IMAGE
    inside = path in columns and any(_bytes_of(row[path]) for row in _rows(next(iter(files.values())), path, 1))
    archive = _archive(files, path, cache) if inside else None
    members = iter(zipfile.ZipFile(archive).namelist()) if archive else None
    lines: list[tuple[int, list[str]]] = []
    for part, file in files.items():
        count = file.metadata.num_rows
        cells = {name: [""] * count for name in columns}
        cells |= {name: _texts(file, name, separator) for name in (label, split, group) if name in columns}
        if members is not None:
            cells[path] = [next(members) for _ in range(count)]
        elif path in columns:
            cells[path] = _texts(file, path, separator)
        if len(files) > 1 and split not in columns:
            cells[split] = [os.path.basename(part).partition("-")[0].partition(".")[0]] * count
        lines += enumerate(map(list, zip(*cells.values(), strict=True)), len(lines) + 1)
    headings = ["path" if name == IMAGE == path else name for name in cells]
    return Rows(headings, lines, archive)


def _parts(table: str) -> list[str]:
    if not os.path.isdir(table):
        return [table]
    return [f"{table}/{file}" for file in sorted(walk(table).files) if file.lower().endswith(".parquet")]


def _open(part: str) -> ParquetFile:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise DataError(f"{part}: Parquet needs pyarrow: pip install 'resnet-tl[parquet]'") from error
    if not os.path.exists(part):
        raise missing(part)
    try:
        return ParquetFile(part)
    except (ArrowException, OSError) as error:
        raise DataError(f"{part}: not a Parquet file, or a damaged one ({error})") from error


def _rows(file: ParquetFile, column: str, count: int = ROWS) -> Iterator[dict[str, Any]]:
    for batch in file.iter_batches(count, columns=[column]):
        yield from batch.to_pylist()
        if count == 1:
            return


def _texts(file: ParquetFile, column: str, separator: str) -> list[str]:
    names = _class_names(file, column)

    def text(value: Any) -> str:
        if isinstance(value, Mapping):
            value = value.get("path")
        if isinstance(value, list):
            return separator.join(map(text, value))
        if names is not None and isinstance(value, int):
            return names[value] if 0 <= value < len(names) else ""
        return "" if value is None else str(value).strip()

    return [text(row[column]) for row in _rows(file, column)]


def _class_names(file: ParquetFile, column: str) -> list[str] | None:
    """The names of class numbers, which `datasets` writes into the file's metadata."""
    described = json.loads((file.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
    feature = described.get("info", {}).get("features", {}).get(column, {})
    feature = feature.get("feature", feature) if isinstance(feature, dict) else feature[0]
    names: list[str] | None = feature.get("names")
    return names


def _archive(files: Mapping[str, ParquetFile], column: str, cache: Path) -> str:
    """Returns the zip of the images of these files; writes it where it does not exist."""
    states = [(os.path.abspath(part), os.stat(part).st_size, os.stat(part).st_mtime_ns) for part in files]
    path = cache / f"{hash64(json.dumps([states, column])):016x}.zip"
    if not path.exists():
        count = sum(file.metadata.num_rows for file in files.values())
        log.info(f"Copying {count:,} images of {os.path.dirname(next(iter(files))) or '.'} to {path}")
        cache.mkdir(parents=True, exist_ok=True)
        with as_run_error(path), atomic_create(path) as file, zipfile.ZipFile(file, "w") as archive:
            for part, table in files.items():
                for number, row in enumerate(_rows(table, column), 1):
                    content = _bytes_of(row[column])
                    if not content:
                        raise DataError(f"{part}: row {number} has no image in column {column!r}")
                    member = f"{Path(part).stem}/{number:07d}{ENDINGS.get(content[:2], '')}"
                    archive.writestr(zipfile.ZipInfo(member), content)
    return str(path)


def _bytes_of(value: Any) -> bytes | None:
    content = value.get("bytes") if isinstance(value, Mapping) else value
    return content if isinstance(content, bytes) else None
