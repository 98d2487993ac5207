"""Images without targets in training batches, beside those that have one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from resnet_tl.data.images.dataset import ImageDataset, Item
from resnet_tl.structures.records import Draw

OWN_SEED = 2**32
"""Added to a run's seed, below which all of these are: what is drawn here is drawn nowhere else."""
ORDERS = 4
"""Orders that are stored: those of a batch are few, as its images are from one epoch."""


class UnlabelledCompanions:
    """Chooses the images beside a batch by the batch's own draws, and transforms them as those.

    Which they are is a function of (seed, epoch, index) of the draw that each accompanies: the same in any process, on
    any number of ranks and after a resume in mid-epoch. Over the epochs all are shown equally often, in an order of
    their own for each pass. Where a draw repeats an image of its epoch, it is accompanied by another one.

    Args:
        images: all of them; their dataset's targets are not used.
        labelled: number of images of the training set.
        share: images beside a batch per image of it, at least one a batch.
    """

    def __init__(self, images: ImageDataset[Any], labelled: int, share: float, seed: int) -> None:
        self.images, self.labelled, self.share = images, labelled, share
        self.seed = images.seed = seed + OWN_SEED
        self._orders: dict[int, np.ndarray] = {}

    def of(self, dataset: Any, draws: Sequence[Draw]) -> list[Item]:
        """Returns the items beside those of a batch of `dataset`."""
        self.images.transform = dataset.transform  # type: ignore[attr-defined]  # that of the current phase
        return [self.images[draw]._replace(target=None, row=-1) for draw in self.draws(draws)]

    def draws(self, draws: Sequence[Draw]) -> list[Draw]:
        """Returns what is drawn of the unlabelled images: round(share * len(draws)), at least 1."""
        number = max(1, math.floor(self.share * len(draws) + 0.5))
        return [self._companion(draws[place % len(draws)], place // len(draws)) for place in range(number)]

    def _companion(self, draw: Draw, number: int) -> Draw:
        """Returns the draw of companion `number` (from 0): in place of an epoch it has the pass over all images."""
        count = len(self.images)
        drawn_before = (draw.epoch * self.labelled + draw.index) * math.ceil(self.share) + number
        turn, place = divmod(drawn_before, count)
        place = (place + draw.repeat * (count // 2 + 1)) % count
        return Draw(turn, int(self._order(turn)[place]), draw.repeat)

    def _order(self, turn: int) -> np.ndarray:
        if turn not in self._orders:
            if len(self._orders) == ORDERS:
                self._orders.clear()
            self._orders[turn] = np.random.default_rng((self.seed, turn)).permutation(len(self.images))
        return self._orders[turn]
