"""The lines a run reports, also kept with the time in its log.txt."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.errors import UserError

LOGGERS = ("resnet_tl", "lightning.pytorch", "lightning.fabric", "py.warnings")
log = logging.getLogger("resnet_tl")


def is_rank_zero() -> bool:
    """Whether this process is rank 0, which alone reports and writes."""
    return rank_zero_only.rank == 0  # type: ignore[attr-defined, no-any-return]


@rank_zero_only
def log_info(text: str) -> None:
    """Reports a line to the user, from rank 0 alone."""
    log.info(text)


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Appends to `path`, while inside, the lines of the run and of Lightning, warnings, and the error that ends it."""
    if not is_rank_zero():
        yield
        return
    file = logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    warnings = logging.StreamHandler(sys.stderr)
    before = log.level, log.propagate
    _attach(file, warnings)
    try:
        yield
    except UserError as error:
        _write(file, f"error: {error}")
        raise
    except (SystemExit, KeyboardInterrupt):  # on a signal, which has been reported
        raise
    except BaseException:
        _write(file, "stopped", exc_info=sys.exc_info())
        raise
    finally:
        _detach(file, warnings)
        log.setLevel(before[0])
        log.propagate = before[1]


def _attach(file: logging.Handler, warnings: logging.Handler) -> None:
    log.setLevel(logging.INFO)
    log.propagate = False
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(warnings)  # captured warnings no longer print themselves
    for name in LOGGERS:
        logging.getLogger(name).addHandler(file)


def _detach(file: logging.Handler, warnings: logging.Handler) -> None:
    logging.captureWarnings(False)
    logging.getLogger("py.warnings").removeHandler(warnings)
    for name in LOGGERS:
        logging.getLogger(name).removeHandler(file)
    file.close()


def _write(file: logging.Handler, text: str, **attributes: Any) -> None:
    """Writes a line to the file alone: the caller shows the error on the terminal."""
    file.handle(logging.makeLogRecord({"msg": text, **attributes}))
