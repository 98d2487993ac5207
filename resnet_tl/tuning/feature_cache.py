"""Caching the frozen prefix's features of the training and validation images: computed once, read in later epochs.

A cached epoch neither opens nor decodes an image. What a data module needs for this is in `CachingData`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from resnet_tl.errors import DataError, RecipeError, RunError
from resnet_tl.files import atomic_create
from resnet_tl.structures.records import Batch, Features
from resnet_tl.tuning.feature_file import MAGIC, FeatureFile, Layout, fill, layout_of
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.prefix import Prefix, networks_in
from resnet_tl.tuning.regularisers.teaching import Teaching, teaching_of

if TYPE_CHECKING:
    from resnet_tl.tuning.protocols import CacheableImages, CachingData, Network, Trainer

Report = Callable[[str], None]
DIGITS = 16
"""Of the hash in a file's name."""


@dataclass(frozen=True)
class Computation:
    """How features are computed.

    Args:
        tuning: its `cache` and `cache_half`.
        views: number of fixed views of each image.
        precision: the Trainer's.
        device: to compute on.
        autocast: returns the context of a forward pass.
        heartbeat: called after every batch, so that waiting ranks do not time out.
        evaluated: for validation, which sees images without padding.
        teaching: its outputs are cached, too; None: there is none.
    """

    tuning: Tuning
    views: int
    precision: str
    device: torch.device
    autocast: Callable[[], AbstractContextManager[Any]]
    heartbeat: Callable[[], object]
    evaluated: bool
    teaching: Teaching | None


def enable(
    trainer: Trainer, data: object, module: nn.Module, tuning: Tuning, epochs: int, report: Report, *, solves: bool
) -> None:
    """Makes the data module's loaders return features in place of images in a phase of `epochs`, where possible.

    One rank of each machine computes and writes them, the others wait.

    Args:
        solves: a solver needs the features, whatever changes the images in other phases: see `solver_images`.

    Raises:
        RecipeError: see `obstacle`; or what a solver needs is impossible.
        RunError: it cannot be written.
    """
    teaching = teaching_of(module)
    cached = _enable(trainer, data, module, tuning, epochs, report, teaching, solves=solves)
    if teaching is not None and not solves:
        report(teaching.line(cached))


def _enable(
    trainer: Trainer,
    data: object,
    module: nn.Module,
    tuning: Tuning,
    epochs: int,
    report: Report,
    teaching: Teaching | None,
    *,
    solves: bool,
) -> bool:
    """Returns whether the loaders return features."""
    networks = networks_in(module)
    disable(data)
    if not any(isinstance(network.prefix, Prefix) for network in networks):
        return False
    reason = obstacle(tuning, module, data, networks, epochs, solves=solves)
    if reason is None and trainer.precision == "64-true":
        reason = (
            "trainer.precision is 64-true, for which Lightning copies what is in a batch, and it cannot copy features"
        )
    if reason is not None:
        if solves:
            raise RecipeError(f"a phase has a solver, which reads cached features, but {reason}")
        if tuning.cache != "off":
            report(f"features are not cached: {reason}")
        return False
    caching = cast("CachingData", data)
    views: dict[Literal["train", "val"], int] = {"train": max(tuning.views, 1)}
    if trainer.enable_validation and getattr(module, "validates_each_image_once", True):
        views["val"] = 1
    strategy, autocast = trainer.strategy, trainer.precision_plugin.forward_context
    heartbeat = partial(strategy.reduce_boolean_decision, True, all=False)
    for split, count in views.items():
        taught = teaching if split == "train" and teaching is not None and teaching.needed and not solves else None
        computation = Computation(
            tuning, count, trainer.precision, strategy.root_device, autocast, heartbeat, split == "val", taught
        )
        images = solver_images(caching, tuning) if solves and split == "train" else caching.fixed_images(split)
        file = _cached_file(networks[0], images, computation, trainer, report)
        if file is None:
            if solves and split == "train":
                raise RunError("a phase has a solver, which reads cached features, but they cannot be written")
            return split == "val"  # training images have theirs then
        caching.use_features(split, file)
    return True


def solver_images(data: CachingData, tuning: Tuning) -> CacheableImages:
    """Returns the training images that a head is solved on: in `tuning.views`, or without these as in evaluation."""
    return data.fixed_images("train", evaluated=True) if tuning.views == 0 else data.fixed_images("train")


def disable(data: object) -> None:
    """Makes the data module's loaders return images again."""
    if hasattr(data, "use_images"):
        data.use_images()


def obstacle(
    tuning: Tuning, module: nn.Module, data: object, networks: list[Network], epochs: int, *, solves: bool = False
) -> str | None:
    """Returns why features are not cached in a phase of `epochs`, as the end of a sentence; None if they can be.

    solves: neither what is random in training nor a short phase is an obstacle.

    Raises:
        RecipeError: with `cache: on`, if something random precedes the network.
    """
    if tuning.cache == "off":
        return "tuning.cache is off; expected auto or on"
    reason = None if solves else _random_before(tuning, module, data)
    reads_images: Callable[[], str | None] = getattr(module, "reads_images", lambda: None)
    if reading := reads_images():
        reason = f"{reading} runs another network on the images, too"
    if len(networks) != 1 or not all(hasattr(data, name) for name in ("fixed_images", "use_features", "use_images")):
        reason = "it takes one network, and a data module with fixed_images"
    if reason and tuning.cache == "on":
        raise RecipeError(f"tuning.cache is on, but {reason}")
    if reason is None and tuning.cache == "auto" and epochs <= max(tuning.views, 1) and not solves:
        return "the phase is too short to gain from it"
    return reason


