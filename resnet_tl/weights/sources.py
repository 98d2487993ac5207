"""Finds weights by name: files, run folders, URLs, builtin and published weights."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlparse

import torch

from resnet_tl.checkpoint import KEY, Weights, locate, parse, parse_stored
from resnet_tl.errors import WeightsError, did_you_mean
from resnet_tl.files import did_you_mean_path
from resnet_tl.structures.records import Preprocessing
from resnet_tl.weights.files import blob_sha256, read_content, read_json, sha256_of
from resnet_tl.weights.keys import Content
from resnet_tl.weights.publishers import HUB, HUB_FILES, download, hub_file, timm_file, timm_record, torchvision_file
from resnet_tl.weights.records import WeightRecord, from_metadata

BUILTIN = Path(__file__).parent / "builtin"
PREPROCESSING_BUFFERS = ("network.mean", "network.std")


def fetch(name: str | Path, sha256: str | None = None) -> tuple[Content, WeightRecord]:
    """Returns the content of the weights called `name`, nested as in their file, and their record.

    Args:
        name: `builtin/resnet20_cifar10`; `torchvision/resnet50.IMAGENET1K_V2`; `timm/resnet50.a1_in1k`;
            `hf://USER/NAME` on the Hugging Face hub; `https://...` (cached in torch's hub folder, under its hash); a
            torch.save or safetensors file; a resnet_tl checkpoint or run folder; a folder in timm's hub layout (weights
            with a config.json).
        sha256: 64 hex digits expected of the file. Required for a URL. For other names checked if given; torchvision's
            and timm's files are compared with the hash in their names.

    Raises:
        WeightsError: the weights do not exist, cannot be fetched or read, have another hash, or would run code when
            opened.
    """
    if not isinstance(name, str | Path):
        raise WeightsError(
            f"weights is a {type(name).__name__}; expected a file or a name, as 'timm/resnet50.a1_in1k'; "
            "`load_state_dict` loads a dict of tensors"
        )
    name = str(name)
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise WeightsError(f"sha256 of {name} is {sha256!r}; expected 64 hex digits")
    path, record = _find(name, sha256)
    actual, expected = sha256_of(path), (sha256 or record.sha256 or blob_sha256(path) or "").lower()
    if not actual.startswith(expected):
        raise WeightsError(f"{path}: has the sha256 {actual}, not {expected}: it is another file, or damaged")
    content, metadata = read_content(path)
    if not record.stated:
        record = _record_inside(record.source, path, content, metadata)
    if KEY in content:
        state = parse(Weights, content, path).state_dict
        content = {key: tensor for key, tensor in state.items() if key not in PREPROCESSING_BUFFERS}
    return content, replace(record, sha256=actual)


def available_builtin() -> list[str]:
    """Lists the names that `builtin/...` accepts."""
    return sorted(path.stem for path in BUILTIN.glob("*.safetensors"))


def _find(name: str, sha256: str | None) -> tuple[Path, WeightRecord]:
    """Returns the file, downloaded if necessary, and the record of its publisher."""
    publisher, _, rest = name.partition("/")
    if publisher == "torchvision":
        return torchvision_file(rest)
    if publisher == "timm":
        return timm_file(rest)
    if publisher == "builtin":
        return _builtin(rest), WeightRecord(name)
    if name.startswith(HUB):
        return hub_file(name), WeightRecord(name)
    if name.startswith(("https://", "http://")):
        return _downloaded(name, sha256), WeightRecord(name)
    path = _local(Path(name).expanduser())
    return path, WeightRecord(str(path))


def _downloaded(url: str, sha256: str | None) -> Path:
    file = os.path.basename(urlparse(url).path)
    if sha256 is None:
        raise WeightsError(f"{url}: weights from a URL need their sha256 (backbone.sha256)")
    path = Path(torch.hub.get_dir(), "checkpoints", sha256.lower(), file or "weights.pth")
    if not path.exists():
        download(url, path, sha256.lower())
    return path


def _builtin(name: str) -> Path:
    path = BUILTIN / f"{name}.safetensors"
    if name not in available_builtin():
        offered = ", ".join(f"builtin/{other}" for other in available_builtin()) or "none"
        raise WeightsError(
            f"there are no weights 'builtin/{name}', only {offered}{did_you_mean(name, available_builtin())}"
        )
    return path


def _local(path: Path) -> Path:
    if path.is_dir():
        return next((path / file for file in HUB_FILES if (path / file).is_file()), None) or locate(path)
    if not path.exists():
        kinds = "a file, a run folder, a URL, hf://..., torchvision/..., timm/... or builtin/..."
        random = "; random weights are null" if str(path) in ("random", "none", "None") else ""
        raise WeightsError(f"there are no weights at {str(path)!r}; expected {kinds}{random}{did_you_mean_path(path)}")
    return path


def _record_inside(source: str, path: Path, content: Content, metadata: Mapping[str, str]) -> WeightRecord:
    """Returns the record inside a file, or of the config.json next to it."""
    if KEY in content:
        ours, _ = parse_stored(content[KEY], path)
        preprocessing = Preprocessing(**dict(ours.preprocessing))
        return WeightRecord(source, preprocessing=preprocessing, stated=True, classes=tuple(ours.classes))
    config = path.with_name("config.json")
    if KEY not in metadata and config.is_file():
        try:
            return timm_record(source, read_json(config))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise WeightsError(f"{config}: not a configuration of timm ({type(error).__name__}: {error})") from None
    return from_metadata(metadata, source)
