"""Runs .pt2 files by torch: graphs of torch.export, and those that AOTInductor has compiled."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision  # noqa: F401  its import registers NMS
from numpy.typing import NDArray

from resnet_tl.checkpoint import KEY
from resnet_tl.errors import WeightsError
from resnet_tl.prediction.exported.network import Runtime
from resnet_tl.tensor_file import verify_checksums


def open_pt2(path: Path) -> tuple[Runtime, str | None]:
    """Returns a runtime and the file's description. Runs code from the file: torch unpickles parts of it, evaluates
    text, and loads compiled libraries.

    Raises:
        WeightsError: not a valid .pt2 file; or compiled for another machine.
    """
    if not zipfile.is_zipfile(path):
        raise WeightsError(f"{path}: not readable as a .pt2 file: no zip, or cut off")
    verify_checksums(path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        entry = next((name for name in names if name.endswith(f"/{KEY}")), None)
        text = None if entry is None else archive.read(entry).decode("utf-8", "replace")
    compiled = any("/aotinductor/" in name for name in names)
    network = _read(path, compiled)

    def run(images: NDArray[np.uint8]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            return [output.numpy() for output in network(torch.from_numpy(images))]

    return run, text


def _read(path: Path, compiled: bool) -> Callable[..., Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if compiled:
                return torch._inductor.aoti_load_package(str(path))
            return torch.export.load(path).module()
    except Exception as error:  # torch raises anything for what it cannot read
        kind = "a .pt2 file compiled for this machine and this torch" if compiled else "a .pt2 file"
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise WeightsError(f"{path}: not readable as {kind} ({first})") from None
