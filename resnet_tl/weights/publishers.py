"""Weights published by torchvision and timm. Each library is imported only when a name needs it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch

from resnet_tl.errors import WeightsError, did_you_mean
from resnet_tl.files import as_run_error
from resnet_tl.structures.records import Preprocessing
from resnet_tl.weights.detectors import NORM_EPS
from resnet_tl.weights.records import WeightRecord

SCORES = ("acc@1", "box_map", "mask_map", "miou")
"""The published scores of torchvision that appear in records."""

HUB = "hf://"
"""Before `USER/NAME`, a model on the Hugging Face hub."""

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""File names of timm's weights on the hub, the preferred form first."""


def torchvision_file(name: str) -> tuple[Path, WeightRecord]:
    """Returns the file of `resnet50.IMAGENET1K_V2` in torch's cache, downloaded if necessary, and its record.

    Without a tag, uses torchvision's default for the model.
    """
    from torchvision.models import get_model_weights, list_models

    model, _, tag = name.partition(".")
    if model not in list_models():
        raise WeightsError(f"torchvision has no model {model!r}{did_you_mean(model, list_models())}")
    published = get_model_weights(model)
    if tag and tag not in published.__members__:
        raise WeightsError(f"torchvision's {model} has no weights {tag!r}, only {', '.join(published.__members__)}")
    weights = published[tag or "DEFAULT"]
    path = Path(torch.hub.get_dir(), "checkpoints", os.path.basename(urlparse(weights.url).path))
    sha256 = path.stem.rpartition("-")[2]  # its first digits
    if not path.exists():
        download(weights.url, path, sha256)
    return path, replace(_torchvision_record(f"torchvision/{model}.{weights.name}", weights), sha256=sha256)


def timm_file(name: str) -> tuple[Path, WeightRecord]:
    """Returns the file of `resnet50.a1_in1k` in huggingface_hub's cache, downloaded if necessary, and its record.

    Without a tag, uses timm's default for the model.
    """
    import timm

    model, _, tag = name.partition(".")
    if not timm.is_model(model):
        raise WeightsError(f"timm has no model {model!r}{did_you_mean(model, timm.list_models())}")
    published = timm.list_pretrained(f"{model}.*")
    if not published or (tag and name not in published):
        raise WeightsError(f"timm's {model} has no weights {tag!r}, only {', '.join(published) or 'none'}")
    cfg: Any = timm.get_pretrained_cfg(name)
    files = (cfg.hf_hub_filename,) if cfg.hf_hub_filename else HUB_FILES
    record = timm_record(f"timm/{cfg.architecture}.{cfg.tag}", cfg.to_dict())
    return _hub_file(cfg.hf_hub_id, files), _with_imagenet_classes(record, cfg)


def hub_file(name: str) -> Path:
    """Returns the weights of `hf://USER/NAME` in huggingface_hub's cache, downloaded if necessary, with the
    repository's config.json, if it has one, at their side."""
    repository = hub_repository(name)
    path = _hub_file(repository, HUB_FILES)
    with suppress(WeightsError):
        _hub_file(repository, ("config.json",))
    return path


def hub_folder(name: str, files: tuple[str, ...]) -> Path:
    """Returns a folder with those of `files` that `hf://USER/NAME` has, downloaded if necessary."""
    from huggingface_hub import snapshot_download

    repository = hub_repository(name)
    try:
        return Path(snapshot_download(repository, allow_patterns=list(files)))
    except OSError as error:
        raise _unreachable(repository, error) from None


def hub_repository(name: str) -> str:
    """Returns `USER/NAME` of `hf://USER/NAME`. Raises WeightsError for other forms."""
    repository = name.removeprefix(HUB)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise WeightsError(f"{name}: not a model on the Hugging Face hub: expected {HUB}USER/NAME")
    return repository


