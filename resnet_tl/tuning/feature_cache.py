"""Keeping what the frozen prefix makes of the source, computed once: later epochs neither open nor decode any.

A data module takes part by `fixed_images(split)`, which are `CacheableImages`, `use_features(split, features)` and
`use_images()`, as those of `resnet_tl.data` do.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from resnet_tl.errors import DataError, RecipeError
from resnet_tl.files import atomic_create
from resnet_tl.structures.records import Batch, Features
from resnet_tl.tuning.feature_file import MAGIC, FeatureFile, Layout, fill, layout_of
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.prefix import Prefix, divisible

Say = Callable[[str], None]
DIGITS = 16
"""Of the hash in a file's name."""


class CacheableImages(Protocol):
    """The images of a split, in the order of their listing, as every epoch shows them."""

    name: str
    folder: Path

    def __len__(self) -> int: ...

    def key(self) -> str:
        """Says which files these are, what is in them, and what is done to them."""

    def batches(self, view: int) -> Iterable[Batch]:
        """All of them, each in its `view`-th fixed view."""


@dataclass(frozen=True)
class How:
    """In which way features are computed and kept.

    views: fixed ones of each image.
    wait: called after every batch, lets the other processes know that it goes on.
    """

    tuning: Tuning
    views: int
    precision: str
    device: torch.device
    computing: Callable[[], AbstractContextManager[Any]]
    wait: Callable[[], object]


def keep(trainer: Any, module: nn.Module, tuning: Tuning, epochs: int, say: Say) -> None:
    """Let the data module's loaders give features instead of images in a phase of `epochs`, where they can be kept.

    One process of a machine computes and writes them, the others wait.

    Raises:
        RecipeError: see `obstacle`.
    """
    data, networks = trainer.datamodule, divisible(module)
    release(trainer)
    if not any(isinstance(network.prefix, Prefix) for network in networks):
        return
    if reason := obstacle(tuning, module, data, networks, epochs):
        if tuning.cache != "off":
            say(f"features are not kept: {reason}")
        return
    splits = {"train": max(tuning.views, 1)}
    if trainer.enable_validation and getattr(module, "shows_images_once", True):
        splits["val"] = 1
    strategy, computing = trainer.strategy, trainer.precision_plugin.forward_context
    for split, views in splits.items():
        wait = partial(strategy.reduce_boolean_decision, True, all=False)
        how = How(tuning, views, trainer.precision, strategy.root_device, computing, wait)
        file = _kept(networks[0], data.fixed_images(split), how, trainer, say)
        if file is None:
            return
        data.use_features(split, file)


def release(trainer: Any) -> None:
    """Let the data module's loaders return images again."""
    if hasattr(trainer.datamodule, "use_images"):
        trainer.datamodule.use_images()


def _kept(network: Any, source: CacheableImages, how: How, trainer: Any, say: Say) -> FeatureFile | None:
    """The file with these features, computed first where it is not there; None after a warning where the disk has no
    room. Its name is a hash of all that they depend on, so that a change in any means another file."""
    reason = ""
    if trainer.local_rank == 0:
        path = _path(network, source, how)
        try:
            if not path.exists():
                _write(path, network, source, how, say)
        except OSError as error:
            reason = error.strerror or str(error)
        except DataError as error:
            reason = str(error)
        if reason:
            warnings.warn(f"features are not kept in {path.parent}: {reason}", stacklevel=2)
    # One answer a batch instead of a barrier: no process waits for another longer than processes are allowed to.
    while trainer.strategy.reduce_boolean_decision(False, all=False):
        pass
    path = _path(network, source, how)  # by the contents noted, in the other processes
    return FeatureFile(path) if path.exists() else None


