"""A video of drawings: each prediction is a frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from resnet_tl.errors import DataError, RunError
from resnet_tl.prediction.videos import frame_times
from resnet_tl.prediction.writers.output import Add, P, appearing

CODECS = {".mp4": ("vp09", "mp4v"), ".webm": ("VP80",)}
"""By ending, the first that OpenCV can encode: VP9, else MPEG-4 Part 2, which browsers do not play; VP8."""


@contextmanager
def video_file(path: Path, rate: float, drawing: Callable[[P], Image.Image]) -> Iterator[Add[P]]:
    """A video whose frames are drawings of the predictions, at the size of the first one. Its sides are even: the last
    row or column of an odd one is there twice.

    Args:
        path: ends in .mp4 or .webm.
        rate: frames per second.

    Raises:
        RunError: the file exists or cannot be written. DataError: there is no frame.
    """
    with appearing(path) as part:
        recorder = _Recorder(part, rate)
        try:
            yield lambda prediction: recorder.add(drawing(prediction))
        finally:
            recorder.encoder.release()
        if recorder.frames == 0:
            raise DataError(f"{path} is not written: no frame can be read")
        if len(frame_times(str(part))) < recorder.frames:  # OpenCV does not report that a disk is full
            raise RunError(f"{path}: cannot be written as a whole; expected room on its disk")


class _Recorder:
    """Appends images to a video, which begins when the size of the first one is known."""

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate, self.frames = path, rate, 0
        self.encoder = cv2.VideoWriter()

    def add(self, image: Image.Image) -> None:
        if self.frames == 0:
            self.size = image.size
        pixels = np.asarray(image if image.size == self.size else image.resize(self.size))
        pixels = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), "edge")
        if self.frames == 0:
            self._open(pixels.shape[1], pixels.shape[0])
        self.encoder.write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def _open(self, width: int, height: int) -> None:
        self.path.touch()  # an OSError, where OpenCV only fails
        for codec in CODECS[self.path.suffix.lower()]:
            place, code = str(self.path.absolute()), cv2.VideoWriter.fourcc(*codec)
            with _silent():
                if self.encoder.open(place, cv2.CAP_FFMPEG, code, self.rate, (width, height)):
                    return
        raise RunError(
            f"{self.path.suffix}: the OpenCV installed here cannot encode it; pip's opencv-python-headless can"
        )


@contextmanager
def _silent() -> Iterator[None]:
    """Drops what OpenCV writes to the stderr of the process: that WebM has no codes of four letters."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
