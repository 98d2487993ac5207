"""Matches, precision and recall, and AP by class and size equal pycocotools' on 500 images."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from resnet_tl.metrics.box_matches import COCO_THRESHOLDS, class_counts, match, precision_recall
from resnet_tl.metrics.evaluated import metrics_of
from resnet_tl.structures.evaluation import BoxEvaluation
from tests.metrics.box_sets import box_set


def corners_to_coco(box: np.ndarray) -> list[float]:
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]


def pycocotools(evaluation: BoxEvaluation) -> COCOeval:
    e = evaluation
    truth = [
        {
            "id": number + 1,
            "image_id": int(image),
            "category_id": int(label),
            "bbox": corners_to_coco(box),
            "area": float(area),
            "iscrowd": int(crowd),
        }
        for number, (image, label, box, area, crowd) in enumerate(
            zip(e.target_image, e.target_labels, e.target_boxes, e.target_area, e.target_crowd, strict=True)
        )
    ]
    found = [
        {"image_id": int(image), "category_id": int(label), "bbox": corners_to_coco(box), "score": float(score)}
        for image, label, box, score in zip(e.image, e.labels, e.boxes, e.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": number} for number in range(len(e))],
            "annotations": truth,
            "categories": [{"id": k} for k in range(len(e.classes))],
        }
        coco.createIndex()
        result = COCOeval(coco, coco.loadRes(found), "bbox")
        result.evaluate()
        result.accumulate()
        result.summarize()
    return result


@pytest.mark.parametrize("crowds", [0.0, 0.15])
def test_precision_and_recall_are_pycocotools(crowds: float) -> None:
    evaluation = box_set(crowds=crowds)
    theirs, matches, objects = pycocotools(evaluation), match(evaluation), class_counts(evaluation)
    expected = theirs.eval["precision"][:, :, :, 0, -1]
    for level in range(len(COCO_THRESHOLDS)):
        for k in range(4):
            chosen = (evaluation.labels == k) & ~matches.ignored[level]
            ours = precision_recall(evaluation.scores[chosen], matches.hits[level][chosen], objects[k])
            np.testing.assert_allclose(ours, expected[level, :, k], atol=1e-12)
    scores = metrics_of(evaluation).metric.compute()  # what the report draws
    np.testing.assert_allclose(scores.boxes.precision, expected, atol=1e-12)
    np.testing.assert_allclose(scores.boxes.numbers["map"], theirs.stats[0], atol=1e-12)
    by_size = theirs.eval["precision"][:, :, :, 1:, -1]
    np.testing.assert_allclose(scores.boxes.by_size, by_size.mean((0, 1)).T, atol=1e-12)


def test_each_match_is_pycocotools() -> None:
    evaluation = box_set(images=120, crowds=0.15)
    theirs, matches = pycocotools(evaluation), match(evaluation)
    found, ignored = matches.found(len(evaluation.target_labels)), 0
    for each in theirs.evalImgs:
        if each is None or each["aRng"] != [0, 1e10]:
            continue
        for numbers, ours in ((each["dtIds"], matches.hits | matches.ignored), (each["gtIds"], found)):
            if numbers is each["gtIds"]:
                single = ~np.array(each["gtIgnore"], bool)
                places = np.array(numbers, int)[single] - 1
                assert (ours[:, places] == (each["gtMatches"][:, single] > 0)).all()
            else:
                assert (ours[:, np.array(numbers, int) - 1] == (each["dtMatches"] > 0)).all()
        ignored += int(each["dtIgnore"].sum())
    assert ignored == matches.ignored.sum() > 0
