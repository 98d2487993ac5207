"""The account of loading weights: every tensor of the network and of the file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

ADAPTER = ".adapter.weight"
"""The end of an adapter's key, see `resnet_tl.models.adapters`; published files have none."""
LISTED = 3
"""The number of keys that a line of the report names."""


@dataclass
class Report:
    """Lists every tensor of the network and of the file exactly once, under torchvision's key.

    Args:
        source: of the weights.
        loaded: filled with the file's tensor.
        adapted: filled with a changed tensor -> how it was changed.
        skipped: in the file and in the network, but not loaded -> why.
        missing: in the network only; they keep their random values.
        unexpected: in the file only, under the file's keys.
        misshapen: in both, with different shapes -> the two shapes.
        notes: remarks on the file as a whole.
        new_classes: those that `keep_classifier: known` did not find in the file: their rows keep their initial values.
    """

    source: str
    loaded: list[str] = field(default_factory=list)
    adapted: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshapen: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    new_classes: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The share of the trunk's tensors that were filled, 0...1, without the counters of norms."""
        filled = sum(in_trunk(key) for key in [*self.loaded, *self.adapted])
        return filled / max(filled + len(self.unfilled), 1)

    @property
    def unfilled(self) -> list[str]:
        """The keys of the trunk's tensors that were not filled."""
        return [key for key in [*self.missing, *self.misshapen] if in_trunk(key)]

    def __str__(self) -> str:
        filled = sum(in_trunk(key) for key in [*self.loaded, *self.adapted])
        classifier = " and the classifier" if "fc.weight" in {*self.loaded, *self.adapted} else ""
        lines = [
            f"Weights from {self.source}{self._remarks()}",
            f"  loaded: {filled} of {filled + len(self.unfilled)} tensors of the trunk{classifier or self._parts()}",
            *(f"  adapted: {abbreviated(keys)}: {how}" for how, keys in _by_value(self.adapted).items()),
            *(f"  skipped: {abbreviated(keys)}: {why}" for why, keys in _by_value(self.skipped).items()),
        ]
        missing = [key for key in self.missing if not is_counter(key)]
        if missing:
            lines.append(f"  missing: {abbreviated(missing)}: keep their initial values")
        if self.unexpected:
            lines.append(f"  unexpected: {abbreviated(self.unexpected)}: in the file, not in the network")
        return "\n".join(lines)

    def _parts(self) -> str:
        """Summarises the neck and head of a network with more than a classifier on its trunk."""
        filled = sum(above_trunk(key) for key in [*self.loaded, *self.adapted])
        unfilled = sum(above_trunk(key) for key in [*self.skipped, *self.missing])
        return f", {filled} of {filled + unfilled} of the neck and head" if filled else ""

    def _remarks(self) -> str:
        return f" ({'; '.join(self.notes)})" if self.notes else ""


def in_classifier(key: str) -> bool:
    """Returns whether a tensor belongs to the classifier or head, by torchvision's key."""
    return key.startswith(("fc.", "head."))


def is_counter(key: str) -> bool:
    """Returns whether a tensor counts the batches of a norm. Files older than 2018 do not have these, and no output
    depends on them."""
    return key.endswith("num_batches_tracked")


def above_trunk(key: str) -> bool:
    """Returns whether a tensor belongs to the neck or head, by public key."""
    return in_classifier(key) or key.startswith("neck.")


def in_trunk(key: str) -> bool:
    """Returns whether a tensor belongs to the trunk, counters of norms excepted."""
    return not above_trunk(key) and not is_counter(key)


def abbreviated(keys: Collection[str]) -> str:
    """Returns the first keys: `"a, b, c and 7 more"`."""
    listed = ", ".join(list(keys)[:LISTED])
    return listed if len(keys) <= LISTED else f"{listed} and {len(keys) - LISTED} more"


def _by_value(items: dict[str, str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for key, value in items.items():
        grouped.setdefault(value, []).append(key)
    return grouped
