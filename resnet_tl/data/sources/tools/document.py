"""One form for the exports of all annotation tools: an image and the shapes drawn on it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from resnet_tl.data.images.decode import read_bytes
from resnet_tl.data.sources.findings import Findings
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

    def draw(self, document: Document, place: str, make: Callable[..., Made], *arguments: Any) -> None:
        """Adds what `make(self, *arguments)` returns; an error in it becomes a fault of the document."""
        try:
            made = make(self, *arguments)
            if made is not None:
                if not made[0]:
                    raise ValueError("has no label")
                document.drawn.append(Drawn(made[0], made[1], place))
        except MALFORMED as error:
            reason = str(error) if isinstance(error, ValueError) and str(error).startswith("has ") else _brief(error)
            self.findings.faults.append(f"{document.source}: {place} {reason}")

    def json(self, file: str) -> Any:
        """The content of a JSON file below the root; None, with a fault, where it has none."""
        path = f"{self.tree.root}/{file}"
        try:
            return json.loads(read_bytes(path))
        except DataError as error:
            self.findings.faults.append(str(error))
        except (ValueError, RecursionError) as error:
            self.findings.faults.append(f"{path}: not valid JSON ({_line(error)})")
        return None


def json_files(tree: Tree) -> Iterator[str]:
    return (file for file in sorted(tree.files) if file.lower().endswith(".json"))


def _brief(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"has no {error.args[0]!r}"
    return f"is not of the form expected ({_line(error)})"


def _line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 100 else f"{text[:97]}..."
