"""The detection task on drawn squares and discs."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from resnet_tl.models.heads.dense import DenseHead
from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.heads.retinanet import RetinaNet
from resnet_tl.models.heads.two_stage import FasterRCNN, MaskRCNN
from resnet_tl.models.network import Backbone
from resnet_tl.models.pyramid import FPN
from resnet_tl.structures.masks import Mask, to_run_lengths
from resnet_tl.structures.records import Batch, Boxes, Detections
from resnet_tl.tasks.detection import Detection
from resnet_tl.tuning.rates import Optimizer, Schedule

SIDE, IMAGES = 64, 6
CLASSES = ["square", "disc"]
HEADS: dict[str, Any] = {
    "retinanet": functools.partial(RetinaNet, convs=1, norm="group", detections=10),
    "fcos": functools.partial(FCOS, convs=1, detections=10),
    "faster": functools.partial(FasterRCNN, detections=10, samples=16),
    "mask": functools.partial(MaskRCNN, detections=10, samples=16),
}


def scene(index: int) -> tuple[Tensor, Boxes]:
    """One object on a dark background, none on the last image; pixels `[3, SIDE, SIDE]`."""
    draw = np.random.default_rng(index)
    image = draw.integers(0, 60, (3, SIDE, SIDE))
    label, side = index % 2, int(draw.integers(20, 33))
    y, x = (int(corner) for corner in draw.integers(0, SIDE - side, 2))
    rows, columns = np.ogrid[:SIDE, :SIDE]
    inside = (abs(rows - y - side / 2) < side / 2) & (abs(columns - x - side / 2) < side / 2)
    if label:
        inside &= (rows - y - side / 2) ** 2 + (columns - x - side / 2) ** 2 < side**2 / 4
    boxes, masks = [[x, y, x + side, y + side]], [to_run_lengths(inside)]
    if index == IMAGES - 1:
        boxes, masks = [], []
    else:
        image[:, inside] += 150 if label else 100
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    number = torch.zeros(len(boxes), dtype=torch.long)
    area = torch.tensor([float(inside.sum())] * len(boxes))
    shapes: list[Mask] = [*masks]
    return torch.from_numpy(image.astype(np.uint8)), Boxes(corners, number + label, number, number > 0, area, shapes)


def batch_of(indices: list[int]) -> Batch:
    """-1 is a filler."""
    images, objects = zip(*(scene(index if index >= 0 else IMAGES - 1) for index in indices), strict=True)
    sizes = torch.full((len(indices), 2), SIDE)
    return Batch(torch.stack(images), Boxes.join(objects), sizes, sizes, torch.tensor(indices))


def loader(*batches: list[int]) -> DataLoader[Batch]:
    kept: Any = [batch_of(batch) for batch in batches]
    return DataLoader(kept, batch_size=None, generator=torch.Generator())


def task(head: str = "fcos", **options: Any) -> Detection:
    torch.manual_seed(0)
    neck = functools.partial(FPN, channels=16, outputs=("p3", "p4", "p5"))
    made = Detection(CLASSES, Backbone("resnet_tiny", norm="group"), neck, HEADS[head], **options)
    if isinstance(made.detector, FasterRCNN):  # the second stage is slow on a CPU
        made.detector.rpn._post_nms_top_n = {"training": 50, "testing": 50}
    return made


def trainer(folder: Path, **options: Any) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    return Trainer(accelerator="cpu", default_root_dir=folder, **{"enable_checkpointing": False, **quiet, **options})


@pytest.mark.parametrize("head", HEADS)
def test_it_fits_validates_and_logs_the_terms(head: str, tmp_path: Path) -> None:
    run = trainer(tmp_path, max_epochs=1)
    fitted = task(head)
    run.fit(fitted, loader([0, 1, 2], [3, 4, 5]), loader([0, 1, 5], [2]))
    logged = {name: float(value) for name, value in run.callback_metrics.items()}
    terms = {"mask"} if head == "mask" else set()
    terms |= {"class", "box"} | ({"objectness", "rpn_box"} if head in ("faster", "mask") else set())
    terms |= {"centerness"} if head == "fcos" else set()
    assert {name for name in logged if name.startswith("train/loss_")} == {f"train/loss_{term}" for term in terms}
    assert sum(logged[f"train/loss_{term}"] for term in terms) == pytest.approx(logged["train/loss"], rel=1e-5)
    assert {"val/loss", "val/map", "val/map50", "val/mar100"} <= set(logged)
    assert ("val/mask_map" in logged) == (head == "mask")
    assert all(value == value for value in logged.values())
    assert [row["objects"] for row in fitted.tables["per_class"]] == [2, 1]


def test_it_learns_squares_and_discs(tmp_path: Path) -> None:
    everything = loader([0, 1, 2], [3, 4, 5])
    learner = task("fcos", optimizer=Optimizer("adamw", lr=3e-3), schedule=Schedule("cosine"))
    run = trainer(tmp_path, max_epochs=30, check_val_every_n_epoch=30)
    run.fit(learner, everything, everything)
    assert float(run.callback_metrics["val/map50"]) > 0.9


@pytest.mark.parametrize("head", ["retinanet", "fcos", "mask"])
def test_batches_and_fillers_change_neither_scores_nor_loss(head: str, tmp_path: Path) -> None:
    seen = eager(task(head))
    run = trainer(tmp_path)
    (one,) = run.validate(seen, loader([0, 1, 2, 3, 4, 5]), verbose=False)
    (other,) = run.validate(seen, loader([5, 3, -1], [0, 4], [-1, 2], [1]), verbose=False)
    assert other == pytest.approx(one, rel=1e-4, abs=1e-6)
    assert one["val/loss"] > 0
    assert one["val/mar100"] > 0 or head != "retinanet"


@pytest.mark.parametrize("head", ["fcos", "mask"])
def test_an_image_is_evaluated_without_padding_whatever_its_batch(head: str, tmp_path: Path) -> None:
    """As prediction sees it."""
    mixed = batch_of([0, 1, 2])
    mixed.sizes = mixed.original_sizes = torch.tensor([[40, 30], [SIDE, SIDE], [64, 20]])
    seen, run = eager(task(head)), trainer(tmp_path)
    indices, found = run.predict(seen, DataLoader([mixed], batch_size=None))[0]  # type: ignore[arg-type]
    assert indices.tolist() == [0, 1, 2]
    for number, (height, width) in enumerate(mixed.sizes.tolist()):
        with torch.inference_mode():
            alone = seen(mixed.images[number, None, :, :height, :width])
        for single, together in zip(alone, found, strict=True):
            if single is not None:
                torch.testing.assert_close(together[number, : single.shape[1]], single[0], rtol=1e-4, atol=1e-4)
        assert (found.labels[number, alone.labels.shape[1] :] == -1).all()


@pytest.mark.parametrize("head", ["retinanet", "fcos", "mask"])
def test_outputs_that_are_infinite_are_never_scored(head: str, tmp_path: Path) -> None:
    """Infinite boxes would be clipped to the image's edge; at anchors without an object the loss does not show them."""
    seen, run = eager(task(head)), trainer(tmp_path)
    for name, parameter in seen.network.head.named_parameters():
        if name in ("box.bias", "rpn.head.bbox_pred.bias"):
            parameter.data.fill_(math.inf)
    with pytest.warns(UserWarning, match="NaN or infinite, so all metrics are NaN"):
        (metrics,) = run.validate(seen, loader([IMAGES - 1]), verbose=False)  # the image without objects
    assert all(map(math.isnan, metrics.values()))


