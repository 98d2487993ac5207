"""Where the network looked, next to the pictures of a report."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from resnet_tl.errors import UserError
from resnet_tl.explain.attribution import checked_stage, gradcam, require_captum
from resnet_tl.explain.drawing import heat
from resnet_tl.explain.scores import ClassScore, Score
from resnet_tl.explain.view import view_of
from resnet_tl.prediction.drawing import to_rgb
from resnet_tl.prediction.load import AnyPredictor, load
from resnet_tl.prediction.loader import Input
from resnet_tl.prediction.thumbnails import read_small, small
from resnet_tl.report.records import RunRecord

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Explained:
    """The network of a run's best checkpoint, to draw Grad-CAM with.

    predictor: None where there are no maps. note: a sentence about them, or why there are none.
    """

    predictor: AnyPredictor | None
    note: str

    def of_classes(self, labels: Mapping[str, int], channels: int) -> dict[str, Image.Image]:
        """Returns small pictures of image files under the map of a class of each, by path; without those that cannot be
        read."""
        if self.predictor is None:
            return {}
        network, transform = self.predictor.trained, self.predictor.loader.transform
        drawn: dict[str, Image.Image] = {}
        for _, each in groupby(sorted(_read(self.predictor, list(labels)), key=_shape), _shape):
            group = list(each)
            score = ClassScore(torch.tensor([labels[str(one.path)] for one in group]))
            maps = gradcam(network, self.predictor.stack(group), score, checked_stage(network, None))
            for one, values in zip(group, maps, strict=True):
                path = str(one.path)
                view = view_of(replace(one, image=read_small(path, channels)), transform, whole=False)
                drawn[path] = small(Image.fromarray(heat(to_rgb(view.image), view.onto_image(values))))
        return drawn

    def of_part(self, path: str, score: Callable[[tuple[int, int]], Score]) -> Pixels | None:
        """Returns a whole image `[H, W, 3]` under the map of an object or a region; None if it cannot be read.

        score: of the network's input of a (h, w).
        """
        inputs = [] if self.predictor is None else _read(self.predictor, [path])
        if self.predictor is None or not inputs:
            return None
        network, pixels = self.predictor.trained, self.predictor.stack(inputs)
        wanted = score((pixels.shape[-2], pixels.shape[-1]))
        values = gradcam(network, pixels, wanted, checked_stage(network, None))[0]
        view = view_of(inputs[0], self.predictor.loader.transform, whole=True)
        return heat(to_rgb(view.image), view.onto_image(values))


def explained(run: RunRecord, note: str, predictor: AnyPredictor | None = None) -> Explained:
    """Returns what explains a run's network.

    note: what its maps are, for the page. predictor: of the run, if it is loaded already.
    """
    if run.data is None:
        return Explained(None, "")
    try:
        require_captum()
        return Explained(predictor or load(run.folder.path, trust_code=run.trust_code), note)
    except UserError as error:
        return Explained(None, f"There are no maps of where the network looked: {error}.")


def _read(predictor: AnyPredictor, paths: Sequence[str]) -> list[Input]:
    loader = replace(predictor.loader, keep_images=predictor.task in ("detection", "segmentation"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # files that cannot be read have no picture either
        return [each for batch in loader.batches(paths, len(paths), "skip") for each in batch]


def _shape(each: Input) -> tuple[int, ...]:
    return each.pixels.shape
