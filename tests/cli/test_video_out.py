"""`predict film.mp4 --draw --out film_out.mp4`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from resnet_tl.prediction.videos import Frame, Video, frame_rate, frame_times

SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11"
NETWORKS = ("half_run", "segmentation.ckpt", "detection.ckpt")


@pytest.fixture
def film(here: Path) -> Path:
    """12 grey frames of 64 x 48, 10 a second."""
    writer = cv2.VideoWriter("film.avi", cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"RGBA"), 10, (64, 48))
    for number in range(12):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()
    return here / "film.avi"


@pytest.mark.parametrize("network", NETWORKS)
def test_every_task_draws_a_video_that_lasts_as_long(
    resnet_tl: Callable[..., Any], here: Path, film: Path, network: str
) -> None:
    score = " --score 0" if network == "detection.ckpt" else ""
    done = resnet_tl(f"predict {{}} film.avi --every 3 --draw --out new/out.mp4{score}", SAVED / network)
    assert done == (0, "", "new/out.mp4: 4 frames\n")
    assert len(frame_times("new/out.mp4")) == 4
    assert frame_rate("new/out.mp4") == pytest.approx(10 / 3, abs=0.01)
    frame = next(Video("new/out.mp4").frames())
    assert isinstance(frame, Frame)
    assert frame.image.shape == (48, 64, 3)
    assert frame.image.std() > 10  # the first frame of the film is black


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("film.avi --out out.mp4", "--out out.mp4: a video shows what is drawn on its frames; add --draw"),
        ("film.avi --draw --out out.avi", "--out out.avi: expected a video that ends in .mp4 or .webm"),
        ("film.avi --draw --out film.mp4", "--out film.mp4: exists already, and nothing is overwritten"),
        ("film.avi film.avi --draw --out out.mp4", "--out out.mp4: a video is drawn from exactly one video"),
        ("film.avi {images} --draw --out out.mp4", "--out out.mp4: a video is drawn from exactly one video"),
        ("{images} --draw --out out.mp4", "--out out.mp4: a video is drawn from exactly one video"),
        ("none.avi --draw --out out.mp4", "none.avi does not exist"),
        ("junk.avi --draw --out out.mp4", "junk.avi: cannot be opened as a video"),
        ("film.avi --draw --out out.mp4 --top 2", "--top applies to tables, and --out out.mp4 is a video; remove it"),
        ("film.avi --draw --out out.mp4 --annotations a.json", "--annotations applies to tables, and --out out.mp4"),
    ],
)
def test_what_makes_no_video_is_refused_before_the_network_is_read(
    resnet_tl: Callable[..., Any], here: Path, film: Path, images: Path, options: str, message: str
) -> None:
    (here / "film.mp4").write_text("mine")
    (here / "junk.avi").write_text("no video")
    before = sorted(path.name for path in here.iterdir())
    done = resnet_tl(
        f"predict nowhere {options}".replace("{images}", "{}"), *([images] if "{images}" in options else [])
    )
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith(f"error: {message}")
    assert sorted(path.name for path in here.iterdir()) == before


def test_a_cut_video_is_an_error_or_the_video_of_its_frames(
    resnet_tl: Callable[..., Any], here: Path, film: Path
) -> None:
    content = film.read_bytes()
    (here / "cut.avi").write_bytes(content[: len(content) // 2])
    line = "predict {} cut.avi --draw --out out.webm"
    failed = resnet_tl(line, SAVED / "half_run")
    assert failed.code == 2
    assert "of its 12 frames can be decoded, the rest is cut off or damaged" in failed.err
    assert not (here / "out.webm").exists()
    with pytest.warns(UserWarning, match="of its 12 frames can be decoded"):
        assert resnet_tl(f"{line} --on-error skip", SAVED / "half_run").code == 0
    assert 0 < len(frame_times("out.webm")) < 12


def test_a_video_without_objects_is_said_to_be_one(resnet_tl: Callable[..., Any], here: Path, film: Path) -> None:
    done = resnet_tl("predict {} film.avi --draw --score 1 --out out.mp4", SAVED / "detection.ckpt")
    assert done.code == 0
    assert done.err.startswith("nothing is drawn: no object has a score of 1 or more")
    assert done.err.endswith("out.mp4: 12 frames\n")
