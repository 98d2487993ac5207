"""What recognises images unlike those of training: fitted on training images, with limits from validation images."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from resnet_tl.data.listings.listing import Listing
from resnet_tl.errors import UserError
from resnet_tl.metrics.class_space import fit_space
from resnet_tl.metrics.outliers import LEAST, SCORES, fit_limits
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.inputs import spread
from resnet_tl.structures.decisions import ClassSpace, Limits

IMAGES = 2000
"""Of training, and of validation, at most; but for each class there are `PER_CLASS` of training."""
PER_CLASS = 20


def fit_outliers(predictor: ClassPredictor, train: Listing, val: Listing) -> tuple[ClassSpace, Limits]:
    """Fits the space of classes on training images, and the limits on validation images, both as `predict` sees them.

    Raises:
        UserError: the images of one class alone can be read, or too few, or all look alike, or the network has no
            features.
    """
    if not isinstance(predictor.network.head, LinearHead):
        raise UserError("its head is not a LinearHead")
    if len(val) < LEAST:
        raise UserError(f"it needs at least {LEAST} validation images to know what is usual, and there are {len(val)}")
    train_indices, features, _ = _observed(predictor, train)
    _, val_features, val_logits = _observed(predictor, val)
    if len(val_features) < LEAST:
        raise UserError(f"it needs at least {LEAST} validation images, and {len(val_features)} can be read")
    targets = np.array([train[index].target for index in train_indices])
    if len(set(targets.tolist())) < 2:
        raise UserError("it needs training images of two classes")
    space = fit_space(features, targets)
    limits = fit_limits(space, val_features, val_logits)
    for name in SCORES:
        if not getattr(limits, name).meaningful:
            raise UserError(f"the {name} scores of the validation images are equal, so what is unusual is unknown")
    return space, limits


def spread_images(listing: Listing, images: int = IMAGES) -> Listing:
    """Returns at most so many images, evenly spread over a listing."""
    return listing.select(np.array(spread(range(len(listing)), images), np.int64))


def spread_over_classes(listing: Listing, images: int = IMAGES) -> Listing:
    """Returns about so many images of a listing with one class per image, as evenly from each as there are."""
    targets = np.asarray(listing.targets)
    classes = np.unique(targets)
    each = max(images // max(len(classes), 1), PER_CLASS)
    chosen = [index for k in classes for index in spread(np.flatnonzero(targets == k).tolist(), each)]
    return listing.select(np.array(chosen, np.int64))


def _observed(predictor: ClassPredictor, listing: Listing) -> tuple[list[int], NDArray, NDArray]:
    """Returns the positions, features `[N, C]` and logits `[N, K]` of the images that can be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those that cannot be read are reported by the run
        rows = list(predictor.observe(sample.path for sample in listing))
    indices, features, logits = zip(*rows, strict=True) if rows else ((), (), ())
    return list(indices), np.array(features), np.array(logits)
