"""What is averaged: checkpoints of one network, and which of them were trained on the images that all are scored on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from resnet_tl import checkpoint
from resnet_tl.checkpoint import Bundle
from resnet_tl.data.base import ImageData
from resnet_tl.errors import WeightsError
from resnet_tl.metrics.score_tables import named
from resnet_tl.prediction.exported.load import refuse_exported
from resnet_tl.prediction.members import ALIKE, check_trust
from resnet_tl.run.files_record import same_files
from resnet_tl.tracking.run_folder import RunFolder

TRAINING_ONLY = frozenset({"weights", "sha256", "keep_classifier", "drop_path", "zero_init_last", "checkpoint_segments",
                           "dropout", "label_smoothing", "class_weights"})  # fmt: skip
"""Options of backbone and head in which runs of one network may differ."""


def read_bundle(run: Path, trust_code: bool) -> Bundle:
    refuse_exported(run)
    bundle = checkpoint.read(run)
    check_trust([bundle.recipe.get(name) for name in ("model", "data")], bundle.path, trust_code)
    return bundle


def check_alike(bundles: Sequence[Bundle]) -> None:
    """Raises WeightsError unless all are different weights of one network, with the same classes and preprocessing."""
    first = bundles[0]
    for position, other in enumerate(bundles[1:], 1):
        cannot = f"{other.path} and {first.path} cannot be averaged: their"
        if differing := _differing(first, other) or _differing(other, first):
            raise WeightsError(f"{cannot} classes differ: {differing}")
        if _network(other) != _network(first) or _shapes(other) != _shapes(first):
            raise WeightsError(f"{cannot} networks differ")
        for name in ALIKE:
            if getattr(other, name) != getattr(first, name):
                order = " in their order" if name == "classes" else ""
                raise WeightsError(f"{cannot} {name} differ{order}")
        for earlier in bundles[:position]:
            if all(torch.equal(other.state_dict[key], tensor) for key, tensor in earlier.state_dict.items()):
                raise WeightsError(f"{other.path} and {earlier.path} have the same weights; expected different ones")


def _differing(one: Bundle, other: Bundle) -> str:
    """Names the classes that the first alone has."""
    alone = [k for k, name in enumerate(one.classes) if name not in other.classes]
    return f"{named(one.classes, alone)} only in {one.path}" if alone else ""


def _network(bundle: Bundle) -> dict[str, Any]:
    """The model of a recipe without what concerns its training alone."""
    options = bundle.recipe["model"]["init_args"]
    head = options.get("head") or {}
    return {
        "class_path": bundle.recipe["model"]["class_path"],
        "backbone": _lasting(options.get("backbone") or {}),
        "neck": options.get("neck"),
        "head": {**head, "init_args": _lasting(head.get("init_args") or {})},
    }


def _lasting(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in TRAINING_ONLY}


def _shapes(bundle: Bundle) -> dict[str, Any]:
    return {key: tensor.shape for key, tensor in bundle.state_dict.items()}


def learned_by(bundles: Sequence[Bundle], data: ImageData) -> list[str]:
    """Returns a sentence for each run that was trained on the images that all are scored on."""
    files = data.split_files().get("val")
    if files is None:
        return []
    images, sentences = {image.key for image in data.listings["val"]}, []
    for path in dict.fromkeys(bundle.path.absolute().parent.parent for bundle in bundles):
        run = RunFolder(path)
        known = [key for key in same_files(run, files, ("train",)) if key in images] if run.files.is_file() else []
        if known:
            fold = ", another fold's" if RunFolder(path.parent).is_folds else ""
            sentences.append(
                f"{path}: trained on {len(known)} of the {len(images)} validation images{fold}, as {known[0]}: its "
                "score here, and the mean's, are too high"
            )
    return sentences
