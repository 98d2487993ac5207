"""Many short fits in this process, each a line of JSON in a file when it ends: a study that can be stopped at any time,
and continued by naming the same file."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import resnet_tl
from benchmarks.machine import machine
from resnet_tl.run.finished import Run

CACHE = Path("~/.cache/resnet_tl/benchmarks").expanduser()
"""Of weights that studies train for themselves."""
RECIPE = "classify/folder_resnet50_finetune"
"""Which all overrides are of."""
Overrides: TypeAlias = Mapping[str, Any]
Labels: TypeAlias = Mapping[str, str | int | float]
FILES = ("data.root", "model.backbone.weights")
"""Overrides that count by the last two parts of their path: folders may move, but a cache keeps its name."""
QUICK: Overrides = {
    "data.num_workers": 0,
    "trainer.num_sanity_val_steps": 0,
    "tracking.checkpoint_every": None,
    "tracking.charts": False,
    "tracking.images": 0,
    "tracking.table_rows": 0,
    "tracking.decisions": False,
    "tracking.report": False,
}
"""What leaves out of a run all but training and one validation at its end."""


@dataclass(frozen=True)
class Extras:
    """What is trained or done besides a fit.

    Args:
        mix: share of the run's end in its mean with the end of its head's phase (WiSE-FT), of which the accuracy is
            then; None: the run's end alone.
        teachers: so many fits of the same recipe before it, each with a seed of its own but the same images. It learns
            from the mean of their outputs for `TAUGHT` of its loss, also on all training images without their labels.
    """

    mix: float | None = None
    teachers: int = 0


ALONE = Extras()
TAUGHT = 0.7
"""A change of it makes other fits, which no digest tells."""


class OutOfTime(Exception):
    """There is no time for another fit."""


class Fits:
    """The fits of a study.

    Args:
        path: of their file, which may not exist yet.
        minutes: after which no fit is started; None: as many as needed.
        run: trains and returns an accuracy, see `accuracy_of`.
    """

    def __init__(
        self, path: Path, minutes: float | None = None, run: Callable[[Overrides, Extras], float] | None = None
    ) -> None:
        self.path, self._run = path, run or accuracy_of
        self._end = None if minutes is None else time.monotonic() + 60 * minutes
        lines = path.read_text().splitlines() if path.exists() else []
        self.records: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self._known = {_key(record): float(record["accuracy"]) for record in self.records}
        self._commit = machine()["commit"]

    def accuracy(self, labels: Labels, overrides: Overrides, extras: Extras = ALONE) -> float:
        """Returns the validation accuracy (0...1) of a fit, from the file if it is there.

        Args:
            labels: what the fit is called. One of other overrides is another fit, whatever it is called.
            overrides, extras: see `accuracy_of`.

        Raises:
            OutOfTime: it would have to be trained, but the time is over.
        """
        record = {**labels, "digest": digest(overrides, extras)}
        if (known := self._known.get(_key(record))) is not None:
            return known
        if self._end is not None and time.monotonic() > self._end:
            raise OutOfTime
        start = time.perf_counter()
        accuracy = self._run(overrides, extras)
        seconds = time.perf_counter() - start
        self._add({**record, "accuracy": accuracy, "seconds": round(seconds, 1), "commit": self._commit})
        print(
            f"{' '.join(str(value) for value in labels.values())}: {100 * accuracy:.2f} %, {seconds:.0f} s", flush=True
        )
        return accuracy

    def _add(self, record: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a") as file:
            file.write(json.dumps(record) + "\n")
        self.records.append(record)
        self._known[_key(record)] = record["accuracy"]


def accuracy_of(overrides: Overrides, extras: Extras = ALONE) -> float:
    """Fits, and returns the accuracy (0...1) of the last epoch, the only one that is validated.

    Args:
        overrides: of the keys of `RECIPE`, with `trainer.max_epochs`.
    """
    values = {**QUICK, "trainer.check_val_every_n_epoch": overrides["trainer.max_epochs"], **overrides}
    with quiet(), tempfile.TemporaryDirectory() as folder:

        def fit(name: str, more: Overrides) -> Run:
            cache = {"data.cache_dir": f"{folder}/cache"}
            return resnet_tl.fit(RECIPE, run=f"{folder}/{name}", **{**cache, **values, **more})

        run = fit("run", taught(values, extras.teachers, fit) if extras.teachers else {})
        if extras.mix is None:
            return float(run.final["val/acc"])
        ends = [run.path / "checkpoints" / name for name in ("last.ckpt", "head.ckpt")]
        shares = [extras.mix, 1 - extras.mix]
        return resnet_tl.average(ends, Path(folder) / "mix.ckpt", shares=shares, trust_code=True).score.value


def taught(values: Overrides, teachers: int, fit: Callable[[str, Overrides], Run]) -> Overrides:
    """Trains the teachers, and returns what names them and the images to learn from."""
    seed, root = int(values["seed_everything"]), Path(values["data.root"])
    seeds = [seed + 100 * (number + 1) for number in range(teachers)]
    runs = [fit(f"teacher{each}", {"seed_everything": each, "data.seed": seed}) for each in seeds]
    return {
        "model.tuning.teacher": {"network": [str(run.path) for run in runs], "weight": TAUGHT},
        "data.unlabelled": str(root / "train" if (root / "train").is_dir() else root),
    }


@contextmanager
def quiet() -> Iterator[None]:
    """Silences the lines of runs while inside; errors are raised as always."""
    log, silent = logging.getLogger("resnet_tl"), logging.NullHandler()
    others = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "py.warnings")]
    levels = [other.level for other in others]
    log.addHandler(silent)  # the package prints nothing where its log has a handler
    for other in others:
        other.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.removeHandler(silent)
        for other, level in zip(others, levels, strict=True):
            other.setLevel(level)


def digest(overrides: Overrides, extras: Extras = ALONE) -> str:
    """Returns eight hex digits of what a fit is made of."""
    values = {key: _moved(value) if key in FILES else value for key, value in overrides.items()}
    parts: list[Any] = [values, extras.mix]
    if extras.teachers:  # fits of earlier studies have no such part
        parts.append(extras.teachers)
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def _moved(path: Any) -> str:
    return "/".join(Path(str(path)).parts[-2:])


def _key(record: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((key, value) for key, value in record.items() if key not in ("accuracy", "seconds", "commit")))
