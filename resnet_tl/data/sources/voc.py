"""Pascal VOC's annotations of objects: an XML file per image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from resnet_tl.data.listings.boxes import BoxSet
from resnet_tl.data.sources.annotations import BoxListingBuilder, annotated_size, box_set
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.orientation import Entry
from resnet_tl.data.sources.text_files import read_xml
from resnet_tl.data.sources.tree import walk
from resnet_tl.data.sources.voc_layout import found_pairs, listed_pairs
from resnet_tl.errors import DataError, did_you_mean
from resnet_tl.structures.records import Code


class Object(NamedTuple):
    """box: xmin, ymin, xmax, ymax as written: pixels counted from 1, including the last one."""

    name: str
    box: list[float]
    difficult: bool


class Document(NamedTuple):
    """An XML file. size: (h, w); None where it has none."""

    path: str
    size: tuple[int, int] | None
    objects: list[Object]


def read_voc_boxes(
    root: str, classes: Sequence[str] | None = None, channels: int = 3, *, keep_empty: bool = False
) -> BoxSet:
    """Reads `root/{JPEGImages,Annotations,ImageSets/Main/{train,val,test}.txt}`; or, without lists, XML files next to
    their images or in a folder near theirs, such as `Annotations/` and `JPEGImages/`, `train/annotations/` and
    `train/images/`.

    Boxes become x1 = xmin - 1 to x2 = xmax on pixel edges. `difficult` objects are treated like crowds: they are not
    targets, and missing them is not an error. Classes are those of the training images, sorted, unless `classes` (a
    checkpoint's) are given. keep_empty: see `box_set`.

    Raises:
        DataError: the set cannot be read at all; other faults are in its `faults`.
    """
    tree = walk(root)
    findings = Findings(tree.root)
    by_split = listed_pairs(tree, findings) or found_pairs(tree, findings)
    documents = {
        split: {key: document for key, xml in pairs if (document := _read(f"{tree.root}/{xml}", findings))}
        for split, pairs in by_split.items()
    }
    names = list(classes) if classes is not None else _classes(documents)
    index = {name: i for i, name in enumerate(names)}
    builders = {}
    for split, found in documents.items():
        entries = [Entry(key, document.size, document.path) for key, document in found.items()]
        builders[split] = BoxListingBuilder(entries, names, channels, findings)
        _add(builders[split], found.values(), index, findings)
    codes: list[Code] = [*range(len(names))]
    return box_set(findings, builders, names, codes, known=classes, keep_empty=keep_empty)


def _add(builder: BoxListingBuilder, documents: Iterable[Document], index: dict[str, int], findings: Findings) -> None:
    for row, document in enumerate(documents):
        for number, (name, box, difficult) in enumerate(document.objects, 1):
            if name not in index:
                findings.faults.append(
                    f"{document.path}: object {number} is a {name!r}, which is not a class{did_you_mean(name, index)}"
                )
            xmin, ymin, xmax, ymax = box
            if xmin < xmax and ymin < ymax:
                xmin, ymin = xmin - 1, ymin - 1
            place = f"object {number}"
            builder.add(row, index.get(name), [xmin, ymin, xmax, ymax], place, crowd=difficult)


def _read(path: str, findings: Findings) -> Document | None:
    try:
        tree = read_xml(path)
        size = annotated_size(tree.findtext("size/height"), tree.findtext("size/width"))
    except DataError as error:
        findings.faults.append(str(error))
        return None
    except ValueError as error:
        findings.faults.append(f"{path}: {error}")
        return None
    objects = []
    for number, element in enumerate(tree.iter("object"), 1):
        try:
            objects.append(_object(element))
        except ValueError as error:
            findings.faults.append(f"{path}: object {number} {error}")
    return Document(path, size, objects)


def _object(element: ElementTree.Element) -> Object:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise ValueError("has no name")
    try:
        box = [float(element.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax")]
    except ValueError:
        raise ValueError(f"({name}) has no bndbox of four numbers") from None
    return Object(name, box, (element.findtext("difficult") or "0").strip() == "1")


def _classes(documents: dict[str, dict[str, Document]]) -> list[str]:
    first = "train" if "train" in documents else next(iter(documents), "")
    return sorted({each.name for document in documents.get(first, {}).values() for each in document.objects})
