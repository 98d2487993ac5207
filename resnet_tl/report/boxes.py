"""The sections about a detector: precision and recall, classes, errors, confusions, images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from resnet_tl.data.images.decode import decode
from resnet_tl.errors import DataError
from resnet_tl.explain.aims import object_score
from resnet_tl.metrics.box_confusion import Pairs
from resnet_tl.metrics.box_errors import KINDS, Errors
from resnet_tl.metrics.box_outcomes import BoxOutcomes
from resnet_tl.metrics.box_scores import LEAST
from resnet_tl.metrics.detection import DetectionMetrics
from resnet_tl.metrics.per_class import Row
from resnet_tl.prediction.drawing import to_rgb
from resnet_tl.prediction.score_text import described
from resnet_tl.report import charts
from resnet_tl.report.assets import Assets
from resnet_tl.report.confidence import confidence
from resnet_tl.report.confusion import cells_of, confusion
from resnet_tl.report.drawn_boxes import HIT, MISSED, WRONG, Drawn, crop, whole
from resnet_tl.report.explained import Explained, explained
from resnet_tl.report.records import RunRecord
from resnet_tl.report.section import Gallery, Picture, Section, class_table, drawn
from resnet_tl.structures.evaluation import BoxEvaluation

WORST = 8
"""Images that are shown whole."""
SUREST = 4
"""Mistakes whose maps are drawn: each is predicted again."""
LOOKED = "Right: where the network looked for the detection in the solid box (Grad-CAM)."
CROPS, IN_A_CELL = 120, 8
"""Pictures of single objects at most: of all cells, of one."""

Pixels = NDArray[np.uint8]


def sections(run: RunRecord, evaluation: BoxEvaluation, assets: Assets) -> list[Section]:
    outcomes, images = BoxOutcomes.of(evaluation, run.box_scores), _Images(evaluation, assets.channels)
    counted, hits = ~outcomes.matches.ignored[0], outcomes.matches.hits[0]
    return [
        _precision(run, evaluation, assets),
        class_table(run.tables["per_class"], CLASSES),
        _errors(run.tables["errors"], assets),
        _confusion(outcomes, images, assets),
        confidence(evaluation.scores[counted], hits[counted], assets, word="score", unit="detections"),
        _worst(outcomes, images, assets),
        _surest(outcomes, images, assets, explained(run, LOOKED)),
    ]


CLASSES = (
    "Precision, recall and F1 count the detections whose score is the threshold or more, at an IoU of 0.5: that of the "
    f"best F1 of the class, or of all classes for one with fewer than {LEAST} objects."
)


class _Images:
    """Decodes images once, as `[H, W, 3]`; None for those that cannot be read."""

    def __init__(self, evaluation: BoxEvaluation, channels: int) -> None:
        self.evaluation, self.channels = evaluation, channels
        self._decoded: dict[int, Pixels | None] = {}

    def __call__(self, index: int) -> Pixels | None:
        if index not in self._decoded:
            try:
                self._decoded[index] = to_rgb(decode(self.evaluation.path(index), self.channels))
            except DataError:
                self._decoded[index] = None
        return self._decoded[index]


def _precision(run: RunRecord, evaluation: BoxEvaluation, assets: Assets) -> Section:
    assert isinstance(run.metrics, DetectionMetrics)
    scores = run.metrics.scores()
    curves = [
        drawn(f"{kind} at IoU {level}", assets.chart(charts.precision_recall(precision[row], evaluation.classes)))
        for kind, precision in (("Boxes", scores.boxes.precision), ("Masks", scores.masks and scores.masks.precision))
        if precision is not None
        for row, level in ((0, "0.50"), (5, "0.75"))
    ]
    lead = "Of the detections above a score, precision is the share that is right; recall, the share of objects found."
    return Section("precision", "Precision and recall", "charts.html", {"charts": curves}, lead)


def _errors(rows: list[Row], assets: Assets) -> Section:
    content = {"charts": [drawn("", assets.chart(charts.error_costs(rows)))], "rows": rows, "meanings": MEANINGS}
    lead = "How much mAP at IoU 0.5 would rise without the errors of one kind (TIDE, arXiv:2008.08115)."
    return Section("errors", "Errors", "errors.html", content, lead)


MEANINGS = {
    "class": "well placed (IoU 0.5 or more), of another class",
    "location": "of the right class, badly placed (IoU 0.1 to 0.5)",
    "both": "badly placed, and of another class",
    "duplicate": "of an object that a better detection has found",
    "background": "nothing is there (IoU below 0.1)",
    "missed": "objects that nothing hits or nearly hits",
}


def _confusion(outcomes: BoxOutcomes, images: _Images, assets: Assets) -> Section:
    """Objects and detections, with a row and a column for nothing; a cell shows the objects in it, best first."""
    evaluation, found = outcomes.evaluation, outcomes.found

    def pictures(chosen: list[int]) -> dict[int, Picture]:
        return {pair: each for pair in chosen if (each := _object(evaluation, found, pair, images, assets))}

    order = np.argsort(-np.append(evaluation.scores, -1.0)[found.detections], kind="stable")
    return confusion(
        outcomes.names,
        cells_of(*found.classes(evaluation), order),
        pictures,
        f"Detections of score {described(outcomes.scores, evaluation.classes)} or more. Rows are true classes, columns "
        "predictions; the last column holds missed objects, the last row false alarms. A cell shows its objects.",
        in_a_cell=IN_A_CELL,
        in_all=CROPS,
    )


def _object(
    evaluation: BoxEvaluation,
    found: Pairs,
    pair: int,
    images: _Images,
    assets: Assets,
    looked: Callable[[int, int], Pixels | None] = lambda index, detection: None,
) -> Picture | None:
    """The surroundings of a detection, an object, or both.

    looked: an image under the map of a detection in it, by their indices; or None.
    """
    index, lines = int(found.images(evaluation)[pair]), []
    detection, target = int(found.detections[pair]), int(found.objects[pair])
    pixels = images(index)
    if pixels is None:
        return None
    boxes = []
    right = detection >= 0 and target >= 0 and evaluation.labels[detection] == evaluation.target_labels[target]
    if detection >= 0:
        boxes.append(Drawn(evaluation.boxes[detection], HIT if right else WRONG, ""))
        lines.append(f"{evaluation.classes[evaluation.labels[detection]]} {evaluation.scores[detection]:.2f}")
    if target >= 0 and not right:
        boxes.append(Drawn(evaluation.target_boxes[target], MISSED, "", dashed=True))
        lines.append(f"is {evaluation.classes[evaluation.target_labels[target]]}")
    under_map = looked(index, detection)
    return Picture(
        assets.picture(crop(pixels, boxes)),
        str(evaluation.keys[index]),
        lines,
        not right,
        None if under_map is None else assets.picture(crop(under_map, boxes)),
    )


def _surest(outcomes: BoxOutcomes, images: _Images, assets: Assets, network: Explained) -> Section:
    """The wrong detections with the highest scores, and where the network looked."""
    evaluation, found = outcomes.evaluation, outcomes.found
    true, predicted = found.classes(evaluation)
    mistakes = np.flatnonzero((true != predicted) & (found.detections >= 0))
    order = np.argsort(-evaluation.scores[found.detections[mistakes]], kind="stable")[:SUREST]

    def looked(index: int, detection: int) -> Pixels | None:
        if network.predictor is None:
            return None
        height, width = evaluation.sizes[index].tolist()
        box, label = evaluation.boxes[detection], int(evaluation.labels[detection])
        score = partial(object_score, network.predictor.trained.head, box, label, (height, width))
        return network.of_part(evaluation.path(index), score)

    each = (_object(evaluation, found, pair, images, assets, looked) for pair in mistakes[order].tolist())
    shown = [picture for picture in each if picture is not None]
    lead = "Wrong detections with the highest scores: of another class, badly placed, twice, or of nothing."
    return Section(
        "surest", "Most confident mistakes", "galleries.html", {"galleries": [Gallery("", lead, shown)]}, network.note
    )


def _worst(outcomes: BoxOutcomes, images: _Images, assets: Assets) -> Section:
    """The images with the most missed objects and false alarms."""
    evaluation, found = outcomes.evaluation, outcomes.found
    true, predicted = found.classes(evaluation)
    wrong, of_image = true != predicted, found.images(evaluation)
    mistakes = np.bincount(of_image[wrong], minlength=len(evaluation))
    order = np.argsort(-mistakes, kind="stable")[:WORST]
    pictures = []
    for index in order[mistakes[order] > 0].tolist():
        pixels = images(index)
        if pixels is not None:
            inside = np.flatnonzero(of_image == index)
            boxes = [_box(evaluation, found, outcomes.errors, pair) for pair in inside.tolist()]
            missed = int((wrong[inside] & (found.objects[inside] >= 0)).sum())
            alarms = int((wrong[inside] & (found.detections[inside] >= 0)).sum())
            line = f"{missed} missed or of another class, {alarms} wrong detections"
            picture = assets.picture(whole(pixels, sorted(boxes, key=lambda each: each.colour == HIT)))
            pictures.append(Picture(picture, str(evaluation.keys[index]), [line], wrong=True))
    lead = "Green: right. Red: wrong, with the kind of error. Orange, dashed: missed."
    content = {"galleries": [Gallery("Most misses and false alarms", lead, pictures)], "wide": True}
    clean = f"{int((mistakes == 0).sum())} of {len(evaluation)} images are without an error at these scores."
    return Section("images", "Images", "galleries.html", content, clean)


def _box(evaluation: BoxEvaluation, found: Pairs, errors: Errors, pair: int) -> Drawn:
    detection, target = int(found.detections[pair]), int(found.objects[pair])
    if detection < 0:
        name = evaluation.classes[evaluation.target_labels[target]]
        return Drawn(evaluation.target_boxes[target], MISSED, name, dashed=True)
    name = evaluation.classes[evaluation.labels[detection]]
    kind = int(errors.kinds[detection])
    if kind < 0:
        return Drawn(evaluation.boxes[detection], HIT, f"{name} {evaluation.scores[detection]:.2f}")
    return Drawn(evaluation.boxes[detection], WRONG, f"{name} {evaluation.scores[detection]:.2f} ({KINDS[kind]})")
