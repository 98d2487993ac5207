"""What images that are replayed have to do with the network that is trained further."""

from __future__ import annotations

from resnet_tl.data.base import ImageData
from resnet_tl.data.classification import ClassificationData
from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.tasks.base import Task


def check_replay(data: ImageData, task: Task) -> None:
    """Raises RecipeError where `data.replay` has a class that the network does not know from its weights."""
    if not (isinstance(data, ClassificationData) and data.replayed):
        return
    backbone = task.backbone
    if backbone.weights is None or backbone.keep_classifier != "known":
        raise RecipeError(
            "data.replay is for a run that keeps the classes which another one knows: expected fit --from RUN "
            "(backbone.weights: RUN with backbone.keep_classifier: known)"
        )
    known = [name for name in task.classes if name not in task.new_classes]
    for name in data.replayed:
        if name not in known:
            raise RecipeError(
                f"data.replay has the class {name!r}, which {backbone.weights} does not know; expected some of "
                f"{', '.join(known)}, and new classes in data.root{did_you_mean(name, known)}"
            )
