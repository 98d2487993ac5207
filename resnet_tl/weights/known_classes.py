"""Keeps what a weight file knows of the data's classes: their rows of the last layers, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from resnet_tl.errors import WeightsError
from resnet_tl.weights.classifier import CLASSIFIERS, VECTORS
from resnet_tl.weights.parts import AFTER_BACKGROUND, BACKGROUND, DENSE
from resnet_tl.weights.records import WeightRecord
from resnet_tl.weights.report import Report, abbreviated

LAYERS = (*CLASSIFIERS, *DENSE, *AFTER_BACKGROUND)


def with_known_classes(
    own: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    record: WeightRecord,
    classes: Sequence[str] | None,
    report: Report,
) -> tuple[dict[str, Tensor], WeightRecord, dict[str, str]]:
    """Returns the file as if it were of the data's classes: with its rows of those that it knows by name, and the
    network's own rows of the others.

    Sets `report.new_classes`.

    Args:
        own: the network's neck and head, by public key.
        tensors: the file's, by public key.
        classes: the data's, in the order of the network's outputs.

    Returns:
        The tensors; the record, with the data's classes; and how each tensor was changed, by key.

    Raises:
        WeightsError: the file has no name of the data's classes, or another kind of head.
    """
    file, data = record.classes or (), classes or ()
    # In a table with gaps, several entries have one name (N/A).
    rows = {name: file.index(name) for name in data if file.count(name) == 1}
    common = [key for key in tensors if key in own]
    if not any(key.startswith(LAYERS) for key in common):
        raise WeightsError(
            f"{record.source} has no layer of classes as this network's: expected a run of the same task with the same "
            "head (backbone.keep_classifier: known)"
        )
    if not rows:
        names = f"knows {abbreviated(file)}" if file else "does not name its classes"
        raise WeightsError(
            f"{record.source} {names}, and the data has {abbreviated(data)}: no class name is in both, as "
            "backbone.keep_classifier: known needs"
        )
    merged = {
        key: _merged(key, own[key], tensors[key], rows, record, data)
        for key in common
        if key.startswith(LAYERS) or key.endswith(VECTORS)
    }
    report.new_classes = [name for name in data if name not in rows]
    new = f", those of {abbreviated(report.new_classes)} are new" if report.new_classes else ""
    how = f"rows of {abbreviated(list(rows))} kept by name{new}"
    return {**tensors, **merged}, replace(record, classes=tuple(data)), dict.fromkeys(merged, how)


def _merged(
    key: str, own: Tensor, file: Tensor, rows: Mapping[str, int], record: WeightRecord, classes: Sequence[str]
) -> Tensor:
    """Returns the network's tensor with the file's rows of the classes in `rows`, and of the background."""
    known = record.classes or ()
    background = key.startswith(AFTER_BACKGROUND)
    # The network's first output is the background; the names of a file may or may not include it.
    before = int(background and known[0] != BACKGROUND)
    ours = _by_class(key, own, len(classes) + background)
    theirs = _by_class(key, file, len(known) + before)
    if ours is None or theirs is None or ours[:, 0].shape != theirs[:, 0].shape:
        raise WeightsError(
            f"{record.source}: {key} is {list(file.shape)} for {len(known)} classes, this network's {list(own.shape)} "
            f"for {len(classes)}: expected a run with the same head (backbone.keep_classifier: known)"
        )
    ours = ours.clone()
    for index, name in enumerate(classes):
        if name in rows:
            ours[:, index + background] = theirs[:, rows[name] + before]
    if background:
        ours[:, 0] = theirs[:, 0]
    return ours.flatten(0, 2)


def _by_class(key: str, tensor: Tensor, classes: int) -> Tensor | None:
    """Returns the tensor as `[A, classes, R, ...]`: A anchors, R outputs of each class; None if it has not so many
    rows."""
    if len(tensor) % classes:
        return None
    return tensor.unflatten(0, (-1, classes, 1) if key.startswith(DENSE) else (1, classes, -1))
