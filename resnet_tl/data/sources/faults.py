"""Everything that is wrong with a set, in one error."""

from __future__ import annotations

from collections.abc import Sequence

from resnet_tl.errors import DataError

SHOWN = 40


def raise_if_any(root: str, faults: Sequence[str]) -> None:
    """Raises DataError with the first `SHOWN` sentences, and how many there are."""
    if faults:
        more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        shown = "".join(f"\n  {fault}" for fault in faults[:SHOWN])
        raise DataError(f"{root} has {len(faults)} fault{'s' if len(faults) > 1 else ''}:{shown}{more}")
