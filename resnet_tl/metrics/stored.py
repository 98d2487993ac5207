"""What metrics store until the end of a pass."""

from __future__ import annotations

from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from resnet_tl.errors import RunError


def joined(parts: Tensor | list[Tensor]) -> Tensor:
    """Joins the parts of all batches and ranks along their first dimension.

    Raises:
        RunError: there are none.
    """
    if isinstance(parts, list) and not parts:
        raise RunError(
            "there are no metrics yet: no batch was evaluated; call update before compute, tables or interval"
        )
    return dim_zero_cat(parts)