def _random_before(tuning: Tuning, module: object, data: object) -> str | None:
    if hasattr(module, "mixes") and (mixing := module.mixes()):
        return f"{mixing} blends the images of a batch"
    if hasattr(data, "composes") and (composing := data.composes()):
        return f"{composing} composes images of several"
    if getattr(data, "unlabelled", None) is not None:
        return "data.unlabelled puts other images beside those of each batch"
    if not tuning.views and hasattr(data, "augments") and (augmenting := data.augments()):
        return f"{augmenting} changes the images in every epoch (tuning.views: 4 would cache four fixed views of each)"
    return None


def _cached_file(
    network: Network, images: CacheableImages, computation: Computation, trainer: Trainer, report: Report
) -> FeatureFile | None:
    """Returns the file with these features, computed first if it does not exist; None, after a warning, if it
    cannot be written.

    Its name contains a hash of everything that the features depend on, so that any change leads to another file.
    """
    reason = ""
    if trainer.local_rank == 0:
        path = _path(network, images, computation)
        try:
            if not path.exists():
                _write(path, network, images, computation, report)
        except OSError as error:
            reason = error.strerror or str(error)
        except DataError as error:
            reason = str(error)
        if reason:
            warnings.warn(f"features are not cached in {path.parent}: {reason}", stacklevel=2)
    # One decision per batch instead of a barrier, which would time out: False means that this rank is done.
    while trainer.strategy.reduce_boolean_decision(False, all=False):
        pass
    path = _path(network, images, computation)  # in the other ranks by the digests of the images that rank 0 has noted
    return FeatureFile(path) if path.exists() else None


def _write(path: Path, network: Network, images: CacheableImages, computation: Computation, report: Report) -> None:
    computed = _compute(network, images, computation)
    first = next(computed)
    half, views = computation.tuning.cache_half, computation.views
    layout = layout_of(*first, views * len(images), views=views, half=half)
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_disk(path, layout, computation.tuning.cache)
    in_views = f" in {views} views" if views > 1 else ""
    taught = "" if computation.teaching is None else ", and the teacher's outputs"
    report(
        f"caching the features of {len(images):,} images{in_views} after stage {layout.after}{taught}: "
        f"{_size(layout.nbytes)} in {path}"
    )
    others = [other for other in path.parent.glob(f"{path.stem[:-DIGITS]}*.features") if other != path]
    if others:
        size = _size(sum(other.stat().st_size for other in others))
        report(f"{path.parent} has other features of this name, {size} in {len(others)} files: delete outdated ones")
    with atomic_create(path) as file:
        fill(file, layout, chain([first], computed))


def _compute(network: Network, images: CacheableImages, computation: Computation) -> Iterator[tuple[Features, Batch]]:
    assert network.prefix is not None
    for view in range(computation.views):
        for batch in images.batches(view):
            moved = batch.to(computation.device)
            assert isinstance(moved.images, Tensor)
            pixels = _without_padding(moved, moved.images) if computation.evaluated else moved.images
            with torch.no_grad(), computation.autocast():
                normalised = network.normalise(pixels, _padded_sizes(moved, pixels))
                features = network.condense(network.prefix(normalised))
                if computation.teaching is not None:
                    features = replace(features, maps={**features.maps, **computation.teaching.maps(normalised)})
            yield features, batch
            computation.heartbeat()


def _without_padding(batch: Batch, images: Tensor) -> Tensor:
    """Returns `[N, C, h, w]`. Raises DataError if the images have several sizes."""
    sizes = batch.sizes.unique(dim=0).tolist()
    if len(sizes) > 1:
        raise DataError(f"validation images of different sizes: {sizes[0]} and {sizes[1]} (height, width)")
    height, width = sizes[0]
    return images[..., :height, :width].contiguous(memory_format=torch.channels_last)


def _padded_sizes(batch: Batch, images: Tensor) -> Tensor | None:
    """Returns the sizes without padding `[N, 2]`; None if nothing is padded."""
    height, width = images.shape[-2:]
    return batch.sizes if (batch.sizes != batch.sizes.new_tensor([height, width])).any() else None


def _path(network: Network, images: CacheableImages, computation: Computation) -> Path:
    """Returns a path named by the split, the stage, and 16 hex digits of a hash of the prefix's weights, the images,
    and how their features are computed and stored."""
    assert isinstance(network.prefix, Prefix)
    digest = hashlib.sha256()
    for name, tensor in network.prefix.state().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    stage, half = network.prefix.stage, computation.tuning.cache_half
    evaluated = ["without padding"] if computation.evaluated else []
    precision = ["prefix in bf16"] if network.prefix.bf16 else []
    settings = [
        MAGIC.decode(),
        *evaluated,
        *precision,
        stage,
        network.condensed_after(stage),
        computation.precision,
        half,
        computation.views,
        *([] if computation.teaching is None else [computation.teaching.key]),
    ]
    digest.update(json.dumps([*settings, images.key()]).encode())
    return images.folder / f"{images.name}-{stage}-{digest.hexdigest()[:DIGITS]}.features"


def _check_disk(path: Path, layout: Layout, mode: str) -> None:
    free = shutil.disk_usage(path.parent).free
    if mode == "auto" and layout.nbytes > free // 2:
        raise OSError(0, f"{_size(layout.nbytes)} are more than half of the free disk space (tuning.cache: on uses it)")
    if layout.nbytes > free:
        raise OSError(0, f"{_size(layout.nbytes)} are more than the free disk space")


def _size(nbytes: int) -> str:
    unit, factor = next(((u, n) for u, n in (("GB", 1e9), ("MB", 1e6)) if nbytes >= n), ("kB", 1e3))
    return f"{nbytes / factor:.1f} {unit}"
