"""The largest images and files that are read, on every route, so that no small file fills the memory.

An image's size is known from its header, so it is refused before its pixels are decoded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from resnet_tl.errors import DataError, RecipeError


class Limit(NamedTuple):
    """The environment variable that sets it, its default, and the largest value."""

    variable: str
    default: int
    largest: int

    @property
    def value(self) -> int:
        """Raises RecipeError if the variable is not a number in its range."""
        text = os.environ.get(self.variable, str(self.default))
        if not (text.isdecimal() and 1 <= int(text) <= self.largest):
            raise RecipeError(f"{self.variable} must be a whole number from 1 to {self.largest}, got {text!r}")
        return int(text)


PIXELS = Limit("RESNET_TL_MAX_PIXELS", 2**28, 2**30)
"""Height x width of an image. The default is 16,384 x 16,384, 0.8 GB as 8-bit RGB; OpenCV decodes no more than 2^30."""
BYTES = Limit("RESNET_TL_MAX_BYTES", 2**30, 2**40)
"""Bytes of a file, of an unpacked member of a zip, or of a download."""
LONGEST_SIDE = 2**20
"""Pixels; OpenCV decodes no longer ones."""


class TooLarge(DataError):
    """An image or a file beyond a limit."""


class TooElongated(TooLarge):
    """An image that resizing makes too large; without its path, see `naming`."""


_lowered: ContextVar[int | None] = ContextVar("lowered", default=None)


@contextmanager
def at_most(pixels: int) -> Iterator[None]:
    """Lowers the limit of pixels for what the caller's thread or task decodes while inside."""
    token = _lowered.set(pixels)
    try:
        yield
    finally:
        _lowered.reset(token)


def _pixels() -> tuple[int, str]:
    """Returns the limit of pixels, and what the user changes it by."""
    limit, lowered = PIXELS.value, _lowered.get()
    if lowered is not None and lowered < limit:
        return lowered, ""
    return limit, f" ({PIXELS.variable} sets the limit)"


def check_size(height: int, width: int, path: str) -> None:
    """Raises TooLarge for more pixels than are decoded."""
    size, (limit, source) = f"{path}: is {width:,} x {height:,} pixels, too large: ", _pixels()
    if max(height, width) > LONGEST_SIDE:
        raise TooLarge(f"{size}sides of at most {LONGEST_SIDE:,} pixels are decoded")
    if height * width > limit:
        raise TooLarge(f"{size}at most {limit:,} are decoded{source}")


def check_bytes(count: int, path: str) -> None:
    """Raises TooLarge for more bytes than are read."""
    if count > (limit := BYTES.value):
        raise TooLarge(f"{path}: has more than {limit:,} bytes, too large ({BYTES.variable} sets the limit)")


def check_resized(height: int, width: int, resized: tuple[int, int]) -> None:
    """Raises TooElongated for an image whose resized (h, w) has more pixels than are decoded."""
    limit, source = _pixels()
    if resized[0] * resized[1] > limit:
        raise TooElongated(
            f"is {width:,} x {height:,} pixels, too elongated: resized to {resized[1]:,} x {resized[0]:,} it has more "
            f"than {limit:,}{source}"
        )


@contextmanager
def naming(image: str) -> Iterator[None]:
    """Around the transforms of an image: TooElongated gets its name."""
    try:
        yield
    except TooElongated as error:
        raise TooLarge(f"{image}: {error}") from None
