"""Images with targets of the whole image, resized and cropped to one size."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le

from resnet_tl.data.base import ImageData, OnError, check
from resnet_tl.data.images.augment import Strength
from resnet_tl.data.images.cache import CacheFormat, ImageCache, open_cache
from resnet_tl.data.images.classification_dataset import ClassificationDataset
from resnet_tl.data.images.listed_transforms import ListedTransforms
from resnet_tl.data.images.on_device import refuse, refuse_policy
from resnet_tl.data.images.transforms import Transform, evaluation_transform, training_transform
from resnet_tl.data.listings.listing import ImageSet, ListingT
from resnet_tl.data.loading.fixed_images import FixedImages
from resnet_tl.errors import RecipeError
from resnet_tl.ranges import Fraction, Pixels, checked
from resnet_tl.structures.records import Preprocessing


@checked("data")
class OneSizeData(ImageData[ListingT]):
    """Images with targets of the whole image, such as classes.

    Args:
        images: see `ImageData`.
        image_size: height and width in pixels of the network's input.
        augment: strength of the training transforms, or TrivialAugment (`trivial`) or RandAugment (`rand`);
            `train_transforms` replace them.
        erase: share (0...1) of the training images in which a random rectangle becomes noise (random erasing).
        crop: share of the short side that evaluation cuts from the centre; `eval_transforms` replace resize and crop.
        cache: `resized` stores decoded, resized images in one file in `cache_dir`.
        reduced_decoding: decode JPEGs at 1/2, 1/4 or 1/8 of their size where that is enough: faster, a little softer.
        crops: 10: evaluate on ten views of an image: the corners, the centre, and these mirrored.
        scales: short sides in pixels to evaluate at, each a view.
        options: of `ImageData`.
    """

    varying = ()

    def __init__(
        self,
        images: ImageSet[ListingT],
        *,
        image_size: Pixels = 224,
        augment: Strength = "light",
        erase: Fraction = 0.0,
        crop: Annotated[float, Ge(0.05), Le(1)] = 0.875,
        cache: Literal["off", "resized"] = "off",
        reduced_decoding: bool = False,
        crops: Literal[1, 10] = 1,
        scales: tuple[Pixels, ...] = (),
        **options: Any,
    ) -> None:
        super().__init__(images, **options)
        refuse_policy(self.on_device, augment)
        if erase:
            check(self.train_transforms is None, "data.train_transforms replace data.erase; list Erasing in them")
            check(augment != "none", "data.erase needs random images, but data.augment is none; remove one of them")
        if crops > 1 or scales:
            name = "crops" if crops > 1 else "scales"
            check(self.eval_transforms is None, f"data.eval_transforms replace data.{name}; remove one of the two")
        if cache == "resized":
            refuse(self.on_device, "data.cache: resized", "whose images are decoded", decoding=True)
        if reduced_decoding:
            refuse(self.on_device, "data.reduced_decoding", "which nvJPEG does not know", decoding=True)
        self.image_size, self.crop, self.augment, self.erase = image_size, crop, augment, erase
        self.crops, self.scales = crops, tuple(scales)
        self.reduced_decoding = reduced_decoding
        self.cache = cache
        self._cache: ImageCache | None = None
        self.training_size = image_size
        self.augmenting = True

    @abstractmethod
    def _dataset_of(self, listing: ListingT, transform: Transform, **options: Any) -> ClassificationDataset:
        """Returns the images of `listing` with their targets; `options`: of `ClassificationDataset`."""

    def evaluation_preprocessing(self, expected: Preprocessing) -> Preprocessing:
        return replace(expected, size=self.image_size, crop=self.crop, interpolation=self.interpolation)

    @staticmethod
    def options_of(preprocessing: Preprocessing) -> dict[str, Any]:
        return {**ImageData.options_of(preprocessing), "image_size": preprocessing.size, "crop": preprocessing.crop}

    def use_image_size(self, size: int | None) -> None:
        """Makes training images of `size` from the next epoch on; None: of `image_size`."""
        if (size or self.image_size) != self.training_size:
            self.training_size = size or self.image_size
            self._renew_training_images()

    def check_unaugmented(self, reader: str) -> None:
        """Raises RecipeError where `reader`, a setting, cannot have the training images as evaluation sees them."""
        refuse(self.on_device, reader, "whose images only workers resize")
        self._check_one_view(reader)

    def use_augmentation(self, augment: bool) -> None:
        """Makes training images augmented, or as evaluation sees them, from the next epoch on."""
        if augment != self.augmenting:
            self.augmenting = augment
            self._renew_training_images()

    def prepare_data(self) -> None:
        """Writes the image cache if it is on: Lightning calls this in one process per machine, before all others."""
        if self.cache == "resized" and self._cache is None:
            short = max(int(self.image_size / self.crop), *self.scales, 0)
            cache_format = CacheFormat(short, self.interpolation, self.channels)
            self._cache = open_cache(self.listings.values(), cache_format, self._cache_folder)

    def augments(self) -> str | None:
        """Returns the setting that makes training images differ between epochs, if any."""
        if not self.augmenting:
            return None
        if self.train_transforms is not None:
            return "data.train_transforms"
        return None if self.augment == "none" else f"data.augment: {self.augment}"

    def fixed_images(self, split: Literal["train", "val"], *, evaluated: bool = False) -> FixedImages:
        """Returns the images of a split; training images as they are `evaluated`, or in the views of training."""
        evaluated = evaluated or not self.augmenting
        if split == "train" and evaluated:
            self._check_one_view("a solver")
        of_training = ["augment", "erase", "training_size"]
        settings = of_training if split == "train" and not evaluated else ["crops", "scales"]
        names = ["image_size", "crop", "reduced_decoding", "cache", *settings]
        return self._fixed_images(split, names, evaluated=evaluated)

    def _check_one_view(self, reader: str) -> None:
        if self.crops > 1 or len(self.scales) > 1:
            name = "crops" if self.crops > 1 else "scales"
            raise RecipeError(
                f"data.{name} evaluates several views of an image, but {reader} takes one of each training image; omit "
                "it, and give it to `resnet-tl validate`, or set tuning.views"
            )

    def _dataset(self, listing: ListingT, training: bool, on_error: OnError) -> ClassificationDataset:
        return self._dataset_of(
            listing,
            self._training_transform() if training and self.augmenting else self._evaluation_transform(),
            channels=self.channels,
            seed=self.seed,
            on_error=on_error,
            reduce=self.reduced_decoding,
            cache=self._cache,
        )

    def _training_transform(self) -> Transform:
        if self.train_transforms is not None:
            return ListedTransforms(self.train_transforms, "data.train_transforms")
        return training_transform(self.augment, self.training_size, self.interpolation, self.erase)

    def _evaluation_transform(self) -> Transform:
        if self.eval_transforms is not None:
            return ListedTransforms(self.eval_transforms, "data.eval_transforms")
        return evaluation_transform(self.image_size, self.crop, self.interpolation, self.crops, self.scales)
