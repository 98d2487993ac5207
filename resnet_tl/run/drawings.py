"""What loggers draw of a validation: confusions, classes, calibration, images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from resnet_tl.errors import DataError
from resnet_tl.metrics.box_outcomes import BoxOutcomes
from resnet_tl.metrics.calibration import confidence_bins
from resnet_tl.metrics.extremes import worst_and_typical
from resnet_tl.prediction.thumbnails import read_small, small
from resnet_tl.run.predicted_masks import MaskedImage
from resnet_tl.structures.evaluation import (
    BoxEvaluation,
    ClassEvaluation,
    Evaluation,
    PixelEvaluation,
    ValueEvaluation,
    values_of,
)
from resnet_tl.tracking.loggers.drawings import (
    Calibration,
    Cell,
    Confusion,
    Drawing,
    LabelledBox,
    Picture,
    Pictures,
    Table,
)

NEAREST = Image.Resampling.NEAREST
LARGEST = 100
"""Classes at most of a confusion matrix: a logger stores a row for each of its cells."""
MATCHED = 50_000
"""Detections at most that are matched with objects for one: in about a second."""
SCORE = 0.3
"""Of the boxes that are drawn, at least."""


@dataclass(frozen=True)
class Drawings:
    """Implements `Draw` for all tasks.

    Args:
        charts, images, table_rows: see `Tracking`.
        channels: that image files are decoded to.
        masks: returns an image with its masks by its key, within a validation of masks.
    """

    charts: bool
    images: int
    table_rows: int
    channels: int = 3
    masks: Callable[[str], MaskedImage] | None = None

    def validation(self, evaluation: Evaluation, tables: Mapping[str, Any]) -> dict[str, Drawing]:
        """tables: by class, as the task's metrics return them."""
        drawings: dict[str, Drawing] = {}
        if self.charts:
            drawings["val/classes"] = table_of(tables["per_class"])
            if len(evaluation.classes) <= LARGEST and (confusion := _confusion(evaluation, tables)) is not None:
                drawings["val/confusion"] = confusion
            if isinstance(evaluation, ClassEvaluation):
                drawings["val/calibration"] = _calibration(evaluation)
        drawable = self.masks is not None or not isinstance(evaluation, PixelEvaluation)
        if drawable and (pictures := self._pictures(evaluation)):
            drawings["val/images"] = Pictures(pictures, evaluation.classes)
        return drawings

    def end(self, evaluation: Evaluation) -> dict[str, Drawing]:
        if not self.table_rows or not len(evaluation):
            return {}
        worst = np.argsort(-evaluation.losses, kind="stable")[: self.table_rows].tolist()
        return {"val/predictions": table_of([_row(evaluation, index) for index in worst])}

    def _pictures(self, evaluation: Evaluation) -> list[Picture]:
        """Half of them those of the highest loss, the others nearest to the median; without images that are
        unreadable."""
        worst, typical = worst_and_typical(evaluation.losses, (self.images + 1) // 2, self.images // 2)
        pictures = []
        for kind, indices in (("worst", worst), ("typical", typical)):
            for index in indices:
                with suppress(DataError):
                    pictures.append(self._picture(evaluation, index, kind))
        return pictures

    def _picture(self, evaluation: Evaluation, index: int, kind: str) -> Picture:
        """Raises DataError where the image cannot be read."""
        key, loss = str(evaluation.keys[index]), f"loss {evaluation.losses[index]:.3g}"
        if isinstance(evaluation, PixelEvaluation):
            assert self.masks is not None
            image = self.masks(key)
            pixels = small(Image.fromarray(image.pixels))
            true, predicted = (np.asarray(Image.fromarray(mask).resize(pixels.size, NEAREST)) for mask in image[1:])
            caption = f"{kind}: {_wrong_pixels(evaluation, index):.0%} wrong, {loss}, {key}"
            return Picture(np.asarray(pixels), caption, true_mask=true, predicted_mask=predicted)
        pixels = small(Image.fromarray(read_small(evaluation.path(index), self.channels)))
        caption = f"{kind}: {', '.join([*_labels(evaluation, index), loss, key])}"
        return Picture(np.asarray(pixels), caption, *_boxes(evaluation, index))


def table_of(rows: list[dict[str, Any]]) -> Table:
    columns = list(rows[0])
    return Table(columns, [[row[column] for column in columns] for row in rows])


def _confusion(evaluation: Evaluation, tables: Mapping[str, Any]) -> Confusion | None:
    """Of objects with a row and a column for nothing, at the scores of the best F1; None for several labels, and for
    too many detections."""
    if isinstance(evaluation, BoxEvaluation):
        if len(evaluation.labels) > MATCHED:
            return None
        outcomes = BoxOutcomes.of(evaluation)
        return Confusion(outcomes.names, outcomes.confusion())
    return Confusion(evaluation.classes, np.array(tables["confusion"])) if "confusion" in tables else None


def _calibration(evaluation: ClassEvaluation) -> Calibration:
    if evaluation.multi_label:
        confidence, right = evaluation.probabilities.ravel(), evaluation.targets.ravel() > 0
    else:
        confidence, right = evaluation.probabilities.max(1), evaluation.probabilities.argmax(1) == evaluation.targets
    bins = confidence_bins(confidence, right)
    predictions, hits, summed = bins[bins[:, 0] > 0].T
    return Calibration((summed / predictions).tolist(), (hits / predictions).tolist())


def _labels(evaluation: Evaluation, index: int) -> list[str]:
    """Returns `["bee 0.93", "is ant"]` of a classified image, `["bee 0.93"]` where that is right, `["age 31, is 30"]`
    of a number; of others nothing."""
    if isinstance(evaluation, ValueEvaluation):
        return [f"{name} {predicted:.4g}, is {true:.4g}" for name, predicted, true in _numbers(evaluation, index)]
    if not isinstance(evaluation, ClassEvaluation):
        return []
    names, probabilities = evaluation.classes, evaluation.probabilities[index]
    guesses, true = _classes(evaluation, index)
    guessed = " + ".join(f"{names[k]} {probabilities[k]:.2f}" for k in guesses) or "nothing"
    return [guessed] if guesses == true else [guessed, f"is {_named(names, true)}"]


def _classes(evaluation: ClassEvaluation, index: int) -> tuple[list[int], list[int]]:
    """The predicted and the true classes of an image."""
    probabilities, truth = evaluation.probabilities[index], evaluation.targets[index]
    if evaluation.multi_label:
        return np.flatnonzero(probabilities >= evaluation.thresholds).tolist(), np.flatnonzero(truth).tolist()
    return [int(probabilities.argmax())], [int(truth)]


def _named(names: list[str], classes: list[int]) -> str:
    return " + ".join(names[k] for k in classes) or "nothing"


def _row(evaluation: Evaluation, index: int) -> dict[str, Cell]:
    """A row of the table of predictions."""
    row: dict[str, Cell] = {"image": str(evaluation.keys[index]), "loss": float(evaluation.losses[index])}
    if isinstance(evaluation, ClassEvaluation):
        guesses, true = _classes(evaluation, index)
        score = float(evaluation.probabilities[index][guesses or slice(None)].max())
        names = evaluation.classes
        row |= {"true": _named(names, true), "predicted": _named(names, guesses), "score": score}
    elif isinstance(evaluation, BoxEvaluation):
        row["objects"] = int((evaluation.target_image == index).sum())
        row["detections"] = int(((evaluation.image == index) & (evaluation.scores >= SCORE)).sum())
    elif isinstance(evaluation, ValueEvaluation):
        for name, predicted, number in _numbers(evaluation, index):
            row |= {f"{name}, true": number, f"{name}, predicted": predicted}
    elif isinstance(evaluation, PixelEvaluation):
        row["wrong pixels"] = _wrong_pixels(evaluation, index)
    return row


def _numbers(evaluation: ValueEvaluation, index: int) -> Iterator[tuple[str, float, float]]:
    """Yields the name, the prediction and the truth of each number of an image."""
    predicted, true = values_of(evaluation.predictions[index]).tolist(), evaluation.targets[index].tolist()
    yield from zip(evaluation.classes, predicted, true, strict=True)


def _wrong_pixels(evaluation: PixelEvaluation, index: int) -> float:
    """Returns the share of an image's pixels, 0...1."""
    _, true, predicted, pixels = evaluation.cells[evaluation.cells[:, 0] == index].T
    return float(pixels[true != predicted].sum() / max(pixels.sum(), 1))


def _boxes(evaluation: Evaluation, index: int) -> tuple[list[LabelledBox], list[LabelledBox]]:
    """The true and the predicted boxes of an image."""
    if not isinstance(evaluation, BoxEvaluation):
        return [], []
    sides = np.tile(evaluation.sizes[index][::-1], 2)
    (objects,) = np.nonzero(evaluation.target_image == index)
    (detections,) = np.nonzero((evaluation.image == index) & (evaluation.scores >= SCORE))
    true = [
        LabelledBox(tuple((evaluation.target_boxes[k] / sides).tolist()), int(evaluation.target_labels[k]))
        for k in objects
    ]
    predicted = [
        LabelledBox(
            tuple((evaluation.boxes[k] / sides).tolist()), int(evaluation.labels[k]), float(evaluation.scores[k])
        )
        for k in detections
    ]
    return true, predicted
