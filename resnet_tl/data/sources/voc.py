"""Pascal VOC's annotations of objects: an XML file per image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal, NamedTuple, TypeAlias
from xml.etree import ElementTree

from resnet_tl.data.listings.boxes import BoxSet
from resnet_tl.data.sources.annotations import BoxListingBuilder, annotated_size, box_set, in_fractions
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.orientation import Entry
from resnet_tl.data.sources.text_files import read_xml
from resnet_tl.data.sources.tree import walk
from resnet_tl.data.sources.voc_layout import found_pairs, listed_pairs
from resnet_tl.errors import DataError, did_you_mean
from resnet_tl.structures.records import Code

Scale: TypeAlias = Literal["from 1", "from 0", "fractions"]
"""How a set's corners are written: as pixels counted from 1 or from 0, or as fractions of the images."""


class Object(NamedTuple):
    """box: xmin, ymin, xmax, ymax as written."""

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

    Corners are pixels counted from 1, the last one included: boxes become x1 = xmin - 1 to x2 = xmax on pixel edges.
    They stay as they are in a set where a box starts at 0, which shows that its tool counts from 0. Where all corners
    of a set are between 0 and 1, they are fractions of the images. `difficult` objects are treated like crowds: they
    are not targets, and missing them is not an error. Classes are those of the training images, sorted, unless
    `classes` (a checkpoint's) are given. keep_empty: see `box_set`.

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
    every = chain.from_iterable(found.values() for found in documents.values())
    scale = _scale([each.box for document in every for each in document.objects], findings)
    names = list(classes) if classes is not None else _classes(documents)
    index = {name: i for i, name in enumerate(names)}
    builders = {}
    for split, found in documents.items():
        entries = [Entry(key, document.size, document.path) for key, document in found.items()]
        builders[split] = BoxListingBuilder(entries, names, channels, findings)
        _add(builders[split], found.values(), index, scale, findings)
    codes: list[Code] = [*range(len(names))]
    return box_set(findings, builders, names, codes, known=classes, keep_empty=keep_empty)


def _scale(boxes: Sequence[list[float]], findings: Findings) -> Scale:
    """Returns what the numbers of a set's boxes mean."""
    if in_fractions(chain.from_iterable(boxes), findings):
        return "fractions"
    if not any(0 in box[:2] and _has_area(box) for box in boxes):
        return "from 1"
    findings.notes.append(
        f"{findings.name}: boxes start at pixel 0, so no 1 is subtracted from corners (Pascal VOC counts pixels from 1)"
    )
    return "from 0"


def _has_area(box: list[float]) -> bool:
    xmin, ymin, xmax, ymax = box
    return xmin < xmax and ymin < ymax


def _add(
    builder: BoxListingBuilder, documents: Iterable[Document], index: dict[str, int], scale: Scale, findings: Findings
) -> None:
    for row, document in enumerate(documents):
        for number, (name, box, difficult) in enumerate(document.objects, 1):
            if name not in index:
                findings.faults.append(
                    f"{document.path}: object {number} is a {name!r}, which is not a class{did_you_mean(name, index)}"
                )
            first = 1 if scale == "from 1" and _has_area(box) else 0
            height, width = builder.file_size(row) if scale == "fractions" else (1, 1)
            corners = [(box[0] - first) * width, (box[1] - first) * height, box[2] * width, box[3] * height]
            builder.add(row, index.get(name), corners, f"object {number}", crowd=difficult)


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
