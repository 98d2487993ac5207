"""Faults of a set: all of them in one error, or kept for a check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from resnet_tl.errors import DataError

LISTED = 40

_kept: ContextVar[dict[str, str] | None] = ContextVar("_kept", default=None)


@contextmanager
def kept_faults() -> Iterator[dict[str, str]]:
    """Inside, faults do not end the constructor of a data module: they are added to the dict, each with the key of its
    image or "", and the module has what is left of the set."""
    faults: dict[str, str] = {}
    token = _kept.set(faults)
    try:
        yield faults
    finally:
        _kept.reset(token)


def are_kept() -> bool:
    """Whether this is inside of `kept_faults`."""
    return _kept.get() is not None


def were_kept() -> bool:
    """Whether this is inside of `kept_faults`, which have been found."""
    return bool(_kept.get())


def refuse_or_keep(sentence: str, each: Mapping[str, str] | None = None) -> None:
    """Raises DataError(sentence), unless faults are kept; then it is one of them, or `each` of several in its place.

    each: with the keys of their images, as in `kept_faults`.

    The caller continues without what is at fault.
    """
    kept = _kept.get()
    if kept is None:
        raise DataError(sentence)
    kept.update(each or {sentence: ""})


def raise_or_keep(root: str, faults: Mapping[str, str], summary: Sequence[str] | None = None) -> None:
    """Raises DataError with all faults, if there are any, unless they are kept.

    summary: the same faults in fewer sentences, for the error.
    """
    kept = _kept.get()
    if kept is None:
        raise_if_any(root, list(faults) if summary is None else summary)
    else:
        kept.update(faults)


def raise_if_any(root: str, faults: Sequence[str]) -> None:
    """Raises DataError with the number of faults and the first `LISTED` of them, if there are any."""
    if faults:
        raise DataError(with_faults(root, faults))


def with_faults(root: str, faults: Sequence[str], repair: str = "") -> str:
    """Returns the number of faults, the repair that all have in common, and the first `LISTED` of them, one a line."""
    more = f"\n  and {len(faults) - LISTED} more" if len(faults) > LISTED else ""
    listed = "".join(f"\n  {fault}" for fault in faults[:LISTED])
    return f"{root} has {len(faults)} fault{'s' if len(faults) > 1 else ''}{repair}:{listed}{more}"
