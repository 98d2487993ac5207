"""Whether a file's classifier is kept, and in which order; and the decoder before it, of a head of segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from resnet_tl.errors import WeightsError
from resnet_tl.weights.keys import Shape
from resnet_tl.weights.records import WeightRecord
from resnet_tl.weights.report import Report, abbreviated, in_classifier, is_counter

DECODERS = ("head.decoder.", "head.auxiliary.decoder.")
CLASSIFIERS = ("fc.", "head.auxiliary.fc.")
"""Layers with a row a class; the second is an auxiliary head's, which a file or a network may have or not."""


def add_classifier(
    wanted: Mapping[str, Shape],
    tensors: Mapping[str, Tensor],
    record: WeightRecord,
    classes: Sequence[str] | None,
    keep: bool,
    report: Report,
) -> dict[str, Tensor]:
    """The classifier's tensors that the network takes over, all or none, and a decoder's, which know no classes; the
    account goes into `report`.

    Args:
        wanted: shapes of the network's classifier, and of the head around it, by torchvision's key.
        tensors: the file's, by torchvision's key.
        classes: the data's, in the order of the network's outputs.
        keep: on request, whatever the classes are called.

    Raises:
        WeightsError: `keep`, and there is none or it has another shape.
    """
    found = {key: tensor for key, tensor in tensors.items() if in_classifier(key)}
    obstacle = _obstacle(wanted, found)
    decoders = _decoders(wanted, found, report)
    wanted = {key: shape for key, shape in wanted.items() if not key.startswith(DECODERS)}
    found = {key: tensor for key, tensor in found.items() if not key.startswith(DECODERS)}
    if keep and obstacle:
        raise WeightsError(f"{record.source} {obstacle}: its classifier cannot be kept (backbone.keep_classifier)")
    order = None if obstacle else _order(record.classes, classes)
    if order is None and not keep:
        why = f"the file {obstacle}" if obstacle else _difference(record.classes, classes)
        report.skipped |= dict.fromkeys(found, why)
        report.missing += [key for key in wanted if key not in found]
        return decoders
    if order is None:
        report.notes.append("classifier kept on request, its classes in the file's order")
    taken = [key for key, shape in wanted.items() if key in found and found[key].shape == shape]
    moved = [key for key in taken if key.startswith(CLASSIFIERS)] if order and order != sorted(order) else []
    report.adapted |= dict.fromkeys(moved, "classes put in the data's order")
    report.loaded += [key for key in taken if key not in moved]
    report.missing += [key for key in wanted if key not in taken]
    report.unexpected += [key for key in found if key not in taken]
    return decoders | {key: found[key][order] if key in moved else found[key] for key in taken}


def _decoders(wanted: Mapping[str, Shape], found: Mapping[str, Tensor], report: Report) -> dict[str, Tensor]:
    """Of each decoder all tensors or none: a decoder with a few random layers helps nobody."""
    taken: dict[str, Tensor] = {}
    for place in DECODERS:
        ours = {key: shape for key, shape in wanted.items() if key.startswith(place)}
        theirs = {key: tensor for key, tensor in found.items() if key.startswith(place)}
        differing = [key for key in ours.keys() | theirs.keys() if _differs(key, ours, theirs)]
        if not ours:
            report.unexpected += theirs
        elif differing:
            report.skipped |= dict.fromkeys(theirs, f"another decoder ({abbreviated(sorted(differing))})")
            report.missing += [key for key in ours if key not in theirs]
        else:
            taken |= {key: theirs[key] for key in ours if key in theirs}
            report.missing += [key for key in ours if key not in theirs]
    report.loaded += taken
    return taken


def _differs(key: str, ours: Mapping[str, Shape], theirs: Mapping[str, Tensor]) -> bool:
    if is_counter(key):
        return False
    return key not in ours or key not in theirs or tuple(theirs[key].shape) != ours[key]


def _obstacle(wanted: Mapping[str, Shape], found: Mapping[str, Tensor]) -> str:
    """Why the file's classifier cannot be this network's; empty where it can. Follows a file's name.

    Layers before the last count too; vectors of a head, such as thresholds and class weights, do not.
    """
    if "fc.weight" not in wanted:
        return "has a classifier, and the network none"
    if "fc.weight" not in found:
        return "has no classifier"
    wanted, found = _without_auxiliary(wanted), _without_auxiliary(found)
    theirs, ours = found["fc.weight"].shape[0], wanted["fc.weight"][0]
    if theirs != ours:
        return f"has {theirs} classes, the network {ours}"
    layers = {key: shape for key, shape in wanted.items() if key.startswith("fc.") or len(shape) > 1}
    differing = [key for key, shape in layers.items() if key not in found or found[key].shape != shape]
    differing += [key for key, tensor in found.items() if key not in wanted and (tensor.ndim > 1 or key == "fc.bias")]
    return f"has another kind of head ({abbreviated(differing)})" if differing else ""


def _without_auxiliary(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tensor for key, tensor in tensors.items() if not key.startswith("head.auxiliary.")}


def _order(theirs: Sequence[str] | None, ours: Sequence[str] | None) -> list[int] | None:
    """The file's row for each class of the data; None where the names are unknown or not the same."""
    if theirs is None or ours is None or sorted(theirs) != sorted(ours):
        return None
    if list(theirs) == list(ours):
        return list(range(len(ours)))
    return [theirs.index(name) for name in ours] if len(set(theirs)) == len(theirs) else None


def _difference(theirs: Sequence[str] | None, ours: Sequence[str] | None) -> str:
    if theirs is None or ours is None:
        return "the names of its classes are unknown (keep_classifier keeps it all the same)"
    return f"its {len(theirs)} classes have other names than the data's {len(ours)}"