def eager(untrained: Detection) -> Detection:
    """Makes the head predict objects everywhere."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in untrained.network.head.named_parameters():
        if parameter.ndim > 1:
            spread = (2 / parameter[0].numel()) ** 0.5 * (0.05 if "box" in name else 1)
            parameter.data = torch.randn(parameter.shape, generator=generator) * spread
        elif parameter.min() < -4:
            parameter.data.zero_()
    if isinstance(untrained.detector, DenseHead):
        untrained.detector.detections, untrained.detector.nms_threshold = 200, 0.9
    return untrained


def test_validation_draws_nothing_from_the_generator_of_training(tmp_path: Path) -> None:
    seen, run = task("faster"), trainer(tmp_path)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    run.validate(seen, loader([0, 1]), verbose=False)
    assert torch.equal(torch.get_rng_state(), state)


def test_predictions_are_in_pixels_of_the_image_files(tmp_path: Path) -> None:
    seen, given = eager(task("fcos")), batch_of([0, -1, 1])
    given.original_sizes = torch.tensor([[SIDE, SIDE], [SIDE, SIDE], [2 * SIDE, 3 * SIDE]])
    indices, found = trainer(tmp_path).predict(seen, DataLoader([given], batch_size=None))[0]  # type: ignore[arg-type]
    assert indices.tolist() == [0, 1]
    with torch.inference_mode():
        as_shown: Detections = seen.eval()(given.images)
    torch.testing.assert_close(found.boxes[0], as_shown.boxes[0])
    torch.testing.assert_close(found.boxes[1], as_shown.boxes[2] * torch.tensor([3.0, 2, 3, 2]))


def test_a_trained_checkpoint_is_enough_to_predict(tmp_path: Path) -> None:
    from resnet_tl.prediction.load import load

    seen = eager(task("mask"))
    run = trainer(tmp_path, max_epochs=1, enable_checkpointing=True)
    run.fit(seen, loader([0, 1]))
    run.save_checkpoint(tmp_path / "a.ckpt")
    image = scene(1)[0].permute(1, 2, 0).numpy()
    (found,) = load(tmp_path / "a.ckpt").predict(image)
    assert len(found.boxes) == len(found.scores) == len(found.masks) > 0
    assert (np.diff(found.scores) <= 0).all()
    assert found.boxes.min() >= 0
    assert found.boxes.max() <= SIDE


def torchvisions(path: Path, classes: int) -> str:
    """A file in the layout of torchvision's RetinaNet, of random weights."""
    from torchvision.models import resnet18
    from torchvision.models.detection import RetinaNet as Theirs
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    layers = {f"layer{number}": str(number) for number in (2, 3, 4)}
    backbone = BackboneWithFPN(resnet18(), layers, [128, 256, 512], 16, LastLevelP6P7(16, 16))
    torch.save(Theirs(backbone, classes).state_dict(), path / "theirs.pth")
    return str(path / "theirs.pth")


