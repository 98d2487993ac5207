"""Four classes that arrive after a network has learned six: what it forgets, and how well it learns them.

python -m benchmarks new_classes --data DIR [--write] [--seeds 1 2 3] [--old 600] [--new 250] [--scratch DIR]

--data holds cifar10/{train,test}.zip (class folders). A ResNet-20 learns airplane, automobile, bird, cat, deer and dog
from random weights, on --old images of each, in 10 epochs: one network for all seeds. Then it is trained for 4 epochs
on --new images of each of frog, horse, ship and truck, at a fifth of the rate, in these ways, all but the last without
old images but those named:

retrain the head          the trunk is frozen, and the classifier of ten classes is new
fine-tune                 all is trained, and the classifier of ten classes is new
rows kept                 fit --from RUN: rows of known classes are kept, new ones start from class means, and the loss
                          is over the classes that have images
rows kept, LwF            next to that, the answers of the old classifier are kept (strength 1, temperature 2)
rows kept, LwF, replay    with 20 images of each old class, drawn as often as the new ones
joint                     on all images of all ten classes, drawn equally often, from the same network: what the others
                          are to come near

A seed draws the new images and those that are replayed, and is that of the second training. Accuracies are means over
the classes, with all ten as outputs, on the first 200 test images of each class, after the last epoch; no rate or
strength was chosen on them. `core s` are the seconds of all cores that a training takes, with its one validation.
--scratch keeps the runs, so that a command that was stopped does not repeat those that are finished.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import resnet_tl
from benchmarks.figures import Figure, over_seeds, write
from benchmarks.fits import core_seconds
from benchmarks.machine import machine
from resnet_tl.tracking.predictions import load_evaluation
from resnet_tl.tracking.run_folder import RunFolder

OLD = ("airplane", "automobile", "bird", "cat", "deer", "dog")
NEW = ("frog", "horse", "ship", "truck")
TESTED, REPLAYED = 200, 20
"""Images of each class to test on, and of each old class to replay."""
FIRST = {"trainer.max_epochs": 10, "model.optimizer.lr": 0.1}
SECOND = {"trainer.max_epochs": 4, "model.optimizer.lr": 0.02, "model.schedule.warmup_epochs": 0}
KNOWN = {"model.backbone.keep_classifier": "known"}
LWF = {"model.tuning.regularisers": [{"class_path": "LwF"}]}
Row = dict[str, list[float]]
BEFORE = "six classes, before"


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        place, rows, seeds = options.scratch or Path(folder), dict[str, Row](), list[int]()
        old_images(options.data / "cifar10", place, options.old)
        first, seconds = trained(place / "six", place / "runs" / "first", 0, FIRST)
        rows[BEFORE] = {"old classes": [accuracy(recalls(first, OLD))], "core s": [seconds]}
        print(rows, flush=True)
        for seed in options.seeds:
            new_images(options.data / "cifar10", place, seed, options.new)
            for name, found in second(place, first, seed):
                row = rows.setdefault(name, defaultdict(list))
                for column, value in found.items():
                    row[column].append(value)
                print(f"seed {seed}  {name:<24} {found}", flush=True)
            seeds.append(seed)
            if options.write:
                sizes = {"old": options.old, "new": options.new}
                measured = {"machine": machine(), "seeds": seeds, "images": sizes, "rows": rows}
                write("new_classes", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    rows = results["rows"]
    of_classes = [
        over_seeds("new_classes", name, column, values, "%")
        for name, row in rows.items()
        for column, values in row.items()
        if column != "core s"
    ]
    seconds = [
        Figure("new_classes", name, "core s", statistics.median(row["core s"]), "s")
        for name, row in rows.items()
        if "core s" in row
    ]
    return of_classes + seconds


def second(place: Path, first: Path, seed: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yields what each way reaches after the first training, in %, and its core seconds."""
    of_seed, groups = place / str(seed), {"old classes": OLD, "new classes": NEW, "all": (*OLD, *NEW)}
    for name, (root, overrides) in ways(place).items():
        options = SECOND | {"model.backbone.weights": str(first)} | overrides
        run, seconds = trained(of_seed / root, of_seed / "runs" / name.replace(" ", "_"), seed, options)
        scores = {column: accuracy(recalls(run, names)) for column, names in groups.items()}
        yield name, scores | {"core s": seconds}


