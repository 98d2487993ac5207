"""Loads weights into a network: fills the whole trunk or raises, and accounts for every tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, cast

from torch import Tensor, nn

from resnet_tl.errors import WeightsError
from resnet_tl.tensor_file import first_broken, is_dense
from resnet_tl.weights.channels import adapt_channels, adapt_preprocessing
from resnet_tl.weights.classifier import add_classifier
from resnet_tl.weights.detectors import holds_detector, to_native_keys
from resnet_tl.weights.keys import Layout, Shape, find_layout
from resnet_tl.weights.known_classes import with_known_classes
from resnet_tl.weights.mismatch import Candidates, check_fit, first_convolution
from resnet_tl.weights.parts import add_parts
from resnet_tl.weights.records import WeightRecord
from resnet_tl.weights.report import ADAPTER, Report, above_trunk, in_classifier
from resnet_tl.weights.sources import fetch


def load_weights(
    module: nn.Module,
    name: str | Path,
    *,
    sha256: str | None = None,
    keys: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
    keep_classifier: bool | Literal["known"] = False,
    candidates: Candidates = tuple,
) -> tuple[WeightRecord, Report]:
    """Loads the weights called `name` into `module`.

    The trunk is filled completely or not at all: a network with a few random layers trains, badly, and nobody notices.
    The first convolution is adapted to the network's input channels (see `channels`). The classifier is kept if the
    class names are the same, in any order, or on request; an equal number of classes is not enough.

    Args:
        module: a trunk, or a network around one. Its `preprocessing` is used, with ImageNet's mean and std, if the file
            does not state any.
        name: see `sources.fetch`.
        sha256: expected of the file; a URL needs one.
        keys: the module's keys -> torchvision's, of the tensors to fill; by default all, under their own names.
        classes: names of the data's classes, in the order of the module's outputs.
        keep_classifier: keep the classifier whatever its classes are called; their number must agree. A detector's
            outputs are kept for classes that the file knows by name. `known`: keep of the last layers the rows of
            classes that the file knows by name; see `with_known_classes`.
        candidates: names and shapes of other networks, called to suggest the closest if the file does not fit.

    Returns:
        The record, with preprocessing for the module's input channels, and the account.

    Raises:
        WeightsError: `name` is not found, damaged or not safe to open; the weights are another network's; NaN among
            them; `keep_classifier` and another number of classes, or no class name in common.
    """
    content, record = fetch(name, sha256)
    record = replace(record, floor_strides=holds_detector(content))
    content = to_native_keys(content)
    state = module.state_dict()
    keys = {key: key for key in state} if keys is None else keys
    expected = {public: tuple(state[key].shape) for key, public in keys.items()}
    trunk, adapters, head, parts = _places(expected)
    layout = find_layout(content, trunk)
    report = Report(record.source)
    trunk |= {key: shape for key, shape in adapters.items() if key in layout.tensors}
    report.adapted |= {key: "not in the file, start at zero" for key in adapters if key not in trunk}
    chosen = _fill(trunk, layout, report)
    check_fit(content, trunk, layout, report, candidates)
    tensors, named, merged = layout.tensors, record, dict[str, str]()
    if keep_classifier == "known":
        own = {public: state[key] for key, public in keys.items() if public in head | parts}
        tensors, named, merged = with_known_classes(own, tensors, record, classes, report)
    if parts:
        chosen |= add_parts(parts, tensors, named, classes, bool(keep_classifier), report)
    if head or not parts:
        chosen |= add_classifier(head, tensors, named, classes, bool(keep_classifier), report)
    report.loaded = [key for key in report.loaded if key not in merged]
    report.adapted |= merged
    chosen |= _norms_with_eps(record, module, keys, chosen, report)
    report.notes += _notes(record, layout)
    _check_values(chosen, record.source)

    module.load_state_dict({key: chosen[public] for key, public in keys.items() if public in chosen}, strict=False)
    return _for_module(record, module, trunk), report


class _Places(NamedTuple):
    """Shapes of the tensors to fill, by torchvision's key, by how they are matched with the file's.

    adapters: may be missing from the file. head: of a single classifier. parts: of a neck, and of a detection head,
    whose outputs for classes are matched one by one.
    """

    trunk: dict[str, Shape]
    adapters: dict[str, Shape]
    head: dict[str, Shape]
    parts: dict[str, Shape]


def _places(expected: Mapping[str, Shape]) -> _Places:
    trunk = {key: shape for key, shape in expected.items() if not above_trunk(key)}
    adapters = {key: trunk.pop(key) for key in list(trunk) if key.endswith(ADAPTER)}
    head = {key: shape for key, shape in expected.items() if in_classifier(key)}
    parts = {key: shape for key, shape in expected.items() if key.startswith("neck.")}
    if head and "fc.weight" not in head:
        return _Places(trunk, adapters, {}, parts | head)
    return _Places(trunk, adapters, head, parts)


def _check_values(chosen: Mapping[str, Tensor], source: str) -> None:
    """Raises WeightsError for a sparse tensor, and for values that no network can compute with."""
    if sparse := next((key for key, tensor in chosen.items() if not is_dense(tensor)), None):
        raise WeightsError(f"{source}: {sparse} is not a dense tensor")
    if broken := first_broken(chosen):
        raise WeightsError(
            f"{source}: {broken} holds NaN, infinite or absurdly large values: the file is damaged, or its "
            "training diverged"
        )


def _fill(trunk: Mapping[str, Shape], layout: Layout, report: Report) -> dict[str, Tensor]:
    """Returns the tensors that fit, by torchvision's key. Adds the account to `report`."""
    chosen: dict[str, Tensor] = {}
    first = first_convolution(trunk)
    for key, shape in trunk.items():
        tensor = layout.tensors.get(key)
        if tensor is None:
            report.missing.append(key)
        elif tensor.shape == shape:
            chosen[key] = tensor
            report.loaded.append(key)
        elif key == first and _differs_in_channels(tensor.shape, shape):
            chosen[key] = adapt_channels(tensor.float(), shape[1])
            report.adapted[key] = f"from {tensor.shape[1]} to {shape[1]} input channels"
        else:
            report.misshapen[key] = f"{list(tensor.shape)}, not {list(shape)}"
    surplus = [key for key in layout.tensors if key not in trunk and not above_trunk(key)]
    report.unexpected += [*(layout.prefix + key for key in surplus), *layout.others]
    return chosen


