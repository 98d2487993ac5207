"""Runs ONNX files by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_tl.checkpoint import KEY
from resnet_tl.errors import WeightsError
from resnet_tl.extras import require
from resnet_tl.prediction.exported.network import Runtime


def open_onnx(path: Path) -> tuple[Runtime, str | None]:
    """Returns a runtime on as many threads as torch has, and the file's description.

    Raises:
        RunError: onnxruntime is not installed.
        WeightsError: not a valid ONNX file.
    """
    require(f"{path}: an ONNX file", "onnxruntime", extra="onnx")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes of errors have no public base
        reason = str(error).splitlines()[0].rpartition("failed:")[2]  # without codes, and the path once more
        raise WeightsError(f"{path}: not readable as an ONNX file ({reason})") from None

    def run(images: NDArray[np.uint8]) -> list[NDArray[Any]]:
        return session.run(None, {"images": images})

    return run, session.get_modelmeta().custom_metadata_map.get(KEY)
