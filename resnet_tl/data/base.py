"""The base of all data modules: images listed by a source, as batches for training, validation and test."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Generic, Literal

import lightning as L
import numpy as np
import torch
from annotated_types import Ge, Le
from torch.utils.data import DataLoader

from resnet_tl.data.images.bit_depth import Bits
from resnet_tl.data.images.cache import cache_folder
from resnet_tl.data.images.dataset import CachedFeatures, ImageDataset, Item, OnError
from resnet_tl.data.images.device_decode import check_decoder
from resnet_tl.data.images.on_device import check_accelerator, refuse, work_on_device
from resnet_tl.data.images.resize import Interpolation
from resnet_tl.data.listings.listing import ImageSet, ListingT
from resnet_tl.data.listings.recorded import SplitFiles
from resnet_tl.data.listings.selection import select_images
from resnet_tl.data.listings.splits import write_split
from resnet_tl.data.loading.collate import collate
from resnet_tl.data.loading.fixed_images import FixedImages
from resnet_tl.data.loading.image_loader import ImageLoader
from resnet_tl.data.loading.opened import OpenedLoaders
from resnet_tl.data.loading.place import place_of
from resnet_tl.data.loading.prefetch import SideStream
from resnet_tl.data.loading.samplers import EvaluationSampler, TrainSampler
from resnet_tl.data.loading.shared_memory import SharedMemoryCollate
from resnet_tl.data.loading.train_loader import TrainLoader
from resnet_tl.data.loading.unreadable import all_unreadable
from resnet_tl.data.loading.worker import init_worker
from resnet_tl.errors import DataError, RecipeError
from resnet_tl.ranges import ImageChannels, NonNegativeInt, PositiveFraction, PositiveInt, Seed, checked
from resnet_tl.structures.records import Batch, Draw, Preprocessing, Sample


@checked("data")
class ImageData(L.LightningDataModule, ABC, Generic[ListingT]):
    """Listed images as batches for training, validation and test. Nothing is decoded before a loader is iterated.

    Args:
        images: what a source found. Without a `val` split (or with `folds`) its `train` is split.
        batch_size: images per step and device; `auto` in a recipe keeps the number that it replaces, and the global
            batch with it, in the largest `trainer.micro_batch` that fits into memory.
        num_workers: processes that decode; 0: the main process. The images are the same for any number.
        train_transforms: custom training transforms, `[{class_path: HorizontalFlip, init_args: {p: 0.5}}]`.
        eval_transforms: custom evaluation transforms.
        interpolation: of every resize.
        channels: of the decoded images: 1 grey, 3 RGB, or as many as the files have.
        val_fraction: share of every class to validate on where the source has no `val` split; 1: all of it.
        folds: number of folds to split the training (and, if any, validation) images into, in place of `val_fraction`.
        fold: the fold to validate on, counted from 0.
        group: keeps what belongs together (a patient, a video, a burst) in one split: `parent` for images of one
            folder, the heading of a table's column, or a regular expression over the path below the root, whose part
            in parentheses names the group.
        exclude: a CSV with a column `key`: paths below the root of images to skip, as `data check --write` and
            `data suspects --write` write it.
        shots: train on a few images only: on so many of each class, chosen by `seed`. Where images show any number of
            classes: on images so that at least so many show each class.
        repeats: repeated augmentation: how often each image is in its batch, with different draws. An epoch stays as
            long, so it shows only every n-th image; the next epochs show the others.
        on_error: what to do with an image that cannot be decoded: end the run, or skip it and list it in `skipped()`
            (in training the next image replaces it).
        seed: of split, order and augmentation; None: the run's (`seed_everything`), or 0.
        multiprocessing: how workers start; None: Python's default.
        decode: where JPEGs are decoded for training; gpu: on an NVIDIA GPU, by nvJPEG, and other images by the workers.
            Needs `augment_on: device`.
        augment_on: where training images are cropped, resized and augmented: by the workers, or on the run's device,
            with the same draws. Evaluation and cached features are the workers' always.
        cache_dir: folder of cached features (`tuning.cache`) and resized images; None: `~/.cache/resnet_tl`.
        pin_memory: load batches into pinned memory, from which copies to a GPU need not be waited for; `auto`: with a
            Trainer on CUDA.
    """

    varying: tuple[Literal["train", "val"], ...] = ("train", "val")
    """Splits whose batches differ in height and width."""
    prefetch = True
    """Whether batches are copied to a GPU ahead of their turn."""
    most_bits: Bits = 16
    """Of an image; an exported network takes 8."""
    collate: Callable[[Sequence[Item]], Batch] = staticmethod(collate)

    def __init__(
        self,
        images: ImageSet[ListingT],
        *,
        batch_size: Annotated[int, Ge(1), Le(65536)] | Literal["auto"] = 32,
        num_workers: Annotated[int, Ge(0), Le(1024)] = 2,
        train_transforms: list[dict[str, Any]] | None = None,
        eval_transforms: list[dict[str, Any]] | None = None,
        interpolation: Interpolation = "bilinear",
        channels: ImageChannels = 3,
        val_fraction: PositiveFraction = 0.2,
        folds: Annotated[int, Ge(2)] | None = None,
        fold: NonNegativeInt = 0,
        group: str | None = None,
        exclude: str | None = None,
        shots: PositiveInt | None = None,
        repeats: Annotated[int, Ge(1), Le(64)] = 1,
        on_error: Literal["error", "skip"] = "error",
        seed: Seed | None = None,
        multiprocessing: Literal["fork", "spawn"] | None = None,
        decode: Literal["cpu", "gpu"] = "cpu",
        augment_on: Literal["cpu", "device"] = "cpu",
        cache_dir: str | None = None,
        pin_memory: Literal["auto"] | bool = "auto",
    ) -> None:
        super().__init__()
        self.on_device = work_on_device(decode, augment_on, channels)
        if train_transforms is not None:
            refuse(self.on_device, "data.train_transforms", "which only workers apply")
        if on_error == "skip":
            refuse(self.on_device, "data.on_error: skip", "which replaces images in the workers", decoding=True)
        self.classes = images.classes
        self.channels, self.interpolation = channels, interpolation
        if batch_size == "auto":
            raise RecipeError("data.batch_size is auto, which only a recipe can be; expected a number")
        self.batch_size, self.num_workers, self.multiprocessing = batch_size, num_workers, multiprocessing
        self.evaluation_batch_size = batch_size
        """Images at a time where there is no backward pass."""
        self.train_transforms, self.eval_transforms, self.on_error = train_transforms, eval_transforms, on_error
        self.pin_memory, self.repeats, self.shots, self.group = pin_memory, repeats, shots, group
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", 0)) if seed is None else seed
        self.root, self.cache_dir = images.root, cache_dir
        selected = select_images(
            images,
            exclude=exclude,
            fraction=val_fraction,
            folds=folds,
            fold=fold,
            group=group,
            shots=shots,
            seed=self.seed,
        )
        self.images = selected.images
        """What the source found, in its own splits."""
        self.absent = selected.absent
        """Indices of the classes that no split shows: those of a checkpoint that is evaluated on another set."""
        self.listings = selected.listings
        """The images to train on, validate on and test on: those of `train`, `val` and `test` that exist."""
        self.notes, self.remarks = selected.notes, selected.remarks
        """Sentences about what was skipped or assumed, and what they count one by one."""
        self._opened = OpenedLoaders()

    def __copy__(self) -> ImageData[ListingT]:
        """Returns a data module of the same images and settings, whose loaders are its own."""
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self), _opened=copy(self._opened))
        return twin

    @abstractmethod
    def evaluation_preprocessing(self, expected: Preprocessing) -> Preprocessing:
        """Returns how evaluation resizes and crops images; mean and std are those of `expected`, the weights' own."""

    @staticmethod
    def options_of(preprocessing: Preprocessing) -> dict[str, Any]:
        """Returns the options by which evaluation resizes and crops images so: the inverse of
        `evaluation_preprocessing`."""
        return {"interpolation": preprocessing.interpolation}

    @abstractmethod
    def class_counts(self) -> np.ndarray:
        """Returns how many training images, objects or pixels each class has: `[K]` int64."""

    @abstractmethod
    def _dataset(self, listing: ListingT, training: bool, on_error: OnError) -> ImageDataset:
        """Returns the images of `listing`, transformed for training or for evaluation."""

    def _weights(self, listing: ListingT) -> np.ndarray | None:
        """Returns the sampling weight of each training image, `[N]`; None: each is drawn once per epoch."""
        return None

    def _groups(self, listing: ListingT) -> np.ndarray | None:
        """Returns the group of each training image, `[N]`, where a batch should hold images of one group; None: any."""
        return None

    def _evaluation_order(self, listing: ListingT) -> np.ndarray | None:
        """Returns the order `[N]` in which evaluation draws the images; None: that of the listing."""
        return None

    def paths_of(self, indices: Iterable[int]) -> list[str]:
        """Returns the files of training samples, by a batch's `indices`."""
        return [self._listing("train")[index].path for index in indices]

    def write_split(self, path: str | Path) -> None:
        """Writes which image is in which split as a CSV: key, class, split."""
        write_split(path, self.listings, self.classes)

    def split_files(self) -> dict[str, SplitFiles]:
        """Returns the files and labels of each split, by which a resumed run knows its data."""
        return {
            split: SplitFiles(listing.digest(self.classes), dict(chain.from_iterable(map(self._files, listing))))
            for split, listing in self.listings.items()
        }

    def skipped(self) -> list[str]:
        """Returns one sentence for each image that could not be decoded so far, with `on_error: skip`."""
        return self._opened.failures()

    def use_features(self, split: Literal["train", "val"], features: CachedFeatures) -> None:
        """Makes the loaders of `split` return these features in place of images, from their next epoch on."""
        self._opened.features = {**self._opened.features, split: features}

    def use_images(self) -> None:
        """Makes all loaders return images again, from their next epoch on."""
        self._opened.features = {}

    def cached_features(self, split: str) -> CachedFeatures | None:
        """Returns the features in use for `split`; None where images are."""
        return self._opened.features.get(split)

    def setup(self, stage: str) -> None:
        if stage == "fit" and self.trainer is not None:
            device = self.trainer.strategy.root_device
            check_accelerator(self.on_device, device.type)
            if self.on_device == "decoding and transforms":
                check_decoder(device)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        # Lightning would wait for the copy of what is not a plain tensor.
        return batch.to(device, non_blocking=device.type == "cuda")

    def train_dataloader(self) -> DataLoader[Batch]:
        """Returns this rank's training batches; with `augment_on: device`, a Trainer's become images on its device."""
        listing, place = self._listing("train"), place_of(self.trainer)
        sampler = TrainSampler(
            len(listing),
            seed=self.seed,
            batch_size=self.batch_size,
            ranks=place.ranks,
            rank=place.rank,
            weights=self._weights(listing),
            groups=self._groups(listing),
            repeats=self.repeats,
        )
        if self.trainer is not None:
            # When a run resumes after its first epoch, workers fetch ahead before Lightning calls set_epoch.
            sampler.set_epoch(self.trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]
        loader = self._loader(listing, True, sampler, split="train", loader_class=TrainLoader)
        if self.trainer is not None:
            loader.dataset.on_device = self.on_device
        return loader

    def training_batch(self) -> Batch:
        """Returns a batch of training images, read here: no loader and no generator moves."""
        listing = self._listing("train")
        dataset = self._dataset(listing, True, "error" if self.on_error == "error" else "replace")
        return self.collate([dataset[Draw(0, index)] for index in range(min(self.batch_size, len(listing)))])

    def trained(self) -> ListingT:
        """Returns the images that training uses."""
        return self._listing("train")

    def evaluated(self, split: Literal["val", "test"]) -> ListingT:
        """Returns the images that validation or test uses: the other split where this one does not exist."""
        return self._listing(*(("val", "test") if split == "val" else ("test", "val")))

    def evaluation_batch(self, split: Literal["val", "test"], index: int) -> Batch:
        """Returns the image at `index` of `evaluated(split)` as evaluation sees it.

        Raises:
            DataError: it cannot be read.
        """
        return self.collate([self._dataset(self.evaluated(split), False, "error")[Draw(0, index)]])

    def evaluation_batches(self, listing: ListingT) -> DataLoader[Batch]:
        """Returns the images of a listing, training images too, as evaluation sees them."""
        return self._evaluation_loader(listing)

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._evaluation_loader(self.evaluated("val"), "val")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._evaluation_loader(self.evaluated("test"))

    def predict_dataloader(self) -> DataLoader[Batch]:
        return self.test_dataloader()

    def _renew_training_images(self) -> None:
        """Makes the training loader return what `_dataset` makes of images now, from its next epoch on."""
        if (loader := self._opened.training) is not None:
            loader.renew(self._dataset(self._listing("train"), True, "error"))

    def _listing(self, *candidates: str) -> ListingT:
        """Returns the first of these splits that exists."""
        for split in candidates:
            if split in self.listings:
                return self.listings[split]
        raise DataError(
            f"{self.root} has no images in a split {' or '.join(candidates)}; it has {', '.join(self.listings)} only"
        )

    def _fixed_images(
        self, split: str, settings: Iterable[str], *, evaluated: bool = False, **more: Any
    ) -> FixedImages:
        """Returns the images of the split `train` or `val` in listing order; their n-th view is that of the n-th epoch,
        or, if they are `evaluated`, evaluation's.

        `settings` (names of attributes) and `more` are what their pixels and targets depend on.
        """
        training = split == "train" and not evaluated
        listing = self._listing("train") if split == "train" else self.evaluated("val")

        def batches(view: int) -> DataLoader[Batch]:
            return self._loader(listing, training, EvaluationSampler(len(listing), epoch=view), split=split)

        names = ["interpolation", "channels", "on_error", *settings]
        names += ["seed", "train_transforms"] if training else ["eval_transforms"]
        processing = {"split": split, **more, **{name: getattr(self, name) for name in names}}
        files = dict(chain.from_iterable(map(self._files, listing)))
        name = f"{Path(self.root).stem}-{split}"
        return FixedImages(name, len(listing), files, processing, batches, self._cache_folder)

    def _files(self, sample: Sample) -> Iterator[tuple[str, str]]:
        """Yields a stable key and the path of every file of a sample."""
        yield sample.key, sample.path

    @property
    def _cache_folder(self) -> Path:
        return cache_folder(self.cache_dir)

    def _evaluation_loader(self, listing: ListingT, split: str = "") -> DataLoader[Batch]:
        place, order = place_of(self.trainer), self._evaluation_order(listing)
        sampler = EvaluationSampler(len(listing), ranks=place.ranks, rank=place.rank, order=order)
        return self._loader(listing, False, sampler, split=split)

    def _loader(
        self,
        listing: ListingT,
        training: bool,
        sampler: Iterable[Draw],
        *,
        split: str = "",
        loader_class: type[ImageLoader] = ImageLoader,
    ) -> ImageLoader:
        gpu = place_of(self.trainer).gpu
        self.prepare_data()
        fallback: OnError = "replace" if split == "train" else "skip"
        dataset = self._dataset(listing, training, fallback if self.on_error == "skip" else "error")
        dataset.most_bits = self.most_bits
        loader = loader_class(
            dataset,  # type: ignore[arg-type]  # torch's stubs take a loader's type from its dataset's items
            batch_size=self.batch_size if isinstance(sampler, TrainSampler) else self.evaluation_batch_size,
            sampler=sampler,  # type: ignore[arg-type]
            collate_fn=SharedMemoryCollate(self.collate),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            worker_init_fn=init_worker,
            multiprocessing_context=self.multiprocessing if self.num_workers else None,
            pin_memory=gpu is not None if self.pin_memory == "auto" else self.pin_memory and torch.cuda.is_available(),
            # A separate generator: starting an iterator must not advance the one that mixup and dropout use.
            generator=torch.Generator().manual_seed(self.seed),
        )
        loader.all_of_its_kind = self._all_unreadable
        if gpu is not None and self.prefetch:
            loader.transfer = SideStream(gpu)
        self._opened.add(loader, split)
        return loader

    def _all_unreadable(self, first: DataError) -> DataError:
        """Returns an error about all images of all splits that cannot be read, in place of that about the first."""
        datasets = [self._dataset(listing, False, "error") for listing in self.listings.values()]
        return all_unreadable(self.root, datasets, first)


def check(holds: bool, otherwise: str) -> None:
    """Raises RecipeError(otherwise) unless `holds`."""
    if not holds:
        raise RecipeError(otherwise)
