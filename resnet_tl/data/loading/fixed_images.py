"""Images that are the same in every epoch, so that what is computed from them can be cached."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from resnet_tl.data.images.content_digest import content_digest
from resnet_tl.structures.records import Batch


@dataclass(frozen=True)
class FixedImages:
    """The images of a split in the order of their listing, as a data module gives them to the feature cache.

    name: of the split, for people.
    files: every file that is read, by stable keys.
    processing: all that is done to a file until it is in a batch, as plain Python.
    batches: returns all images in their n-th fixed view.
    folder: where results computed from the images may be stored.
    """

    name: str
    count: int
    files: dict[str, str]
    processing: dict[str, Any]
    batches: Callable[[int], DataLoader[Batch]]
    folder: Path

    def __len__(self) -> int:
        return self.count

    def key(self) -> str:
        """Returns a text that identifies the files, their content and their processing."""
        return json.dumps([content_digest(self.files, self.folder), self.processing])
