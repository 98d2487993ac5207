"""Images of a listing, decoded and augmented: a function of (seed, epoch, sample, repeat), the same in any process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

from torch.utils.data import Dataset

from resnet_tl.data.images.bit_depth import Bits, check_eight_bits
from resnet_tl.data.images.crops import Seed
from resnet_tl.data.images.decode import ImageArray, decode
from resnet_tl.data.images.deferred import defer, open_encoded
from resnet_tl.data.images.key_hash import hash64
from resnet_tl.data.images.limits import naming
from resnet_tl.data.images.on_device import OnDevice
from resnet_tl.data.images.shared_bytes import SharedBytes
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Batch, Draw, Features, Sample

T = TypeVar("T")
OnError = Literal["error", "replace", "skip"]


class Item(NamedTuple):
    """An image before collation.

    views: `[V, H, W, C]`. target: class index, multi-hot `[K]` float32, mask `[H, W]` uint8, or `Boxes`; None of an
    image that has none and is in a training batch beside those that do.
    original_size: (h, w) of the file. row: its index in the listing, -1 for a filler. size: (h, w) without padding;
    None where there is none.
    """

    views: ImageArray
    target: Any
    original_size: tuple[int, int]
    row: int
    size: tuple[int, int] | None = None


class Samples(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


SamplesT = TypeVar("SamplesT", bound=Samples)


class CachedFeatures(Protocol):
    @property
    def bytes_per_image(self) -> int: ...

    def take(self, draws: Sequence[Draw]) -> tuple[Features, dict[str, Any]]:
        """Returns the features of N images and the other stored fields of their batch by name, targets perhaps not:
        tensors."""

    def stored_draw(self, draw: Draw) -> Draw:
        """Returns the draw whose features are stored for this one."""


class Companions(Protocol):
    def of(self, dataset: Any, draws: Sequence[Draw]) -> list[Item]:
        """Returns the items, without targets, beside those of a batch of `dataset`."""


class ImageDataset(Dataset[Item], ABC, Generic[SamplesT]):
    """`dataset[Draw(epoch, index, repeat)]` is an `Item`; index -1 gives a filler, a black image.

    Args:
        listing: the samples.
        channels: of every image: 3 RGB, 1 grey, others as stored.
        seed: of the augmentation.
        on_error: what to do with an image that cannot be decoded. error: raise its `DataError`. replace (for training):
            take the next sample of the listing that can be decoded. skip (for evaluation): take a filler.
            `failures()` lists such images.

    Attributes:
        on_device: what items leave to the device; their views are then `Deferred`.
        companions: images without targets that are in a batch after its own.
        most_bits: of an image that can be used.
    """

    on_device: OnDevice = "nothing"
    companions: Companions | None = None
    most_bits: Bits = 16

    def __init__(self, listing: SamplesT, *, channels: int = 3, seed: int = 0, on_error: OnError = "error") -> None:
        self.listing, self.channels, self.seed, self.on_error = listing, channels, seed, on_error
        self._failed = SharedBytes(len(listing))  # workers write, `failures` reads

    @abstractmethod
    def _load(self, draw: Draw, index: int) -> Item:
        """Returns the sample at `index`, augmented as `draw` decides. Raises DataError where it cannot be decoded."""

    @abstractmethod
    def _filler(self) -> Item:
        """Returns a black image without a target."""

    @abstractmethod
    def _read(self, index: int) -> Any:
        """Decodes the files of the sample at `index`. Raises DataError where that fails."""

    def __len__(self) -> int:
        return len(self.listing)

    def __getitem__(self, draw: Draw) -> Item:
        if draw.index < 0:
            return self._filler()
        item = self._first_usable(draw.index, lambda index: self._usable(draw, index))
        return self._filler() if item is None else item

    def __getitems__(self, draws: Sequence[Draw]) -> list[Item]:
        """Returns the items of a batch; a DataLoader calls this in place of `self[draw]` for each."""
        items = [self[draw] for draw in draws]
        return items if self.companions is None else [*items, *self.companions.of(self, draws)]

    def batch_of(self, features: CachedFeatures, draws: Sequence[Draw]) -> Batch:
        """Returns the batch of these draws with features in place of images; opens no file."""
        maps, rest = features.take(draws)
        return Batch(maps, **rest)

    def batches_of(self, features: CachedFeatures, batches: Sequence[Sequence[Draw]]) -> Iterator[Batch]:
        """Yields `batch_of` each of several batches, read at once."""
        whole = self.batch_of(features, [draw for draws in batches for draw in draws])
        yield from whole.split([len(draws) for draws in batches])

    def failures(self) -> list[str]:
        """Returns one sentence for each image that could not be decoded so far, in this process or its workers."""
        return [reason for index in self._failed.tensor.nonzero().flatten().tolist() if (reason := self.reason(index))]

    def _open(self, path: str) -> ImageArray:
        """Reads an image, for transforms."""
        if self.on_device == "decoding and transforms":
            return open_encoded(path, self.channels)
        image = decode(path, self.channels)
        return image if self.on_device == "nothing" else defer(image, path)

    def _augmentation_seed(self, draw: Draw, key: str) -> Seed:
        return self.seed, draw.epoch, hash64(key), draw.repeat

    def _usable(self, draw: Draw, index: int) -> Item:
        item = self._load(draw, index)
        if self.most_bits == 8:  # views that the device makes have no depth yet
            check_eight_bits(item.views, self.listing[index].path)
        return item

    def _first_usable(self, index: int, load: Callable[[int], T]) -> T | None:
        """Loads the sample, or the next one that can replace it; None: skip it."""
        for candidate in self._candidates(index):
            if not self._failed.tensor[candidate]:
                try:
                    with naming(self.listing[candidate].path):
                        return load(candidate)
                except DataError:
                    if self.on_error == "error":
                        raise
                    self._failed.tensor[candidate] = True
        if self.on_error == "skip":
            return None
        raise DataError(f"none of the {len(self)} images can be decoded; the first: {self.failures()[0]}")

    def _candidates(self, index: int) -> Iterator[int]:
        """Yields the sample, then those that may replace it, in order."""
        yield index
        if self.on_error == "replace":
            yield from range(index + 1, len(self))
            yield from range(index)

    def reason(self, index: int) -> str | None:
        """Loads a sample that has failed again; returns the error, or None if it can be read by now."""
        try:
            with naming(self.listing[index].path):
                self._read(index)
                if self._failed.tensor[index]:  # not for its file, then: for what is made of it
                    self._usable(Draw(0, index), index)
        except DataError as error:
            return str(error)
        return None
