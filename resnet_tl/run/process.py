"""Settings of the whole process: only the command makes them, never an import."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from pathlib import Path

from resnet_tl.data.images.limits import PIXELS
from resnet_tl.errors import printable

_format_warning = warnings.formatwarning
_PACKAGE = Path(__file__).resolve().parents[1]
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30


def configure_process(*, local_code: bool = False) -> None:
    """Call it before anything heavy is imported.

    local_code: let a recipe name classes in files of the working folder. It comes after installed packages: a
        `torch.py` next to the images is not imported.
    """
    if local_code and "" not in sys.path:
        sys.path.append("")
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    if "OMP_WAIT_POLICY" not in os.environ:
        # GNU OpenMP's threads spin while they wait, on cores that the data workers need. After 10,000 rounds they
        # sleep: idle cores lose nothing (steps of ResNet-20 and -50), on busy ones a run is several times faster.
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # our own errors name the image that cannot be decoded
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet, for the same reason
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(PIXELS.value))  # a second check, of what it decodes
    if os.environ.get("RESNET_TL_MALLOPT", "1") != "0":
        keep_freed_memory()
    warnings.formatwarning = _printable_warning


def _printable_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning of this package is a line for the user; another one says where in the code it comes from."""
    ours = category is UserWarning and Path(filename).is_relative_to(_PACKAGE)
    return printable(f"{message}\n" if ours else _format_warning(message, category, filename, lineno, line))


def keep_freed_memory() -> None:
    """Makes glibc keep freed memory for the next step, instead of returning it and zeroing new pages.

    Does nothing without glibc. RESNET_TL_MALLOPT=0 turns it off.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
