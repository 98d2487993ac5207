"""A checkpoint's predictor, chosen by what its network does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from resnet_tl.checkpoint import Bundle
from resnet_tl.errors import WeightsError
from resnet_tl.models.ensemble import FusedBoxes, MeanPixels, MeanValues
from resnet_tl.models.fold import fold
from resnet_tl.models.heads.base import DetectionHead, Head
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.heads.regression import RegressionHead
from resnet_tl.models.heads.segmentation.base import SegmentationHead
from resnet_tl.models.inference import Inference
from resnet_tl.models.network import Network
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.detection import BoxPredictor
from resnet_tl.prediction.exported.description import TaskName
from resnet_tl.prediction.exported.load import find_exported, read_exported
from resnet_tl.prediction.exported.network import AnyNetwork
from resnet_tl.prediction.members import check_trust, read_network
from resnet_tl.prediction.regression import ValuePredictor
from resnet_tl.prediction.segmentation import MaskPredictor
from resnet_tl.recipe.build import instantiate_unchecked
from resnet_tl.recipe.schema import Field

AnyPredictor: TypeAlias = ClassPredictor | MaskPredictor | BoxPredictor | ValuePredictor


def load(
    path: str | Path, *, device: str = "cpu", trust_code: bool = False, batch_size: int | None = None
) -> AnyPredictor:
    """Returns the predictor of a run folder (its best checkpoint) or a checkpoint; of a folder of folds, of all
    together; of an exported file; of a published folder, also on the Hugging Face hub (`hf://USER/NAME`).

    Its network is folded: the batch norms are part of the convolutions, see `resnet_tl.models.fold`.

    Args:
        device: `cpu`, `cuda`, `cuda:1`, `mps`.
        trust_code: import classes outside `resnet_tl` that the checkpoint names; open .pt2 files, which run code.
        batch_size: images predicted at a time; None for 32 in classification and regression, 1 in
            segmentation and detection.

    Raises:
        WeightsError: see `resnet_tl.prediction.members.read_network`.
        RunError: there is no such device.
    """
    options: dict[str, Any] = {"device": device} | ({} if batch_size is None else {"batch_size": batch_size})
    if (file := find_exported(path)) is not None:
        exported, bundle = read_exported(file, trust_code)
        return predictor_of(exported, bundle, exported.description.task, trust_code=trust_code, **options)
    bundle, network = read_network(path, trust_code)
    return predictor_of(fold(network), bundle, task_of(network), trust_code=trust_code, **options)


def task_of(network: Network) -> TaskName:
    """Returns what a network does."""
    return next((task for kinds, task in TASKS.items() if isinstance(network.head, kinds)), "classification")


TASKS: dict[tuple[type[Head], ...], TaskName] = {
    (SegmentationHead, MeanPixels): "segmentation",
    (DetectionHead, FusedBoxes): "detection",
    (RegressionHead, MeanValues): "regression",
}
"""What networks do by their heads; all others classify."""


def predictor_of(
    network: AnyNetwork, bundle: Bundle, task: TaskName, *, trust_code: bool = False, **options: Any
) -> AnyPredictor:
    """Returns the predictor that runs `network` with the preprocessing, names and decisions of `bundle`.

    Raises:
        WeightsError: its transforms need code that is not trusted.
    """
    transforms = bundle.eval_transforms
    check_trust(transforms, bundle.path, trust_code)
    if task == "segmentation":
        fields, init_args = {"inference": Field(Inference, Inference())}, bundle.recipe["model"]["init_args"]
        inference = instantiate_unchecked(fields, init_args, str(bundle.path))["inference"]
        options |= {"colours": bundle.colours, "eval_transforms": transforms}
        return MaskPredictor(network, bundle.classes, inference, **options)
    if task == "detection":
        return BoxPredictor(network, bundle.classes, bundle.codes, decisions=bundle.decisions, **options)
    data = bundle.recipe.get("data") or {"init_args": {}}
    options |= {"eval_transforms": transforms, "decisions": bundle.decisions}
    options["reduced_decoding"] = data["init_args"].get("reduced_decoding", False)
    if task == "regression":
        return ValuePredictor(network, bundle.classes, **options)
    space, head = bundle.class_space, network.head
    if space is not None and not (isinstance(head, LinearHead) and space.means.shape[1] == head.fc.in_features):
        raise WeightsError(f"{bundle.path}: not valid: its class means are not of the features of its network")
    return ClassPredictor(network, bundle.classes, space=space, **options)
