"""What a source finds out about a set: faults, all reported in one error, and notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from resnet_tl.data.listings.finding import Finding

NAMES_LISTED = 20


@dataclass
class Findings:
    """Collects sentences about a set: its `faults` end the run, its `notes` are reported.

    root: the folder of its images. name: what the set is called; the default is `root`.
    images: what a fault starts with, up to a colon, or all of it -> key of the image that it is about.
    remarks: what the notes count, one by one.
    """

    root: str
    name: str = ""
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    remarks: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = self.name or self.root

    def note(self, subject: str, names: Sequence[str], kind: str = "", text: str = "") -> None:
        """Adds the note `name: <subject> (2): name, name`, if there are any names; with a `kind`, a remark for each.

        names: keys, or an annotation's file and place, `path: object 3`; `text` continues them.
        """
        if names:
            more = f", and {len(names) - NAMES_LISTED} more" if len(names) > NAMES_LISTED else ""
            self.notes.append(f"{self.name}: {subject} ({len(names)}): {', '.join(names[:NAMES_LISTED])}{more}")
        for name in names if kind else ():
            path, colon, place = name.partition(": ")
            if not colon:
                path = f"{self.root}/{name}"
                self.images.setdefault(path, name)
            self.remarks.append(Finding(kind, "", path, f"{place} {text}".lstrip()))

    def faults_by_image(self) -> dict[str, str]:
        """Returns the faults with the key of the image that each is about, "" for none."""
        return {fault: self._image_of(fault) for fault in self.faults}

    def remarks_by_image(self) -> dict[Finding, str]:
        """Returns the remarks with the key of the image that each is about, "" for none."""
        return {remark: self._image_of(f"{remark.path}: {remark.text}") for remark in self.remarks}

    def _image_of(self, sentence: str) -> str:
        start = sentence
        while start and start not in self.images:
            start = start.rpartition(": ")[0]
        return self.images.get(start, "")
