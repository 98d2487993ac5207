"""What describes a packed set: the file that is written last, so that half a set is never taken for a whole one."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from resnet_tl.errors import DataError

MANIFEST, INDEX, LISTING = "manifest.json", "files.shards", "listing.npz"
"""The manifest; where each file lies in which shard; keys and targets."""
MODULES = {
    "classification": "Shards",
    "detection": "DetectionShards",
    "regression": "RegressionShards",
    "segmentation": "SegmentationShards",
}
"""The data modules that read packed sets, by task."""
FORMAT = "resnet_tl shards 1"
SHARD = re.compile(r"(train|val|test)/chunk-0-\d+\.bin")
"""The names of packed shards, which become paths."""


class Shard(NamedTuple):
    """A file of LitData's, or a tar. name: its path below the set's root, or the whole path. bytes: its length.
    sha256: 64 hex digits; "" of a tar, which is not packed here."""

    name: str
    bytes: int
    images: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A packed set.

    task: `classification`, `detection`, `regression` or `segmentation`.
    source: the data class that read what was packed.
    splits: how many images each split has.
    resize: the short side in pixels to which larger images were reduced; None: all are as they were.
    files: the SHA-256 of the other files.
    more: what else the task needs.
    """

    task: str
    source: str
    classes: list[str]
    splits: dict[str, int]
    resize: int | None
    shards: list[Shard]
    files: dict[str, str]
    more: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: bytes, where: str) -> Manifest:
        """Raises DataError if this is no manifest, or one of another version."""
        try:
            fields = json.loads(text)
            if fields.pop("format") == FORMAT:
                return cls(**{**fields, "shards": [Shard(**shard) for shard in fields["shards"]]})
        except (ValueError, TypeError, KeyError, AttributeError):
            raise DataError(f"{where}: is damaged, or not of a packed set; expected what data pack writes") from None
        raise DataError(f"{where}: is not of the format {FORMAT!r}; pack the set again with this version")

    def text(self) -> bytes:
        shards = [shard._asdict() for shard in self.shards]
        return json.dumps({"format": FORMAT, **asdict(self), "shards": shards}, indent=1, ensure_ascii=False).encode()

    def check(self, name: str, content: bytes, where: str) -> None:
        """Raises DataError unless `content` is that of the file called `name`."""
        if sha256(content).hexdigest() != self.files[name]:
            raise DataError(f"{where}: is damaged: its SHA-256 is not the one in {MANIFEST}; copy the set again")


def module_of(folder: Path) -> str | None:
    """Returns the data module that reads the packed set in a folder; None: there is none."""
    path = folder / MANIFEST
    try:
        return MODULES[Manifest.parse(path.read_bytes(), str(path)).task]
    except (DataError, OSError):  # a folder of images may have a manifest of its own
        return None
