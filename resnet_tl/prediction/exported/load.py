"""Opens exported files, each form by its own runtime."""

from __future__ import annotations

from pathlib import Path

from resnet_tl.checkpoint import Bundle
from resnet_tl.errors import WeightsError
from resnet_tl.prediction.exported.description import read_description
from resnet_tl.prediction.exported.network import ExportedNetwork
from resnet_tl.prediction.exported.onnx import open_onnx
from resnet_tl.prediction.exported.openvino import MODEL, open_openvino
from resnet_tl.prediction.exported.pt2 import open_pt2

RUNTIMES = {".onnx": open_onnx, ".pt2": open_pt2, Path(MODEL).suffix: open_openvino}
"""By the ending of a file."""
RUN_CODE = (".pt2",)
"""Endings of files from which their runtime runs code."""


def find_exported(path: str | Path) -> Path | None:
    """Returns `path` if its name is that of an exported file, whether it exists or not; of a folder with an exported
    model, the model's file; else None."""
    in_folder = Path(path) / MODEL
    if in_folder.is_file():
        return in_folder
    return Path(path) if Path(path).suffix in RUNTIMES else None


def refuse_exported(path: str | Path) -> None:
    """Raises WeightsError if there is an exported file at `path`, from which no network can be built."""
    if (file := find_exported(path)) is not None and file.is_file():
        raise WeightsError(f"{path}: exported already; expected the run or checkpoint from which it was written")


def read_exported(path: Path, trust_code: bool = False) -> tuple[ExportedNetwork, Bundle]:
    """Returns an exported file as a network, and its description as a bundle without weights.

    Args:
        path: its ending is one of `RUNTIMES`.
        trust_code: open it even if that runs code from it.

    Raises:
        RunError: what runs it is not installed.
        WeightsError: no such file, a damaged one, one that is not from `resnet-tl export`, or one with code that is
            not trusted.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise WeightsError(f"no file {str(path)!r}")
    if path.suffix in RUN_CODE and not trust_code:
        raise WeightsError(
            f"{path}: torch runs code from {path.suffix} files when it opens them: add --trust-code (in Python "
            "trust_code=True) if you trust its source"
        )
    path.open("rb").close()  # an OSError says more than what runtimes make of one
    runtime, text = RUNTIMES[path.suffix](path)
    description, bundle = read_description(text, path)
    return ExportedNetwork(runtime, description, bundle.preprocessing), bundle
