"""One form for the exports of all annotation tools: an image and the shapes drawn on it."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from resnet_tl.data.images.headers import read_header
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.image_finder import ImageFinder
from resnet_tl.data.sources.text_files import brief, read_json
from resnet_tl.data.sources.tools.shapes import Shape
from resnet_tl.data.sources.tree import Tree
from resnet_tl.errors import DataError

Made = tuple[str, Shape] | None
"""A label and its shape; None for a shape that is skipped."""

MALFORMED = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
"""What taking apart a document of an unexpected form raises."""


class Drawn(NamedTuple):
    """A shape with its label. place: what messages call it, `shape 3`."""

    label: str
    shape: Shape
    place: str


@dataclass
class Document:
    """The annotations of one image.

    image: its name as the tool wrote it. source: what messages call the document. size: (h, w), or None where the tool
    does not store it. split: train, val or test, where the tool stores it.
    """

    image: str
    source: str
    size: tuple[int, int] | None
    drawn: list[Drawn] = field(default_factory=list)
    split: str | None = None


@dataclass
class Reading:
    """The documents of a set, as they are read from a tool's files.

    skipped: shapes by kind that are neither a box nor a region (points, lines).
    """

    tree: Tree
    findings: Findings
    documents: list[Document] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.finder = ImageFinder(self.tree)

    def parse(self, source: str, read: Callable[..., None], *arguments: Any) -> None:
        """Calls `read(self, *arguments)`; an error in it becomes a fault of `source`, a file or what is in it."""
        try:
            read(self, *arguments)
        except MALFORMED as error:
            self.findings.faults.append(f"{source}: {_reason(error)}")

    def draw(self, document: Document, place: str, make: Callable[..., Made], *arguments: Any) -> None:
        """Adds what `make(self, document, *arguments)` returns; an error in it becomes a fault of the document."""
        try:
            made = make(self, document, *arguments)
            if made is not None:
                if not made[0]:
                    raise ValueError("has no label")
                document.drawn.append(Drawn(made[0], made[1], place))
        except MALFORMED as error:
            self.findings.faults.append(f"{document.source}: {place} {_reason(error)}")

    def canvas(self, document: Document) -> tuple[int, int] | None:
        """Returns (h, w) of the image that a mask of pixels is painted on: the annotated size, if it is the file's.

        An annotated size alone may be any number, and memory would have to hold that many pixels. None: the image
        cannot be found or read, which is reported elsewhere.

        Raises:
            ValueError: the sizes differ.
        """
        key = self.key_of(document)
        try:
            header = None if key is None else read_header(f"{self.tree.root}/{key}")
        except DataError:
            return None
        if header is None:
            return None
        upright = (header.height, header.width)
        in_file = upright[::-1] if header.orientation >= 5 else upright
        if document.size not in (None, upright, in_file):
            raise ValueError("has a mask, but its image is of another size than annotated")
        return document.size or upright

    def key_of(self, document: Document) -> str | None:
        """Returns the key of a document's image; None: it does not exist. Raises ValueError where several may be it."""
        folder = posixpath.dirname(document.source.removeprefix(f"{self.tree.root}/").partition(": ")[0])
        return self.finder.find(document.image, folder)

    def json(self, file: str) -> Any:
        """The content of a JSON file below the root; None, with a fault, where it has none."""
        try:
            return read_json(f"{self.tree.root}/{file}")
        except DataError as error:
            self.findings.faults.append(str(error))
        return None


def json_files(tree: Tree) -> Iterator[str]:
    return (file for file in sorted(tree.files) if file.lower().endswith(".json"))


def xml_files(tree: Tree) -> Iterator[str]:
    return (file for file in sorted(tree.files) if file.lower().endswith(".xml"))


def _reason(error: Exception) -> str:
    """Returns what is wrong with a shape or document, as it follows its name."""
    if isinstance(error, KeyError):
        return f"has no {error.args[0]!r}"
    if isinstance(error, ValueError) and str(error).startswith("has "):
        return str(error)
    return f"is not of the form expected ({brief(error)})"
