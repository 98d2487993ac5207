"""Classes that a recipe may name and that have moved, and values that are written otherwise now: saved recipes and
checkpoints hold full import paths and every value."""

from __future__ import annotations

MOVED = {
    "resnet_tl.data.modules.ClassificationData": "resnet_tl.data.classification.ClassificationData",
    "resnet_tl.data.modules.ImageFolder": "resnet_tl.data.classification.ImageFolder",
    "resnet_tl.data.modules.ImageTable": "resnet_tl.data.classification.ImageTable",
    "resnet_tl.data.modules.PictureData": "resnet_tl.data.base.ImageData",
}
"""Import path as it was -> as it is."""

VALUES: dict[tuple[str, ...], dict[bool, str]] = {("tuning", "compile"): {False: "off", True: "frozen"}}
"""The last two keys of an option -> its values as they were -> as they are."""
