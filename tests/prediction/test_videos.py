"""Videos: frames in order and by number, read while they are predicted; damage is a sentence after them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from resnet_tl.data.images.limits import PIXELS
from resnet_tl.data.images.transforms import evaluation_transform
from resnet_tl.errors import DataError, RecipeError
from resnet_tl.prediction.base import Predictor
from resnet_tl.prediction.inputs import list_images, read_frames
from resnet_tl.prediction.loader import AHEAD, Loader
from resnet_tl.prediction.videos import Frame, Video, frame_rate, frame_times
from resnet_tl.prediction.writers.masks import mask_folder
from resnet_tl.prediction.writers.output import write

HEIGHT, WIDTH, COUNT = 48, 64, 12


def record(path: Path, codec: str = "FFV1", count: int = COUNT) -> str:
    """A video whose n-th frame is grey of the value 10 n, with a red corner at its top left."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), 10, (WIDTH, HEIGHT))
    for number in range(count):
        image = np.full((HEIGHT, WIDTH, 3), 10 * number, np.uint8)
        image[:16, :16] = 0, 0, 255
        writer.write(image)
    writer.release()
    return str(path)


@pytest.fixture
def film(tmp_path: Path) -> str:
    return record(tmp_path / "film.avi")


@pytest.fixture
def cut_film(tmp_path: Path) -> str:
    path = Path(record(tmp_path / "cut.avi", "RGBA"))  # not compressed: much longer than its header
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return str(path)


@pytest.mark.parametrize(("every", "numbers"), [(None, range(12)), (1, range(12)), (5, [0, 5, 10]), (12, [0])])
def test_every_nth_frame_is_read_in_order_and_named_by_its_number(film: str, every: int | None, numbers: Any) -> None:
    frames = list(read_frames(list_images(film, every)))
    assert all(isinstance(frame, Frame) for frame in frames)
    assert [frame.path for frame in frames] == [f"{film}/{number:06d}" for number in numbers]
    assert [frame.image[-1, -1].tolist() for frame in frames] == [[10 * number] * 3 for number in numbers]
    assert frames[0].image[0, 0].tolist() == [255, 0, 0]


def test_videos_stand_among_other_inputs_and_are_found_by_globs(film: str, photos: Path, tmp_path: Path) -> None:
    record(tmp_path / "b.mp4", "mp4v")
    image = np.zeros((4, 5, 3), np.uint8)
    listed = list_images([image, film, photos / "ant", f"{tmp_path}/*.mp4"], 3)
    ants = sorted(str(path) for path in (photos / "ant").iterdir())
    assert listed[0] is image
    assert listed[1:] == [Video(film, 3), *ants[::3], Video(f"{tmp_path}/b.mp4", 3)]


def test_every_needs_several_images(photos: Path) -> None:
    for single in (photos / "bee" / "1.png", np.zeros((4, 5, 3), np.uint8), b"x"):
        with pytest.raises(RecipeError, match="every: the inputs are single images; expected a video, folder, zip or"):
            list_images(single, 2)
    assert len(list_images(photos, 5)) == 5


def test_frames_are_read_no_further_than_the_loader_decodes_ahead(film: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def watch(*values: Any) -> Frame:
        read.append(values[0])
        return Frame(*values)

    monkeypatch.setattr("resnet_tl.prediction.videos.Frame", watch)
    monkeypatch.setattr("resnet_tl.prediction.inputs.path_of", lambda source: source.path)
    batches = Loader(evaluation_transform(24), 3).batches(list_images(film), 2, "error")
    next(batches)
    assert len(read) == 2 + AHEAD
    batches.close()


def test_all_tasks_predict_frames(film: str, predictor: Callable[..., Predictor]) -> None:
    for task in ("classification", "segmentation", "detection"):
        found = predictor(task, batch_size=2).predict(film, every=5)
        assert [(each.index, each.path) for each in found] == [(n, f"{film}/{5 * n:06d}") for n in range(3)]


def test_masks_are_named_by_the_frame(film: str, predictor: Callable[..., Any], tmp_path: Path) -> None:
    one = predictor("segmentation")
    write(one.stream(film, every=5), [mask_folder(tmp_path / "out", one.classes, np.zeros((3, 3), np.uint8))])
    masks = sorted(path.name for path in (tmp_path / "out" / "masks").iterdir())
    assert masks == ["000000.png", "000005.png", "000010.png"]


def test_the_rotation_of_a_video_is_applied(tmp_path: Path) -> None:
    """A phone held upright stores rows of the sensor, and a quarter turn clockwise in the track's matrix."""
    film = Path(record(tmp_path / "film.mp4", "mp4v", 1))
    content = bytearray(film.read_bytes())
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, HEIGHT << 16, 0, 1 << 30)
    film.write_bytes(content)
    (frame,) = Video(str(film)).frames()
    assert isinstance(frame, Frame)
    assert frame.image.shape == (WIDTH, HEIGHT, 3)
    assert frame.image[4, -4, 0] > 200
    assert frame.image[4, 4, 0] < 50


def test_a_cut_video_is_an_error_or_its_frames_and_a_warning(
    cut_film: str, film: str, predictor: Callable[..., Predictor]
) -> None:
    message = r"cut\.avi: only (\d+) of its 12 frames can be decoded, the rest is cut off or damaged"
    predict = predictor("classification").predict
    with pytest.raises(DataError, match=message):
        predict(cut_film)
    with pytest.warns(UserWarning, match=f"^skipped: .*{message}"):
        found = predict([cut_film, film], on_error="skip")
    frames = [str(each.path) for each in found if str(each.path).startswith(cut_film)]
    assert frames == [f"{cut_film}/{number:06d}" for number in range(len(frames))]
    assert 0 < len(frames) < COUNT
    assert len(found) == len(frames) + COUNT


@pytest.mark.parametrize("name", ["junk1.mp4", "empty.mkv"])  # OpenCV takes a name with a digit for a series of images
def test_a_file_that_is_not_a_video_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no video" * name.startswith("junk"))
    message = f"{name}: cannot be opened as a video; it is damaged, or in a format unknown to OpenCV"
    (error,) = Video(str(tmp_path / name)).frames()
    assert str(error).endswith(message)
    with pytest.raises(DataError, match=message):
        frame_rate(str(tmp_path / name))


def test_a_video_beyond_the_pixel_limit_is_named_before_a_frame_is_read(
    film: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PIXELS.variable, "3000")
    (error,) = Video(film).frames()
    assert str(error).startswith(f"{film}: is 64 x 48 pixels, too large")


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "FFV1"), ("a.mp4", "mp4v"), ("a.mkv", "FFV1"), ("a.webm", "VP80")]
)
def test_the_rate_is_that_of_the_times_of_frames(tmp_path: Path, name: str, codec: str) -> None:
    film = record(tmp_path / name, codec)
    assert frame_times(film) == pytest.approx([0.1 * number for number in range(COUNT)], abs=0.002)
    assert frame_rate(film) == pytest.approx(10, abs=0.05)


def test_the_rate_is_the_mean_of_irregular_times(film: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_tl.prediction.videos.frame_times", lambda _: [0.0, 0.3, 0.1, 0.5])
    assert frame_rate(film) == 6
    monkeypatch.setattr("resnet_tl.prediction.videos.frame_times", lambda _: [2.0])
    assert frame_rate(film) == 1


def test_a_video_that_does_not_exist_is_named_before_any_prediction(tmp_path: Path) -> None:
    for name in ("none.mp4", "*.mp4"):
        with pytest.raises(DataError, match=r"\.mp4"):
            list_images(tmp_path / name)
