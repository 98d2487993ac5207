"""Detectors equal torchvision's with the same weights: losses and detections of one batch.

`pytest -m slow -s tests/models/heads/test_detector_peers.py` compares ResNet-50 at 320 and 512 px, as published, and
prints the largest differences.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.models.detection as tv
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50
from torchvision.models._meta import _COCO_CATEGORIES
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.heads.retinanet import RetinaNet
from resnet_tl.models.heads.two_stage import FasterRCNN, MaskRCNN
from resnet_tl.models.network import Backbone, Network, build, public_keys
from resnet_tl.models.pyramid import FPN
from resnet_tl.structures.masks import to_run_lengths
from resnet_tl.structures.records import Boxes, Detections
from resnet_tl.weights.files import save_weights
from resnet_tl.weights.load import load_weights
from resnet_tl.weights.records import WeightRecord

TABLE = tuple(_COCO_CATEGORIES)
NAMES = list(TABLE[1:])
"""COCO's 90 ids, gaps included: class k of ours is id k + 1."""


@dataclass(frozen=True)
class Kind:
    theirs: Callable[..., nn.Module]
    ours: Any
    name: str
    first: int
    outputs: tuple[str, ...]
    terms: dict[str, str]


DENSE = {"classification": "class", "bbox_regression": "box"}
TWO_STAGE = {"loss_objectness": "objectness", "loss_rpn_box_reg": "rpn_box", "loss_classifier": "class"} | {
    "loss_box_reg": "box"
}
P3_P7, P2_P6 = ("p3", "p4", "p5", "p6", "p7"), ("p2", "p3", "p4", "p5", "p6")
KINDS = {
    "retinanet": Kind(tv.RetinaNet, RetinaNet, "retinanet_resnet50_fpn", 3, P3_P7, DENSE),
    "fcos": Kind(tv.FCOS, FCOS, "fcos_resnet50_fpn", 3, P3_P7, DENSE | {"bbox_ctrness": "centerness"}),
    "faster": Kind(tv.FasterRCNN, FasterRCNN, "fasterrcnn_resnet50_fpn", 2, P2_P6, TWO_STAGE),
    "mask": Kind(tv.MaskRCNN, MaskRCNN, "maskrcnn_resnet50_fpn", 2, P2_P6, TWO_STAGE | {"loss_mask": "mask"}),
}


