"""A process that runs parts one after another and passes on what they find while they run.

Its end loses only what it was measuring: a part may crash, or be cut off when its time is over.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NamedTuple

from benchmarks.figures import Figure
from benchmarks.gpu_parts.setting import Setting

Found = Figure | str
"""A figure, or a sentence about what was not measured."""


class Done(NamedTuple):
    """The end of a part. fault: what ended it early; "" for nothing."""

    fault: str = ""


class Worker:
    """The process, as its parent sees it, which no error of CUDA reaches.

    until: the time (`time.monotonic`) up to which to wait until it has started.
    """

    def __init__(self, setting: Setting, until: float) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, setting))
        self._process.start()
        theirs.close()
        self._started = self._finish(until, print)

    def run(self, function: str, until: float, found: Callable[[Found], None]) -> str:
        """Runs a part, by the path of its function, until this time at most.

        found: takes what the part finds, as soon as it does.

        Returns what ended the part early; "" for nothing. After a fault the process must not be used again: errors of
        CUDA stay in it.
        """
        if self._started:
            return self._started
        with suppress(OSError):
            self._connection.send(function)
        return self._finish(until, found)

    def stop(self) -> None:
        """Ends the process, and those that it has started."""
        with suppress(ProcessLookupError):  # it does not lead a group yet
            os.killpg(self._process.pid or 0, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _finish(self, until: float, found: Callable[[Found], None]) -> str:
        began = time.monotonic()
        try:
            while self._connection.poll(max(until - time.monotonic(), 0)):
                message = self._connection.recv()
                if isinstance(message, Done):
                    return message.fault
                found(message)
        except (EOFError, OSError):
            self._process.join(5)
            return f"its process ended with exit code {self._process.exitcode}"
        return f"cut after {time.monotonic() - began:.0f} s"


def _serve(connection: Connection, setting: Setting) -> None:
    os.setpgid(0, 0)
    warnings.simplefilter("ignore")
    for name in ("lightning.pytorch", "lightning.fabric", "resnet_tl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    setting.device.settle()
    connection.send(Done())
    with suppress(EOFError):
        while True:
            fault = _run(connection.recv(), setting, connection.send)
            connection.send(Done(fault))


def _run(path: str, setting: Setting, send: Callable[[Found], None]) -> str:
    module, _, function = path.rpartition(".")
    try:
        setting.device.settle()
        for found in getattr(importlib.import_module(module), function)(setting):
            send(found)
        setting.device.free()
    except ModuleNotFoundError as error:
        send(f"{module}: not available: needs the package {error.name}")
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return ""
