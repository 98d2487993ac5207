"""What a run says: on the terminal, and with the time in its log.txt."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.errors import UserError

LOGGERS = ("resnet_tl", "lightning.pytorch", "lightning.fabric", "py.warnings")
log = logging.getLogger("resnet_tl")


@rank_zero_only
def say(text: str) -> None:
    """A line for the user, on rank 0 alone."""
    print(text, flush=True)
    log.info(text)


@contextmanager
def kept_log(path: Path) -> Iterator[None]:
    """Append to `path`, while inside: what `say` says, what Lightning reports, warnings, and the error that ends it."""
    if rank_zero_only.rank != 0:  # type: ignore[attr-defined]
        yield
        return
    file = logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    terminal = logging.StreamHandler(sys.stderr)
    _attach(file, terminal)
    try:
        yield
    except UserError as error:
        log.error(f"error: {error}")
        raise
    except SystemExit:  # on a signal, which was said
        raise
    except BaseException:
        log.exception("stopped")
        raise
    finally:
        _detach(file, terminal)


def _attach(file: logging.Handler, terminal: logging.Handler) -> None:
    log.setLevel(logging.INFO)
    log.propagate = False
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(terminal)  # captured warnings no longer print themselves
    for name in LOGGERS:
        logging.getLogger(name).addHandler(file)


def _detach(file: logging.Handler, terminal: logging.Handler) -> None:
    logging.captureWarnings(False)
    logging.getLogger("py.warnings").removeHandler(terminal)
    for name in LOGGERS:
        logging.getLogger(name).removeHandler(file)
    file.close()
