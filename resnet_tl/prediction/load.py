"""A checkpoint's predictor, chosen by what its network does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import torch

from resnet_tl.checkpoint import Bundle, read
from resnet_tl.errors import WeightsError
from resnet_tl.models.heads.base import DetectionHead
from resnet_tl.models.heads.segmentation.base import SegmentationHead
from resnet_tl.models.inference import Inference
from resnet_tl.models.network import Network, build
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.detection import BoxPredictor
from resnet_tl.prediction.segmentation import MaskPredictor
from resnet_tl.recipe.build import foreign_code, instantiate_model, instantiate_unchecked
from resnet_tl.recipe.schema import Field

AnyPredictor: TypeAlias = ClassPredictor | MaskPredictor | BoxPredictor


def load(
    path: str | Path, *, device: str = "cpu", trust_code: bool = False, batch_size: int | None = None
) -> AnyPredictor:
    """Returns the predictor of a run folder (its best checkpoint) or a checkpoint.

    Args:
        device: `cpu`, `cuda`, `cuda:1`, `mps`.
        trust_code: import classes outside `resnet_tl` that the checkpoint names.
        batch_size: images predicted at a time; None for 32 in classification, 1 in segmentation and detection.

    Raises:
        WeightsError: see `resnet_tl.checkpoint.read`; or the checkpoint needs code that is not trusted.
        RunError: there is no such device.
    """
    bundle = read(path)
    network = build_network(bundle, trust_code)
    options: dict[str, Any] = {"device": device} | ({} if batch_size is None else {"batch_size": batch_size})
    transforms = bundle.eval_transforms
    if isinstance(network.head, SegmentationHead):
        fields, init_args = {"inference": Field(Inference, Inference())}, bundle.recipe["model"]["init_args"]
        inference = instantiate_unchecked(fields, init_args, str(bundle.path))["inference"]
        options |= {"colours": bundle.colours, "eval_transforms": transforms}
        return MaskPredictor(network, bundle.classes, inference, **options)
    if isinstance(network.head, DetectionHead):
        return BoxPredictor(network, bundle.classes, bundle.codes, decisions=bundle.decisions, **options)
    data = bundle.recipe.get("data") or {"init_args": {}}
    reduced = data["init_args"].get("reduced_decoding", False)
    options |= {"eval_transforms": transforms, "decisions": bundle.decisions}
    return ClassPredictor(network, bundle.classes, reduced_decoding=reduced, **options)


def build_network(bundle: Bundle, trust_code: bool) -> Network:
    """Returns the network of a checkpoint, with its weights.

    Raises:
        WeightsError: it needs code outside `resnet_tl` that is not trusted; or its recipe is not valid, or of another
            network than its weights.
    """
    init_args = bundle.recipe["model"]["init_args"]
    foreign = None if trust_code else foreign_code([init_args, bundle.eval_transforms])
    if foreign is not None:
        raise WeightsError(
            f"{bundle.path}: needs {foreign!r}, which is not part of resnet_tl: add --trust-code "
            "(in Python trust_code=True) if you trust that code"
        )
    parts = instantiate_model(init_args, where=str(bundle.path), trust_code=trust_code)
    if not trust_code:  # a trusted class may not support this
        with torch.device("meta"):  # allocates nothing, whatever sizes the recipe has
            _check_shapes(bundle, build(**parts, classes=bundle.classes))
    network = build(**parts, classes=bundle.classes)
    _check_shapes(bundle, network)
    network.load_state_dict(bundle.state_dict)
    network.preprocessing = bundle.preprocessing
    return network


def _check_shapes(bundle: Bundle, network: Network) -> None:
    expected = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    found = {key: list(tensor.shape) for key, tensor in bundle.state_dict.items()}
    for key in [*expected, *found]:
        if expected.get(key) != found.get(key):
            raise WeightsError(
                f"{bundle.path}: its weights are not of the network in its recipe: {key} has the shape "
                f"{found.get(key, 'none')}, expected {expected.get(key, 'none')}"
            )
