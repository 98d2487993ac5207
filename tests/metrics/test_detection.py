"""COCO's twelve numbers equal pycocotools', in any order of batches."""

from __future__ import annotations

import contextlib
import io
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from resnet_tl.metrics.coco import NAMES
from resnet_tl.metrics.detection import DetectionMetrics
from resnet_tl.structures.boxes import clip, to_xywh
from resnet_tl.structures.masks import Mask, RunLengths, to_pixels, to_run_lengths
from resnet_tl.structures.records import Boxes, Detections

CLASSES = [f"class {number}" for number in range(8)]


def predictions(images: int, most: int, classes: int, detected: int, seed: int = 0) -> tuple[Detections, Boxes]:
    """Draws objects of all sizes, some crowds, some images without any; detections near them, elsewhere and twice."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, most + 1, (images,), generator=generator)
    counts[::5] = 0
    image = torch.arange(images).repeat_interleave(counts)
    total = len(image)
    corner = torch.rand(total, 2, generator=generator) * 400
    side = 4 + torch.rand(total, 2, generator=generator) ** 3 * 236
    boxes = torch.cat([corner, corner + side], 1)
    labels = torch.randint(0, classes, (total,), generator=generator)
    crowd = torch.rand(total, generator=generator) < 0.1
    area = side.prod(1) * (0.5 + 0.5 * torch.rand(total, generator=generator))
    near = torch.randn(images, detected, 4, generator=generator) * 6
    guess = torch.rand(images, detected, 4, generator=generator) * 200
    guess[..., 2:] += guess[..., :2] + 4
    predicted = torch.randint(0, classes, (images, detected), generator=generator)
    for number in range(images):
        here = (image == number).nonzero()[:, 0]
        if len(here):
            chosen = here[torch.randint(len(here), (detected // 2,), generator=generator)]
            guess[number, : detected // 2] = boxes[chosen] + near[number, : detected // 2]
            predicted[number, : detected // 2] = labels[chosen]
    guess[..., 2:] = torch.maximum(guess[..., 2:], guess[..., :2] + 1)
    scores = torch.rand(images, detected, generator=generator).sort(1, descending=True).values
    predicted[:, -1] = -1
    return Detections(guess, scores, predicted), Boxes(boxes, labels, image, crowd, area)


def with_masks(detections: Detections, targets: Boxes, seed: int = 1) -> tuple[Detections, Boxes]:
    """Makes every object an ellipse in its box, crowds as run lengths; every detection roughly that."""
    turn = torch.linspace(0, 2 * torch.pi, 17)[:-1]
    circle = torch.stack([turn.cos(), turn.sin()], 1)
    masks: list[Mask] = []
    for box, crowd in zip(targets.boxes, targets.crowd, strict=True):
        ellipse = ((box[:2] + box[2:]) / 2 + circle * (box[2:] - box[:2]) / 2).numpy()
        masks.append(to_run_lengths(to_pixels([ellipse], SIDE, SIDE)) if crowd else [ellipse])
    y, x = torch.meshgrid(torch.linspace(-1, 1, 28), torch.linspace(-1, 1, 28), indexing="ij")
    near = (1.6 - x**2 - y**2) / 1.2
    noise = torch.rand(*detections.labels.shape, 28, 28, generator=torch.Generator().manual_seed(seed)) - 0.5
    boxes = clip(detections.boxes, torch.full((len(detections.labels), 2), SIDE))
    return detections._replace(boxes=boxes, masks=(near + 0.4 * noise).clamp(0, 1)), replace(targets, masks=masks)


def twelve_numbers(detections: Detections, targets: Boxes, classes: int, kind: str = "bbox") -> list[float]:
    """Computes pycocotools' numbers, from annotations as a json file has them."""
    images = len(detections.labels)
    annotations = [
        {
            "id": number + 1,
            "image_id": int(targets.image[number]),
            "category_id": int(targets.labels[number]),
            "bbox": to_xywh(targets.boxes[number]).tolist(),
            "area": float(targets.area[number]),
            "iscrowd": int(targets.crowd[number]),
            **({} if kind == "bbox" else {"segmentation": as_in_json(targets.masks[number])}),
        }
        for number in range(len(targets))
    ]
    results = [
        {"image_id": n, "category_id": int(label), "score": float(score)}
        | ({"bbox": to_xywh(box).tolist()} if kind == "bbox" else {"segmentation": pasted(detections.masks[n, d], box)})
        for n in range(images)
        for d, (box, score, label) in enumerate(zip(*(part[n] for part in detections[:3]), strict=True))
        if label >= 0
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": n, "height": SIDE, "width": SIDE} for n in range(images)],
            "annotations": annotations,
            "categories": [{"id": k} for k in range(classes)],
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(evaluation.stats)


def as_in_json(mask: Mask) -> object:
    if isinstance(mask, RunLengths):
        return {"size": list(mask.size), "counts": mask.counts.tolist()}
    return [polygon.astype(float).ravel().tolist() for polygon in mask]


def pasted(mask: Tensor, box: Tensor) -> dict[str, object]:
    """Pastes as torchvision's references do."""
    pixels = paste_masks_in_image(mask[None, None], box[None], (SIDE, SIDE))[0, 0] > 0.5
    return coco_masks.encode(np.asfortranarray(pixels.numpy().astype(np.uint8)))


SIDE = 700


def part(detections: Detections, targets: Boxes, chosen: list[int]) -> tuple[Detections, Boxes, Tensor, Tensor]:
    """Returns the batch of the images `chosen`."""
    found = Detections(*(None if value is None else value[chosen] for value in detections))
    true = Boxes.join([targets.where(targets.image == number) for number in chosen])
    return found, true, torch.tensor(chosen), torch.full((len(chosen), 2), SIDE)


def scored(detections: Detections, targets: Boxes, batches: list[list[int]], classes: list[str]) -> DetectionMetrics:
    metrics = DetectionMetrics(classes)
    for chosen in batches:
        metrics.update(*part(detections, targets, chosen))
    return metrics


def test_all_twelve_equal_pycocotools() -> None:
    detections, targets = predictions(30, 9, len(CLASSES), 20)
    assert targets.crowd.any()
    metrics = scored(detections, targets, [list(range(17)), list(range(17, 30))], CLASSES)
    expected = twelve_numbers(detections, targets, len(CLASSES))
    assert list(metrics.compute()) == list(NAMES)
    assert list(metrics.compute().values()) == pytest.approx(expected, abs=1e-6)
    assert min(expected) > 0


def test_all_twelve_of_masks_equal_pycocotools() -> None:
    detections, targets = with_masks(*predictions(12, 6, len(CLASSES), 8))
    assert targets.crowd.any()
    metrics = scored(detections, targets, [[4, 1, 0], list(range(5, 12)), [3, 2]], CLASSES)
    found, expected = metrics.compute(), twelve_numbers(detections, targets, len(CLASSES), "segm")
    assert [found[f"mask_{name}"] for name in NAMES] == pytest.approx(expected, abs=1e-6)
    boxes = scored(detections._replace(masks=None), targets, [list(range(12))], CLASSES).compute()
    assert {name: found[name] for name in NAMES} == pytest.approx(boxes, abs=1e-9)
    assert expected[0] not in (0, found["map"])
    known = [row["mask_map"] for row in metrics.tables()["per_class"] if row["mask_map"] is not None]
    assert np.mean(known) == pytest.approx(found["mask_map"], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_all_twelve_of_500_images(kind: str) -> None:
    """100 detections an image, 80 classes. `pytest -m slow -s tests/metrics/test_detection.py` prints the seconds."""
    detections, targets = predictions(500, 20, 80, 100)
    if kind == "segm":
        detections, targets = with_masks(detections, targets)
    start = time.perf_counter()
    metrics = scored(detections, targets, [list(range(n, n + 10)) for n in range(0, 500, 10)], [*map(str, range(80))])
    collected = time.perf_counter()
    found = metrics.compute()
    computed = time.perf_counter()
    expected = twelve_numbers(detections, targets, 80, kind)
    print(
        f"\n{kind}: ours {collected - start:.1f} s to collect and {computed - collected:.1f} s to compute, "
        f"pycocotools {time.perf_counter() - computed:.1f} s",
        end="",
    )
    ours = [found[name if kind == "bbox" else f"mask_{name}"] for name in NAMES]
    assert ours == pytest.approx(expected, abs=1e-6)


def test_neither_fillers_nor_the_order_of_batches_change_scores() -> None:
    detections, targets = predictions(9, 5, len(CLASSES), 8)
    one = scored(detections, targets, [list(range(9))], CLASSES).compute()
    other = scored(detections, targets, [[8, 3], [0], [7, 6, 5], [4, 2, 1]], CLASSES)
    found, true, _, sizes = part(detections, targets, [3, 3])
    other.update(found, true, torch.tensor([-1, -1]), sizes)
    assert other.compute() == pytest.approx(one, abs=1e-9)


def test_the_table_by_class_agrees_with_the_scores() -> None:
    detections, targets = predictions(20, 6, len(CLASSES), 16)
    metrics = scored(detections, targets, [list(range(20))], [*CLASSES, "never there"])
    table = metrics.tables()["per_class"]
    scores = metrics.compute()
    known = [row for row in table if row["map"] is not None]
    assert np.mean([row["map"] for row in known]) == pytest.approx(scores["map"], abs=1e-6)
    assert np.mean([row["map50"] for row in known]) == pytest.approx(scores["map50"], abs=1e-6)
    assert [row["objects"] for row in table] == targets.objects().labels.bincount(minlength=9).tolist()
    sizes = dict.fromkeys(("map_small", "map_medium", "map_large"))
    assert table[-1] == {"class": "never there", "objects": 0, "map": None, "map50": None, **sizes}


def test_perfect_predictions_and_none_at_all() -> None:
    _, targets = predictions(6, 4, len(CLASSES), 4)
    targets = targets.objects()
    most = int(targets.image.bincount().max())
    perfect = Detections(torch.zeros(6, most, 4), torch.zeros(6, most), torch.full((6, most), -1))
    for number, boxes in enumerate(targets.split(6)):
        for value, of in zip(perfect[:3], (boxes.boxes, torch.ones(len(boxes)), boxes.labels), strict=True):
            value[number, : len(boxes)] = of
    assert scored(perfect, targets, [list(range(6))], CLASSES).compute()["map"] == pytest.approx(1)
    nothing = perfect._replace(labels=torch.full((6, most), -1))
    silent = scored(nothing, targets, [list(range(6))], CLASSES)
    assert silent.compute()["map"] == 0
    silent.reset()
    silent.update(*part(nothing, targets.where(targets.image < 0), list(range(6))))
    assert silent.compute()["map"] == -1
    assert {row["map"] for row in silent.tables()["per_class"]} == {None}
