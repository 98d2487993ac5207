"""Reads weight files without running code from them, and writes them atomically."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from resnet_tl.checkpoint import KEY
from resnet_tl.errors import WeightsError
from resnet_tl.files import atomic_write
from resnet_tl.tensor_file import load_safely
from resnet_tl.weights.keys import Content
from resnet_tl.weights.records import WeightRecord, to_metadata

DIGEST = "resnet_tl.sha256"
"""The key of a safetensors header under which `save_weights` stores the digest."""


def read_content(path: Path) -> tuple[Content, dict[str, str]]:
    """Reads a weight file. Returns its content, nested as it was saved, on the CPU, and the metadata of its header.

    Raises:
        WeightsError: the file cannot be read, is damaged, does not hold a dictionary, or would run code when opened.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = load_safely(path, mmap=True)
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not a dictionary of tensors")
    return content, {}


def save_weights(state_dict: Mapping[str, Tensor], record: WeightRecord, path: Path) -> None:
    """Writes a safetensors file with its record, and a digest of everything, in the header; keys should be
    torchvision's.

    Raises:
        WeightsError: `path` exists already, or does not end in .safetensors.
        RunError: `path` cannot be written.
    """
    if path.suffix != ".safetensors":
        raise WeightsError(f"{path}: weights are written as .safetensors")
    if path.exists():
        raise WeightsError(f"{path}: exists already, and weights are never overwritten")
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in state_dict.items()}
    with atomic_write(path) as file:
        metadata = to_metadata(record)
        file.write(safetensors.torch.save(tensors, metadata | {DIGEST: _digest(tensors, metadata)}))


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON file that holds a dictionary."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path}: is not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: holds a {type(values).__name__}, not a dictionary")
    return values


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file as 64 hex digits."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def blob_sha256(path: Path) -> str | None:
    """Returns the SHA-256 by which huggingface_hub names a file in its cache; None for other files."""
    blob = path.resolve()
    return blob.name if blob.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", blob.name) else None


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path}: is not a safetensors file, or cut off or damaged ({error})") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None
    if DIGEST in metadata and metadata[DIGEST] != _digest(tensors, metadata):
        raise WeightsError(f"{path}: damaged: it does not match the digest in its header; restore it from a copy")
    return tensors, metadata


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Returns the SHA-256 of the record and of every tensor's name, dtype, shape and bytes, as 64 hex digits."""
    digest = hashlib.sha256(metadata.get(KEY, "").encode())
    for key, tensor in sorted(tensors.items()):
        digest.update(f"\n{key} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
