"""Which parts of an image a score comes from: Grad-CAM by the network's maps, occlusion by covering the image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.explain.scores import Score
from resnet_tl.extras import require
from resnet_tl.models.network import Network
from resnet_tl.structures.records import Features, Level

WINDOWS = 7
"""Windows that occlusion lays along the short side; half as many again lie between them."""


def require_captum() -> None:
    """Raises RunError if what computes explanations is not installed."""
    require("an explanation", "captum", extra="explain")


def checked_stage(network: Network, stage: str | None) -> str:
    """Returns a stage after which the network can be explained; None: the last before the head.

    Raises:
        RecipeError: there is no such stage.
    """
    stages = network.cuts()
    if stage is None:
        return stages[-1]
    if stage not in stages and stages[-1] == "members":
        raise RecipeError(
            f"stage: {stage!r} cannot be explained in folds together, whose maps are those after their last stage; "
            "remove stage, or explain one fold, as FOLDER/fold1"
        )
    if stage not in stages:
        raise RecipeError(
            f"stage: {stage!r} cannot be explained in this network; expected one of {', '.join(stages)}"
            f"{did_you_mean(stage, stages)}"
        )
    return stage


def gradcam(network: Network, images: Tensor, score: Score, stage: str) -> Tensor:
    """Returns maps `[N, H, W]`, fp32, 0 or more: how much each place raises the score.

    The value of a place is the sum over channels of map times gradient, without what is negative. For the score of a
    whole image, the gradient is averaged over the map (Grad-CAM, arXiv:1610.02391). For an object or a region it is
    taken cell by cell (HiResCAM, arXiv:2011.08891): an average would mark every other place with the same features.
    Several maps, as of a pyramid or an ensemble, are added, each cell's value spread over the area of the cell.

    Args:
        images: bytes `[N, C, H, W]`.
        stage: see `checked_stage`.

    Raises:
        RecipeError: the head reads nothing from this stage on.
    """
    from captum.attr import LayerGradCam, LayerGradientXActivation

    size = (images.shape[-2], images.shape[-1])
    with torch.no_grad():
        maps = network.maps_after(stage, network.normalise(images))
    levels = [level for level in _levels(network, stage) if level.name in maps]
    if not levels:
        raise RecipeError(f"stage: the head does not read what {stage!r} computes; name an earlier stage")
    gate = _Gate()

    def forward(*explained: Tensor) -> Tensor:
        named = zip((level.name for level in levels), gate(*explained), strict=True)
        return score(network.run(Features({**maps, **dict(named)}, size, stage)))

    inputs = tuple(maps[level.name] for level in levels)
    options = {"grad_kwargs": {"materialize_grads": True}}  # an object's score reads few levels of a pyramid
    if score.whole:
        attributions = LayerGradCam(forward, gate).attribute(inputs, **options)
    else:
        attributions = LayerGradientXActivation(forward, gate).attribute(inputs, **options)
    values = [each.detach().sum(1).relu() for each in _tuple(attributions)]
    most = max((value[0].numel() for value in values if value.any()), default=1)
    total = torch.zeros(len(images), *size, device=images.device)
    for value, level in zip(values, levels, strict=True):
        total += enlarge(value * (value[0].numel() / most), level.stride, size)
    return total


def occlusion(network: Network, image: Tensor, score: Score, *, batch_size: int = 8) -> Tensor:
    """Returns a map `[1, H, W]`, fp32: how much the score falls when a window over a place is covered with the mean
    colour; the mean over the windows that cover it. Negative where the score rises.

    Args:
        image: bytes `[1, C, H, W]`.
        batch_size: windows that are covered at a time.
    """
    from captum.attr import Occlusion

    side = max(1, round(min(image.shape[-2:]) / WINDOWS))
    step = max(1, side // 2)
    with torch.no_grad():
        values = Occlusion(lambda each: score(network.run(each))).attribute(
            network.normalise(image),
            sliding_window_shapes=(image.shape[1], side, side),
            strides=(image.shape[1], step, step),
            baselines=0,  # of normalised images: the mean colour
            perturbations_per_eval=batch_size,
        )
    return values[:, 0].float()


def enlarge(values: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """Enlarges `[N, h, w]` to `size` (H, W), with cell i at pixel `stride * i`.

    That is what a cell of a ResNet looks at: padded convolutions that skip pixels start at the first one. Resizing
    would move everything to the lower right by half a cell, 16 pixels at stride 32.
    """
    height, width = ((side - 1) * stride + 1 for side in values.shape[1:])
    fine = F.interpolate(values[:, None], (height, width), mode="bilinear", align_corners=True)
    beyond = (0, max(size[1] - width, 0), 0, max(size[0] - height, 0))
    return F.pad(fine, beyond, mode="replicate")[:, 0, : size[0], : size[1]]


class _Gate(nn.Module):
    """Passes maps on, for captum to take their gradients."""

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        return maps


def _levels(network: Network, stage: str) -> list[Level]:
    """Returns the maps that a stage outputs; of a trunk that is not divided into stages, all."""
    if stage == "neck":
        levels: list[Level] = network.neck.feature_info  # type: ignore[assignment, union-attr]
        return levels
    outputs: dict[str, str] = getattr(network.trunk, "level_after", {})
    return [level for level in network.trunk.feature_info if stage not in outputs or level.name == outputs[stage]]


def _tuple(values: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return values if isinstance(values, tuple) else (values,)
