from __future__ import annotations

import logging
import sys
import warnings

import pytest

from resnet_tl.tracking.terminal import terminal_log

log = logging.getLogger("resnet_tl")


def test_lines_are_printed_only_inside(capsys: pytest.CaptureFixture[str]) -> None:
    before = list(log.handlers), log.level, log.propagate
    log.info("before")
    with terminal_log(), terminal_log():
        log.info("50 % done")
    log.info("after")
    assert capsys.readouterr() == ("50 % done\n", "")
    assert (list(log.handlers), log.level, log.propagate) == before


def test_a_handler_of_the_program_wins(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    try:
        with terminal_log():
            log.warning("careful")
    finally:
        log.removeHandler(handler)
    assert lines == ["careful"]
    assert capsys.readouterr().out == ""


def test_a_closed_pipe_raises_as_print_does(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    with terminal_log(), pytest.raises(BrokenPipeError):
        log.info("line")


def test_only_lightnings_routine_messages_are_hidden_and_only_inside(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, logger.name):
            with terminal_log():
                logger.info("GPU available: False, used: False")
                logger.info("Loaded 318 of 320 tensors")
            logger.info("GPU available: True")  # of a Trainer of the program's own
    finally:
        logger.removeHandler(caplog.handler)
    assert "Loaded 318" in caplog.text
    assert "GPU available: False" not in caplog.text
    assert "GPU available: True" in caplog.text


def test_the_default_of_two_workers_is_not_warned_about_and_more_are() -> None:
    text = "This DataLoader will create {} worker processes in total. Our suggested max number of worker is 1."
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with terminal_log():
            for workers in (2, 20):
                warnings.warn(text.format(workers), UserWarning, stacklevel=1)
        warnings.warn(text.format(2), UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in seen] == [text.format(20), text.format(2)]
