"""Exceptions for mistakes a user can repair: one sentence each, printed without a traceback, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in a recipe, a data set, a weight file or a command.

    The message names the file, key or value, states what was expected, and suggests the nearest valid alternative.
    """


class RecipeError(UserError):
    """An invalid recipe or option: an unknown key, a wrong type, a contradiction."""


class DataError(UserError):
    """Images, labels or annotations that cannot be used."""


class WeightsError(UserError):
    """A weight file or checkpoint that is missing, unsafe to read, or does not match the network."""


class RunError(UserError):
    """A run that cannot start or resume: the folder is taken, the disk is full, the device does not exist."""


FULL_MEMORY = ("MemoryError", "DefaultCPUAllocator", "not enough memory")
"""What errors of torch's allocator contain, and the RuntimeErrors that workers make of numpy's."""


def memory_full(error: BaseException) -> RunError | None:
    """Returns the error of a full memory as a sentence, with the image for which there is none; None for others."""
    text = str(error)
    if not isinstance(error, MemoryError) and not any(sign in text for sign in FULL_MEMORY):
        return None
    last = text.strip().rpartition("\n")[2].removeprefix("MemoryError: ")
    where = last if ": no memory for its " in last else "this machine's memory is full"
    return RunError(f"{where}: lower the batch size, the number of workers or the size of the images")


def printable(text: str) -> str:
    """Returns text that a terminal only shows: control characters, and bytes of file names that are not UTF-8, as
    escapes (`\\x1b`). Line breaks stay."""
    return "".join(each if each.isprintable() or each == "\n" else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte, as Python decodes file names
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def did_you_mean(word: str, choices: Iterable[str], cutoff: float = 0.5) -> str:
    """Returns `"; did you mean 'x'?"` with the closest of `choices`, or `""` if none is close.

    cutoff: how close, 0...1 (difflib's ratio).
    """
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]!r}?" if near else ""