def _norms_with_eps(
    record: WeightRecord, module: nn.Module, keys: Mapping[str, str], chosen: Mapping[str, Tensor], report: Report
) -> dict[str, Tensor]:
    """Returns weights of the trunk's batch norms, rescaled so that they compute with their own eps what they did with
    the record's. Adds the account to `report`."""
    # The alternative, another eps in the network, would have to be stored in checkpoints and exports.
    scaled: dict[str, Tensor] = {}
    if record.norm_eps is None:
        return scaled
    for key, public in keys.items():
        name, _, tensor = public.rpartition(".")
        if tensor != "running_var" or public not in chosen:
            continue
        eps = cast("float", module.get_submodule(key.rpartition(".")[0]).eps)
        variance, weight = chosen[public].double(), chosen[f"{name}.weight"].double()
        scaled[f"{name}.weight"] = (weight * ((variance + eps) / (variance + record.norm_eps)).sqrt()).float()
        report.loaded.remove(f"{name}.weight")
        report.adapted[f"{name}.weight"] = f"from eps {record.norm_eps:g} of the norms to {eps:g}"
    return scaled


def _differs_in_channels(file: Shape, network: Shape) -> bool:
    return len(file) == 4 and (file[0], *file[2:]) == (network[0], *network[2:])


def _notes(record: WeightRecord, layout: Layout) -> list[str]:
    """Returns the remarks for the report: layout, precision, score, licence, missing preprocessing."""
    kinds = {
        str(tensor.dtype).removeprefix("torch.") for tensor in layout.tensors.values() if tensor.is_floating_point()
    }
    notes = [
        layout.note,
        f"in {' and '.join(sorted(kinds))}" if kinds != {"float32"} else "",
        record.score or "",
        f"licence {record.licence}" if record.licence else "",
        "" if record.stated else "preprocessing not stated: the default is assumed",
    ]
    return [note for note in notes if note]


def _for_module(record: WeightRecord, module: nn.Module, trunk: Mapping[str, Shape]) -> WeightRecord:
    """Returns the record with the preprocessing for this module's images."""
    preprocessing = record.preprocessing
    if not record.stated:
        default = getattr(module, "preprocessing", preprocessing)
        preprocessing = replace(default, mean=preprocessing.mean, std=preprocessing.std)
    first = first_convolution(trunk)
    if first is not None:
        preprocessing = adapt_preprocessing(preprocessing, trunk[first][1])
    return replace(record, preprocessing=preprocessing)
