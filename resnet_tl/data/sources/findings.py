"""What a source finds out about a set: faults, all reported in one error, and notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from resnet_tl.errors import DataError

FAULTS_LISTED = 40
NAMES_LISTED = 20


@dataclass
class Findings:
    """Collects sentences about a set: its `faults` end the run, its `notes` are reported.

    root: the folder of its images. name: what the set is called; the default is `root`.
    """

    root: str
    name: str = ""
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = self.name or self.root

    def note(self, subject: str, names: Sequence[str]) -> None:
        """Adds the note `name: <subject> (2): name, name`, if there are any names."""
        if names:
            more = f", and {len(names) - NAMES_LISTED} more" if len(names) > NAMES_LISTED else ""
            self.notes.append(f"{self.name}: {subject} ({len(names)}): {', '.join(names[:NAMES_LISTED])}{more}")


def raise_if_any(root: str, faults: Sequence[str]) -> None:
    """Raises DataError with the number of faults and the first `FAULTS_LISTED` of them, if there are any."""
    if faults:
        more = f"\n  and {len(faults) - FAULTS_LISTED} more" if len(faults) > FAULTS_LISTED else ""
        listed = "".join(f"\n  {fault}" for fault in faults[:FAULTS_LISTED])
        raise DataError(f"{root} has {len(faults)} fault{'s' if len(faults) > 1 else ''}:{listed}{more}")
