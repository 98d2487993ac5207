"""A run as a folder that others load: weights, configuration, model card."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from resnet_tl.checkpoint import KEY, Bundle, bundle, read
from resnet_tl.data.listings.splits import split_sizes
from resnet_tl.files import atomic_write
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Network
from resnet_tl.prediction.load import predictor_of, task_of
from resnet_tl.prediction.members import build_network
from resnet_tl.prediction.published import CONFIG, REST, WEIGHTS, to_tensors
from resnet_tl.prediction.writers.output import new_folder
from resnet_tl.publish.card import Card, write_card
from resnet_tl.publish.examples import write_examples
from resnet_tl.publish.timm_form import timm_arguments
from resnet_tl.tracking.predictions import load_evaluation
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.weights.files import save_weights
from resnet_tl.weights.publishers import HUB
from resnet_tl.weights.records import WeightRecord

PUBLISHERS = ("timm/", "torchvision/", "builtin/", "https://", HUB)
"""Names of weights that mean the same on every machine."""


@dataclass(frozen=True)
class Published:
    """in_timm: whether timm builds the network and gives equal logits."""

    path: Path
    in_timm: bool


def publish(
    run: str | Path,
    folder: Path,
    *,
    name: str | None = None,
    licence: str | None = None,
    with_images: bool = False,
    trust_code: bool = False,
) -> Published:
    """Writes `folder`, whole or not at all. It holds no path of this machine, and images only if asked for.

    Args:
        run: a run folder (its best checkpoint) or a checkpoint.
        name: by which it will be loaded, in the card: `hf://USER/NAME`; None for the folder's.
        licence: of the weights, by the hub's short name (`apache-2.0`).
        with_images: add a few validation images with what is predicted for them.

    Raises:
        WeightsError: see `resnet_tl.checkpoint.read`. RunError: `folder` exists or cannot be written.
    """
    saved = read(run)
    network = build_network(saved, trust_code).eval()
    task = task_of(network)
    files = RunFolder(Path(run))
    evaluation = load_evaluation(files.best_predictions) if files.best_predictions.is_file() else None
    trained_on = split_sizes(files.split)["train"] if files.split.is_file() else None
    model_args = timm_arguments(saved, network)
    tensors, rest = to_tensors(network, saved.class_space)
    with new_folder(folder) as part:
        record = WeightRecord(
            folder.name, preprocessing=saved.preprocessing, classes=tuple(saved.classes), licence=licence
        )
        save_weights(tensors, record, part / WEIGHTS)
        if rest:
            save_weights(rest, record, part / REST)
        config = _config(saved, network, model_args, licence)
        with atomic_write(part / CONFIG) as file:
            file.write(json.dumps(config, indent=2, ensure_ascii=False).encode())
        examples = []
        if with_images:
            predictor = predictor_of(network, saved, task, trust_code=trust_code)
            examples = write_examples(predictor, evaluation, part)
        source = config[KEY]["recipe"]["model"]["init_args"]["backbone"]["weights"]
        card = Card(
            folder.name, name or folder.name, saved, task, evaluation, trained_on, model_args is not None, licence,
            source, examples,
        )  # fmt: skip
        write_card(card, part)
    return Published(folder, model_args is not None)


def _config(saved: Bundle, network: Network, model_args: dict[str, Any] | None, licence: str | None) -> dict[str, Any]:
    ours = bundle(
        _shared_model(saved.recipe["model"]),
        saved.classes,
        saved.preprocessing,
        _shared_data(saved.recipe),
        eval_transforms=saved.eval_transforms,
        colours=saved.colours,
        codes=saved.codes,
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
        "pretrained_cfg": pretrained,
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
