"""Training images of another size, or without augmentation, in some phases of a plan. What a data module needs for this
is in `ResizingData` and `AugmentingData`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.plan import Plan

if TYPE_CHECKING:
    from resnet_tl.tuning.protocols import AugmentingData, ResizingData


def check_images(plan: Plan, data: object) -> None:
    """Raises RecipeError where a phase has an `image_size` or `augment: false` that the data module cannot give it."""
    for index, phase in enumerate(plan.phases):
        if not phase.settings.augment:
            where = f"tuning.phases[{index}].augment is false"
            if not hasattr(data, "use_augmentation"):
                raise RecipeError(f"{where}, but {type(data).__name__} always augments training images; omit it")
            if phase.settings.image_size is not None:
                raise RecipeError(f"{where}: its images have the size of evaluation; omit its image_size")
            cast("AugmentingData", data).check_unaugmented(where)
        if (size := phase.settings.image_size) is None:
            continue
        where = f"tuning.phases[{index}].image_size is {size:g}"
        if not hasattr(data, "use_image_size"):
            raise RecipeError(f"{where}, but {type(data).__name__} has one size for the whole run; omit it")
        largest = cast("ResizingData", data).image_size
        if size > largest:
            # Which is what a batch's memory was measured at, and what evaluation sees.
            raise RecipeError(f"{where}, but data.image_size {largest}; expected at most that")


def use_image_size(data: object, size: int | float | None) -> None:
    """Makes training images of `size`, in pixels or as a share of the data module's, from the next epoch on; None: of
    that."""
    if hasattr(data, "use_image_size"):
        resizing = cast("ResizingData", data)
        resizing.use_image_size(max(round(size * resizing.image_size), 1) if isinstance(size, float) else size)


def use_augmentation(data: object, augment: bool) -> None:
    """Makes training images augmented, or as evaluation sees them, from the next epoch on."""
    if hasattr(data, "use_augmentation"):
        cast("AugmentingData", data).use_augmentation(augment)
