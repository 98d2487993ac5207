"""Classes that a recipe may name and that have moved, values that are written otherwise now, and what options that did
not exist would have been: saved recipes and checkpoints hold full import paths and every value."""

from __future__ import annotations

from typing import Any

MOVED = {
    "resnet_tl.data.modules.ClassificationData": "resnet_tl.data.classification.ClassificationData",
    "resnet_tl.data.modules.ImageFolder": "resnet_tl.data.classification.ImageFolder",
    "resnet_tl.data.modules.ImageTable": "resnet_tl.data.classification.ImageTable",
    "resnet_tl.data.modules.PictureData": "resnet_tl.data.base.ImageData",
}
"""Import path as it was -> as it is."""

VALUES: dict[tuple[str, ...], dict[bool, str]] = {("tuning", "compile"): {False: "off", True: "frozen"}}
"""The last two keys of an option -> its values as they were -> as they are."""

ADDED: dict[str, dict[str, Any]] = {"resnet_tl.models.heads.two_stage.FasterRCNN": {"aligned": False}}
"""Import path of a class -> its options whose defaults are not what it did before it had them: their values in recipes
that name it, or a class derived from it, by the full import path and do not have them."""