def torchvisions(kind: Kind, trunk: str, size: int, eps: float, channels: int) -> nn.Module:
    """Sets weights that would reveal a mistake anywhere, and outputs that detect something everywhere."""
    norm = functools.partial(FrozenBatchNorm2d, eps=eps)
    body = {"resnet18": resnet18, "resnet50": resnet50}[trunk](norm_layer=norm)
    widths = [body.inplanes // 8 * 2**step for step in range(kind.first - 2, 4)]
    layers = {f"layer{kind.first - 1 + step}": str(step) for step in range(len(widths))}
    extra = LastLevelP6P7(channels, channels) if kind.first == 3 else LastLevelMaxPool()
    backbone = BackboneWithFPN(body, layers, widths, channels, extra)
    if kind.first == 3:
        options = {"detections_per_img": 100, "score_thresh": 0.05, "nms_thresh": 0.5}
    else:
        options = {}
    model = kind.theirs(backbone, num_classes=91, min_size=size, max_size=4 * size, **options)
    generator = torch.Generator().manual_seed(1)
    for name, module in model.named_modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.weight.copy_(torch.rand(module.weight.shape, generator=generator) * 0.4 + 0.3)
            module.bias.copy_(torch.randn(module.bias.shape, generator=generator) * 0.1)
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
        elif isinstance(module, (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)) and "body" not in name:
            inputs = module.weight[0].numel() if not isinstance(module, nn.ConvTranspose2d) else module.in_channels
            spread = (2 / inputs) ** 0.5 * GAIN.get(name.rpartition(".")[2], 1.0)
            module.weight.data.copy_(torch.randn(module.weight.shape, generator=generator) * spread)
            module.bias.data.copy_(torch.randn(module.bias.shape, generator=generator) * 0.1)
    return at_work(model)


GAIN = {"bbox_pred": 0.3, "bbox_reg": 0.3}
"""Keeps boxes from being clipped at the image's edges."""


def at_work(model: nn.Module) -> nn.Module:
    """Imitates a trained model: it never predicts the background, for which dense heads have an output."""
    if hasattr(model, "roi_heads"):
        return model
    logits = model.head.classification_head.cls_logits
    bias = logits.bias.data.view(-1, 91)
    bias -= 4
    bias[:, 0] = -40
    return model


def first_layout(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the keys of COCO_V1's files, from before torchvision 0.14."""

    def old(key: str) -> str:
        key = re.sub(r"((?:inner|layer)_blocks\.\d)\.0", r"\1", key)
        key = re.sub(r"(_head\.conv)\.(\d)\.0", lambda match: f"{match[1]}.{2 * int(match[2])}", key)
        key = re.sub(r"rpn\.head\.conv\.0\.0", "rpn.head.conv", key)
        return re.sub(r"mask_head\.(\d)\.0", lambda match: f"mask_head.mask_fcn{int(match[1]) + 1}", key)

    return {old(key): value for key, value in state.items()}


def ours(kind: Kind, trunk: str, weights: str, channels: int) -> Network:
    extra = "conv" if kind.first == 3 else "pool"
    options = {"floor_strides": True, "nms_threshold": 0.5}
    network = build(
        Backbone(trunk, norm="frozen"),
        functools.partial(FPN, outputs=kind.outputs, extra=extra, channels=channels),
        functools.partial(kind.ours, **options),
        NAMES,
    )
    _, report = load_weights(network, weights, keys=public_keys(network), classes=NAMES)
    assert report.skipped == {}
    assert [key for key in report.missing if not key.endswith("num_batches_tracked")] == []
    assert report.unexpected == []
    # In the peer's memory layout: the order of proposals with scores equal to within rounding decides which of them
    # are sampled.
    return network.to(memory_format=torch.contiguous_format)


def random_images(size: int) -> list[Tensor]:
    """Draws uint8 images `[3, h, w]` of three sizes, none of which is resized."""
    shapes = [(size, size + 56), (size + 32, size), (size, size)]
    generator = np.random.default_rng(0)
    coarse = [generator.integers(0, 256, (3, h // 8 + 1, w // 8 + 1)) for h, w in shapes]
    return [
        torch.from_numpy(np.kron(grid, np.ones((8, 8)))[:, :h, :w].astype(np.uint8))
        for grid, (h, w) in zip(coarse, shapes, strict=True)
    ]


def annotations(images: list[Tensor]) -> list[dict[str, Tensor]]:
    """Draws four to six objects of many sizes, none on the last image; labels are COCO's ids."""
    generator = torch.Generator().manual_seed(2)
    targets = []
    for number, image in enumerate(images):
        h, w = image.shape[1:]
        count = 0 if number == len(images) - 1 else 4 + 2 * number
        corner = torch.rand(count, 2, generator=generator) * 0.6
        side = 0.1 + torch.rand(count, 2, generator=generator) * 0.3
        boxes = (torch.cat([corner, corner + side], 1) * torch.tensor([w, h, w, h])).round()
        masks = torch.zeros(count, h, w, dtype=torch.uint8)
        for mask, (x0, y0, x1, y1) in zip(masks, boxes.long().tolist(), strict=True):
            mask[y0:y1, x0 : (x0 + x1) // 2] = 1
            mask[(y0 + y1) // 2 : y1, x0:x1] = 1
        labels = torch.randint(1, 91, (count,), generator=generator)
        targets.append({"boxes": boxes, "labels": labels, "masks": masks})
    return targets


def our_targets(theirs: list[dict[str, Tensor]]) -> Boxes:
    def one(target: dict[str, Tensor]) -> Boxes:
        zeros = torch.zeros_like(target["labels"])
        masks = [to_run_lengths(mask.bool().numpy()) for mask in target["masks"]]
        return Boxes(target["boxes"], target["labels"] - 1, zeros, zeros.bool(), target["masks"].sum((1, 2)), masks)

    return Boxes.join([one(target) for target in theirs])


def compare(kind: Kind, theirs: nn.Module, network: Network, size: int) -> None:
    images, sizes, targets = random_images(size), [], annotations(random_images(size))
    sizes = torch.tensor([list(image.shape[1:]) for image in images])
    # In fp32, rounding sometimes decides which of two equally good regions is kept.
    theirs, network = theirs.double(), network.double()
    floats = [image.double() / 255 for image in images]
    targets = [{**each, "boxes": each["boxes"].double()} for each in targets]
    padded, _ = theirs.transform(floats)
    bytes_padded = torch.zeros(padded.tensors.shape, dtype=torch.uint8)
    for number, image in enumerate(images):
        bytes_padded[number, :, : image.shape[1], : image.shape[2]] = image

    theirs.train()
    torch.manual_seed(3)
    expected = theirs([image.clone() for image in floats], [dict(target) for target in targets])
    assert set(expected) == set(kind.terms)
    theirs.eval()
    with torch.no_grad():
        expected_detections = theirs([image.clone() for image in floats])
    assert all(len(each["boxes"]) >= 50 for each in expected_detections)

    ways = {
        "their tensor": lambda: network.run(padded.tensors, sizes),
        "bytes": lambda: network(bytes_padded, sizes),
    }
    for way, run in ways.items():
        network.train()
        torch.manual_seed(3)
        for _ in images:
            torch.empty(1).uniform_()  # torchvision's transform draws a size for each image, even from one choice
        terms = network.head.loss(run(), our_targets(targets))
        network.eval()
        with torch.no_grad():
            detections = network.head.predict(run())
        losses = max(relative(terms[our_name], expected[name]) for name, our_name in kind.terms.items())
        boxes, scores = compare_detections(detections, expected_detections)
        print(f"\n{kind.name} {size} px, {way}: losses {losses:.1e}, boxes {boxes:.1e}, scores {scores:.1e}", end="")
        assert set(terms) == set(kind.terms.values())
        assert max(losses, boxes, scores) <= 1e-4


def compare_detections(ours: Detections, theirs: list[dict[str, Tensor]]) -> tuple[float, float]:
    """Returns the largest differences of boxes (as shares of the image's side) and of scores. Pairs detections in
    any order, since that of scores equal to within rounding is arbitrary."""
    worst_box = worst_score = 0.0
    for number, expected in enumerate(theirs):
        real = ours.labels[number] >= 0
        assert int(real.sum()) == len(expected["labels"])
        boxes, scores, labels = (value[number][real] for value in ours[:3])
        box = (expected["boxes"][:, None] - boxes).abs().amax(2) / float(expected["boxes"].max())
        score = (expected["scores"][:, None] - scores).abs() / expected["scores"][:, None]
        distance = torch.maximum(box, score).masked_fill(expected["labels"][:, None] - 1 != labels, torch.inf)
        partner = distance.argmin(1)
        assert sorted(partner.tolist()) == list(range(len(partner)))
        assert (scores.diff() <= 0).all(), "best first"
        here = torch.arange(len(partner)), partner
        worst_box, worst_score = max(worst_box, float(box[here].max())), max(worst_score, float(score[here].max()))
    return worst_box, worst_score


def relative(value: Tensor, reference: Tensor) -> float:
    assert reference.abs().max() > 0
    return float(((value - reference).abs() / reference.abs().max()).max().detach())


@pytest.mark.parametrize(
    ("kind", "layout"),
    [
        ("retinanet", "first"),
        ("fcos", "today's"),
        ("faster", "today's"),
        pytest.param("mask", "first", marks=pytest.mark.slow),  # 50 seconds
    ],
)
def test_small_detectors_equal_torchvision(kind: str, layout: str, tmp_path: Path) -> None:
    case, eps = KINDS[kind], 0.0 if layout == "first" else 1e-5
    theirs = torchvisions(case, "resnet18", 128, eps, channels=64)
    state = dict(theirs.state_dict())
    if layout == "first":
        state = first_layout(state)
        theirs.load_state_dict(state)
    save_weights(state, WeightRecord("", classes=TABLE, norm_eps=eps), tmp_path / "weights.safetensors")
    compare(case, theirs, ours(case, "resnet18", str(tmp_path / "weights.safetensors"), channels=64), 128)


@pytest.mark.slow
@pytest.mark.parametrize("size", [320, 512])
@pytest.mark.parametrize("published", [False, True], ids=["today's layout", "COCO_V1"])
@pytest.mark.parametrize("kind", KINDS)
def test_resnet50_detectors_equal_torchvision(
    kind: str, published: bool, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COCO_V1: under torchvision's name, where its loader would store it, with the keys of that file and its eps
    (1e-5 of FCOS, else 0)."""
    case = KINDS[kind]
    eps = 0.0 if published and kind != "fcos" else 1e-5
    theirs = torchvisions(case, "resnet50", size, eps, channels=256)
    if published:
        name = f"{case.name}.COCO_V1"
        url = tv.__dict__[PUBLISHED[kind]].COCO_V1.url
        monkeypatch.setattr(torch.hub, "_hub_dir", None)
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        file = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
        file.parent.mkdir(parents=True)
        torch.save(first_layout(theirs.state_dict()), file)
        weights = f"torchvision/{name}"
    else:
        weights = str(tmp_path / "weights.safetensors")
        save_weights(theirs.state_dict(), WeightRecord("", classes=TABLE), Path(weights))
    compare(case, theirs, ours(case, "resnet50", weights, channels=256), size)


PUBLISHED = {
    "retinanet": "RetinaNet_ResNet50_FPN_Weights",
    "fcos": "FCOS_ResNet50_FPN_Weights",
    "faster": "FasterRCNN_ResNet50_FPN_Weights",
    "mask": "MaskRCNN_ResNet50_FPN_Weights",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["retinanet", "mask"])
def test_second_forms_detect_what_torchvision_does(kind: str, tmp_path: Path) -> None:
    """In eval mode, with random weights and low scores."""
    case, size = KINDS[kind], 128
    torch.manual_seed(4)
    options = {"weights": None, "weights_backbone": None, "min_size": size, "max_size": 4 * size}
    if kind == "retinanet":
        theirs = tv.retinanet_resnet50_fpn_v2(**options, score_thresh=0.001)
        torch.nn.init.normal_(theirs.head.classification_head.cls_logits.weight, std=0.05)
        theirs.head.classification_head.cls_logits.bias.data.view(-1, 91)[:, 0] = -40
        more, extra, norm = {"norm": "group", "box_loss": "giou"}, "conv_c5", None
    else:
        theirs = tv.maskrcnn_resnet50_fpn_v2(**options, box_score_thresh=0.001)
        more, extra, norm = {"v2": True}, "pool", "batch"
    save_weights(theirs.state_dict(), WeightRecord("", classes=TABLE), tmp_path / "weights.safetensors")
    network = build(
        Backbone("resnet50"),
        functools.partial(FPN, outputs=case.outputs, extra=extra, norm=norm),
        functools.partial(case.ours, floor_strides=True, score_threshold=0.001, nms_threshold=0.5, **more),
        NAMES,
    )
    _, report = load_weights(network, str(tmp_path / "weights.safetensors"), keys=public_keys(network), classes=NAMES)
    assert report.skipped == {}
    assert report.unexpected == []
    if kind == "retinanet":
        network.head.detections = theirs.detections_per_img
    images = random_images(size)
    sizes = torch.tensor([list(image.shape[1:]) for image in images])
    with torch.no_grad():
        padded, _ = theirs.eval().transform([image / 255 for image in images])
        expected_detections = theirs([image / 255 for image in images])
        ours_ = network.to(memory_format=torch.contiguous_format).eval()
        detections = ours_.head.predict(ours_.run(padded.tensors, sizes))
    assert all(len(each["boxes"]) >= 50 for each in expected_detections)
    boxes, scores = compare_detections(detections, expected_detections)
    assert max(boxes, scores) <= 1e-4
