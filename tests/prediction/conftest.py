"""Photographs of noise, checkpoints that no one has trained, and one predictor a task."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from resnet_tl.checkpoint import bundle
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.heads.regression import RegressionHead
from resnet_tl.models.heads.segmentation.semantic_fpn import SemanticFPNHead
from resnet_tl.models.heads.two_stage import MaskRCNN
from resnet_tl.models.network import Backbone, Network, build
from resnet_tl.models.pyramid import FPN
from resnet_tl.prediction.base import Predictor
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.detection import BoxPredictor
from resnet_tl.prediction.regression import ValuePredictor
from resnet_tl.prediction.segmentation import MaskPredictor
from resnet_tl.structures.records import Preprocessing
from resnet_tl.tasks.classification import Classification
from resnet_tl.tensor_file import save_atomically

CLASSES = ["ant", "bee", "cat"]
TASKS = ("classification", "segmentation", "detection", "regression")


def draw(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(30, 60)), int(rng.integers(30, 60)), 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), rng.integers(0, 255, size, dtype=np.uint8))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`<class>/<n>.png` (every fifth a JPEG), 24 of many sizes."""
    root = tmp_path_factory.mktemp("photos")
    for seed in range(24):
        draw(root / CLASSES[seed % 3] / f"{seed}.{'png' if seed % 5 else 'jpg'}", seed)
    return root


@pytest.fixture(scope="session")
def untrained() -> Callable[..., Path]:
    """`untrained(path, task)` writes a checkpoint of `task` as it is."""

    def save(path: Path, task: Classification, **bundled: Any) -> Path:
        torch.manual_seed(0)
        content = {
            "epoch": 0,
            "global_step": 0,
            "state_dict": task.state_dict(),
            "resnet_tl": bundle(task.spec(), task.classes, Preprocessing(size=24), **bundled),
        }
        save_atomically(content, path)
        return path

    return save


@pytest.fixture(scope="session")
def network() -> Callable[..., Network]:
    """`network("detection", size=32)`: a small network of random weights that predicts something on any image."""

    def build_one(task: str, channels: int = 3, size: int = 32, **preprocessing: Any) -> Network:
        torch.manual_seed(1)
        backbone = Backbone(name="resnet_tiny", in_channels=channels, norm="group", zero_init_last=False)
        if task == "classification":
            built = build(backbone, None, LinearHead, CLASSES)
        elif task == "regression":
            built = build(backbone, None, partial(RegressionHead, loss="quantiles"), CLASSES)
        elif task == "segmentation":
            neck = partial(FPN, channels=16, smooth=False)
            built = build(backbone, neck, partial(SemanticFPNHead, channels=16), CLASSES)
        else:
            neck = partial(FPN, channels=16, outputs=["p2", "p3", "p4"], extra="pool")
            head = partial(MaskRCNN, detections=6, samples=8, score_threshold=0.0)
            built = build(backbone, neck, head, CLASSES)
        one = (0.5,) * channels
        built.set_preprocessing(Preprocessing(mean=one, std=one, size=size, crop=1.0, **preprocessing))
        return built

    return build_one


@pytest.fixture(scope="session")
def predictor(network: Callable[..., Network]) -> Callable[..., Predictor[Any]]:
    """`predictor("segmentation", batch_size=2)`."""
    kinds: dict[str, Any] = dict(zip(TASKS, (ClassPredictor, MaskPredictor, BoxPredictor, ValuePredictor), strict=True))

    def make(task: str, *, batch_size: int = 1, **options: Any) -> Predictor[Any]:
        return kinds[task](network(task, **options), CLASSES, batch_size=batch_size)

    return make
