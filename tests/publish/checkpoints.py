"""Checkpoints with random weights, as if they were trained on someone's machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from resnet_tl import checkpoint
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, build

CLASSES = ["ant", "bee | wasp", "*"]


def save_checkpoint(path: Path, head: dict[str, Any], **backbone: Any) -> Path:
    """A checkpoint of a network with random weights and weights by a path of this machine."""
    torch.manual_seed(0)
    network = build(Backbone(**backbone), None, lambda levels, names: LinearHead(levels, names, **head), CLASSES)
    for key, tensor in network.state_dict().items():  # not the statistics and the small classifier of new networks
        if key.endswith(("running_mean", "fc.weight")):
            tensor.normal_()
    factory = {"class_path": "resnet_tl.models.heads.classification.LinearHead", "init_args": head}
    model = {
        "class_path": "resnet_tl.tasks.classification.Classification",
        "init_args": {"backbone": {**backbone, "weights": "/home/me/secret.pth"}, "head": factory},
    }
    data = {"class_path": "resnet_tl.data.classification.ImageFolder", "init_args": {"root": "/home/me/photos"}}
    ours = checkpoint.bundle(model, CLASSES, network.preprocessing, {"data": data, "run": {"dir": "/home/me/runs"}})
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({checkpoint.KEY: ours, "state_dict": state, "epoch": 1, "global_step": 7}, path)
    return path
