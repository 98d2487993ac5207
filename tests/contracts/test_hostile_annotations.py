"""Annotations that are damaged or made to do harm end in sentences, or are read: no traceback, no code run, no bomb."""

from __future__ import annotations

import json
import random
import re
import resource
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mask_writers
import numpy as np
import pytest
from object_writers import SOURCES, Shot, Shots
from PIL import Image

from resnet_tl.data.listings.boxes import BoxSet
from resnet_tl.data.listings.listing import ImageSet
from resnet_tl.data.sources.box_table import read_box_table
from resnet_tl.data.sources.class_list import read_classes
from resnet_tl.data.sources.coco import read_coco
from resnet_tl.data.sources.table import read_table
from resnet_tl.data.sources.tools.export import read_tool_export
from resnet_tl.data.sources.tools.tool import ToolName
from resnet_tl.data.sources.yolo import read_yolo
from resnet_tl.errors import UserError
from resnet_tl.structures.masks import to_pixels

SIZE = (30, 40)
MEGABYTES = 300
"""What a set of images of 40 x 30 pixels may add to the peak of memory, whatever its annotations say."""

Form = tuple[Callable[[Path], None], Callable[[str], Any]]


def masks(*names: str) -> Callable[[Path], None]:
    """Writes a set of each of these kinds of masks, several in folders of their own."""
    square = np.array([[10.0, 5], [20, 5], [20, 15], [10, 15]])
    pixels = np.zeros(SIZE, bool)
    pixels[5:15, 10:20] = True

    def write(root: Path) -> None:
        for number, name in enumerate(names):
            folder = root / str(number) if len(names) > 1 else root
            folder.mkdir(exist_ok=True)
            Image.new("RGB", SIZE[::-1]).save(folder / "a.png")
            known: Mapping[str, mask_writers.Write] = mask_writers.POLYGONS | mask_writers.PIXELS
            shape = square if name in mask_writers.POLYGONS else pixels
            known[name](folder, SIZE, {"cat": shape, "dog": shape})

    return write


def boxes(kind: str) -> Callable[[Path], None]:
    shots: Shots = {
        "train": {"a": Shot(objects=[("cat", 4, 5, 20, 25), ("dog", 10, 0, 40, 30)]), "b": Shot((30, 40))},
        "val": {"d": Shot(objects=[("dog", 1, 2, 3, 4)])},
    }
    return lambda root: SOURCES[kind][0](root, shots)


def openimages(root: Path) -> None:
    Image.new("RGB", SIZE[::-1]).save(root / "01.jpg")
    header = (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
    )
    line, group = (f"01,xclick,/m/01yrx,1,0.1,0.5,0.2,0.8,0,0,{flag},0,0" for flag in (0, 1))
    (root / "train-annotations-bbox.csv").write_text(f"{header}\n{line}\n{line}\n{group}\n")
    (root / "class-descriptions-boxable.csv").write_text("/m/01yrx,Cat\n/m/0bt9lr,Dog\n")


def class_table(root: Path) -> None:
    for name in ("a", "b"):
        Image.new("RGB", SIZE[::-1]).save(root / f"{name}.png")
    (root / "labels.csv").write_text("path,label,split\na.png,cat,train\nb.png,dog,train\n")


def mask_classes(root: Path) -> None:
    (root / "classes.csv").write_text("id,name,colour\n0,background,#000000\n1,cat,#ff0000\n7,dog,#00ff00\n")


def tool(name: ToolName) -> Callable[[str], BoxSet]:
    return lambda root: read_tool_export(root, name)


FORMS: dict[str, Form] = {
    "coco": (masks("coco_polygons"), read_coco),
    "coco run lengths": (masks("coco_runs"), read_coco),
    "yolo": (boxes("yolo"), read_yolo),
    "yolo polygons": (masks("yolo_polygons"), read_yolo),
    "voc": (boxes("voc"), SOURCES["voc"][1]),
    "box table": (boxes("table"), lambda root: read_box_table(f"{root}/boxes.csv")),
    "openimages": (openimages, read_box_table),
    "labelme": (masks("labelme_polygons", "labelme_masks"), tool("labelme")),
    "via": (masks("via_polygons"), tool("via")),
    "via 3": (masks("via3_polygons"), tool("via")),
    "label studio": (masks("label_studio_polygons", "label_studio_brushes"), tool("label_studio")),
    "cvat": (masks("cvat_polygons", "cvat_masks"), tool("cvat")),
    "supervisely": (masks("supervisely_polygons", "supervisely_bitmaps"), tool("supervisely")),
    "class table": (class_table, lambda root: read_table(f"{root}/labels.csv")),
    "classes of masks": (mask_classes, lambda root: read_classes(f"{root}/classes.csv", [255])),
}
TEXTS = (".json", ".xml", ".csv", ".txt", ".yaml")
VALUES = [
    *(b"null", b"[]", b"{}", b"true", b"NaN", b"1e999", b"-1", b"0", b'"x"', b'"\\ud83d"', b"9" * 400, b"9" * 5000),
    *(b"-9223372036854775808", b"4294967296", b"1000000000", b"100000", b"<a/>", b"&b;", b"../../etc/passwd"),
]
"""What takes the place of numbers and texts."""


