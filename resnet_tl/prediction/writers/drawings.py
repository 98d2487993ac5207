"""Images with the objects predicted on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.drawing import draw, to_rgb
from resnet_tl.prediction.writers.output import Add, FileNames, new_folder

SCORE = 0.4
"""Objects with lower scores are not drawn, by default: a head's own threshold is made for mAP."""


@contextmanager
def drawing_folder(path: Path, score: float = SCORE) -> Iterator[Add[BoxPrediction]]:
    """A folder of `<name>.jpg` with the boxes, names, scores and masks of all objects with at least this score."""
    names = FileNames()
    with new_folder(path) as folder:

        def add(prediction: BoxPrediction) -> None:
            drawing(prediction, score).save(folder / f"{names(prediction)}.jpg", quality=92)

        yield add


def drawing(prediction: BoxPrediction, score: float = SCORE) -> Image.Image:
    """The image with its objects of at least this score."""
    count = int((prediction.scores >= score).sum())  # the highest scores come first
    scored = zip(prediction.classes[:count], prediction.scores, strict=False)
    captions = [f"{name} {100 * value:.0f} %" for name, value in scored]
    masks = None if prediction.masks is None else prediction.masks[:count]
    labels = prediction.labels[:count].tolist()
    return draw(to_rgb(prediction.image), prediction.boxes[:count], labels, captions, masks)
