"""What `predict` takes: files, folders, zips, globs, addresses, bytes and images in memory, listed one by one."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from resnet_tl.data.images.classification_dataset import decode_for
from resnet_tl.data.images.crops import Seed
from resnet_tl.data.images.decode import ImageArray, decode_bytes
from resnet_tl.data.images.limits import BYTES, check_bytes
from resnet_tl.data.images.transforms import Transform
from resnet_tl.data.sources.files import find_images
from resnet_tl.errors import DataError
from resnet_tl.prediction.memory import as_array

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

Source: TypeAlias = "str | Path | bytes | ImageArray | Tensor | Image"
"""A file, folder, zip or glob; an address (`https://...`); an image file's bytes; or an image in memory, see
`resnet_tl.prediction.memory.as_array`."""

SEED: Seed = (0,)
"""For listed transforms that draw random numbers, so that every prediction is repeatable."""
TIMEOUT = 30
"""Seconds to wait for an address."""


def list_images(inputs: Source | Iterable[Source]) -> list[Source]:
    """Lists the images of `inputs`, in order: files by path, those in memory as they are; an array or tensor of four
    dimensions is as many images as its first one says.

    Raises:
        DataError: nothing exists at a path, or no image is in it.
    """
    if not _is_one(inputs) and not isinstance(inputs, Iterable):
        raise DataError(f"inputs is a {type(inputs).__name__}; expected paths, bytes, arrays, tensors or Pillow images")
    images: list[Source] = []
    for source in cast("Iterable[Source]", [inputs] if _is_one(inputs) else inputs):
        if isinstance(source, (str, Path)) and not is_address(source):
            images.extend(find_images([source]))
        elif getattr(source, "ndim", 0) == 4:
            images.extend(source)  # type: ignore[arg-type]
        else:
            images.append(source)
    return images


def decode_input(
    source: Source, index: int, transform: Transform, channels: int, reduce: bool = False
) -> tuple[ImageArray, tuple[int, int]]:
    """Returns an image `[H, W, C]` and the (h, w) that its file has.

    Args:
        index: position among the images predicted, for the error about one in memory.
        reduce: decode a JPEG at a fraction of its size, where `transform` needs no more.

    Raises:
        DataError: a missing or damaged file, an image in memory of a wrong shape, type or range.
    """
    if isinstance(source, (str, Path)) and not is_address(source):
        return decode_for(transform, str(source), channels, SEED, reduce)
    if isinstance(source, str):
        image = decode_bytes(_download(source), source, channels)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        image = decode_bytes(bytes(source), f"image {index}", channels)
    else:
        image = as_array(source, index, channels)
    return image, (image.shape[0], image.shape[1])


def path_of(source: Source) -> str | None:
    """The path or address of an image; None for one in memory."""
    return str(source) if isinstance(source, (str, Path)) else None


def is_address(source: Any) -> bool:
    return isinstance(source, str) and source.startswith(("http://", "https://"))


def _is_one(inputs: Any) -> bool:
    """A single input; a list, a generator or an array of four dimensions is several."""
    if hasattr(inputs, "ndim"):
        return bool(inputs.ndim < 4)
    return isinstance(inputs, (str, Path, bytes, bytearray, memoryview)) or hasattr(inputs, "convert")


def _download(address: str) -> bytes:
    try:
        with urllib.request.build_opener().open(address, timeout=TIMEOUT) as answer:
            data: bytes = answer.read(BYTES.value + 1)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        raise DataError(f"{address}: cannot be downloaded ({getattr(error, 'reason', error)})") from None
    check_bytes(len(data), address)
    return data
