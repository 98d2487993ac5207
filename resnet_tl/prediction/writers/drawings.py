"""Images with what was predicted on them: objects, or the class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from resnet_tl.data.images.decode import ImageArray
from resnet_tl.prediction.classification import NONE_OF_THESE, ClassPrediction
from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.drawing import SMALLEST, draw, to_rgb
from resnet_tl.prediction.writers.output import Add, FileNames, Output, P, new_folder

SCORE = 0.4
"""The score from which on objects are drawn where nothing else says one: a head's own threshold is made for mAP."""


def drawing_folder(path: Path) -> Output[BoxPrediction]:
    """A folder of `<name>.jpg` with the boxes, names, scores and masks of all objects."""
    return _folder(path, drawing)


def class_drawing_folder(path: Path) -> Output[ClassPrediction]:
    """A folder of `<name>.jpg`, the images as the network sees them, with the class and its score, or `none of these`;
    the predictor's `keep_pixels` is set."""
    return _folder(path, class_drawing)


def class_drawing(prediction: ClassPrediction) -> Image.Image:
    """What the network sees of the image, with its class."""
    assert prediction.pixels is not None
    return _with_classes(prediction, prediction.pixels, SMALLEST)


def class_frame(prediction: ClassPrediction) -> Image.Image:
    """The whole image at its own size, with its class; the predictor's loader keeps images."""
    assert prediction.image is not None
    return _with_classes(prediction, prediction.image, 0)


def _with_classes(prediction: ClassPrediction, image: ImageArray, smallest: int) -> Image.Image:
    if prediction.none_of_these:
        names, captions = [], [NONE_OF_THESE]
    else:
        names = prediction.classes if prediction.multi_label else prediction.classes[:1]
        captions = [f"{name} {100 * score:.0f} %" for name, score in zip(names, prediction.scores, strict=False)]
    height, width = image.shape[:2]
    boxes = np.tile(np.array([0, 0, width, height], np.float32), (len(captions), 1))
    return draw(to_rgb(image), boxes, range(len(captions)), captions, smallest=smallest)


def drawing(prediction: BoxPrediction, smallest: int = SMALLEST) -> Image.Image:
    """The image with its objects; `smallest`: see `draw`."""
    scored = zip(prediction.classes, prediction.scores, strict=True)
    captions = [f"{name} {100 * value:.0f} %" for name, value in scored]
    pixels, labels = to_rgb(prediction.image), prediction.labels.tolist()
    return draw(pixels, prediction.boxes, labels, captions, prediction.masks, smallest=smallest)


@contextmanager
def _folder(path: Path, drawing: Callable[[P], Image.Image]) -> Iterator[Add[P]]:
    names = FileNames()
    with new_folder(path) as folder:

        def add(prediction: P) -> None:
            drawing(prediction).save(folder / f"{names(prediction)}.jpg", quality=92)

        yield add
