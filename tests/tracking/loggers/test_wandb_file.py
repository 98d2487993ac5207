from __future__ import annotations

from pathlib import Path

import pytest

from resnet_tl.tracking.loggers.wandb_file import next_step
from tests.tracking.loggers.wandb_files import write_wandb_file


def test_the_step_after_the_last_row_of_all_files(tmp_path: Path) -> None:
    paths = [tmp_path / name / "run.wandb" for name in ("a", "b", "c")]
    for path, steps in zip(paths, ([0, 3], [4, 9], []), strict=True):
        write_wandb_file(path, steps)
    assert next_step(paths) == 10
    assert next_step(paths[:1]) == 4
    assert next_step(paths[2:]) == 0
    assert next_step([]) == 0


@pytest.mark.parametrize("padding", [10, 32_700, 100_000])
def test_a_row_that_a_kill_cut_off_or_the_disk_damaged_is_missing(padding: int, tmp_path: Path) -> None:
    path = tmp_path / "a" / "run.wandb"
    write_wandb_file(path, range(4), padding)
    whole = path.read_bytes()
    assert next_step([path]) == 4
    path.write_bytes(whole[:-1])
    assert next_step([path]) == 3
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    assert next_step([path]) == 3
    path.write_bytes(b"")
    assert next_step([path]) == 0


def test_another_format_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a" / "run.wandb"
    write_wandb_file(path, range(4))
    path.write_bytes(path.read_bytes()[:6] + b"\x01" + path.read_bytes()[7:])
    assert next_step([path]) is None


@pytest.mark.slow
def test_what_wandb_writes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    run = wandb.init(dir=tmp_path, mode="offline", settings=wandb.Settings(quiet=True))
    for step in (3, 5):
        run.log({"text": "x" * 40_000}, step=step)
    run.finish()
    wandb.teardown()  # waits for the process that writes
    assert next_step(tmp_path.glob("wandb/offline-run-*/*.wandb")) == 6
