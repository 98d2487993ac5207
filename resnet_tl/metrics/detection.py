"""COCO's scores of found boxes, exactly, on any number of processes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.functional.detection.map import mean_average_precision
from torchmetrics.utilities import dim_zero_cat

from resnet_tl.metrics.per_class import rows
from resnet_tl.records import Boxes, Detections

NAMES = {
    "map": "map",
    "map50": "map_50",
    "map75": "map_75",
    "map_small": "map_small",
    "map_medium": "map_medium",
    "map_large": "map_large",
    "mar1": "mar_1",
    "mar10": "mar_10",
    "mar100": "mar_100",
    "mar_small": "mar_small",
    "mar_medium": "mar_medium",
    "mar_large": "mar_large",
}
"""Our names of COCO's twelve numbers, and torchmetrics'."""

IOUS = np.linspace(0.5, 0.95, 10).tolist()
RECALLS = np.linspace(0, 1, 101).tolist()
"""In double precision, as COCO's own: torchmetrics' fp32 thresholds move recalls that lie exactly on one of them."""


class DetectionMetrics(nn.Module):
    """Scores of one pass over a set: a module of the task, so that it follows the task's device.

    `update` waits for nothing but the objects' number. The first of `compute` and `tables` after an update gathers from
    all processes, so every process calls it. How pictures were dealt out changes nothing.

    Args:
        classes: K names.

    `headline` is the key of the score that a run is judged by.
    """

    headline = "map"

    def __init__(self, classes: list[str]) -> None:
        super().__init__()
        self.classes = classes
        self.seen = BoxCollection()

    def update(self, detections: Detections, targets: Boxes, indices: Tensor) -> None:
        """One batch, in pixels of the original pictures: by their area, small, medium and large objects are told apart.

        indices: `[N]`, the pictures' places in the listing; -1 marks a filler.
        """
        self.seen.update(detections, targets, indices)

    def compute(self) -> dict[str, float]:
        """COCO's twelve numbers: average precision and recall in 0...1, -1 where no object is of that kind.

        map: the mean over IoU thresholds 0.5, 0.55 ... 0.95 and over the classes that occur; map50, map75 at one
        threshold; map_small, _medium, _large: of objects below 32², below 96², and above. mar1, mar10, mar100: recall
        with so many detections a picture; mar_small, _medium, _large: with 100. Crowds are neither hit nor missed.
        """
        scores = self.seen.compute().scores
        return {ours: float(scores[theirs]) for ours, theirs in NAMES.items()}

    def tables(self) -> dict[str, Any]:
        """`per_class`: one dict a class with its name, its number of objects, map and map50; None without objects."""
        answers = self.seen.compute()
        observed = torch.cat([answers.found_labels, answers.true_labels]).unique().tolist()
        ap = np.full((2, len(self.classes)), np.nan)
        for place, label in enumerate(observed if "precision" in answers.scores else []):
            precision = answers.scores["precision"][:, :, place, 0, -1].numpy()
            if (precision > -1).any():
                ap[:, label] = precision.mean(), precision[0].mean()
        count = np.bincount(answers.true_labels.numpy(), minlength=len(self.classes))
        return {"per_class": rows(self.classes, objects=count, map=ap[0], map50=ap[1])}

    def reset(self) -> None:
        self.seen.reset()


class DetectionAnswers(NamedTuple):
    """torchmetrics' scores, and the classes of all detections and of all objects but crowds."""

    scores: dict[str, Tensor]
    found_labels: Tensor
    true_labels: Tensor


class BoxCollection(Metric):
    """Every detection and every object of the pass, a row each, with its picture's index; fillers are dropped."""

    full_state_update = False
    pictures: list[Tensor]
    found: list[Tensor]
    true: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("pictures", "found", "true"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, detections: Detections, targets: Boxes, indices: Tensor) -> None:
        """Rows in fp64, which holds an index, a label and a pixel exactly."""
        n, d = (detections.labels >= 0).nonzero(as_tuple=True)
        found = (indices[n, None], detections.labels[n, d, None], detections.scores[n, d, None], detections.boxes[n, d])
        image = indices[targets.image, None]
        true = (image, targets.labels[:, None], targets.crowd[:, None], targets.area[:, None], targets.boxes)
        self.pictures.append(indices)
        self.found.append(torch.cat([part.double() for part in found], 1))
        self.true.append(torch.cat([part.double() for part in true], 1))

    def compute(self) -> DetectionAnswers:
        pictures, found, true = (dim_zero_cat(part).cpu() for part in (self.pictures, self.found, self.true))
        pictures = pictures[pictures >= 0].unique()
        found, true = found[found[:, 0] >= 0], true[true[:, 0] >= 0]
        said = [
            {"labels": part[:, 1].long(), "scores": part[:, 2], "boxes": part[:, 3:]}
            for part in _by_picture(found, pictures)
        ]
        there = [
            {
                "labels": part[:, 1].long(),
                "iscrowd": part[:, 2].long(),
                "area": part[:, 3],
                "boxes": part[:, 4:].float(),
            }
            for part in _by_picture(true, pictures)
        ]
        scores: Any = mean_average_precision(
            said,
            there,
            backend="faster_coco_eval",
            iou_thresholds=IOUS,
            rec_thresholds=RECALLS,
            extended_summary=True,
            warn_on_many_detections=False,
        )
        return DetectionAnswers(scores, found[:, 1].long(), true[true[:, 2] == 0, 1].long())


def _by_picture(rows: Tensor, pictures: Tensor) -> list[Tensor]:
    """The rows of each picture; pictures are sorted."""
    rows = rows[rows[:, 0].argsort(stable=True)]
    ends = torch.searchsorted(rows[:, 0].contiguous(), pictures.double(), right=True)
    return list(rows.tensor_split(ends[:-1].tolist()))