def timm_record(source: str, cfg: Mapping[str, Any]) -> WeightRecord:
    """Builds the record from timm's pretrained configuration, or from the config.json next to timm's files on the hub;
    of other configurations, it holds the source only."""
    cfg = {**cfg, **cfg.get("pretrained_cfg", {})}
    if "mean" not in cfg:
        return WeightRecord(source)
    preprocessing = Preprocessing(
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        size=cfg["input_size"][-1],
        interpolation=cfg["interpolation"],
        crop=cfg["crop_pct"],
    )
    names = cfg.get("label_names")
    if isinstance(names, Mapping):  # index -> name, the index as text in JSON
        names = [names[index] for index in sorted(names, key=int)]
    classes = tuple(names) if names else None
    return WeightRecord(source, preprocessing=preprocessing, stated=True, classes=classes, licence=cfg.get("license"))


def download(url: str, path: Path, sha256: str) -> None:
    """Downloads to `path`, atomically.

    Args:
        sha256: 64 hex digits, or the first few of them.

    Raises:
        WeightsError: no network, no such file, or another hash.
    """
    with as_run_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256, progress=sys.stderr.isatty())
    except (OSError, HTTPException) as error:
        raise WeightsError(f"{url}: cannot be downloaded: {error}; a copy can be placed at {path}") from None
    except RuntimeError as error:
        raise WeightsError(f"{url}: is not the expected file: {error}") from None


def _torchvision_record(source: str, weights: Any) -> WeightRecord:
    data, metrics = next(iter(weights.meta["_metrics"].items()))
    return WeightRecord(
        source,
        preprocessing=_torchvision_preprocessing(weights.transforms()),
        stated=True,
        classes=tuple(weights.meta["categories"]),
        licence=weights.meta.get("license", "BSD-3-Clause"),  # of torchvision itself; its weights name only others
        score=f"{', '.join(f'{value} % {name}' for name, value in metrics.items() if name in SCORES)} on {data}",
        norm_eps=NORM_EPS.get(source.removeprefix("torchvision/")),
    )


def _torchvision_preprocessing(transforms: Any) -> Preprocessing:
    if not hasattr(transforms, "resize_size"):  # detectors preprocess in the model; these are its defaults
        return Preprocessing(size=800, crop=1.0)
    resized = transforms.resize_size[0]
    size = transforms.crop_size[0] if hasattr(transforms, "crop_size") else resized  # segmentation does not crop
    return Preprocessing(
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        size=size,
        interpolation=transforms.interpolation.value,
        crop=size / resized,
    )


def _with_imagenet_classes(record: WeightRecord, cfg: Any) -> WeightRecord:
    """Adds ImageNet's classes by their WordNet ids, as ImageNet's folders are named, if timm's tag implies them."""
    from timm.data import ImageNetInfo

    trained_on_it = cfg.tag.endswith("in1k") and cfg.num_classes == 1000
    return replace(record, classes=tuple(ImageNetInfo().label_names())) if trained_on_it else record


def _hub_file(repository: str, files: tuple[str, ...]) -> Path:
    """Returns the first of `files` that the repository has. Cached files need no network."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for file in files:
        cached = try_to_load_from_cache(repository, file)
        if isinstance(cached, str):
            return Path(cached)
    for file in files:
        try:
            return Path(hf_hub_download(repository, file))
        except LocalEntryNotFoundError as error:  # a subclass of the next: the network is missing, not the file
            raise _unreachable(repository, error) from None
        except EntryNotFoundError:
            continue
        except OSError as error:
            raise _unreachable(repository, error) from None
    raise WeightsError(f"{repository}: has none of {', '.join(files)} on the Hugging Face hub")


def _unreachable(repository: str, error: Exception) -> WeightsError:
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import RepositoryNotFoundError

    if isinstance(error, RepositoryNotFoundError):
        return WeightsError(f"{repository}: the Hugging Face hub has no such model, or it is private: hf auth login")
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error  # huggingface_hub's own is a long one
    return WeightsError(
        f"{repository}: cannot be fetched from the Hugging Face hub: {first_line(cause)}; a copy on this machine can "
        f"be named by its path, an earlier download is looked for in {HF_HUB_CACHE}, and builtin/... needs no network"
    )


def first_line(error: Exception) -> str:
    """Returns what an error says, without the details on further lines."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
