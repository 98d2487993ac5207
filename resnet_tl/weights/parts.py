"""Loads necks, and heads with more than a classifier: everything that fits, and outputs for classes by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from resnet_tl.errors import WeightsError
from resnet_tl.weights.keys import Shape
from resnet_tl.weights.records import WeightRecord
from resnet_tl.weights.report import Report, abbreviated

BACKGROUND = "__background__"
"""The first entry of torchvision's category tables. Its dense heads have outputs for it, too, which are never used."""

DENSE = ("head.logits.",)
"""Outputs anchor by anchor, with the K classes of each next to each other."""

AFTER_BACKGROUND = (
    "head.roi_heads.box_predictor.cls_score.",
    "head.roi_heads.box_predictor.bbox_pred.",
    "head.roi_heads.mask_predictor.mask_fcn_logits.",
)
"""Outputs class by class, one or several for each, with the background first."""


def add_parts(
    expected: Mapping[str, Shape],
    tensors: Mapping[str, Tensor],
    record: WeightRecord,
    classes: Sequence[str] | None,
    keep: bool,
    report: Report,
) -> dict[str, Tensor]:
    """Returns the tensors of the file's neck and head that the network uses. Adds the account to `report`.

    Args:
        expected: shapes of the network's neck and head, by public key.
        tensors: the file's, by public key.
        classes: the data's. The file's outputs for them are kept if it knows every one by name.
        keep: keep the outputs as they are, whatever their classes are called.

    Raises:
        WeightsError: `keep`, and the file has another number of classes.
    """
    rows = _rows(record.classes, classes)
    chosen: dict[str, Tensor] = {}
    for key, shape in expected.items():
        tensor = tensors.get(key)
        if tensor is None:
            report.missing.append(key)
            continue
        if key.startswith((*DENSE, *AFTER_BACKGROUND)):
            if rows is not None:
                tensor = _select_classes(key, tensor, shape, rows, record.classes or ())
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
            report.adapted[key] = "outputs selected and ordered as the data's classes"
    skipped = [key for key in report.skipped if key.startswith((*DENSE, *AFTER_BACKGROUND))]
    if keep and skipped:
        raise WeightsError(
            f"{record.source}: {skipped[0]} is {report.skipped[skipped[0]]}: its classes cannot be kept "
            "(backbone.keep_classifier)"
        )
    return chosen


def _rows(file: Sequence[str] | None, data: Sequence[str] | None) -> list[int] | None:
    """Returns the index of the file's class for each of the data's; None if names are unknown or missing in the
    file."""
    if file is None or data is None:
        return None
    first = 1 if file[0] == BACKGROUND else 0
    if list(file[first:]) == list(data):
        return list(range(first, len(file)))
    # In a table with gaps, several entries have one name (N/A). They are ambiguous, except for the whole table above.
    return [file.index(name) for name in data] if all(list(file).count(name) == 1 for name in data) else None


def _select_classes(key: str, tensor: Tensor, shape: Shape, rows: list[int], file: Sequence[str]) -> Tensor:
    """Returns the outputs for the file's classes `rows`; the tensor itself if these are all."""
    if key.startswith(DENSE):
        anchors = shape[0] // len(rows)
        selected = tensor.unflatten(0, (anchors, len(file)))[:, rows].flatten(0, 1)
    else:
        # The network's first output is the background; the names of a file may or may not include it.
        before = 0 if file[0] == BACKGROUND else 1
        outputs = [0, *(row + before for row in rows)]
        by_class = tensor.unflatten(0, (len(file) + before, -1))
        selected = by_class[outputs].flatten(0, 1)
    return tensor if selected.shape == tensor.shape and selected.equal(tensor) else selected


def _difference(file: Sequence[str] | None, data: Sequence[str] | None) -> str:
    if file is None or data is None:
        return "the names of its classes are unknown (keep_classifier keeps them nevertheless)"
    unknown = [repr(name) for name in data if name not in file]
    return f"its {len(file)} classes have none called {abbreviated(unknown)}"
