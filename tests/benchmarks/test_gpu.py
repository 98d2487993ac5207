"""The benchmark of GPUs, on the CPU: its parts run in tiny sizes, and one that fails does not end the others."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import gpu_faults
import pytest
import torch

from benchmarks.figures import Figure, read
from benchmarks.gpu import PARTS, Measured, Part, figures, main, run
from benchmarks.gpu_parts import exactness, frozen, matmul
from benchmarks.gpu_parts.cifar import PADDING, SIDE, cropped_and_mirrored
from benchmarks.gpu_parts.device import Device
from benchmarks.gpu_parts.race import Timed, joining_race, race, times_as_fast
from benchmarks.gpu_parts.setting import dry

FAULTS = gpu_faults.__name__


def test_a_part_that_fails_crashes_or_hangs_is_named_and_the_others_run(capfd: pytest.CaptureFixture[str]) -> None:
    names = ["measures", "lacks", "raises", "crashes", "hangs"]
    parts = [Part(name, f"{FAULTS}.{name}", 2 if name == "hangs" else 100) for name in names]
    parts += [Part("last", f"{FAULTS}.measures", 100)]
    seen: list[set[str]] = []
    measured = run(dry(), parts, time.monotonic() + 200, lambda so_far: seen.append(set(so_far.parts)))
    faults = {name: re.sub(r"\d+ s", "some s", part["fault"]) for name, part in measured.parts.items()}
    assert faults == {
        "measures": "",
        "lacks": "",
        "raises": "RuntimeError: CUDA error: an illegal memory access was encountered",
        "crashes": "its process ended with exit code -6",
        "hangs": "cut after some s",
        "last": "",
    }
    rows = [row for row, _ in measured.figures]
    assert rows[1:4] == ["before an error", "before a crash", "before its time is over"]
    assert len(set(rows)) == len(rows) == 5  # the last part's process is another one than the first's
    sentence = f"{FAULTS}: not available: needs the package a_package_that_nobody_has"
    assert measured.notes == ["a sentence", sentence, "a sentence"]
    assert len(seen) == len(parts)
    assert "raises: RuntimeError" in capfd.readouterr().out


def test_figures_of_parts_that_need_one_process() -> None:
    (product,) = matmul.measure(dry())
    assert product.unit == "TFLOP/s"
    found = list(frozen.measure(dry()))
    assert {figure.column for figure in found} == {"speed", "times as fast"}
    (goal,) = [figure for figure in found if figure.goal is not None]
    assert goal.row.endswith("stem to layer3 frozen")
    assert {figure.table for figure in found} == {"GPU"}


def test_a_better_figure_takes_the_place_of_an_earlier_one() -> None:
    measured = Measured()
    for row, value in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        measured.add(Figure("GPU", row, "speed", value, "s"))
    assert [(figure.row, figure.value) for figure in measured.figures.values()] == [("a", 3.0), ("b", 2.0)]


def test_contestants_are_compared_with_the_faster_peer_round_by_round() -> None:
    every = {"ours": Timed([1.0, 2.0], 0, None), "slow": Timed([9, 9], 0, None), "fast": Timed([1.5, 1.0], 0, None)}
    figure = times_as_fast("row", every, "ours", ["slow", "fast"], goal=1.0)
    assert (figure.value, figure.missed) == (1.0, False)
    assert (figure.low, figure.high) == (0.75, 1.25)


def test_modes_are_those_of_torch_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **options: (function, options))
    gpu = Device("cuda")
    assert gpu.in_mode(len, "eager") is len
    assert gpu.in_mode(len, "compiled") == (len, {"mode": "default"})
    assert gpu.in_mode(len, "CUDA graphs") == (len, {"mode": "reduce-overhead"})


def test_a_limit_of_memory_is_a_share_of_the_gpu_s_and_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=100 * 2**20))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    with suppress(RuntimeError), Device("cuda").memory_of(40):
        raise RuntimeError
    assert shares == [0.4, 1.0]


class Counting(Device):
    """A device whose contestants hold 100 MiB each, and take 10 MiB more in a step and 500 MiB in their first one."""

    held, highest, log = 0.0, 0.0, ""
    seen: ClassVar[set[Any]] = set()

    def seconds(self, run: Any, steps: int) -> float:
        Counting.highest = max(self.highest, self.held + (500 if run not in self.seen else 10))
        self.seen.add(run)
        Counting.log += str(run())
        return 1.0

    def allocated(self) -> float:
        return self.held

    def peak(self) -> float:
        return self.highest

    def forget_peak(self) -> None:
        Counting.highest = self.held

    def free(self) -> None:
        Counting.held = 0.0


def holding(letter: str) -> Any:
    Counting.held += 100
    return lambda: letter


def test_peak_memory_is_that_of_steps_after_the_first_without_other_contestants() -> None:
    Counting.log = ""
    setting = replace(dry(), device=Counting("cpu"), rounds=3)
    every = race(setting, {letter: partial(holding, letter) for letter in "ab"})
    assert [timed.peak for timed in every.values()] == [110, 110]
    assert Counting.log == "aabb" + "ab" * 3
    assert Counting.held == 0


def test_those_that_have_joined_a_race_take_turns_before_the_next_one_is_compiled() -> None:
    Counting.log = ""
    setting = replace(dry(), device=Counting("cpu"), rounds=3)
    every = list(joining_race(setting, {letter: partial(holding, letter) for letter in "abc"}))
    assert Counting.log == "aa" + "a" * 2 + "bb" + "ab" * 2 + "cc" + "abc" * 3
    assert [[len(timed.seconds) for timed in so_far.values()] for so_far in every] == [[2], [2, 2], [3, 3, 3]]
    assert Counting.held == 0


def test_a_tensor_that_differs_in_one_bit_or_is_missing_is_counted() -> None:
    some = {"a": torch.ones(3), "b": torch.zeros(2), "c": torch.ones(1)}
    others = {"a": torch.ones(3), "b": torch.tensor([0, 1e-45]), "d": torch.ones(1)}
    figure = exactness.differing("row", some, others)
    assert (figure.value, figure.missed) == (3, True)
    assert not exactness.differing("row", some, dict(some)).missed


def test_crops_are_windows_of_the_padded_images_some_of_them_mirrored() -> None:
    torch.manual_seed(0)
    images = torch.arange(2 * 3 * 40 * 40).view(2, 3, 40, 40)
    crops = cropped_and_mirrored(images, torch.tensor([1, 0, 1, 1, 0, 1]))
    assert crops.shape == (6, 3, SIDE, SIDE)
    windows = images.unfold(2, SIDE, 1).unfold(3, SIDE, 1)[:, :, : 2 * PADDING + 1, : 2 * PADDING + 1]
    mirrored = 0
    for row, crop in zip([1, 0, 1, 1, 0, 1], crops, strict=True):
        places = windows[row].permute(1, 2, 0, 3, 4)
        matches, flipped = ((places == each).all((2, 3, 4)).sum() for each in (crop, crop.flip(-1)))
        assert matches + flipped == 1
        mirrored += int(flipped)
    assert 0 < mirrored < 6


def test_names_of_parts_differ_and_their_shares_are_of_nine_minutes() -> None:
    assert len({part.name for part in PARTS}) == len(PARTS)
    assert sum(part.seconds for part in PARTS) == 530


def test_without_a_gpu_only_a_dry_run_is_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="torch finds no GPU on this machine; --dry runs every part on the CPU"):
        main([])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_dry_runs_every_part(tmp_path: Path) -> None:
    main(["--dry", "--minutes", "30", "--out", str(tmp_path / "gpu.json")])
    results = json.loads((tmp_path / "gpu.json").read_text())
    assert {name: part["fault"] for name, part in results["parts"].items()} == {part.name: "" for part in PARTS}
    found = read("gpu", tmp_path)["figures"]
    assert [figure.row for figure in figures(results)] == [figure.row for figure in found]
    cells = [(figure.row, figure.column) for figure in found]
    assert len(set(cells)) == len(cells)
    for start in STARTS:
        assert any(figure.row.startswith(start) for figure in found), start
    exact = [figure for figure in found if figure.column == "tensors that differ"]
    assert [figure.value for figure in exact] == [0] * 6
    at_a_time = [figure.value for figure in found if figure.column == "images at a time"]
    assert at_a_time == [2, 2]
    assert all(isinstance(figure, Figure) and figure.value >= 0 for figure in found)
    assert results["notes"] == ["SyncBN: not run, it needs a GPU"]


STARTS = (
    "killed", "stopped", "DDP of one process (gloo), static graph", "DDP of one process (gloo), no static graph",
    "a batch of images augmented on the device", "fit with prefetch against one without, images made by workers",
    "fit with prefetch against one without, images augmented", "bf16", "training, batch 2, eager",
    "training, batch 2, compiled",
    "training, batch 2, eager: stem to layer3 frozen", "fit, batch 2: one batch",
    "fit, batch 2: JPEG files, decoded", "fit, batch 2: JPEG files, augmented", "fit, batch 2: head only, cached",
    "fit on one batch of 2 on the device: eager", "fit on one batch of 2 on the device: tuning.compile: all",
    "fit on one batch of 2 on the device: tuning.compile: all, reduce-overhead",
    "fit in 60 % of its memory, 4 images a step: recovered",
    "fit in 60 % of its memory, 4 images a step: data.batch_size: auto",
    "RetinaNet", "Faster R-CNN", "inference, batch 1,", "inference, batch 2,", "ResNet-20", "training, batch 4",
)  # fmt: skip
