"""`resnet-tl predict`: what a run or checkpoint says of pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_tl.cli.command import Command, Options
from resnet_tl.errors import RecipeError, RunError

if TYPE_CHECKING:
    from resnet_tl.predictor import ClassPrediction

HELP = """usage: resnet-tl predict RUN_OR_CHECKPOINT PICTURES ... [--out FILE]

What a run (its best checkpoint) or a checkpoint says of pictures: files, folders, zips, globs.

  --out FILE.csv | FILE.json        one line a picture; never overwritten (default: the terminal)
  --out FOLDER                      of a network that segments: masks, overlays, areas.csv (default: predictions)
  --top N                           how many classes to name, likeliest first (5)
  --batch-size N                    pictures at a time (32)
  --device DEVICE                   cpu, cuda, cuda:1, mps
  --on-error error|skip             what a picture that cannot be decoded does: end it all, or be left out and named
  --trust-code                      let the checkpoint name classes outside resnet_tl

example: resnet-tl predict runs/folder_resnet50_finetune/2026-01-31_12-00-00 "new/**/*.jpg" --out predictions.csv"""


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("run", nargs="?")
    parser.add_argument("pictures", nargs="*")
    parser.add_argument("--out")
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--on-error", choices=["error", "skip"], default="error")
    parser.add_argument("--trust-code", action="store_true")
    options = parser.read(command, recipe=False)
    if options.help:
        print(HELP)
        return 0
    if options.run is None or not options.pictures:
        raise RecipeError("predict needs a run folder or checkpoint, and pictures: resnet-tl predict RUN photos")
    if options.top < 1 or options.batch_size < 1:
        raise RecipeError("--top and --batch-size need a number of at least 1")
    from resnet_tl.mask_predictor import MaskPredictor, load, write_masks
    from resnet_tl.predictor import write_csv, write_json

    if options.out is not None and Path(options.out).suffix in (".csv", ".json"):
        _checked(Path(options.out))
    predictor = load(options.run, device=options.device, trust_code=options.trust_code, batch_size=options.batch_size)
    if isinstance(predictor, MaskPredictor):
        folder = Path(options.out or "predictions")
        predictions = predictor.stream(options.pictures, options.on_error)
        count = write_masks(predictions, predictor.classes, predictor.colours, folder)
        print(f"{folder}: {count} pictures", file=sys.stderr)
        return 0
    out = None if options.out is None else _checked(Path(options.out))
    ranked = predictor.stream(options.pictures, options.top, options.on_error)
    if out is None:
        for prediction in ranked:
            print(_line(prediction))
        return 0
    count = (write_csv if out.suffix == ".csv" else write_json)(ranked, out)
    print(f"{out}: {count} pictures", file=sys.stderr)
    return 0


def _checked(path: Path) -> Path:
    if path.suffix not in (".csv", ".json"):
        raise RecipeError(f"--out {path}: expected a name that ends in .csv or .json")
    if path.exists():
        raise RunError(f"--out {path}: exists already, and nothing is overwritten")
    return path


def _line(prediction: ClassPrediction) -> str:
    named = zip(prediction.classes, prediction.scores, strict=True)
    return f"{prediction.path}  " + "  ".join(f"{name} {score:.3f}" for name, score in named)
