"""Classes that a recipe may name and that have moved: saved recipes and checkpoints hold full import paths."""

from __future__ import annotations

MOVED = {
    "resnet_tl.data.modules.ClassificationData": "resnet_tl.data.classification.ClassificationData",
    "resnet_tl.data.modules.ImageFolder": "resnet_tl.data.classification.ImageFolder",
    "resnet_tl.data.modules.ImageTable": "resnet_tl.data.classification.ImageTable",
    "resnet_tl.data.modules.PictureData": "resnet_tl.data.base.ImageData",
}
"""Import path as it was -> as it is."""
