from __future__ import annotations

import tarfile
from pathlib import Path

from benchmarks.streaming import FOLDER, figures, write_tars


def test_tars_have_all_images_once_with_their_classes(tmp_path: Path) -> None:
    paths = [tmp_path / str(number % 2) / f"{number}.jpg" for number in range(7)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(path.stem.encode())
    found = []
    for tar in write_tars(tmp_path / "tars", paths, 3):
        with tarfile.open(tar) as opened:
            contents = [opened.extractfile(member).read().decode() for member in opened]  # type: ignore[union-attr]
            names = [member.name.partition(".") for member in opened]
        assert all(image[0] == label[0] for image, label in zip(names[::2], names[1::2], strict=True))
        found += zip(contents[::2], contents[1::2], strict=True)
    assert sorted(found) == [(str(number), str(number % 2)) for number in range(7)]


def test_figures_are_multiples_of_the_folders_images_a_second() -> None:
    folder, store = [1.0, 2.0, 1.0], [2.0, 2.5, 1.25]
    times = {FOLDER: folder, "shards, from the store": store}
    cpu = {FOLDER: folder, "shards, from the store": folder}
    first, speed, clock, by_cpu = figures({"images": 100, "seconds": times, "cpu": cpu, "server": times})
    assert (first.row, first.value, speed.value) == (FOLDER, 100, 50)
    assert (clock.value, clock.goal, clock.missed) == (0.8, 0.9, True)
    assert (by_cpu.value, by_cpu.goal) == (1.0, None)
