"""The loaders that a data module has opened, and what they share while it lives."""

from __future__ import annotations

from functools import partial
from weakref import ref

from resnet_tl.data.images.dataset import CachedFeatures, ImageDataset
from resnet_tl.data.loading.image_loader import ImageLoader
from resnet_tl.data.loading.train_loader import TrainLoader


class OpenedLoaders:
    """Knows which loaders are to return cached features, what could not be decoded, and the training loader.

    Attributes:
        features: in use for each split, in place of its images.
        datasets: of all loaders, also of those that are gone.
    """

    def __init__(self) -> None:
        self.features: dict[str, CachedFeatures] = {}
        self.datasets: list[ImageDataset] = []
        self._training: ref[TrainLoader] | None = None

    def __copy__(self) -> OpenedLoaders:
        twin = OpenedLoaders()
        twin.features, twin.datasets = self.features, list(self.datasets)
        return twin

    def add(self, loader: ImageLoader, split: str) -> None:
        loader.cached_features = partial(self._features_of, split)
        self.datasets.append(loader.dataset)
        if isinstance(loader, TrainLoader):
            self._training = ref(loader)  # in a cycle, torch would wait in vain for its workers to end

    @property
    def training(self) -> TrainLoader | None:
        """The last training loader, while anybody else holds it."""
        return None if self._training is None else self._training()

    def failures(self) -> list[str]:
        """Returns one sentence for each image that could not be decoded so far."""
        return sorted({sentence for dataset in self.datasets for sentence in dataset.failures()})

    def _features_of(self, split: str) -> CachedFeatures | None:
        return self.features.get(split)