def mutate(data: bytes, draw: random.Random, canary: Path) -> bytes:
    """One of the ways in which a file can be damaged, or made to do harm."""
    tokens = [match.span() for match in re.finditer(rb'-?\d+\.?\d*|"[^"]*"|[A-Za-z]+', data)]
    start, end = draw.choice(tokens) if tokens else (0, 0)
    at = draw.randrange(len(data) + 1)
    kind = draw.randrange(10)
    if kind == 0:
        flipped = bytearray(data or b"x")
        for _ in range(draw.randint(1, 4)):
            flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
        return bytes(flipped)
    if kind == 1:
        return data[:at]
    if kind == 2:
        return data[:at] + data[at + draw.randint(1, 40) :]
    if kind in (3, 4) and data.startswith((b"{", b"[")):
        return json.dumps(replaced(json.loads(data), draw)).encode()
    if kind in (3, 4, 5):
        return data[:start] + draw.choice(VALUES) + data[end:]
    if kind == 6:
        opening = draw.choice([b"[", b'{"a":', b"<a>", b"- "])
        return data[:start] + opening * 100_000 + data[end:]
    if kind == 7:
        text = data.decode()
        return draw.choice(
            [text.encode("utf-16"), text.encode("utf-32"), data + b"\xff", b"\0" + data, b"\xef\xbb\xbf" + data]
        )
    if kind == 8:
        call = f'!!python/object/apply:os.system ["touch {canary}"]'.encode()
        entity = f'<!DOCTYPE a [<!ENTITY b SYSTEM "file://{canary}">]>'.encode()
        return draw.choice([data[:start] + call + data[end:], entity + data, data[:start] + b"=cmd()" + data[end:]])
    return data[:at] + data[max(0, at - draw.randint(1, 200)) :]


def replaced(content: Any, draw: random.Random) -> Any:
    """A part of a JSON document by a value of any other kind, or without one of its members."""
    if not isinstance(content, dict | list) or not content or draw.random() < 0.1:
        return draw.choice([None, [], {}, [[]], {"a": 1}, True, "", "x", "1", -1, 0, 0.5, 1e300, 10**30, 10**400])
    key = draw.choice(list(content) if isinstance(content, dict) else range(len(content)))
    changed: Any = dict(content) if isinstance(content, dict) else list(content)
    if draw.random() < 0.05:
        del changed[key]
    else:
        changed[key] = replaced(content[key], draw)
    return changed


def use(images: Any) -> None:
    """What training does with a set: every object, and the pixels of its mask. Raises UserError for its faults."""
    for listing in images.splits.values() if isinstance(images, ImageSet) else ():
        for row in range(len(listing)):
            assert listing[row].path
            if isinstance(images, BoxSet):
                for mask in listing.objects(row).masks or []:
                    assert to_pixels(mask, *listing.size(row)).shape == listing.size(row)
    if isinstance(images, ImageSet):
        images.usable()


def outcomes(root: Path, form: str, count: int, seed: int) -> Counter[str]:
    """Reads a set of a form so many times, each time with a mutated file; counts how it ends."""
    write, read = FORMS[form]
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    write(root)
    files = sorted(path for path in root.rglob("*") if path.suffix in TEXTS)
    draw, ends, canary = random.Random(f"{form} {seed}"), Counter[str](), root / "canary"
    use(read(str(root)))
    for _ in range(count):
        file = draw.choice(files)
        whole = file.read_bytes()
        file.write_bytes(mutate(whole, draw, canary))
        try:
            use(read(str(root)))
            ends["loaded"] += 1
        except UserError:
            ends["refused"] += 1
        except Exception as error:
            shutil.copy(file, root / "failed")
            raise AssertionError(f"{form}: {type(error).__name__}: {error}, kept in {root}/failed") from error
        file.write_bytes(whole)
    assert not canary.exists()
    return ends


def peak() -> float:
    """Megabytes of memory that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("form", FORMS)
def test_damaged_annotations_are_refused_or_read(tmp_path: Path, form: str) -> None:
    before = peak()
    ends = outcomes(tmp_path / "set", form, 40, seed=0)
    assert ends.total() == 40
    assert ends["refused"]
    assert peak() - before < MEGABYTES


def test_the_documentation_counts_these_forms() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "concepts" / "hostile_input.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| (\d+) \| 0 \|$", page, re.M)
    assert len(rows) == len(FORMS)
    assert all(int(refused) + int(read) == 300 for _, refused, read in rows)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_many_damaged_annotations_are_refused_or_read(tmp_path: Path, form: str) -> None:
    before = peak()
    ends = outcomes(tmp_path / "set", form, 300, seed=1)
    print(f"{form}: {dict(ends)}, peak of memory {peak() - before:+.0f} MB")
    assert ends.total() == 300
    assert peak() - before < MEGABYTES
