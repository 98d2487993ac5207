"""Annotations of a run's validation images, or of all images of its folds, that are probably wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from resnet_tl.data.base import ImageData
from resnet_tl.data.images.decode import decode
from resnet_tl.data.segmentation import SegmentationData
from resnet_tl.errors import DataError, RunError
from resnet_tl.extras import require
from resnet_tl.metrics.suspects.boxes import box_suspects
from resnet_tl.metrics.suspects.labels import label_suspects
from resnet_tl.metrics.suspects.regions import RegionSuspects
from resnet_tl.metrics.suspects.suspect import NOTHING, Box, Suspect
from resnet_tl.prediction.contact_sheet import Tile, sheet
from resnet_tl.prediction.drawing import draw, save, to_rgb
from resnet_tl.prediction.load import load
from resnet_tl.prediction.segmentation import MaskPredictor
from resnet_tl.recipe.build import foreign_code
from resnet_tl.recipe.node import plain
from resnet_tl.recipe.read import read
from resnet_tl.run.build import Overrides
from resnet_tl.run.data import open_data
from resnet_tl.run.evaluate import recorded_predictions
from resnet_tl.structures.evaluation import BoxEvaluation, ClassEvaluation, Evaluation, ValueEvaluation
from resnet_tl.tracking.run_folder import RunFolder

__all__ = ["Suspect", "Suspects", "find_suspects", "save", "suspects_sheet"]

Progress = Callable[[int, int], None]

ACROSS, SURROUNDINGS = 4, 1.0
"""Tiles in a row of a sheet; how much of a box's longer side is drawn around it."""
BELIEVABLE = 0.3
"""The share of annotations up to which suspects are believed."""


@dataclass(frozen=True)
class Suspects:
    """found: the most suspicious first, all kinds in turn. notes: what was examined. channels: of the images."""

    evaluation: Evaluation
    found: list[Suspect]
    notes: list[str]
    channels: int


def find_suspects(
    path: Path, overrides: Overrides = (), progress: Progress = lambda done, total: None, *, trust_code: bool = False
) -> Suspects:
    """Compares the annotations of images with what a network that has not learned from them predicts.

    Args:
        path: a run's folder (its validation images are examined), or a folder of folds (all images).
        overrides: of the recipe's `data` section, as `data.root` where the images have moved.
        progress: called with the number of images whose masks are predicted, and of all.

    Raises:
        RunError: cleanlab is not installed, or there are no predictions.
        WeightsError: no run is there.
    """
    require("data suspects", "cleanlab", extra="suspects")
    if path.is_file():
        raise RunError(f"{path}: a file; data suspects needs a run folder, which holds the recipe and predictions")
    folder = RunFolder(path)
    if folder.is_folds and not folder.best_predictions.is_file():
        raise RunError(f"{path}: no predictions.npz; folds that are not finished are trained by: fit --resume {path}")
    evaluation = recorded_predictions(folder, overrides, trust_code=trust_code)
    if overrides:
        root = str(_data(folder, overrides, trust_code).evaluated("val").root)
        evaluation = replace(evaluation, root=root)
    if isinstance(evaluation, ClassEvaluation):
        found = label_suspects(evaluation)
    elif isinstance(evaluation, BoxEvaluation):
        found = box_suspects(evaluation)
    elif isinstance(evaluation, ValueEvaluation):
        raise RunError(
            f"{path}: data suspects looks for wrong classes, boxes and masks, not for wrong numbers; the images with "
            f"the largest errors are in its report: resnet-tl report {path}"
        )
    else:
        found = _region_suspects(folder, evaluation, overrides, progress, trust_code)
    notes = [_examined(folder, evaluation), *_doubts(evaluation, found)]
    return Suspects(evaluation, _ordered(found), notes, _channels(folder))


def suspects_sheet(suspects: Suspects, count: int) -> Image.Image:
    """Draws the first `count` suspects: the image with its label, or the surroundings of a box or region.

    Raises:
        DataError: an image cannot be read.
    """
    tiles = [_tile(suspects, suspect) for suspect in suspects.found[:count]]
    return sheet(tiles, max(1, min(ACROSS, len(tiles))))


def _ordered(found: list[Suspect]) -> list[Suspect]:
    """Orders the suspects of each kind by score, and takes the kinds in turn: a missed object cannot be as certain as
    one that no detection is near, but is as much worth a look."""
    kinds: dict[str, list[Suspect]] = {}
    for suspect in sorted(found, key=lambda suspect: (-suspect.score, -suspect.pixels, suspect.key)):
        kinds.setdefault(suspect.kind, []).append(suspect)
    return [each for turn in zip_longest(*kinds.values()) for each in turn if each is not None]


def _examined(folder: RunFolder, evaluation: Evaluation) -> str:
    """Returns which images were examined."""
    if folder.is_folds:
        return f"{folder.path}: all {len(evaluation)} images, each predicted by the fold that did not learn from it"
    count = len(evaluation)
    images = "the one validation image" if count == 1 else f"the {count} validation images"
    return f"{folder.path}: {images} alone, from which the network did not learn; `fit --folds 5` covers all images"


