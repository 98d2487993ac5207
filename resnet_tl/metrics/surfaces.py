"""How far the surfaces of predicted and true masks are apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from resnet_tl.metrics.segmentation import boundaries
from resnet_tl.structures.records import IGNORE

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


def surface_distances(predicted: Tensor, target: Tensor, classes: int, pixel: tuple[float, float]) -> Floats:
    """Measures the distances of each class in one image, `[K, 2]`: from the boundary pixels of one mask to the nearest
    of the other, in both directions, their mean (the average symmetric surface distance) and the larger of the two
    95th percentiles (95 % Hausdorff distance). NaN for a class without boundaries; infinite where only one mask has
    some.

    Args:
        predicted, target: class indices `[H, W]`; `target` may hold IGNORE, where nothing is measured.
        pixel: (height, width) of a pixel, in the unit of the distances.
    """
    counted = target != IGNORE
    both = [boundaries(mask.where(counted, IGNORE), classes) & counted for mask in (predicted, target)]
    pairs = zip(*(edges.cpu().numpy() for edges in both), strict=True)
    return np.array([_of_class(one, other, pixel) for one, other in pairs])


def _of_class(one: Flags, other: Flags, pixel: tuple[float, float]) -> tuple[float, float]:
    if not one.any() or not other.any():
        distance = np.inf if one.any() or other.any() else np.nan
        return distance, distance
    # Nothing outside of the box around both is nearer.
    rows, columns = (np.flatnonzero((one | other).any(axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    there, back = _nearest(one[box], other[box], pixel), _nearest(other[box], one[box], pixel)
    return float(np.concatenate([there, back]).mean()), float(max(np.percentile(each, 95) for each in (there, back)))


def _nearest(start: Flags, end: Flags, pixel: tuple[float, float]) -> Floats:
    """Returns the distance of each pixel of `start` from the nearest one of `end`."""
    distances: Floats = distance_transform_edt(~end, sampling=pixel)
    return distances[start]
