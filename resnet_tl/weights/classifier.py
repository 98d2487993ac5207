"""Decides whether to keep a file's classifier, and in which class order; also the decoder of a segmentation head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from torch import Tensor

from resnet_tl.errors import WeightsError
from resnet_tl.weights.keys import Shape
from resnet_tl.weights.records import WeightRecord
from resnet_tl.weights.report import Report, abbreviated, in_classifier, is_counter

T = TypeVar("T")

DECODERS = ("head.decoder.", "head.auxiliary.decoder.")
CLASSIFIERS = ("fc.", "head.auxiliary.fc.")
"""Layers with one row per class; the second is that of an auxiliary head, which is optional in files and networks."""
VECTORS = ("head.thresholds", "head.weight", ".class_weights")
"""The ends of the names of buffers with a number for each class; files and networks may be without."""


def add_classifier(
    expected: Mapping[str, Shape],
    tensors: Mapping[str, Tensor],
    record: WeightRecord,
    classes: Sequence[str] | None,
    keep: bool,
    report: Report,
) -> dict[str, Tensor]:
    """Returns the tensors of the file's classifier that the network uses, all or none, and those of its decoder, which
    does not depend on classes. Adds the account to `report`.

    Args:
        expected: shapes of the network's classifier, and of the head around it, by torchvision's key.
        tensors: the file's, by torchvision's key.
        classes: the data's, in the order of the network's outputs.
        keep: keep the classifier whatever its classes are called.

    Raises:
        WeightsError: `keep`, and there is no classifier or it has another shape.
    """
    stored = {key: tensor for key, tensor in tensors.items() if in_classifier(key)}
    obstacle = _obstacle(expected, stored)
    decoders = _decoders(expected, stored, report)
    expected = {key: shape for key, shape in expected.items() if not key.startswith(DECODERS)}
    stored = {key: tensor for key, tensor in stored.items() if not key.startswith(DECODERS)}
    if keep and obstacle:
        raise WeightsError(f"{record.source} {obstacle}: its classifier cannot be kept (backbone.keep_classifier)")
    order = None if obstacle else _order(record.classes, classes)
    if order is None and not keep:
        reason = f"the file {obstacle}" if obstacle else _difference(record.classes, classes)
        report.skipped |= dict.fromkeys(stored, reason)
        report.missing += [key for key in expected if key not in stored]
        return decoders
    if order is None:
        report.notes.append("classifier kept on request, its classes in the file's order")
    used = [key for key, shape in expected.items() if key in stored and stored[key].shape == shape]
    of_classes = [key for key in used if key.startswith(CLASSIFIERS) or key.endswith(VECTORS)]
    reordered = of_classes if order and order != sorted(order) else []
    report.adapted |= dict.fromkeys(reordered, "classes reordered as in the data")
    report.loaded += [key for key in used if key not in reordered]
    report.missing += [key for key in expected if key not in used]
    report.unexpected += [key for key in stored if key not in used]
    return decoders | {key: stored[key][order] if key in reordered else stored[key] for key in used}


def _decoders(expected: Mapping[str, Shape], stored: Mapping[str, Tensor], report: Report) -> dict[str, Tensor]:
    """Returns all tensors of each decoder, or none: a decoder with a few random layers is useless."""
    used: dict[str, Tensor] = {}
    for prefix in DECODERS:
        network = {key: shape for key, shape in expected.items() if key.startswith(prefix)}
        file = {key: tensor for key, tensor in stored.items() if key.startswith(prefix)}
        differing = [key for key in network.keys() | file.keys() if _differs(key, network, file)]
        if not network:
            report.unexpected += file
        elif differing:
            report.skipped |= dict.fromkeys(file, f"another decoder ({abbreviated(sorted(differing))})")
            report.missing += [key for key in network if key not in file]
        else:
            used |= {key: file[key] for key in network if key in file}
            report.missing += [key for key in network if key not in file]
    report.loaded += used
    return used


def _differs(key: str, network: Mapping[str, Shape], file: Mapping[str, Tensor]) -> bool:
    if is_counter(key):
        return False
    return key not in network or key not in file or tuple(file[key].shape) != network[key]


def _obstacle(expected: Mapping[str, Shape], stored: Mapping[str, Tensor]) -> str:
    """Returns why the network cannot use the file's classifier, as the end of a sentence about the file; empty if it
    can."""
    if "fc.weight" not in expected:
        return "has a classifier, and the network none"
    if "fc.weight" not in stored:
        return "has no classifier"
    expected, stored = _without_auxiliary(expected), _without_auxiliary(stored)
    file_classes, network_classes = stored["fc.weight"].shape[0], expected["fc.weight"][0]
    if file_classes != network_classes:
        return f"has {file_classes} classes, the network {network_classes}"
    # Layers before the last must fit too: the classifier alone, after a random layer, is worthless. Vectors of a head,
    # such as thresholds and class weights, may differ.
    layers = {key: shape for key, shape in expected.items() if key.startswith("fc.") or len(shape) > 1}
    differing = [key for key, shape in layers.items() if key not in stored or stored[key].shape != shape]
    differing += [
        key for key, tensor in stored.items() if key not in expected and (tensor.ndim > 1 or key == "fc.bias")
    ]
    return f"has another kind of head ({abbreviated(differing)})" if differing else ""


def _without_auxiliary(tensors: Mapping[str, T]) -> dict[str, T]:
    return {key: tensor for key, tensor in tensors.items() if not key.startswith("head.auxiliary.")}


def _order(file: Sequence[str] | None, data: Sequence[str] | None) -> list[int] | None:
    """Returns the file's row for each class of the data; None if the names are unknown or differ."""
    if file is None or data is None or sorted(file) != sorted(data):
        return None
    if list(file) == list(data):
        return list(range(len(data)))
    return [file.index(name) for name in data] if len(set(file)) == len(file) else None


def _difference(file: Sequence[str] | None, data: Sequence[str] | None) -> str:
    if file is None or data is None:
        return "the names of its classes are unknown (keep_classifier keeps it nevertheless)"
    return f"its {len(file)} classes have other names than the data's {len(data)}"
