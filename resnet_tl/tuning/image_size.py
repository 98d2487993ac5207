"""Training images of another size in some phases of a plan. What a data module needs for this is in `ResizingData`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.plan import Plan

if TYPE_CHECKING:
    from resnet_tl.tuning.protocols import ResizingData


def check_image_sizes(plan: Plan, data: object) -> None:
    """Raises RecipeError where a phase has an `image_size` that the data module cannot give it."""
    for index, phase in enumerate(plan.phases):
        if (size := phase.settings.image_size) is None:
            continue
        where = f"tuning.phases[{index}].image_size is {size}"
        if not hasattr(data, "use_image_size"):
            raise RecipeError(f"{where}, but {type(data).__name__} has one size for the whole run; omit it")
        largest = cast("ResizingData", data).image_size
        if size > largest:
            # Which is what a batch's memory was measured at, and what evaluation sees.
            raise RecipeError(f"{where}, but data.image_size {largest}; expected at most that")


def use_image_size(data: object, size: int | None) -> None:
    """Makes training images of `size` from the next epoch on; None: of the data module's own size."""
    if hasattr(data, "use_image_size"):
        cast("ResizingData", data).use_image_size(size)