@pytest.mark.parametrize("floor_strides", [True, False])
def test_a_torchvision_detector_with_other_classes_loads_trunk_neck_and_towers(
    floor_strides: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    neck = functools.partial(FPN, channels=16, outputs=("p3", "p4", "p5", "p6", "p7"))
    head = functools.partial(RetinaNet, floor_strides=floor_strides)
    with caplog.at_level("INFO", "lightning.pytorch.utilities.rank_zero"):
        made = Detection(CLASSES, Backbone("resnet18", torchvisions(tmp_path, 91)), neck, head)
    assert made.loaded_stages == ["stem", "layer1", "layer2", "layer3", "layer4", "neck"]
    assert "skipped: head.logits.weight, head.logits.bias: the names of its classes are unknown" in caplog.text
    assert ("floor_strides" in caplog.text) == (not floor_strides)


@pytest.mark.parametrize("aligned", [True, False])
def test_torchvisions_weights_in_an_aligned_head_are_noted(
    aligned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    neck = functools.partial(FPN, channels=16, outputs=("p3", "p4", "p5"))
    head = functools.partial(FasterRCNN, aligned=aligned, floor_strides=True)
    with caplog.at_level("INFO", "lightning.pytorch.utilities.rank_zero"):
        made = Detection(CLASSES, Backbone("resnet18", torchvisions(tmp_path, 91)), neck, head)
    assert ("trained with the head's aligned: false, here it is true" in caplog.text) == aligned
    assert made.metrics.aligned == aligned
