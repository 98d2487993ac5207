"""How the anchors of a detector fit the objects of a set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from resnet_tl.data.detection import DetectionData
from resnet_tl.data.images.resize import resized_size
from resnet_tl.models.anchors import Anchors
from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.heads.retinanet import OBJECT
from resnet_tl.models.network import build
from resnet_tl.recipe.build import instantiate_model
from resnet_tl.recipe.node import Node, overlay
from resnet_tl.recipe.resolve import resolve
from resnet_tl.recipe.schema import Section
from resnet_tl.recipe.values import as_node
from resnet_tl.run.build import Overrides, RecipeSource, tree_of
from resnet_tl.run.sections import sections

DEFAULT = {
    "class_path": "Detection",
    "init_args": {"backbone": {"name": "resnet18"}, "head": {"class_path": "RetinaNet"}},
}
"""The model whose anchors are compared where the recipes have none."""


def anchor_fit(data: DetectionData, recipes: Sequence[RecipeSource], overrides: Overrides) -> dict[str, Any] | None:
    """Counts the training objects that each level's anchors fit best, and those that no anchor fits.

    An anchor fits an object if their IoU is 0.5 or more with the same centre; images have their usual training size.

    Returns:
        `{head: RetinaNet, image_size: 800, levels: {stride 8: 120, ...}, none: 12}`; None for a head without anchors
        of several shapes (FCOS).
    """
    model = overlay(as_node({"model": DEFAULT}, "the recipe"), tree_of(recipes, overrides))
    tree = Node({"model": model.value["model"]}, model.where)
    recipe = resolve(tree, Section({"model": sections().fields["model"]}))
    head = build(**instantiate_model(recipe["model"]["init_args"], trust_code=True), classes=data.classes).head
    anchors = getattr(head, "anchors", None)
    if isinstance(head, FCOS) or not isinstance(anchors, Anchors):
        return None
    fit = torch.cat([_fit(cell, _sides(data)) for cell in anchors.buffers()], 1)  # [M, levels]
    best, level = fit.max(1)
    counts = level[best >= OBJECT].bincount(minlength=len(anchors.strides)).tolist()
    levels = {f"stride {stride}": count for stride, count in zip(anchors.strides, counts, strict=True)}
    none = int((best < OBJECT).sum())
    return {"head": type(head).__name__, "image_size": data.image_size, "levels": levels, "none": none}


def _fit(cell: torch.Tensor, sides: torch.Tensor) -> torch.Tensor:
    """Returns the IoU `[M, 1]` of each object, by its width and height `[M, 2]`, with the best anchor of a cell."""
    anchors = cell[:, 2:] - cell[:, :2]
    shared = torch.minimum(sides[:, None], anchors).prod(2)
    return (shared / (sides.prod(1)[:, None] + anchors.prod(1) - shared)).amax(1, keepdim=True)


def _sides(data: DetectionData) -> torch.Tensor:
    """Returns width and height `[M, 2]` of the training objects, without crowds, in pixels of the resized images."""
    listing = data.listings["train"]
    sizes = [resized_size(height, width, data.image_size, data.max_size) for height, width in listing.sizes.tolist()]
    scale = np.array([height for height, _ in sizes]) / listing.sizes[:, 0]
    packed = listing.packed
    sides = (packed.boxes[:, 2:] - packed.boxes[:, :2]) * np.repeat(scale, np.diff(packed.starts))[:, None]
    return torch.from_numpy(sides[~packed.crowd].astype(np.float32))
