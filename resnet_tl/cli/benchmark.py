"""`resnet-tl benchmark`: how fast models are on this machine."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_tl.cli.command import Command, Options, check_counts
from resnet_tl.cli.table_text import lines
from resnet_tl.errors import RecipeError

if TYPE_CHECKING:
    from resnet_tl.prediction.speed import Comparison, Speed

HELP = """usage: resnet-tl benchmark MODEL ... [--images IMAGES ...] [--batch-sizes 1 4 16] [--threads N] [--size HxW]
       [--seconds S] [--no-compile] [--json FILE] [--trust-code]

Time runs, checkpoints, published folders and exported files on this machine, in one table: images per second, and
percentiles of the time of a batch. A run or checkpoint has three rows: as it was trained, with its batch norms folded
into the convolutions, as `predict` runs it, and that compiled by torch.compile, whose first run is in a column of its
own.

Timed is the network alone, from bytes in memory to predictions (boxes after suppression), without decoding and
resizing. All rows take turns, A B A B, on the same images, so that other load slows all alike; `ratio` compares images
per second with the first row. Up to 200 runs a row; a percentile of too few runs is blank.

  --images IMAGES ...               real images (default: validation images of the first run, else the samples)
  --batch-sizes 1 4 16              images at a time
  --threads N                       of each network (default: one for each core)
  --size HxW                        resize the images, as 480x640 (default: as in validation)
  --seconds 20                      time for each row at most
  --no-compile                      without the rows of torch.compile
  --json FILE                       the table with the times of all runs; never overwritten
  --trust-code                      let a checkpoint name classes outside resnet_tl; open .pt2 files, which run code

example: resnet-tl benchmark runs/birds runs/birds/exports/model.onnx --images photos --batch-sizes 1 16"""


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--images", nargs="+", default=[])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--size")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--json", metavar="FILE", type=Path)
    parser.add_argument("--trust-code", action="store_true")
    options = parser.read(command, recipe=False)
    if options.help:
        print(HELP)
        return 0
    if not options.models:
        raise RecipeError("benchmark needs a run, a checkpoint or an exported file: resnet-tl benchmark RUN FILE.onnx")
    check_counts(options, "threads")
    check_counts(options, "seconds", least=0)
    size = None if options.size is None else _size(options.size)
    from resnet_tl.prediction.writers.output import new_file

    with nullcontext() if options.json is None else new_file(options.json) as file:
        result = _compare(options, size)
        if file is not None:
            json.dump(_content(result), file, indent=2)
    print(_heading(result))
    for line in (*lines(list(_rows(result.speeds))), *result.notes):
        print(line)
    return 0


def _compare(options: Namespace, size: tuple[int, int] | None) -> Comparison:
    from resnet_tl.export.export import validated_images
    from resnet_tl.prediction.inputs import list_images
    from resnet_tl.prediction.speed import compare_speed, use_threads

    if options.threads is not None:
        use_threads(options.threads)
    return compare_speed(
        options.models,
        list_images(options.images) if options.images else validated_images(options.models[0]),
        batch_sizes=options.batch_sizes,
        size=size,
        seconds=options.seconds,
        compiled=not options.no_compile,
        trust_code=options.trust_code,
    )


def _size(text: str) -> tuple[int, int]:
    """`480x640` -> (480, 640)."""
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if found is None:
        raise RecipeError(f"--size {text}: expected height and width in pixels, as 480x640")
    return int(found[1]), int(found[2])


def _heading(result: Comparison) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    return f"{machine}\nthe network alone, from bytes in memory to predictions\n"


def _rows(speeds: list[Speed]) -> Iterator[dict[str, Any]]:
    first: dict[int, float] = {}
    for speed in speeds:
        rate = speed.images_per_second
        reference = first.setdefault(speed.batch_size, rate)
        percentiles = {f"{name} ms": speed.milliseconds(name) for name in ("p50", "p95", "p99")}
        yield {
            "model": speed.model,
            "as": speed.form,
            "batch": speed.batch_size,
            "pixels": "{}x{}".format(*speed.pixels),
            "images/s": f"{rate:.1f}",
            "ratio": f"{rate / reference:.2f}",
            **{name: "" if value is None else f"{value:.1f}" for name, value in percentiles.items()},
            "runs": len(speed.seconds),
            "compile s": "" if speed.compile_seconds is None else f"{speed.compile_seconds:.1f}",
        }


def _content(result: Comparison) -> dict[str, Any]:
    rows = [{**asdict(speed), "images_per_second": speed.images_per_second} for speed in result.speeds]
    return {"machine": result.machine, "rows": rows, "notes": result.notes}
