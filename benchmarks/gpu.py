"""What the project does on a GPU, in one table: speed, memory, and what must be equal bit for bit.

python -m benchmarks gpu [--minutes 9] [--only PART ...] [--out FILE] [--dry]

Made for one GPU with 80 GB or more (H100, H200) and 16 CPU cores; downloads nothing, and ends in time: each part has a
share of the minutes, and what it has not measured by then is cut off and named. A part that fails or crashes is named
too, and the others run. `--dry` runs every part on the CPU, with tiny networks: a test of this program.

Fairness. All contestants of a race have the same images (normalised, on the device, channels-last), the same weights'
shapes, optimizer (fused SGD with momentum), loss and autocast to bf16; cuDNN chooses its algorithms and TF32 is on for
all. Each runs in channels-last, and is compared in the same mode: eager, `torch.compile`, or with CUDA graphs
(`mode="reduce-overhead"`). They are warmed up and then take turns, several steps each, with `torch.cuda.synchronize`
before and after; figures are medians of the rounds with quartiles, ratios are taken round by round. Peak memory is what
tensors occupy in steps after the first, without what other contestants hold. "Compiling" is the first step's time; that
of the first contestant includes the compiler's own start, and kernels that others have compiled are not compiled again.
torchvision's norms are folded too in inference. In `training` contestants are compiled one by one and then take turns:
a cut while one compiles leaves figures of two rounds of those before it. Inference at batch 1 waits for each call.
The project's own command trains in `data`, `feeding`, `compile` and `memory`, and Lightning's Trainer in `exactness`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cells import cell
from benchmarks.figures import RESULTS, Figure, write
from benchmarks.gpu_parts.setting import Setting, dry, full
from benchmarks.gpu_parts.worker import Found, Worker
from benchmarks.machine import machine

PARTS_OF = "benchmarks.gpu_parts"
RESERVE = 10.0
"""Seconds of the whole for the end."""


@dataclass(frozen=True)
class Part:
    """function: its path; it takes a `Setting` and yields what it finds. seconds: its share of the whole, which is
    530; what it does not need is shared among the parts after it. alone: in its own process, as it sets what lasts."""

    name: str
    function: str
    seconds: int
    alone: bool = False


PARTS = (
    Part("exactness", f"{PARTS_OF}.exactness.measure", 50, alone=True),
    Part("data", f"{PARTS_OF}.device_data.measure", 35, alone=True),
    Part("ceiling", f"{PARTS_OF}.matmul.measure", 5),
    Part("training", f"{PARTS_OF}.training.measure", 155),
    Part("frozen", f"{PARTS_OF}.frozen.measure", 25),
    Part("feeding", f"{PARTS_OF}.feeding.measure", 60),
    Part("compile", f"{PARTS_OF}.compiled_fits.measure", 50),
    Part("memory", f"{PARTS_OF}.full_memory.measure", 20),
    Part("detection", f"{PARTS_OF}.detectors.measure", 35),
    Part("inference", f"{PARTS_OF}.inference.measure", 45),
    Part("cifar", f"{PARTS_OF}.cifar.measure", 20),
    Part("large", f"{PARTS_OF}.training.measure_large", 30),
)


@dataclass
class Measured:
    """What the parts have found, and the seconds and the fault of each by its name.

    figures: by row and column; a part may put better ones in the place of its first.
    """

    figures: dict[tuple[str, str], Figure] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, found: Found) -> None:
        print(f"  {found if isinstance(found, str) else f'{found.row}, {found.column}: {cell(found)}'}", flush=True)
        if isinstance(found, str):
            self.notes.append(found)
        else:
            self.figures[found.row, found.column] = found


def main(arguments: list[str]) -> None:
    started = time.monotonic()
    options = _parser().parse_args(arguments)
    chosen = [part for part in PARTS if not options.only or part.name in options.only]
    described = machine()
    if described["gpu"] == "none" and not options.dry:
        sys.exit("torch finds no GPU on this machine; --dry runs every part on the CPU, in tiny sizes")
    out = options.out or (None if options.dry else RESULTS / "gpu.json")

    def save(measured: Measured) -> None:
        if out is not None:
            found = [asdict(figure) for figure in measured.figures.values()]
            results = {"machine": described, "parts": measured.parts, "notes": measured.notes, "found": found}
            write(out.stem, results, figures(results), out.parent)

    show(run(dry() if options.dry else full(), chosen, started + 60 * options.minutes - RESERVE, save))


def figures(results: dict[str, Any]) -> list[Figure]:
    """Those that the parts have found."""
    return [Figure(**found) for found in results["found"]]


def run(
    setting: Setting, parts: Sequence[Part], until: float, after_each: Callable[[Measured], None] = lambda _: None
) -> Measured:
    """Runs the parts in order, until this time (`time.monotonic`) at most; each has its share of what is left."""
    measured, worker = Measured(), None
    try:
        for number, part in enumerate(parts):
            if worker is not None and part.alone:
                worker.stop()
                worker = None
            worker = worker or Worker(setting, until)
            began = time.monotonic()
            box = (until - began) * part.seconds / sum(each.seconds for each in parts[number:])
            print(f"\n{part.name}, at most {box:.0f} s", flush=True)
            fault = worker.run(part.function, began + box, measured.add)
            measured.parts[part.name] = {"seconds": round(time.monotonic() - began, 1), "fault": fault}
            if fault:
                print(f"  {part.name}: {fault}", flush=True)
            if fault or part.alone:
                worker.stop()
                worker = None
            after_each(measured)
    finally:
        if worker is not None:
            worker.stop()
    return measured


def show(measured: Measured) -> None:
    """Prints a line a row: its figures, in the columns' order; speeds without a unit are images a second."""
    columns = list(dict.fromkeys(figure.column for figure in measured.figures.values()))
    rows: dict[str, dict[str, str]] = {}
    for figure in measured.figures.values():
        rows.setdefault(figure.row, {})[figure.column] = cell(figure)
    widths = {column: max(len(column), *(len(cells.get(column, "")) for cells in rows.values())) for column in columns}
    first = max(map(len, rows), default=0)
    print("\n" + "  ".join([" " * first, *(column.rjust(widths[column]) for column in columns)]))
    for row, cells in rows.items():
        print("  ".join([row.ljust(first), *(cells.get(column, "").rjust(widths[column]) for column in columns)]))
    for name, part in measured.parts.items():
        print(f"{name}: {part['seconds']} s{', ' * bool(part['fault'])}{part['fault']}")
    for note in measured.notes:
        print(note)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=9.0, help="that all parts take together, at most")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], default=[])
    parser.add_argument("--out", type=Path, help="a .json file; without: benchmarks/results/gpu.json, with --dry none")
    parser.add_argument("--dry", action="store_true", help="on the CPU, in tiny sizes: no figure means anything")
    return parser
