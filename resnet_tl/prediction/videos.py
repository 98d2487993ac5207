"""Videos as images: their frames, read one after another while they are predicted."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass

import cv2

from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.limits import check_size
from resnet_tl.errors import DataError

COUNTED = (".mp4", ".m4v", ".mov", ".3gp", ".avi")
"""Containers whose header has the number of frames. Of the others OpenCV estimates it, so that a cut is not noticed."""
SUFFIXES = (*COUNTED, ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".ogv")


@dataclass(frozen=True)
class Frame:
    """A frame of a video.

    path: `<video>/<number>`, six digits, counted from 0 over all frames: `film.mp4/000120`.
    image: `[H, W, 3]` uint8 RGB, upright: the video's rotation is applied.
    """

    path: str
    image: ImageArray


@dataclass(frozen=True)
class Video:
    """A video file, of which every `every`-th frame is an image, the first one included."""

    path: str
    every: int = 1

    def frames(self) -> Iterator[Frame | DataError]:
        """Yields frames in order, and last an error if the file cannot be opened, is too large or ends early."""
        capture = _open(self.path)
        try:
            yield from self._read(capture)
        except DataError as error:
            yield error
        finally:
            capture.release()

    def _read(self, capture: cv2.VideoCapture) -> Iterator[Frame]:
        if not capture.isOpened():
            raise _unreadable(self.path)
        height, width = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        check_size(height, width, self.path)
        number = 0
        while capture.grab():
            if number % self.every == 0:
                _, image = capture.retrieve()
                yield Frame(f"{self.path}/{number:06d}", cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            number += 1
        if number == 0:
            raise DataError(f"{self.path}: has no frame that can be decoded")
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if self.path.lower().endswith(COUNTED) and number < count:
            raise DataError(
                f"{self.path}: only {number:,} of its {count:,} frames can be decoded, the rest is cut off or damaged; "
                "on_error 'skip' predicts those"
            )


def frame_rate(path: str) -> float:
    """Returns the mean number of frames per second; their times may be irregular, as those of telephones are.

    Raises:
        DataError: the file cannot be opened.
    """
    times = frame_times(path)
    if not times:
        raise _unreadable(path)
    seconds = max(times) - min(times)
    return (len(times) - 1) / seconds if seconds > 0 else 1.0


def frame_times(path: str) -> list[float]:
    """Returns the seconds at which the frames of a video are shown, in the order of the file, without decoding them;
    empty if it cannot be opened."""
    capture, times = _open(path), list[float]()
    capture.set(cv2.CAP_PROP_FORMAT, -1)  # packets as they are
    while capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    capture.release()
    return times


def find_videos(path: str) -> list[str]:
    """Returns the videos that a path or glob (`films/*.mp4`) names, by their endings; empty if it names none."""
    if not path.lower().endswith(SUFFIXES):
        return []
    matches = [path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True))
    return [match for match in matches if os.path.isfile(match)]


def _open(path: str) -> cv2.VideoCapture:
    return cv2.VideoCapture(path, cv2.CAP_FFMPEG)


def _unreadable(path: str) -> DataError:
    return DataError(f"{path}: cannot be opened as a video; it is damaged, or in a format unknown to OpenCV")
