"""Images with classes, and beside them in training images without."""

from __future__ import annotations

from itertools import chain
from typing import Annotated, Any, TypeAlias, cast

from annotated_types import Gt, Le
from torch.utils.data import DataLoader

from resnet_tl.data.images.classification_dataset import ClassificationDataset
from resnet_tl.data.images.companions import UnlabelledCompanions
from resnet_tl.data.images.dataset import ImageDataset, OnError
from resnet_tl.data.images.on_device import refuse
from resnet_tl.data.listings.listing import ClassSet, Listing
from resnet_tl.data.listings.recorded import SplitFiles
from resnet_tl.data.one_size import OneSizeData
from resnet_tl.data.sources.unlabelled import read_unlabelled
from resnet_tl.errors import RecipeError
from resnet_tl.ranges import checked
from resnet_tl.structures.records import Batch, Draw

Share: TypeAlias = Annotated[float, Gt(0), Le(16)]


@checked("data")
class SemiSupervisedData(OneSizeData[Listing]):
    """Images of which some may have no classes: a teacher's outputs (`tuning.teacher`) are their targets.

    Args:
        images: see `ImageData`.
        unlabelled: a folder or zip of images without labels, at any depth, for a run with a `tuning.teacher`: some are
            in each training batch, beside its own. Images to validate or test on are skipped.
        unlabelled_share: how many of them per image of the batch.
        options: of `OneSizeData`.
    """

    def __init__(
        self, images: ClassSet, *, unlabelled: str | None = None, unlabelled_share: Share = 1.0, **options: Any
    ) -> None:
        super().__init__(images, **options)
        self.unlabelled: Listing | None = None
        self.unlabelled_share = unlabelled_share
        if unlabelled is None and unlabelled_share != 1.0:
            raise RecipeError(
                f"data.unlabelled_share is {unlabelled_share:g}, but there is no data.unlabelled; expected its folder"
            )
        if unlabelled is not None:
            refuse(self.on_device, "data.unlabelled", "whose images the workers transform")
            evaluated = [self.listings[split] for split in ("val", "test") if split in self.listings]
            self.unlabelled, note = read_unlabelled(unlabelled, evaluated)
            self.notes.append(note)

    def split_files(self) -> dict[str, SplitFiles]:
        files = super().split_files()
        if self.unlabelled is not None:
            paths = dict(chain.from_iterable(map(self._files, self.unlabelled)))
            files["unlabelled"] = SplitFiles(self.unlabelled.digest([]), paths)
        return files

    def train_dataloader(self) -> DataLoader[Batch]:
        loader = super().train_dataloader()
        self._accompany(cast("ImageDataset[Any]", loader.dataset))
        return loader

    def training_batch(self) -> Batch:
        if self.unlabelled is None:
            return super().training_batch()
        listing = self._listing("train")
        dataset = self._dataset(listing, True, self._replacing)
        self._accompany(dataset)
        return self.collate(dataset.__getitems__([Draw(0, i) for i in range(min(self.batch_size, len(listing)))]))

    def _accompany(self, dataset: ImageDataset[Any]) -> None:
        """Puts unlabelled images into the batches of the training images, if there are any."""
        if self.unlabelled is not None:
            options: dict[str, Any] = {"on_error": self._replacing, "reduce": self.reduced_decoding}
            transform = self._training_transform()
            images = ClassificationDataset(self.unlabelled, transform, channels=self.channels, **options)
            self._opened.datasets.append(images)
            dataset.companions = UnlabelledCompanions(images, len(dataset), self.unlabelled_share, self.seed)

    @property
    def _replacing(self) -> OnError:
        return "error" if self.on_error == "error" else "replace"
