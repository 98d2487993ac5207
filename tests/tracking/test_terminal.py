from __future__ import annotations

import logging
import sys

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
