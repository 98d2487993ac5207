"""The account of a loading: what went where, and what did not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

SHOWN = 3


@dataclass
class Report:
    """Every tensor of the network and of the file is in exactly one of the lists, under torchvision's key.

    Args:
        source: what was loaded.
        loaded: filled as they were in the file.
        adapted: filled with a changed tensor -> how it was changed.
        skipped: in the file and fit for the network, but left out -> why.
        missing: of the network, and not in the file; they keep their random values.
        unexpected: of the file, and not in the network; under the file's own keys.
        misshapen: of both, with different shapes -> the two shapes.
        notes: remarks on the file as a whole.
    """

    source: str
    loaded: list[str] = field(default_factory=list)
    adapted: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshapen: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """0...1 of the trunk's tensors that were filled; the counters of old norms do not count."""
        filled = sum(in_trunk(key) for key in [*self.loaded, *self.adapted])
        return filled / max(filled + len(self.open), 1)

    @property
    def open(self) -> list[str]:
        """The trunk's tensors that were not filled."""
        return [key for key in [*self.missing, *self.misshapen] if in_trunk(key)]

    def __str__(self) -> str:
        filled = sum(in_trunk(key) for key in [*self.loaded, *self.adapted])
        classifier = " and the classifier" if "fc.weight" in {*self.loaded, *self.adapted} else ""
        lines = [
            f"Weights from {self.source}{self._remarks()}",
            f"  loaded: {filled} of {filled + len(self.open)} tensors of the trunk{classifier or self._parts()}",
            *(f"  adapted: {abbreviated(keys)}: {how}" for how, keys in _by_value(self.adapted).items()),
            *(f"  skipped: {abbreviated(keys)}: {why}" for why, keys in _by_value(self.skipped).items()),
        ]
        missing = [key for key in self.missing if not is_counter(key)]
        if missing:
            lines.append(f"  missing: {abbreviated(missing)}: keep their first values")
        if self.unexpected:
            lines.append(f"  unexpected: {abbreviated(self.unexpected)}: in the file, not in the network")
        return "\n".join(lines)

    def _parts(self) -> str:
        """Of a network with more than a classifier on its trunk."""
        taken = sum(above_trunk(key) for key in [*self.loaded, *self.adapted])
        left = sum(above_trunk(key) for key in [*self.skipped, *self.missing])
        return f", {taken} of {taken + left} of the neck and head" if taken else ""

    def _remarks(self) -> str:
        return f" ({'; '.join(self.notes)})" if self.notes else ""


def in_classifier(key: str) -> bool:
    """Whether a tensor belongs to the classifier or head, by torchvision's key."""
    return key.startswith(("fc.", "head."))


def is_counter(key: str) -> bool:
    """Whether a tensor counts the batches that a norm has seen: files older than 2018 lack these, and no output needs
    them."""
    return key.endswith("num_batches_tracked")


def above_trunk(key: str) -> bool:
    """Whether a tensor belongs to what sits on a trunk, by public key."""
    return in_classifier(key) or key.startswith("neck.")


def in_trunk(key: str) -> bool:
    return not above_trunk(key) and not is_counter(key)


def abbreviated(keys: Collection[str]) -> str:
    """`"a, b, c and 7 more"`."""
    shown = ", ".join(list(keys)[:SHOWN])
    return shown if len(keys) <= SHOWN else f"{shown} and {len(keys) - SHOWN} more"


def _by_value(items: dict[str, str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for key, value in items.items():
        grouped.setdefault(value, []).append(key)
    return grouped
