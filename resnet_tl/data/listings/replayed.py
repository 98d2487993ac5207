"""Images that lie below one root, followed by images of another folder that are trained on with them."""

from __future__ import annotations

import os

import numpy as np

from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.listings.rows import Rows
from resnet_tl.structures.records import Sample

MARK = "//replay/"
"""What the keys of images below the other folder begin with, before their path in it: no path below a root does."""


class ReplayListing(Listing):
    """A `Listing` whose keys that begin with `MARK` are paths below `replay_root`."""

    def __init__(self, root: str, keys: Rows, targets: np.ndarray | Rows, replay_root: str) -> None:
        super().__init__(root, keys, targets)
        self.replay_root = replay_root

    @classmethod
    def joined(cls, listing: Listing, replay: Listing) -> ReplayListing:
        """Returns the samples of both, with one class each, whose indices are of the same classes."""
        assert isinstance(listing.targets, np.ndarray)
        assert isinstance(replay.targets, np.ndarray)
        marked = Listing.of("", [MARK + sample.key for sample in replay], replay.targets.tolist())
        both = Listing("", listing._keys, listing.targets).join(marked)
        return cls(listing.root, both._keys, both.targets, replay.root)

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        if not sample.key.startswith(MARK):
            return sample
        return Sample(os.path.join(self.replay_root, sample.key.removeprefix(MARK)), sample.target, sample.key)

    def select(self, indices: np.ndarray) -> ReplayListing:
        chosen = super().select(indices)
        return ReplayListing(self.root, chosen._keys, chosen.targets, self.replay_root)