def obstacle(tuning: Tuning, module: Any, data: Any, networks: list[Any], epochs: int) -> str | None:
    """Why features are not to be kept in a phase of `epochs`, in the middle of a sentence; None: they can be.

    Raises:
        RecipeError: they are wanted by `cache: on`, and something random stands before the network.
    """
    if tuning.cache == "off":
        return "tuning.cache is off"
    reason = _random_before(tuning, module, data)
    if len(networks) != 1 or not hasattr(data, "fixed_images"):
        reason = "it takes one network, and a data module that knows fixed images"
    if reason and tuning.cache == "on":
        raise RecipeError(f"tuning.cache is on, but {reason}")
    if reason is None and tuning.cache == "auto" and epochs <= max(tuning.views, 1):
        return "the phase is too short to gain from it"
    return reason


def _random_before(tuning: Tuning, module: Any, data: Any) -> str | None:
    if hasattr(module, "mixes") and (mixing := module.mixes()):
        return f"{mixing} blends the images of a batch"
    if hasattr(data, "composes") and (composing := data.composes()):
        return f"{composing} puts images together from several"
    if not tuning.views and hasattr(data, "augments") and (augmented := data.augments()):
        return f"{augmented} shows other images in every epoch (tuning.views: 4 would keep four fixed views of each)"
    return None


def _write(path: Path, network: Any, source: CacheableImages, how: How, say: Say) -> None:
    computed = _computed(network, source, how)
    first = next(computed)
    layout = layout_of(*first, how.views * len(source), views=how.views, half=how.tuning.cache_half)
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_room(path, layout, how.tuning.cache)
    times = f" in {how.views} views" if how.views > 1 else ""
    say(
        f"keeping what the stages up to {layout.after} make of {len(source):,} images{times}: "
        f"{_size(layout.nbytes)} in {path}"
    )
    others = [other for other in path.parent.glob(f"{path.stem[:-DIGITS]}*.features") if other != path]
    if others:
        size = _size(sum(other.stat().st_size for other in others))
        say(f"{path.parent} has other features of this name, {size} in {len(others)} files: delete what is outdated")
    with atomic_create(path) as file:
        fill(file, layout, chain([first], computed))


def _computed(network: Any, source: CacheableImages, how: How) -> Iterator[tuple[Features, Batch]]:
    for view in range(how.views):
        for batch in source.batches(view):
            moved = batch.to(how.device)
            with torch.no_grad(), how.computing():
                images = network.normalise(moved.images, _padded(moved))
                features = network.condense(network.prefix(images))
            yield features, batch
            how.wait()


def _padded(batch: Batch) -> Tensor | None:
    """The sizes without padding; None where nothing is padded."""
    height, width = batch.images.shape[-2:]  # type: ignore[union-attr]
    return batch.sizes if (batch.sizes != batch.sizes.new_tensor([height, width])).any() else None


def _path(network: Any, source: CacheableImages, how: How) -> Path:
    """Named by the split, the stage, and 16 hex digits of the prefix's weights, the source, and how they are computed
    and kept."""
    digest = hashlib.sha256()
    for name, tensor in network.prefix.state().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    stage = network.prefix.stage
    rest = [MAGIC.decode(), stage, network.condensed_after(stage), how.precision, how.tuning.cache_half, how.views]
    digest.update(json.dumps([*rest, source.key()]).encode())
    return source.folder / f"{source.name}-{stage}-{digest.hexdigest()[:DIGITS]}.features"


def _check_room(path: Path, layout: Layout, mode: str) -> None:
    free = shutil.disk_usage(path.parent).free
    if mode == "auto" and layout.nbytes > free // 2:
        raise OSError(0, f"{_size(layout.nbytes)} are more than half of the disk's room (tuning.cache: on takes it)")
    if layout.nbytes > free:
        raise OSError(0, f"{_size(layout.nbytes)} are more than the disk has room for")


def _size(nbytes: int) -> str:
    unit, of_it = next(((u, n) for u, n in (("GB", 1e9), ("MB", 1e6)) if nbytes >= n), ("kB", 1e3))
    return f"{nbytes / of_it:.1f} {unit}"
