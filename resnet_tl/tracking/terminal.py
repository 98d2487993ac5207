"""The package's log lines on the terminal. Imports the standard library alone."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from resnet_tl.errors import printable


@contextmanager
def terminal_log() -> Iterator[None]:
    """Prints what the logger `resnet_tl` reports to stdout, while inside.

    Does nothing if that logger has a handler already: a program's own logging set-up wins.
    """
    log = logging.getLogger("resnet_tl")
    if log.handlers:
        yield
        return
    handler, before = _Stdout(), (log.level, log.propagate)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]


class _Stdout(logging.StreamHandler[TextIO]):
    """Writes to whatever `sys.stdout` is at the time: a live progress bar or a notebook replaces it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stdout

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:
        """Raises the error that logging is handling, as `print` would: a closed pipe ends the command quietly."""
        raise
