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
"""The score from which on objects are drawn where nothing else says one: a head's own threshold is made for mAP."""


@contextmanager
def drawing_folder(path: Path) -> Iterator[Add[BoxPrediction]]:
    """A folder of `<name>.jpg` with the boxes, names, scores and masks of all objects."""
    names = FileNames()
    with new_folder(path) as folder:

        def add(prediction: BoxPrediction) -> None:
            drawing(prediction).save(folder / f"{names(prediction)}.jpg", quality=92)

        yield add


def drawing(prediction: BoxPrediction) -> Image.Image:
    """The image with its objects."""
    scored = zip(prediction.classes, prediction.scores, strict=True)
    captions = [f"{name} {100 * value:.0f} %" for name, value in scored]
    pixels, labels = to_rgb(prediction.image), prediction.labels.tolist()
    return draw(pixels, prediction.boxes, labels, captions, prediction.masks)
