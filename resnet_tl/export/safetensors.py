"""Writes the folder that `prediction/published.py` reads: weights, and all else that predicting needs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from resnet_tl.checkpoint import KEY, Bundle, bundle
from resnet_tl.errors import RunError
from resnet_tl.export.timm_form import timm_arguments
from resnet_tl.files import atomic_write
from resnet_tl.models.ensemble import Members
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Network
from resnet_tl.prediction.published import CONFIG, REST, TIMM, WEIGHTS, to_tensors
from resnet_tl.weights.files import save_weights
from resnet_tl.weights.publishers import HUB
from resnet_tl.weights.records import WeightRecord

PUBLISHERS = ("timm/", "torchvision/", "builtin/", "https://", HUB)
"""Names of weights that mean the same on every machine."""


class Written(NamedTuple):
    """in_timm: whether timm builds the network and gives equal logits. started: the weights that training started from,
    if they have a name elsewhere."""

    in_timm: bool
    started: str | None


def write_folder(saved: Bundle, network: Network, folder: Path, *, name: str, licence: str | None = None) -> Written:
    """Writes `model.safetensors`, `config.json` and, where timm has no place for a tensor, `rest.safetensors`.

    Args:
        network: that of `saved`, in evaluation mode.
        folder: an empty one.
        name: of the model, in its weights' record.
        licence: of the weights, by the hub's short name.

    Raises:
        RunError: the network is that of several folds.
    """
    if isinstance(network.trunk, Members):
        raise RunError(f"{saved.path}: several networks have no configuration as one; export one fold")
    model_args = timm_arguments(saved, network)
    record = WeightRecord(name, preprocessing=saved.preprocessing, classes=tuple(saved.classes), licence=licence)
    tensors, rest = to_tensors(network, saved.class_space)
    save_weights(tensors, record, folder / WEIGHTS)
    if rest:
        save_weights(rest, record, folder / REST)
    config = _config(saved, network, model_args, licence)
    with atomic_write(folder / CONFIG) as file:
        file.write(json.dumps(config, indent=2, ensure_ascii=False).encode())
    return Written(model_args is not None, config[KEY]["recipe"]["model"]["init_args"]["backbone"]["weights"])


def _config(saved: Bundle, network: Network, model_args: dict[str, Any] | None, licence: str | None) -> dict[str, Any]:
    ours = bundle(
        _shared_model(saved.recipe["model"]),
        saved.classes,
        saved.preprocessing,
        _shared_data(saved.recipe),
        eval_transforms=saved.eval_transforms,
        colours=saved.colours,
        codes=saved.codes,
        new_classes=saved.new_classes,
    )
    entry = {KEY: ours | {"decisions": asdict(saved.decisions), "epoch": saved.epoch, "step": saved.step}}
    name, head = saved.recipe["model"]["init_args"]["backbone"]["name"], network.head
    if not isinstance(head, LinearHead):
        return {"architecture": name, "num_classes": len(saved.classes), "label_names": saved.classes} | entry
    used = saved.preprocessing
    pretrained = {
        "mean": _decimal(network.mean),
        "std": _decimal(network.std),
        "input_size": [len(network.mean), used.size, used.size],
        "fixed_input_size": False,
        "interpolation": used.interpolation,
        "crop_pct": used.crop,
        "crop_mode": "center",
        "num_classes": len(saved.classes),
        "first_conv": "conv1" if "trunk.conv1.weight" in network.state_dict() else "conv1.0",
        "classifier": "fc",
        "license": licence or "unknown",
    }
    return {
        "architecture": name,
        "num_classes": len(saved.classes),
        "num_features": head.fc.in_features,
        "label_names": saved.classes,
        **({"model_args": model_args} if model_args else {}),
        TIMM: pretrained,
    } | entry


def _decimal(values: Tensor) -> list[float]:
    """Returns float32 values as people write them: 0.485."""
    return [float(f"{value:.7g}") for value in values.tolist()]


def _shared_model(model: dict[str, Any]) -> dict[str, Any]:
    """The recipe's model without weights by a path of this machine."""
    backbone = model["init_args"]["backbone"]
    known = str(backbone.get("weights") or "").startswith(PUBLISHERS)
    shared = {**backbone, "weights": backbone["weights"] if known else None}
    return {**model, "init_args": {**model["init_args"], "backbone": shared}}


def _shared_data(recipe: dict[str, Any]) -> dict[str, Any]:
    """Of the recipe's data what predictors read."""
    data = recipe.get("data")
    if not data:
        return {}
    reduced = data["init_args"].get("reduced_decoding", False)
    return {"data": {"class_path": data["class_path"], "init_args": {"reduced_decoding": reduced}}}
