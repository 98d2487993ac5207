"""Files that verbs write: never over another."""

from __future__ import annotations

import csv
import io
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.files import write_new_text

ENDINGS = (".png", ".jpg")


def check_new(options: Namespace, pictures: Sequence[str]) -> None:
    """Refuses files that exist, one file for two options, and pictures of other formats.

    pictures: the options that name pictures.
    """
    named: dict[Path, str] = {}
    for name, value in vars(options).items():
        if isinstance(value, Path) and value.exists():
            raise RunError(f"{value}: exists already, and nothing is overwritten")
        if isinstance(value, Path) and (other := named.setdefault(value.resolve(), name)) != name:
            raise RecipeError(f"--{other} and --{name} both name {value}; expected a file for each")
        if isinstance(value, Path) and name in pictures and value.suffix.lower() not in ENDINGS:
            raise RecipeError(f"--{name} {value}: expected a file that ends in {' or '.join(ENDINGS)}")


def write_excluded(reasons: Mapping[str, str], path: Path) -> None:
    """Writes the images that a set is better without, as `data.exclude` takes them: by key, with the reason."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("key", "reason"), *sorted(reasons.items())])
    write_new_text(path, text.getvalue())
    print(f"{path}: {counted(len(reasons), 'image')} to exclude: --data.exclude {path}")


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def show_progress() -> Callable[[int, int], None]:
    """Returns what shows on a terminal how many images are done; nothing elsewhere."""
    return _progress if sys.stderr.isatty() else lambda done, total: None


def _progress(done: int, total: int) -> None:
    if done % 20 == 0 or done == total:
        print(f"\r{done}/{total} images", end="\n" if done == total else "", file=sys.stderr, flush=True)