def _doubts(evaluation: Evaluation, found: list[Suspect]) -> Iterator[str]:
    """Yields a sentence if there are too many suspects to believe."""
    wrong = sum(suspect.given != NOTHING for suspect in found)
    if isinstance(evaluation, ClassEvaluation):
        given = int(evaluation.targets.sum()) if evaluation.multi_label else len(evaluation)
    elif isinstance(evaluation, BoxEvaluation):
        given = len(evaluation.target_labels)
    else:
        return
    if wrong > BELIEVABLE * given:
        yield (
            f"{wrong} of {given} annotations are suspects: so many show that the network is weak rather than that they "
            "are wrong"
        )


def _region_suspects(
    folder: RunFolder, evaluation: Evaluation, overrides: Overrides, progress: Progress, trust_code: bool
) -> list[Suspect]:
    regions = RegionSuspects(evaluation.classes)
    for done, (key, probabilities, mask) in enumerate(_predicted_masks(folder, overrides, trust_code), 1):
        regions.add(key, probabilities, mask)
        progress(done, len(evaluation))
    return regions.found()


def _predicted_masks(
    folder: RunFolder, overrides: Overrides, trust_code: bool
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields key, probabilities `[K, H, W]` and mask `[H, W]` of validation images, by the run that did not learn from
    them; predictions.npz of masks holds counts alone."""
    for run in _runs(folder):
        data, predictor = _data(run, overrides, trust_code), load(run.path, trust_code=trust_code)
        assert isinstance(data, SegmentationData)
        assert isinstance(predictor, MaskPredictor)
        listing = data.evaluated("val")
        for index, sample in enumerate(listing):
            logits = predictor.logits(decode(sample.path, data.channels))
            yield sample.key, torch.softmax(logits, 0).cpu().numpy(), listing.mask(index)


def _runs(folder: RunFolder) -> list[RunFolder]:
    """Returns the runs of a folder of folds, or the run itself."""
    return [RunFolder(path) for path in sorted(folder.path.glob("fold[0-9]*"))] if folder.is_folds else [folder]


def _data(folder: RunFolder, overrides: Overrides, trust_code: bool) -> ImageData:
    foreign = None if trust_code else foreign_code(plain(read(folder.recipe))["data"])
    if foreign is not None:
        raise RunError(
            f"{folder.path}: its data needs {foreign!r}, which is not part of resnet_tl: add --trust-code if you "
            "trust that code"
        )
    return open_data([folder.recipe], overrides)


def _channels(folder: RunFolder) -> int:
    channels: int = plain(read(folder.recipe))["data"]["init_args"].get("channels", 3)
    return channels


def _tile(suspects: Suspects, suspect: Suspect) -> Tile:
    evaluation = suspects.evaluation
    path = str(Path(evaluation.root, suspect.key))
    try:
        pixels = to_rgb(decode(path, suspects.channels))
    except DataError as error:
        raise DataError(f"{error}; if the images have moved: --data.root PATH") from None
    caption = f"{suspect.given} -> {suspect.suggested} {suspect.score:.2f}"
    if suspect.given == suspect.suggested:
        caption = f"{suspect.given} {suspect.kind} {suspect.score:.2f}"
    caption = f"{caption} · {PurePosixPath(suspect.key).name}"
    if suspect.box is None:
        return Tile(Image.fromarray(pixels), caption)
    boxes = [_Marked(suspect.box, 0, suspect.kind)]
    if suspect.suggested_box is not None:
        boxes.append(_Marked(suspect.suggested_box, 1, "suggested"))
    if isinstance(evaluation, BoxEvaluation):
        boxes += [_Marked(box, 2, "") for box in _others(evaluation, suspect)]
    return Tile(_surroundings(pixels, boxes), caption)


class _Marked(NamedTuple):
    """colour: see `prediction.drawing.colour_of`."""

    box: Box
    colour: int
    caption: str


def _others(evaluation: BoxEvaluation, suspect: Suspect) -> list[Box]:
    """Returns the other objects of the suspect's image."""
    index = int(np.flatnonzero(evaluation.keys == suspect.key)[0])
    boxes = evaluation.target_boxes[evaluation.target_image == index].tolist()
    return [box for each in boxes if (box := (each[0], each[1], each[2], each[3])) != suspect.box]


def _surroundings(pixels: np.ndarray, boxes: list[_Marked]) -> Image.Image:
    """Draws boxes on the part of the image `[H, W, 3]` around the first."""
    (x1, y1, x2, y2), (height, width) = boxes[0].box, pixels.shape[:2]
    around = SURROUNDINGS * max(x2 - x1, y2 - y1, 16)
    left, top = int(max(x1 - around, 0)), int(max(y1 - around, 0))
    right, bottom = int(min(x2 + around, width)), int(min(y2 + around, height))
    inside = [each for each in boxes if _touches(each.box, (left, top, right, bottom))]
    corners, colours, captions = zip(*inside, strict=True)
    part = np.ascontiguousarray(pixels[top:bottom, left:right])
    return draw(part, np.array(corners, np.float32) - np.array([left, top] * 2, np.float32), colours, captions)


def _touches(box: Box, part: Box) -> bool:
    return box[0] < part[2] and part[0] < box[2] and box[1] < part[3] and part[1] < box[3]
