"""Files of `torch.save`: verified and read without running code from them, written atomically.

They hold tensors and plain Python only. torch writes them as zips, whose checksums it does not compare when it reads
them; files older than torch 1.6 are pickles without any.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
import zlib
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnet_tl.errors import WeightsError
from resnet_tl.files import atomic_write

LARGEST = 1e15
"""Beyond every weight and statistic of a network; flipped bits of an exponent lead there."""


def load_safely(path: Path, *, mmap: bool = False, verify: bool = True) -> Any:
    """Loads a `torch.save` file of tensors and plain Python onto the CPU. Never runs code from the file.

    Args:
        mmap: leave tensors on disk until they are read, if the file is a zip (torch 1.6 and later).
        verify: compare all of the zip with its checksums (at more than 1 GB/s); torch itself does not.

    Raises:
        WeightsError: the file would run code, is not a `torch.save` file, is damaged, or cannot be read.
    """
    is_zip = path.is_file() and zipfile.is_zipfile(path)
    if is_zip and verify:
        verify_checksums(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the protocols of foreign pickles: the error below says enough
            # Training scripts store their parsed arguments: a Namespace holds values and runs no code.
            with torch.serialization.safe_globals([Namespace]):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and is_zip)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None
    except MemoryError:
        raise WeightsError(f"{path}: does not fit into memory, or is damaged") from None
    except Exception as error:  # a damaged pickle makes torch's reader raise anything
        raise WeightsError(f"{path}: {_refusal(path, str(error))}") from None


def save_atomically(value: Any, path: Path) -> None:
    """Writes tensors and plain Python. If the disk fills up or the process is killed, the old file stays intact.

    Raises:
        RunError: the folder is not writable, or its disk is full.
    """
    with atomic_write(path) as file:
        try:
            torch.save(value, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch still closes its archive, and that error hides the cause
                raise error.__context__ from None
            raise


def to_plain(value: Any, at: str = "checkpoint") -> Any:
    """Converts `value` to tensors and plain Python, which `load_safely` can read: numpy becomes numbers and tensors,
    paths and enum members become text, mappings become dicts.

    Raises:
        TypeError: `value` holds anything else; the message names the key.
    """
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return value
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {to_plain(key, at): to_plain(item, f"{at}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [to_plain(item, f"{at}[{i}]") for i, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, set):
        return {to_plain(item, at) for item in value}
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    for base in (str, int, float):
        if isinstance(value, base):
            return base(value.value if hasattr(value, "value") else value)
    raise TypeError(f"{at} is a {type(value).__qualname__}: a checkpoint holds tensors and plain Python only")


def first_broken(tensors: Mapping[str, Tensor]) -> str | None:
    """Returns the name of the first tensor with values that no training gives: NaN, infinite, or beyond `LARGEST`."""
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.numel():
            low, high = tensor.aminmax()
            if not (low >= -LARGEST and high <= LARGEST):  # NaN is neither
                return key
    return None


def is_dense(tensor: Tensor) -> bool:
    """Whether a tensor holds a plain value for each of its entries, as weights do: none sparse, quantized or absent."""
    return tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized


def verify_checksums(path: Path) -> None:
    """Raises WeightsError where a part of the zip does not match its CRC-32: a bit on the disk has flipped.

    A compressed part is refused as well: torch writes none, and a small one can fill the memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            packed = any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist())
            damaged = None if packed else archive.testzip()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None
    except (zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(f"{path}: damaged ({' '.join(str(error).split())}); restore it from a copy") from None
    if packed:
        raise WeightsError(f"{path}: a compressed zip, not a torch.save file, or damaged")
    if damaged is not None:
        raise WeightsError(f"{path}: damaged: {damaged} does not match its checksum; restore the file from a copy")


def _refusal(path: Path, reason: str) -> str:
    """Shortens the page-long message of `torch.load` to one sentence."""
    code = re.search(r"GLOBAL ([\w.]+)", reason)
    if code:
        return f"refused, because reading it would run code ({code[1]}); expected only tensors and plain Python"
    with open(path, "rb") as file:
        if file.read(1) == pickle.PROTO:
            return "refused, because reading this pickle may run code; expected a torch.save file with only tensors"
    return "not a torch.save file, or cut off or damaged"
