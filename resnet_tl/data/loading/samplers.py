"""The order in which samples are drawn, on one rank or many: a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.listings.rows import Rows
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Draw

Watch = Callable[[np.ndarray, Iterable[Draw]], Iterator[Draw]]


class TrainSampler:
    """Draws every sample once per epoch, shuffled; or, with `weights`, about as often as its weight says.

    All ranks share one order, of which rank r takes draws r, r + ranks, r + 2 * ranks ... So the images of a step are
    the same for any number of ranks with the same global batch. At the end of an epoch, draws that cannot be divided
    evenly among the ranks are dropped, and so is a last batch of a single image, over which batch norm cannot normalise
    (unless `batch_size` is 1). What is dropped differs between epochs.

    Args:
        count: samples in the listing, and draws per epoch over all ranks.
        seed, ranks, rank: see above; the epoch is set by `set_epoch`, which Lightning calls.
        batch_size: of one rank.
        weights: `[count]` float; the draws of an epoch are distributed in proportion, each sample getting its share
            rounded up or down at random (systematic sampling).
        groups: `[count]` int; the images of a step are from one group, except for a few steps at the ends of groups,
            which mix neighbouring ones.
        repeats: how often in a row an image is drawn (repeated augmentation, arXiv:1902.05509): its repeats are in one
            step, except for an image at the border of two. An epoch still has `count` draws, as with DeiT's and timm's
            samplers, so it shows only every n-th image; `repeats` epochs together show all of them.

    Attributes:
        shards: `[count]` int, the file from which each sample is read, where these are read one after another, mixing
            the samples of `window` of them at a time; None: all samples are mixed.
    """

    shards: np.ndarray | None = None
    window = 1
    watched: Watch = staticmethod(lambda indices, draws: iter(draws))
    """Wraps the draws of an epoch, whose samples are `indices`."""

    def __init__(
        self,
        count: int,
        *,
        seed: int,
        batch_size: int,
        ranks: int = 1,
        rank: int = 0,
        weights: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        repeats: int = 1,
    ) -> None:
        if count < ranks:
            raise DataError(f"{count} training images are too few for {ranks} devices; expected at least one each")
        self.count, self.seed, self.batch_size, self.ranks, self.rank = count, seed, batch_size, ranks, rank
        self.weights, self.groups, self.repeats = weights, groups, repeats
        self.epoch = 0
        self.start = 0
        """Batches of this epoch to skip because they have been trained on, after a resume in mid-epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch that the next iteration draws; a new one starts at its first batch."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __len__(self) -> int:
        """Returns the draws of this rank in a whole epoch."""
        each = self.count // self.ranks
        leaves_single = each % self.batch_size == 1 and self.batch_size > 1 and each > 1
        return each - leaves_single

    def __iter__(self) -> Iterator[Draw]:
        indices, repeats = self._order()
        mine = slice(self.rank + self.start * self.batch_size * self.ranks, len(self) * self.ranks, self.ranks)
        drawn = zip(indices[mine].tolist(), repeats[mine].tolist(), strict=True)
        yield from self.watched(indices[mine], (Draw(self.epoch, index, repeat) for index, repeat in drawn))

    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the epoch's draws over all ranks: sample indices `[count]`, and how often each was drawn before."""
        cycle, turn = divmod(self.epoch, self.repeats)
        rng = np.random.default_rng((self.seed, cycle))
        order = rng.permutation(self.count)
        if self.weights is not None:
            order = rng.permutation(_systematic(order, self.weights, rng))
        if self.repeats > 1:
            distinct = -(-self.count // self.repeats)
            order = np.roll(order, -turn * distinct)[:distinct]
        if self.shards is not None:
            order = order[_streamed(self.shards[order], self.window, rng)]
        if self.repeats > 1:
            order = order.repeat(self.repeats)[: self.count]
        if self.groups is not None:
            shuffle = self.shards is None
            order = _grouped(order, self.groups, self.batch_size * self.ranks, rng, shuffle=shuffle)
        once = self.weights is None and self.repeats == 1
        return order, np.zeros_like(order) if once else _occurrence(order)


class EvaluationSampler:
    """Draws every sample exactly once over all ranks, in the listing's order or that of `order` `[count]`.

    All ranks get the same number of draws, at least one. Where samples cannot be divided evenly, the last draw of some
    ranks is a filler with index -1, which passes through the network and is not counted. `epoch` is that of the draws.
    """

    watched: Watch = staticmethod(lambda indices, draws: iter(draws))

    def __init__(
        self, count: int, *, ranks: int = 1, rank: int = 0, epoch: int = 0, order: np.ndarray | None = None
    ) -> None:
        self.count, self.ranks, self.rank, self.epoch, self.order = count, ranks, rank, epoch, order

    def __len__(self) -> int:
        return max(1, -(-self.count // self.ranks))

    def __iter__(self) -> Iterator[Draw]:
        places = np.arange(len(self)) * self.ranks + self.rank
        order = np.arange(self.count) if self.order is None else self.order
        indices = np.append(order, -1)[np.minimum(places, self.count)]
        yield from self.watched(indices, (Draw(self.epoch, index) for index in indices.tolist()))


def class_weights(listing: Listing, classes: int) -> np.ndarray:
    """Returns weights `[N]` that give each of K classes the same total.

    A sample of several classes (multi-label) has the weight of the rarest; samples without a class form another class.
    """
    counts = np.maximum(listing.class_counts(classes), 1)
    if not isinstance(listing.targets, Rows):
        return 1 / counts[listing.targets]
    none = listing.targets.lengths == 0
    weights = np.where(none, 1 / max(1, none.sum()), 0.0)
    owner = np.repeat(np.arange(len(listing)), listing.targets.lengths)
    np.maximum.at(weights, owner, 1 / counts[listing.targets.values])
    return weights


def _systematic(order: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns `len(order)` draws from `order`, each sample its share of them rounded up or down (Madow, 1949).

    Samples of equal weight are adjacent, so that the draws of all of them together are also their share, rounded.
    """
    order = order[np.argsort(weights[order], kind="stable")]
    ends = np.cumsum(weights[order], dtype=np.float64)
    ends *= len(order) / ends[-1]
    ends[-1] = len(order)
    marks = np.floor(ends + rng.random()).astype(np.int64)
    return np.repeat(order, np.diff(marks, prepend=0))


def _streamed(shards: np.ndarray, window: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the places `[N]` of samples in the order in which their shards are read.

    Each shard begins at its place in a random order and is spread over the time in which `window` shards are read: one
    ends when another begins, and at most `window` + 1 are in use.

    shards: `[N]` int, of each sample, which are in random order.
    """
    numbers, shard = np.unique(shards, return_inverse=True)
    begin = rng.permutation(len(numbers))[shard]
    return np.argsort(begin + window * rng.random(len(shards)), kind="stable")


def _grouped(
    order: np.ndarray, groups: np.ndarray, size: int, rng: np.random.Generator, *, shuffle: bool
) -> np.ndarray:
    """Rearranges `order` into batches of `size` from one group, or from the rest of the groups.

    shuffle: whether the batches are in random order; otherwise in that of their last images in `order`.
    """
    by_group = np.argsort(groups[order], kind="stable")
    _, counts = np.unique(groups[order], return_counts=True)
    place = np.arange(len(order)) - np.repeat(counts.cumsum() - counts, counts)
    whole = place < np.repeat(counts // size * size, counts)
    rest = by_group[~whole]
    # Starting at a random group, so that the last, smaller batch is not always from the same one.
    places = np.concatenate([by_group[whole], np.roll(rest, rng.integers(max(1, len(rest))))])
    full = len(places) // size * size
    batches = places[:full].reshape(-1, size)
    batches = rng.permutation(batches) if shuffle else batches[np.argsort(batches.max(1), kind="stable")]
    return order[np.concatenate([batches.ravel(), places[full:]])]


def _occurrence(drawn: np.ndarray) -> np.ndarray:
    """Returns how often each element has occurred before: `[3, 5, 3, 3] -> [0, 0, 1, 2]`."""
    by_value = np.argsort(drawn, kind="stable")
    firsts = np.searchsorted(drawn[by_value], drawn[by_value], side="left")
    repeats = np.empty_like(drawn)
    repeats[by_value] = np.arange(len(drawn)) - firsts
    return repeats
