"""COCO's metrics of 5,000 images: ours, torchmetrics' with both of its backends, and the evaluators by themselves.

python -m benchmarks coco_evaluation [--write] [--images 5000] [--rounds 1]

Images, 80 classes, 7 objects an image of all sizes, and 30 detections an image near and far of them are drawn. Seconds
are those from the predictions, as tensors, in batches of 50 images, to the scores.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.alternate import alternate
from benchmarks.figures import Figure, write
from benchmarks.machine import machine
from resnet_tl.metrics.detection import DetectionMetrics
from resnet_tl.structures.boxes import to_xywh
from resnet_tl.structures.records import Boxes, Detections

CLASSES, OBJECTS, DETECTIONS, SIDE, BATCH = 80, 7, 30, 640, 50


class Drawn(NamedTuple):
    """boxes, labels: `[N, M, 4]` and `[N, M]` of the objects. found, scores, found_labels: `[N, D, ...]`."""

    boxes: Tensor
    labels: Tensor
    found: Tensor
    scores: Tensor
    found_labels: Tensor

    def batches(self) -> list[Drawn]:
        return [Drawn(*parts) for parts in zip(*(each.split(BATCH) for each in self), strict=True)]


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    drawn = draw(options.images)
    scores: dict[str, float] = {}
    contestants = {name: partial(_score, scores, name, way, drawn) for name, way in WAYS.items()}
    seconds = alternate(contestants, options.rounds, warm_up=0)
    for name, values in seconds.items():
        print(f"  {name:<40} {min(values):8.2f} s   mAP {scores[name]:.6f}")
    if options.write:
        measured = {"machine": machine(), "images": options.images, "seconds": seconds, "map": scores}
        write("coco_evaluation", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    ours = results["map"]["resnet_tl"]
    cells = []
    for name, values in results["seconds"].items():
        cells.append(Figure("coco_evaluation", name, "seconds", min(values), "s"))
        cells.append(Figure("coco_evaluation", name, "mAP, apart from ours", abs(results["map"][name] - ours), ""))
    return cells


def draw(images: int) -> Drawn:
    generator = torch.Generator().manual_seed(0)
    rand, randn = partial(torch.rand, generator=generator), partial(torch.randn, generator=generator)
    corner = rand(images, OBJECTS, 2) * 0.7 * SIDE
    boxes = torch.cat([corner, corner + 8 + rand(images, OBJECTS, 2) ** 3 * 0.28 * SIDE], 2)
    labels = torch.randint(0, CLASSES, (images, OBJECTS), generator=generator)
    chosen = torch.randint(0, OBJECTS, (images, DETECTIONS), generator=generator)
    found = boxes.gather(1, chosen[..., None].expand(-1, -1, 4)) + 6 * randn(images, DETECTIONS, 4)
    found[..., 2:] = torch.maximum(found[..., 2:], found[..., :2] + 1)
    missed = rand(images, DETECTIONS) < 0.3
    guesses = torch.randint(0, CLASSES, (images, DETECTIONS), generator=generator)
    found_labels = torch.where(missed, guesses, labels.gather(1, chosen))
    return Drawn(boxes, labels, found, rand(images, DETECTIONS), found_labels)


def ours(drawn: Drawn) -> float:
    metrics, done = DetectionMetrics([str(number) for number in range(CLASSES)]), 0
    for batch in drawn.batches():
        images = len(batch.labels)
        order = batch.scores.argsort(1, descending=True)
        boxes = batch.found.gather(1, order[..., None].expand(-1, -1, 4))
        detections = Detections(boxes, batch.scores.gather(1, order), batch.found_labels.gather(1, order))
        true, image = batch.boxes.flatten(0, 1), torch.arange(images).repeat_interleave(OBJECTS)
        area = (true[:, 2:] - true[:, :2]).prod(1)
        targets = Boxes(true, batch.labels.flatten(), image, torch.zeros(len(true), dtype=torch.bool), area)
        metrics.update(detections, targets, done + torch.arange(images), torch.full((images, 2), SIDE))
        done += images
    return metrics.compute()["map"]


def torchmetrics(drawn: Drawn, backend: str) -> float:
    from torchmetrics.detection import MeanAveragePrecision

    metric = MeanAveragePrecision(backend=backend)  # type: ignore[arg-type]
    for batch in drawn.batches():
        names = ("boxes", "scores", "labels")
        found = [dict(zip(names, each, strict=True)) for each in zip(*batch[2:], strict=True)]
        true = [{"boxes": boxes, "labels": labels} for boxes, labels in zip(batch.boxes, batch.labels, strict=True)]
        metric.update(found, true)
    return float(metric.compute()["map"])


def evaluator(drawn: Drawn, package: str) -> float:
    """COCO's evaluation by itself, from the same tensors."""
    if package == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    else:
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as COCOeval
    true, found = annotations(drawn.boxes, drawn.labels), annotations(drawn.found, drawn.found_labels, drawn.scores)
    listed = [{"id": number, "height": SIDE, "width": SIDE} for number in range(len(drawn.labels))]
    with redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"images": listed, "annotations": true, "categories": [{"id": k} for k in range(CLASSES)]}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def annotations(boxes: Tensor, labels: Tensor, scores: Tensor | None = None) -> list[dict[str, Any]]:
    images = torch.arange(len(labels))[:, None].expand_as(labels).flatten().tolist()
    sides = to_xywh(boxes.flatten(0, 1))
    columns = {"image_id": images, "category_id": labels.flatten().tolist(), "bbox": sides.tolist()}
    columns |= {"area": sides[:, 2:].prod(1).tolist(), "iscrowd": [0] * len(images)}
    columns |= {} if scores is None else {"score": scores.flatten().tolist()}
    columns["id"] = list(range(1, len(images) + 1))
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


WAYS: dict[str, Callable[[Drawn], float]] = {
    "resnet_tl": ours,
    "torchmetrics, faster-coco-eval": partial(torchmetrics, backend="faster_coco_eval"),
    "torchmetrics, pycocotools (its default)": partial(torchmetrics, backend="pycocotools"),
    "faster-coco-eval itself": partial(evaluator, package="faster_coco_eval"),
    "pycocotools itself": partial(evaluator, package="pycocotools"),
}


def _score(scores: dict[str, float], name: str, way: Callable[[Drawn], float], drawn: Drawn) -> None:
    scores[name] = way(drawn)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks coco_evaluation")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/coco_evaluation.json")
    return parser
