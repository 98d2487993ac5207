"""Decoding ahead: threads decode and resize the next images while the network predicts the current ones."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeAlias, cast

from resnet_tl.data.images.bit_depth import Bits, check_eight_bits
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.limits import naming
from resnet_tl.data.images.listed_transforms import ListedTransforms
from resnet_tl.data.images.resize import Interpolation
from resnet_tl.data.images.transforms import Transform, evaluation_transform
from resnet_tl.errors import DataError
from resnet_tl.prediction.inputs import SEED, Listed, Readable, decode_input, path_of, read_frames
from resnet_tl.structures.records import Preprocessing

OnError: TypeAlias = Literal["error", "skip"]

AHEAD = 4
"""Images decoded ahead with small batches; larger batches decode one batch ahead. Whole images wait in memory."""


@dataclass(frozen=True)
class Input:
    """A decoded image, ready for the network.

    index: position among the images predicted.
    path: of its file or frame; None for an array.
    pixels: `[h, w, C]` uint8 or uint16, resized (and cropped) as in evaluation.
    image: `[H, W, C]` as decoded; None unless the loader keeps whole images.
    size: (h, w) of the upright image in its file.
    """

    index: int
    path: str | None
    pixels: ImageArray
    image: ImageArray | None
    size: tuple[int, int]


@dataclass(frozen=True)
class Loader:
    """The preprocessing of all predictors.

    transform: evaluation's, image -> one view.
    channels: of every image.
    keep_images: keep the image as decoded next to the pixels, for predictions at its own size.
    reduce: decode a JPEG at a fraction of its size, where `transform` needs no more.
    threads: None for as many as there are cores, and a few more.
    most_bits: of an image; an exported network takes 8.
    """

    transform: Transform
    channels: int
    keep_images: bool = False
    reduce: bool = False
    threads: int | None = None
    most_bits: Bits = 16

    def batches(self, images: Iterable[Listed], batch_size: int, on_error: OnError) -> Iterator[list[Input]]:
        """Yields up to `batch_size` images at a time, in order. Frames of videos are read in order, as room comes free.

        on_error: what an image that cannot be used does: raise its DataError, or be skipped with a warning.
        """
        numbered = enumerate(read_frames(images))
        waiting: deque[Future[Input]] = deque()
        pool = ThreadPoolExecutor(self.threads)
        try:
            while True:
                room = batch_size + max(batch_size, AHEAD) - len(waiting)
                waiting.extend(
                    pool.submit(copy_context().run, self.load, source, index)  # with the caller's limits of images
                    for index, source in islice(numbered, room)
                )
                if not waiting:
                    return
                batch = [waiting.popleft() for _ in range(min(batch_size, len(waiting)))]
                yield list(_results(batch, on_error))
        finally:  # also where the caller stops half-way or an image ends it: nothing more is decoded
            pool.shutdown(cancel_futures=True)

    def load(self, source: Readable, index: int) -> Input:
        """Decodes and preprocesses one image.

        Raises:
            DataError: see `decode_input`; or the image has more than `most_bits`.
        """
        image, original_size = decode_input(source, index, self.transform, self.channels, self.reduce)
        path = path_of(source)
        name = f"image {index}" if path is None else path
        if self.most_bits == 8:
            check_eight_bits(image, name)
        with naming(name):
            pixels = self.transform(image, original_size, SEED)[0]
        return Input(index, path, pixels, image if self.keep_images else None, original_size)


def one_size_loader(
    preprocessing: Preprocessing, channels: int, eval_transforms: list[dict[str, Any]] | None, *, reduce: bool
) -> Loader:
    """Returns what preprocesses images of which one square is used.

    eval_transforms: of validation, as a recipe lists them; None for resizing and a centre crop.
    """
    if eval_transforms is None:
        interpolation = cast(Interpolation, preprocessing.interpolation)
        transform = evaluation_transform(preprocessing.size, preprocessing.crop, interpolation)
        return Loader(transform, channels, reduce=reduce)
    # In one thread, because albumentations keeps state in its transforms.
    return Loader(ListedTransforms(eval_transforms), channels, reduce=reduce, threads=1)


def _results(futures: Iterable[Future[Input]], on_error: OnError) -> Iterator[Input]:
    for future in futures:
        try:
            yield future.result()
        except DataError as error:
            if on_error == "error":
                raise
            warnings.warn(f"skipped: {error}", stacklevel=2)
