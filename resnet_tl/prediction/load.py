"""The predictor for a checkpoint, by what its network does."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from resnet_tl.checkpoint import read
from resnet_tl.models.heads.base import DetectionHead
from resnet_tl.models.heads.segmentation.base import SegmentationHead
from resnet_tl.models.inference import Inference
from resnet_tl.prediction.classification import Predictor, network_of
from resnet_tl.prediction.detection import BoxPredictor
from resnet_tl.prediction.segmentation import MaskPredictor

AnyPredictor: TypeAlias = Predictor | MaskPredictor | BoxPredictor


def load(path: str | Path, *, device: str = "cpu", trust_code: bool = False, batch_size: int = 32) -> AnyPredictor:
    """The predictor of a run folder (its best checkpoint) or a checkpoint.

    Raises:
        WeightsError: see `resnet_tl.checkpoint.read`; or it needs code that is not trusted.
        RunError: no such device.
    """
    ours = read(path)
    network = network_of(ours, trust_code)
    if isinstance(network.head, SegmentationHead):
        how = Inference(**ours.recipe["model"]["init_args"].get("inference", {}))
        return MaskPredictor(network, ours.classes, how, colours=ours.colours, device=device)
    if isinstance(network.head, DetectionHead):
        return BoxPredictor(network, ours.classes, ours.codes, device=device)
    return Predictor.from_bundle(ours, network, device=device, batch_size=batch_size)
