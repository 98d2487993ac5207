"""A video of drawings: frames, size and rate; whole or not at all."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from resnet_tl.errors import DataError, RunError
from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.segmentation import MaskPrediction
from resnet_tl.prediction.videos import Frame, Video, frame_rate
from resnet_tl.prediction.writers.output import write
from resnet_tl.prediction.writers.video import CODECS, video_file

Segmented = Callable[..., MaskPrediction]


def grey(prediction: MaskPrediction) -> Image.Image:
    """A drawing of 65 x 49, lighter from frame to frame, white in its last column and row."""
    pixels = np.full((49, 65, 3), 20 * prediction.index, np.uint8)
    pixels[-1] = pixels[:, -1] = 255
    return Image.fromarray(pixels)


def read(path: Path) -> list[np.ndarray]:
    frames = list(Video(str(path)).frames())
    assert all(isinstance(frame, Frame) for frame in frames)
    return [frame.image for frame in frames if isinstance(frame, Frame)]


@pytest.mark.parametrize("ending", [*CODECS, ".MP4"])
def test_each_drawing_is_a_frame_at_its_size_made_even(
    tmp_path: Path, segmented: Segmented, ending: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"new/film{ending}"
    assert write([segmented(n, f"film.mp4/{n:06d}") for n in range(9)], [video_file(path, 2.5, grey)]) == 9
    frames = read(path)
    assert [frame.shape for frame in frames] == [(50, 66, 3)] * 9
    assert [round(float(frame[:40, :40].mean()), -1) for frame in frames] == [20 * n for n in range(9)]
    assert frames[3][-2:].mean() > 240
    assert frames[3][:, -2:].mean() > 240
    assert frame_rate(str(path)) == pytest.approx(2.5, abs=0.01)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert capfd.readouterr().err == ""


def test_a_drawing_of_another_size_is_resized_to_the_first(tmp_path: Path, segmented: Segmented) -> None:
    path = tmp_path / "film.mp4"
    write(
        [segmented(0, None), segmented(4, None)],
        [video_file(path, 1, lambda each: grey(each).resize((64 + each.index, 48)))],
    )
    assert [frame.shape for frame in read(path)] == [(48, 64, 3)] * 2


def test_an_existing_file_stays(tmp_path: Path, segmented: Segmented) -> None:
    (tmp_path / "film.mp4").write_text("mine")
    with pytest.raises(RunError, match=r"film\.mp4 exists and is not overwritten"):
        write([segmented(0, None)], [video_file(tmp_path / "film.mp4", 1, grey)])
    assert (tmp_path / "film.mp4").read_text() == "mine"


def test_an_error_half_way_leaves_nothing(tmp_path: Path, segmented: Segmented) -> None:
    def predictions() -> Iterator[MaskPrediction]:
        yield segmented(0, None)
        raise DataError("cut off")

    with pytest.raises(DataError, match="cut off"):
        write(predictions(), [video_file(tmp_path / "film.mp4", 1, grey)])
    assert list(tmp_path.iterdir()) == []


def test_no_frame_is_no_video(tmp_path: Path) -> None:
    none: list[BoxPrediction] = []
    with pytest.raises(DataError, match=r"film\.mp4 is not written: no frame can be read"):
        write(none, [video_file(tmp_path / "film.mp4", 1, grey)])
    assert list(tmp_path.iterdir()) == []


@contextmanager
def room(size: int) -> Iterator[None]:
    """Files may have no more bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("ending", CODECS)
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path, segmented: Segmented, ending: str) -> None:
    noise = np.random.default_rng(0)

    def busy(_: MaskPrediction) -> Image.Image:
        return Image.fromarray(noise.integers(0, 255, (48, 64, 3), np.uint8))

    with room(5_000), pytest.raises(RunError, match=rf"film\{ending}: cannot be written as a whole"):
        write([segmented(n, None) for n in range(20)], [video_file(tmp_path / f"film{ending}", 5, busy)])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_and_a_build_without_encoders(
    tmp_path: Path, segmented: Segmented, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"film\.mp4: cannot be written"):
        write([segmented(0, None)], [video_file(tmp_path / "file" / "film.mp4", 1, grey)])
    monkeypatch.setitem(CODECS, ".mp4", ("none",))
    with pytest.raises(RunError, match=r"^\.mp4: the OpenCV installed here cannot encode it"):
        write([segmented(0, None)], [video_file(tmp_path / "film.mp4", 1, grey)])
    monkeypatch.setitem(CODECS, ".mp4", ("none", "mp4v"))
    write([segmented(0, None)], [video_file(tmp_path / "film.mp4", 1, grey)])
    assert cv2.VideoCapture(str(tmp_path / "film.mp4")).isOpened()
