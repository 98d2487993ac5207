"""Runs every benchmark of speed on this machine, one after the other, and makes the page of what they wrote.

python -m benchmarks all [--only NAME ...] [--plan]

Nothing is downloaded: images and networks are made. Each runs in a process of its own and writes its results; one that
fails is named at the end and does not stop the others, and what needs a package that is not installed is skipped. The
seconds of the plan are those of two cores of an Intel Xeon without other load. The scores of trainings are not among
them: ants_bees, foreign, quickstart, camvid, bccd, overfit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

WARM_UP = 2
"""Rounds of most benchmarks that do not count."""


@dataclass(frozen=True)
class Planned:
    """A benchmark and its settings.

    Args:
        start: Seconds once: imports, compiling, what is made.
        a_round: Seconds of a round of all contestants, over all parts.
        packages: Modules that it needs besides the project's own.
        warm_up: Rounds that do not count.
    """

    name: str
    start: int
    a_round: float = 0
    rounds: int = 0
    options: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    warm_up: int = WARM_UP

    @property
    def words(self) -> list[str]:
        return [*self.options, *(["--rounds", str(self.rounds)] if self.rounds else [])]

    @property
    def seconds(self) -> int:
        return round(self.start + self.a_round * (self.rounds + self.warm_up if self.rounds else 0))

    @property
    def lacking(self) -> list[str]:
        return [package for package in self.packages if find_spec(package) is None]


PLAN = [
    Planned("freezing", 80, packages=("finetuning_scheduler",)),
    Planned("freezing_speed", 120, 25, 4, ("--allocators", "raised")),
    Planned("prefix_precision", 20),
    Planned("resnet", 115, 16, 6, ("--allocators", "raised", "--parts", "training", "inference", "single")),
    Planned("segmentation", 15, 13, 6, packages=("segmentation_models_pytorch",)),
    Planned("detection", 30, 40, 3, ("--parts", "training")),
    Planned("step_profile", 240, packages=("segmentation_models_pytorch",)),
    Planned("data_path", 25, 3, 10),
    Planned("streaming", 40, 25, 3, ("--count", "3200", "--shard-mb", "8"), ("webdataset", "moto", "s3fs", "litdata")),
    Planned("export", 150, 13, 4, packages=("onnxruntime", "openvino", "onnxscript")),
    Planned("serve", 30, 15, 4, ("--seconds", "60"), ("fastapi", "uvicorn", "multipart")),
    Planned("logging_cost", 12, 20, 3, packages=("mlflow", "tensorboard")),
    Planned("predict_files", 15, 11, 4),
    Planned("coco_evaluation", 65, packages=("pycocotools",)),
    Planned("checkpoints", 10, 2, 8),
    Planned("startup", 5, 14, 3),
    Planned("finetune", 20, 265, 2, ("--epochs", "2"), warm_up=0),
    Planned("listing", 130),
    Planned("growth", 125),
]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks all")
    names = [planned.name for planned in PLAN]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--plan", action="store_true", help="prints the plan and ends")
    options = parser.parse_args(arguments)
    chosen = [planned for planned in PLAN if planned.name in options.only]
    print(plan(chosen), flush=True)
    if options.plan:
        return
    failed = run(chosen)
    failed += run([Planned("report", 0)], write=False)
    if failed:
        sys.exit("failed: " + ", ".join(failed))


def plan(chosen: Sequence[Planned]) -> str:
    lines = []
    for planned in chosen:
        lacking = ", ".join(planned.lacking)
        note = f"skipped, needs {lacking}" if lacking else f"{planned.seconds:5d} s   {' '.join(planned.words)}"
        lines.append(f"  {planned.name:<16} {note}")
    total = sum(planned.seconds for planned in chosen if not planned.lacking)
    return "\n".join([*lines, f"  {'in all':<16} {total:5d} s, {total / 60:.0f} minutes"])


def run(chosen: Sequence[Planned], write: bool = True) -> list[str]:
    """Runs what is not skipped; returns the names of those that failed."""
    failed = []
    for planned in chosen:
        if planned.lacking:
            continue
        words = [planned.name, *planned.words, *(["--write"] if write else [])]
        print(f"\n=== python -m benchmarks {' '.join(words)}", flush=True)
        start = time.perf_counter()
        code = subprocess.run([sys.executable, "-m", "benchmarks", *words]).returncode
        print(f"=== {planned.name}: {time.perf_counter() - start:.0f} s, {'done' if code == 0 else f'FAILED ({code})'}")
        failed += [planned.name] if code else []
    return failed
