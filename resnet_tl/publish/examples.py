"""Validation images with what is predicted for them, for a model card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps

from resnet_tl.errors import RunError
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.contact_sheet import Tile, sheet
from resnet_tl.prediction.detection import BoxPredictor
from resnet_tl.prediction.inputs import spread
from resnet_tl.prediction.load import AnyPredictor
from resnet_tl.prediction.segmentation import MaskPredictor
from resnet_tl.prediction.writers.drawings import SCORE, class_drawing, drawing
from resnet_tl.prediction.writers.masks import overlaid
from resnet_tl.structures.evaluation import Evaluation

COUNT, SIDE = 6, 384
"""Examples, and pixels of their long sides."""
ACROSS = 3
"""Masks in a row."""
FOLDER = "examples"


def write_examples(predictor: AnyPredictor, evaluation: Evaluation | None, folder: Path) -> list[str]:
    """Writes `examples/1.jpg`, `examples/2.jpg`, ..., spread evenly over the validation images, without what cameras
    store in files; of masks one picture of all, with the colours of the classes. Returns these names.

    Raises:
        RunError: the images are not there.
    """
    chosen = spread([] if evaluation is None else evaluation.files(), COUNT)
    if not chosen:
        raise RunError("--with-images: the validation images of this run are not where it found them")
    (folder / FOLDER).mkdir()
    names = []
    for number, picture in enumerate(_drawn(predictor, chosen), 1):
        names.append(f"{FOLDER}/{number}.jpg")
        picture.save(folder / names[-1], quality=90)
    return names


def _drawn(predictor: AnyPredictor, paths: list[str]) -> Iterator[Image.Image]:
    if isinstance(predictor, ClassPredictor):
        predictor.keep_pixels = True
        yield from (_small(class_drawing(each)) for each in predictor.predict(paths))
    elif isinstance(predictor, BoxPredictor):
        limits = predictor.limits(default=SCORE)
        yield from (_small(drawing(each.at_least(limits))) for each in predictor.predict(paths))
    else:
        assert isinstance(predictor, MaskPredictor)
        masks = [overlaid(each, predictor.colours) for each in predictor.predict(paths)]
        legend = zip(predictor.classes, map(tuple, predictor.colours.tolist()), strict=True)
        yield sheet([Tile(picture, "") for picture in masks], ACROSS, list(legend))


def _small(picture: Image.Image) -> Image.Image:
    return ImageOps.contain(picture, (SIDE, SIDE)) if max(picture.size) > SIDE else picture
