from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest
import torch.distributed.nn.functional
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from resnet_tl.errors import DataError
from resnet_tl.tracking.log import LOGGERS, log_file, log_info
from resnet_tl.tracking.terminal import terminal_log


def test_lines_go_to_the_terminal_and_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with terminal_log():
        log_info("before")
        with log_file(tmp_path / "log.txt"):
            log_info("during")
            rank_zero_info("from Lightning")
            with pytest.warns(UserWarning, match="take care"):
                warnings.warn("take care", stacklevel=1)
        log_info("after")
    text = (tmp_path / "log.txt").read_text()
    assert capsys.readouterr().out == "before\nduring\nafter\n"
    assert [line[21:] for line in text.splitlines()] == ["during", "from Lightning"]


def test_warnings_are_logged_and_still_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with log_file(tmp_path / "log.txt"):
            warnings.warn("take care", stacklevel=1)
    assert "take care" in (tmp_path / "log.txt").read_text()
    assert "take care" in capsys.readouterr().err


def test_what_lightning_gathers_by_is_not_reported() -> None:
    with terminal_log(), warnings.catch_warnings(record=True) as caught:
        torch.distributed.nn.functional._deprecated("all_gather", "another")  # as Lightning's `strategy.all_gather`
    assert not caught


def test_the_log_ends_with_what_stopped_the_run(tmp_path: Path) -> None:
    with pytest.raises(DataError), log_file(tmp_path / "mistake.txt"):
        raise DataError("cat.jpg: cut off")
    assert (tmp_path / "mistake.txt").read_text().endswith("  error: cat.jpg: cut off\n")
    with pytest.raises(ZeroDivisionError), log_file(tmp_path / "bug.txt"):
        print(1 / 0)
    assert (tmp_path / "bug.txt").read_text().rstrip().endswith("ZeroDivisionError: division by zero")


def test_nothing_stays_attached(tmp_path: Path) -> None:
    before = {name: list(logging.getLogger(name).handlers) for name in LOGGERS}
    with log_file(tmp_path / "log.txt"):
        assert before != {name: list(logging.getLogger(name).handlers) for name in LOGGERS}
    assert before == {name: list(logging.getLogger(name).handlers) for name in LOGGERS}


def test_other_ranks_are_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    with terminal_log(), log_file(tmp_path / "log.txt"):
        log_info("twice")
    assert not (tmp_path / "log.txt").exists()
    assert capsys.readouterr().out == ""