def ways(place: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Returns the set and the options of the second training, by its name."""
    ten = {"data.classes": [*OLD, *NEW]}
    replay = {"data.replay": str(place / "six" / "train"), "data.replay_shots": REPLAYED, "data.balanced": True}
    return {
        "retrain the head": ("four", {**ten, "model.tuning.phases": [{"train": ["head"]}]}),
        "fine-tune": ("four", ten),
        "rows kept": ("four", {**ten, **KNOWN}),
        "rows kept, LwF": ("four", {**ten, **KNOWN, **LWF}),
        "rows kept, LwF, replay": ("four", {**ten, **KNOWN, **LWF, **replay}),
        "joint": ("ten", {**ten, **KNOWN, "data.balanced": True}),
    }


def old_images(folder: Path, place: Path, count: int) -> None:
    """Makes the set `six` in `place`: `count` training images of each old class; and test images of all classes."""
    if (place / "six").exists():
        return
    rng = np.random.default_rng(0)
    for name in OLD:
        _copy(folder / "train.zip", name, place / "train" / name, lambda files: rng.permutation(files)[:count])
    for name in (*OLD, *NEW):
        _copy(folder / "test.zip", name, place / "test" / name, lambda files: files[:TESTED])
    _link(place / "six" / "train", place / "train", OLD)
    _link(place / "six" / "val", place / "test", OLD)


def new_images(folder: Path, place: Path, seed: int, count: int) -> None:
    """Makes the sets `four` and `ten` in a folder of the seed: `count` training images of each new class, and in `ten`
    those of the old ones, too; both with test images of all."""
    here, rng = place / str(seed), np.random.default_rng(seed)
    if (here / "ten").exists():
        return
    for name in NEW:
        _copy(folder / "train.zip", name, here / "train" / name, lambda files: rng.permutation(files)[:count])
    for root in ("four", "ten"):
        _link(here / root / "train", here / "train", NEW)
        _link(here / root / "val", place / "test", (*OLD, *NEW))
    _link(here / "ten" / "train", place / "train", OLD)


def trained(root: Path, run: Path, seed: int, overrides: dict[str, Any]) -> tuple[Path, float]:
    """Returns the run, trained if it is not yet, and the core seconds that it took."""
    noted, start = run.parent / f"{run.name}.txt", core_seconds()
    if noted.exists():
        return run, float(noted.read_text())
    whole = {
        "data.root": str(root), "data.batch_size": 64, "data.num_workers": 0, "data.cache_dir": str(run.parent),
        "seed_everything": seed, "trainer.precision": "32",
        "trainer.check_val_every_n_epoch": overrides["trainer.max_epochs"],
        "tracking.report": False, "tracking.decisions": False, "tracking.charts": False, "tracking.images": 0,
        "tracking.keep_head": False,
    }  # fmt: skip
    resnet_tl.fit("classify/cifar10_resnet20_scratch", run=run, **{**whole, **overrides})
    seconds = round(core_seconds() - start, 1)
    noted.write_text(str(seconds))
    return run, seconds


def recalls(run: Path, classes: Sequence[str]) -> list[float]:
    """Returns the share of the test images of each class that the network got right in its validation."""
    evaluation: Any = load_evaluation(RunFolder(run).best_predictions)
    right, names = evaluation.probabilities.argmax(1) == evaluation.targets, list(evaluation.classes)
    return [float(right[evaluation.targets == names.index(name)].mean()) for name in classes]


def accuracy(shares: Sequence[float]) -> float:
    return 100 * statistics.mean(shares)


def _link(folder: Path, source: Path, names: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).symlink_to(source / name)


def _copy(archive: Path, name: str, folder: Path, choose: Any) -> None:
    """Copies the images of a class that `choose` takes from their sorted names."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(archive) as file:
        files = sorted(member for member in file.namelist() if f"/{name}/" in member and not member.endswith("/"))
        for member in choose(files):
            (folder / Path(member).name).write_bytes(file.read(str(member)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks new_classes")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/new_classes.json")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--old", type=int, default=600, help="training images of each old class")
    parser.add_argument("--new", type=int, default=250, help="training images of each new class")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="where images and runs are, and stay")
    return parser
