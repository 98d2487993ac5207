"""Small networks of every head as graphs to export, and what each form's runtime must compute."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from resnet_tl.export.export import EXAMPLE
from resnet_tl.export.graph import Graph
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.heads.dense import DenseHead
from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.heads.retinanet import RetinaNet
from resnet_tl.models.heads.segmentation.deeplab import DeepLabV3Head, DeepLabV3PlusHead
from resnet_tl.models.heads.segmentation.fcn import FCNHead
from resnet_tl.models.heads.segmentation.psp import PSPHead
from resnet_tl.models.heads.segmentation.semantic_fpn import SemanticFPNHead
from resnet_tl.models.heads.segmentation.unet import UNetHead
from resnet_tl.models.heads.two_stage import MaskRCNN
from resnet_tl.models.network import Backbone, HeadFactory, NeckFactory, build
from resnet_tl.models.pyramid import FPN
from resnet_tl.prediction.exported.description import TaskName
from resnet_tl.prediction.exported.network import Runtime

SHAPES = ((1, 48, 64), (3, 97, 130), (1, 33, 200))
"""Images, height, width: other than those of `EXAMPLE`."""
PYRAMID = partial(FPN, channels=8)


def _graph(head: HeadFactory, neck: NeckFactory | None, output_stride: int, task: TaskName) -> Graph:
    torch.manual_seed(0)
    backbone = Backbone("resnet_tiny", output_stride=output_stride)
    return Graph(build(backbone, neck, head, ["a", "b", "c"]).eval(), task).eval()


def _dense(head: type[DenseHead], deviation: float) -> Graph:
    """deviation: of the last weights: scores reach the threshold, and are far enough apart to keep their order."""
    neck = partial(FPN, channels=8, outputs=("p3", "p4", "p5", "p6", "p7"))
    graph = _graph(partial(head, score_threshold=0.02, detections=20), neck, 32, "detection")
    torch.nn.init.normal_(graph.network.head.logits.weight, std=deviation)
    return graph


def _two_stage(score_threshold: float, *, floor_strides: bool = False) -> Graph:
    head = partial(MaskRCNN, score_threshold=score_threshold, detections=20, floor_strides=floor_strides)
    graph = _graph(head, partial(PYRAMID, outputs=("p2", "p3", "p4", "p5", "p6"), extra="pool"), 32, "detection")
    network = graph.network.head
    assert isinstance(network, MaskRCNN)
    torch.nn.init.normal_(network.rpn.head.cls_logits.weight, std=0.5)  # as in dense heads
    torch.nn.init.normal_(network.roi_heads.box_predictor.cls_score.weight, std=0.5)
    return graph


GRAPHS: dict[str, Callable[[], Graph]] = {
    "linear": lambda: _graph(LinearHead, None, 32, "classification"),
    "fcn": lambda: _graph(FCNHead, None, 8, "segmentation"),
    "deeplabv3": lambda: _graph(partial(DeepLabV3Head, channels=8), None, 8, "segmentation"),
    "deeplabv3plus": lambda: _graph(partial(DeepLabV3PlusHead, channels=8), None, 16, "segmentation"),
    "psp": lambda: _graph(partial(PSPHead, channels=8, auxiliary=0.4), None, 8, "segmentation"),
    "semantic_fpn": lambda: _graph(partial(SemanticFPNHead, channels=8), PYRAMID, 32, "segmentation"),
    "unet": lambda: _graph(partial(UNetHead, channels=(8,) * 5), None, 32, "segmentation"),
    "fcos": lambda: _dense(FCOS, 0.5),
    "retinanet": lambda: _dense(RetinaNet, 5e3),
    "mask_rcnn": lambda: _two_stage(0.4),
    "mask_rcnn_torchvisions": lambda: _two_stage(0.4, floor_strides=True),
    "mask_rcnn_without_objects": lambda: _two_stage(0.999),
}


def names(*quick: str) -> list[Any]:
    """Returns the names of all graphs as a test's parameters, slow but for these."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in GRAPHS]


@torch.inference_mode()
def example_of(graph: Graph) -> tuple[Tensor, list[str]]:
    """Returns what a graph is traced with, and the names of its outputs."""
    example = torch.zeros(graph.batch or EXAMPLE[0], 3, *EXAMPLE[1:], dtype=torch.uint8)
    return example, graph.names(len(graph(example)))


@torch.inference_mode()
def check_runtime(run: Runtime, graph: Graph) -> None:
    """A runtime computes what the graph does, for images of other numbers and sizes than traced."""
    torch.manual_seed(0)
    found = []
    for number, height, width in SHAPES:
        images = torch.randint(0, 256, (graph.batch or number, 3, height, width), dtype=torch.uint8)
        expected = graph(images)
        for ours, theirs in zip(expected, run(images.numpy()), strict=True):
            torch.testing.assert_close(torch.from_numpy(theirs), ours, atol=1e-4, rtol=1e-4)
        found.append(graph.task != "detection" or bool((expected[2] >= 0).any()))
    assert any(found), "no object to compare"
