"""What `predict` takes, one by one: files, folders, zips, globs, videos, addresses, bytes and images in memory."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypeVar, cast

import numpy as np

from resnet_tl.data.images.classification_dataset import decode_for
from resnet_tl.data.images.crops import Seed
from resnet_tl.data.images.decode import ImageArray, decode_bytes
from resnet_tl.data.images.limits import BYTES, check_bytes
from resnet_tl.data.images.transforms import Transform
from resnet_tl.data.sources.files import find_images
from resnet_tl.errors import DataError, RecipeError
from resnet_tl.prediction.memory import as_array
from resnet_tl.prediction.videos import Frame, Video, find_videos

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

T = TypeVar("T")

Source: TypeAlias = "str | Path | bytes | BinaryIO | ImageArray | Tensor | Image"
"""A file, folder, zip, glob or video; an address (`https://...`); an image file's bytes, or the file, open for
reading in binary; or an image in memory, see `resnet_tl.prediction.memory.as_array`."""
Listed: TypeAlias = "Source | Video"
"""One image, or a video with its frames to come."""
Readable: TypeAlias = "Source | Frame | DataError"
"""One image, or the error in place of one."""

SEED: Seed = (0,)
"""For listed transforms that draw random numbers, so that every prediction is repeatable."""
TIMEOUT = 30
"""Seconds to wait for an address."""


def list_images(inputs: Source | Iterable[Source], every: int | None = None) -> list[Listed]:
    """Lists the images of `inputs`, in order: files by path, those in memory as they are; an array or tensor of four
    dimensions is as many images as its first one says. A video is one entry, see `read_frames`.

    Args:
        every: take every N-th frame of a video, and every N-th image of a folder, zip or glob, from the first on.

    Raises:
        DataError: nothing exists at a path, or no image is in it.
        RecipeError: `every` is below 1, or the inputs are single images alone.
    """
    if not _is_one(inputs) and not isinstance(inputs, Iterable):
        raise DataError(f"inputs is a {type(inputs).__name__}; expected paths, bytes, arrays, tensors or Pillow images")
    step = None if every is None else at_least_one("every", every)
    images: list[Listed] = []
    is_sequence = False
    for source in cast("Iterable[Source]", [inputs] if _is_one(inputs) else inputs):
        if isinstance(source, (str, Path)) and not is_address(source):
            path = os.path.expanduser(source)
            videos = [Video(each, step or 1) for each in find_videos(path)]
            found = [] if videos else find_images([path])
            images.extend(videos or found[::step])
            is_sequence |= found != [path]
        elif getattr(source, "ndim", 0) == 4:
            images.extend(source)  # type: ignore[arg-type]
        else:
            images.append(source)
    if step is not None and not is_sequence:
        raise RecipeError("every: the inputs are single images; expected a video, folder, zip or glob; remove it")
    return images


def at_least_one(option: str, value: int) -> int:
    if not isinstance(value, int) or value < 1:
        raise RecipeError(f"{option}: {value!r}; expected 1 or more")
    return value


def spread(items: Sequence[T], count: int) -> list[T]:
    """Returns at most `count` of the items, evenly spread from the first to the last."""
    positions = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[position] for position in positions]


def read_frames(listed: Iterable[Listed]) -> Iterator[Readable]:
    """Yields the images listed, with the frames of videos in their places: each is read when it is asked for."""
    for source in listed:
        if isinstance(source, Video):
            yield from source.frames()
        else:
            yield source


def decode_input(
    source: Readable, index: int, transform: Transform, channels: int, reduce: bool = False
) -> tuple[ImageArray, tuple[int, int]]:
    """Returns an image `[H, W, C]` and the (h, w) that its file has.

    Args:
        index: position among the images predicted, for the error about one in memory.
        reduce: decode a JPEG at a fraction of its size, where `transform` needs no more.

    Raises:
        DataError: a missing or damaged file, an image in memory of a wrong shape, type or range; `source` itself.
    """
    if isinstance(source, DataError):
        raise source
    if isinstance(source, (str, Path)) and not is_address(source):
        return decode_for(transform, str(source), channels, SEED, reduce)
    if isinstance(source, str):
        image = decode_bytes(_download(source), source, channels)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        image = decode_bytes(bytes(source), f"image {index}", channels)
    elif hasattr(source, "read"):
        image = decode_bytes(source.read(), f"image {index}", channels)
    else:
        image = as_array(source.image if isinstance(source, Frame) else source, index, channels)
    return image, (image.shape[0], image.shape[1])


def path_of(source: Readable) -> str | None:
    """The path or address of an image, or the name of a frame; None for one in memory."""
    if isinstance(source, Frame):
        return source.path
    return str(source) if isinstance(source, (str, Path)) else None


def is_address(source: Any) -> bool:
    return isinstance(source, str) and source.startswith(("http://", "https://"))


def _is_one(inputs: Any) -> bool:
    """A single input; a list, a generator or an array of four dimensions is several."""
    if hasattr(inputs, "ndim"):
        return bool(inputs.ndim < 4)
    in_memory = any(hasattr(inputs, name) for name in ("read", "convert"))
    return in_memory or isinstance(inputs, (str, Path, bytes, bytearray, memoryview))


def _download(address: str) -> bytes:
    try:
        with urllib.request.build_opener().open(address, timeout=TIMEOUT) as answer:
            data: bytes = answer.read(BYTES.value + 1)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        raise DataError(f"{address}: cannot be downloaded ({getattr(error, 'reason', error)})") from None
    check_bytes(len(data), address)
    return data
