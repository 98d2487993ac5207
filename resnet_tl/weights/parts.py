"""Necks, and heads with more than a classifier: what can be kept is kept, outputs of classes by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from resnet_tl.errors import WeightsError
from resnet_tl.weights.keys import Shape
from resnet_tl.weights.records import WeightRecord
from resnet_tl.weights.report import Report, abbreviated

BACKGROUND = "__background__"
"""What torchvision's category tables begin with. Its dense heads have outputs for it, too, which nothing ever was."""

DENSE = ("head.logits.",)
"""Anchor by anchor, the K classes of each side by side."""

AFTER_BACKGROUND = (
    "head.roi_heads.box_predictor.cls_score.",
    "head.roi_heads.box_predictor.bbox_pred.",
    "head.roi_heads.mask_predictor.mask_fcn_logits.",
)
"""Class by class, one output or several for each, the background's first."""


def add_parts(
    wanted: Mapping[str, Shape],
    tensors: Mapping[str, Tensor],
    record: WeightRecord,
    classes: Sequence[str] | None,
    keep: bool,
    report: Report,
) -> dict[str, Tensor]:
    """The neck's and head's tensors that the network takes over; the account goes into `report`.

    Args:
        wanted: shapes of the network's neck and head, by public key.
        tensors: the file's, by public key.
        classes: the data's. The file's outputs for them are kept where it knows every one.
        keep: outputs of classes as they are, whatever these are called.

    Raises:
        WeightsError: `keep`, and the file has another number of them.
    """
    rows = _rows(record.classes, classes)
    chosen: dict[str, Tensor] = {}
    for key, shape in wanted.items():
        tensor = tensors.get(key)
        if tensor is None:
            report.missing.append(key)
            continue
        if key.startswith((*DENSE, *AFTER_BACKGROUND)):
            if rows is not None:
                tensor = _of_classes(key, tensor, shape, rows, record.classes or ())
            elif not keep:
                report.skipped[key] = _difference(record.classes, classes)
                continue
        if tensor.shape != shape:
            report.skipped[key] = f"{list(tensor.shape)}, not {list(shape)}"
            continue
        chosen[key] = tensor
        if tensor is tensors[key]:
            report.loaded.append(key)
        else:
            report.adapted[key] = "the outputs of the data's classes, in its order"
    lost = [key for key in report.skipped if key.startswith((*DENSE, *AFTER_BACKGROUND))]
    if keep and lost:
        raise WeightsError(
            f"{record.source}: {lost[0]} is {report.skipped[lost[0]]}: its classes cannot be kept "
            "(backbone.keep_classifier)"
        )
    return chosen


def _rows(theirs: Sequence[str] | None, ours: Sequence[str] | None) -> list[int] | None:
    """The file's class for each of the data's; None where the names are unknown or not all among the file's.

    A table with gaps has several entries of one name, which nothing but the whole table, in its order, can ask for.
    """
    if theirs is None or ours is None:
        return None
    first = 1 if theirs[0] == BACKGROUND else 0
    if list(theirs[first:]) == list(ours):
        return list(range(first, len(theirs)))
    return [theirs.index(name) for name in ours] if all(list(theirs).count(name) == 1 for name in ours) else None


def _of_classes(key: str, tensor: Tensor, shape: Shape, rows: list[int], theirs: Sequence[str]) -> Tensor:
    """The outputs of the file's classes `rows`; the tensor itself where these are all."""
    if key.startswith(DENSE):
        anchors = shape[0] // len(rows)
        fitting = tensor.unflatten(0, (anchors, len(theirs)))[:, rows].flatten(0, 1)
    else:
        before = 0 if theirs[0] == BACKGROUND else 1
        outputs = [0, *(row + before for row in rows)]
        by_class = tensor.unflatten(0, (len(theirs) + before, -1))
        fitting = by_class[outputs].flatten(0, 1)
    return tensor if fitting.shape == tensor.shape and fitting.equal(tensor) else fitting


def _difference(theirs: Sequence[str] | None, ours: Sequence[str] | None) -> str:
    if theirs is None or ours is None:
        return "the names of its classes are unknown (keep_classifier keeps them all the same)"
    unknown = [repr(name) for name in ours if name not in theirs]
    return f"its {len(theirs)} classes have none called {abbreviated(unknown)}"
