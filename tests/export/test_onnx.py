"""ONNX files of every head compute what the network does, for images of other numbers and sizes than traced."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from resnet_tl.export.export import EXAMPLE
from resnet_tl.export.graph import Graph
from resnet_tl.export.onnx import write_onnx
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
from resnet_tl.prediction.exported.onnx import open_onnx

SHAPES = ((1, 48, 64), (3, 97, 130), (1, 33, 200))
PYRAMID = partial(FPN, channels=8)
DEEP_PYRAMID = partial(FPN, channels=8, outputs=("p3", "p4", "p5", "p6", "p7"))
SEGMENTATION: dict[str, tuple[HeadFactory, NeckFactory | None, int]] = {
    "deeplabv3": (partial(DeepLabV3Head, channels=8), None, 8),
    "deeplabv3plus": (partial(DeepLabV3PlusHead, channels=8), None, 16),
    "psp": (partial(PSPHead, channels=8, auxiliary=0.4), None, 8),
    "semantic_fpn": (partial(SemanticFPNHead, channels=8), PYRAMID, 32),
    "unet": (partial(UNetHead, channels=(8,) * 5), None, 32),
}


def test_fcn(tmp_path: Path) -> None:
    check(network_graph(FCNHead, None, 8, "segmentation"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SEGMENTATION)
def test_segmentation_heads(name: str, tmp_path: Path) -> None:
    check(network_graph(*SEGMENTATION[name], "segmentation"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("head", [FCOS, RetinaNet])
def test_dense_detectors(head: type[FCOS | RetinaNet], tmp_path: Path) -> None:
    graph = network_graph(partial(head, score_threshold=0.02, detections=20), DEEP_PYRAMID, 32, "detection")
    torch.nn.init.normal_(graph.network.head.logits.weight, std=0.5)  # scores far enough apart to keep their order
    check(graph, tmp_path)


@pytest.mark.parametrize("score_threshold", [0.4, 0.999])
def test_two_stage_detectors_with_and_without_objects(score_threshold: float, tmp_path: Path) -> None:
    head = partial(MaskRCNN, score_threshold=score_threshold, detections=20, floor_strides=True)
    graph = network_graph(head, partial(PYRAMID, outputs=("p2", "p3", "p4", "p5", "p6"), extra="pool"), 32, "detection")
    network = graph.network.head
    assert isinstance(network, MaskRCNN)
    torch.nn.init.normal_(network.rpn.head.cls_logits.weight, std=0.5)  # as above
    torch.nn.init.normal_(network.roi_heads.box_predictor.cls_score.weight, std=0.5)
    assert graph.batch == 1
    check(graph, tmp_path)


def network_graph(head: HeadFactory, neck: NeckFactory | None, output_stride: int, task: TaskName) -> Graph:
    torch.manual_seed(0)
    backbone = Backbone("resnet_tiny", output_stride=output_stride)
    return Graph(build(backbone, neck, head, ["a", "b", "c"]).eval(), task).eval()


@torch.inference_mode()
def check(graph: Graph, folder: Path) -> None:
    example = torch.zeros(graph.batch or EXAMPLE[0], 3, *EXAMPLE[1:], dtype=torch.uint8)
    write_onnx(graph, example, graph.names(len(graph(example))), "{}", folder / "graph.onnx")
    run, description = open_onnx(folder / "graph.onnx")
    assert description == "{}"
    for number, height, width in SHAPES:
        images = torch.randint(0, 256, (graph.batch or number, 3, height, width), dtype=torch.uint8)
        for ours, theirs in zip(graph(images), run(images.numpy()), strict=True):
            torch.testing.assert_close(torch.from_numpy(theirs), ours, atol=1e-4, rtol=1e-4)
