"""Validation images with what is predicted for them, for a model card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from resnet_tl.errors import RunError
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.detection import BoxPredictor
from resnet_tl.prediction.load import AnyPredictor
from resnet_tl.prediction.writers.drawings import SCORE, class_drawing, drawing
from resnet_tl.prediction.writers.masks import overlaid
from resnet_tl.structures.evaluation import Evaluation

COUNT, SIDE = 6, 384
"""Examples, and pixels of their long sides."""
FOLDER = "examples"


def write_examples(predictor: AnyPredictor, evaluation: Evaluation | None, folder: Path) -> list[str]:
    """Writes `examples/1.jpg`, `examples/2.jpg`, ..., spread evenly over the validation images, without what cameras
    store in files. Returns these names.

    Raises:
        RunError: the images are not there.
    """
    paths = [] if evaluation is None else [evaluation.path(index) for index in range(len(evaluation))]
    there = [path for path in paths if Path(path).is_file()]
    if not there:
        raise RunError("--with-images: the validation images of this run are not where it found them")
    step = max(len(there) / COUNT, 1)
    chosen = [there[int(step * number)] for number in range(min(COUNT, len(there)))]
    (folder / FOLDER).mkdir()
    names = []
    for number, picture in enumerate(_drawn(predictor, chosen), 1):
        picture.thumbnail((SIDE, SIDE))
        names.append(f"{FOLDER}/{number}.jpg")
        picture.save(folder / names[-1], quality=90)
    return names


def _drawn(predictor: AnyPredictor, paths: list[str]) -> Iterator[Image.Image]:
    if isinstance(predictor, ClassPredictor):
        predictor.keep_pixels = True
        yield from map(class_drawing, predictor.predict(paths))
    elif isinstance(predictor, BoxPredictor):
        limits = predictor.limits(default=SCORE)
        yield from (drawing(each.at_least(limits)) for each in predictor.predict(paths))
    else:
        yield from (overlaid(each, predictor.colours) for each in predictor.predict(paths))
