"""Keeping what the frozen prefix makes of the pictures, computed once: later epochs neither open nor decode any.

What a data module must offer for it is `FixedPictures` by split, and `features`, from which its loaders take batches;
`resnet_tl.data.modules` does.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from resnet_tl.errors import DataError, RecipeError
from resnet_tl.files import adding
from resnet_tl.records import Batch, Features
from resnet_tl.tuning.feature_file import MAGIC, FeatureFile, Layout, fill, layout_of
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.prefix import Prefix, divisible

Say = Callable[[str], None]


class FixedPictures(Protocol):
    """The pictures of a split, in the order of their listing, as every epoch shows them."""

    folder: Path

    def __len__(self) -> int: ...

    def key(self) -> str:
        """Says which files these are, what is in them, and what is done to them."""

    def batches(self, view: int) -> Iterable[Batch]:
        """All of them, each in its `view`-th fixed view."""


@dataclass(frozen=True)
class How:
    """In which way features are computed and kept; `views`: fixed ones of each picture."""

    tuning: Tuning
    views: int
    precision: str
    device: torch.device
    computing: Callable[[], AbstractContextManager[Any]]


def keep(trainer: Any, module: nn.Module, tuning: Tuning, epochs: int, say: Say) -> None:
    """Let the data module's loaders give features instead of pictures in a phase of `epochs`, where they can be kept.

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
    splits = {"train": max(tuning.views, 1), **({"val": 1} if trainer.enable_validation else {})}
    plugin = trainer.precision_plugin
    for split, views in splits.items():
        how = How(tuning, views, trainer.precision, trainer.strategy.root_device, plugin.forward_context)
        file = _kept(networks[0], data.fixed_pictures(split), how, trainer, say)
        if file is None:
            return
        data.features[split] = file


def release(trainer: Any) -> None:
    """Pictures again."""
    getattr(trainer.datamodule, "features", {}).clear()


def _kept(network: Any, pictures: FixedPictures, how: How, trainer: Any, say: Say) -> FeatureFile | None:
    """The file with these features, computed first where it is not there; None after a warning where the disk has no
    room. Its name is a hash of all that they depend on, so that a change in any means another file."""
    reason = ""
    if trainer.local_rank == 0:
        path = pictures.folder / f"{_key(network, pictures, how)}.features"
        try:
            if not path.exists():
                _write(path, network, pictures, how, say)
        except OSError as error:
            reason = error.strerror or str(error)
        except DataError as error:
            reason = str(error)
        if reason:
            warnings.warn(f"features are not kept in {path.parent}: {reason}", stacklevel=2)
    trainer.strategy.barrier("features")
    path = pictures.folder / f"{_key(network, pictures, how)}.features"  # by the contents noted, in the other processes
    return FeatureFile(path) if path.exists() else None


def obstacle(tuning: Tuning, module: Any, data: Any, networks: list[Any], epochs: int) -> str | None:
    """Why features are not to be kept in a phase of `epochs`, in the middle of a sentence; None: they can be.

    Raises:
        RecipeError: they are wanted by `cache: on`, and something random stands before the network.
    """
    if tuning.cache == "off":
        return "tuning.cache is off"
    reason = _random_before(tuning, module, data)
    if len(networks) != 1 or not hasattr(data, "fixed_pictures"):
        reason = "it takes one network, and a data module that knows fixed pictures"
    if reason and tuning.cache == "on":
        raise RecipeError(f"tuning.cache is on, but {reason}")
    if reason is None and tuning.cache == "auto" and epochs <= max(tuning.views, 1):
        return "the phase is too short to gain from it"
    return reason


def _random_before(tuning: Tuning, module: Any, data: Any) -> str | None:
    if hasattr(module, "mixes") and (mixing := module.mixes()):
        return f"{mixing} blends the pictures of a batch"
    if not tuning.views and hasattr(data, "augments") and (augmented := data.augments()):
        return f"{augmented} shows other pictures in every epoch (tuning.views: 4 would keep four fixed views of each)"
    return None


def _write(path: Path, network: Any, pictures: FixedPictures, how: How, say: Say) -> None:
    computed = _computed(network, pictures, how)
    first = next(computed)
    layout = layout_of(first[0], len(first[1]), how.views * len(pictures), how.views, how.tuning.cache_half)
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_room(path, layout, how.tuning.cache)
    times = f" in {how.views} views" if how.views > 1 else ""
    say(
        f"keeping what the stages up to {layout.after} make of {len(pictures):,} pictures{times}: "
        f"{_size(layout.nbytes)} in {path}"
    )
    with adding(path) as file:
        fill(file, layout, chain([first], computed))


def _computed(network: Any, pictures: FixedPictures, how: How) -> Iterator[tuple[Features, Batch]]:
    for view in range(how.views):
        for batch in pictures.batches(view):
            with torch.no_grad(), how.computing():
                images = network.normalise(batch.to(how.device).images)
                yield network.condense(network.prefix(images)), batch


def _key(network: Any, pictures: FixedPictures, how: How) -> str:
    """16 hex digits: of the prefix's weights, the pictures, and how they are computed and kept."""
    digest = hashlib.sha256()
    for name, tensor in network.prefix.state().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    stage = network.prefix.stage
    rest = [MAGIC.decode(), stage, network.condensed_behind(stage), how.precision, how.tuning.cache_half, how.views]
    digest.update(json.dumps([*rest, pictures.key()]).encode())
    return digest.hexdigest()[:16]


def _check_room(path: Path, layout: Layout, mode: str) -> None:
    free = shutil.disk_usage(path.parent).free
    if mode == "auto" and layout.nbytes > free // 2:
        raise OSError(0, f"{_size(layout.nbytes)} are more than half of the disk's room (tuning.cache: on takes it)")
    if layout.nbytes > free:
        raise OSError(0, f"{_size(layout.nbytes)} are more than the disk has room for")


def _size(nbytes: int) -> str:
    unit, of_it = next(((u, n) for u, n in (("GB", 1e9), ("MB", 1e6)) if nbytes >= n), ("kB", 1e3))
    return f"{nbytes / of_it:.1f} {unit}"
