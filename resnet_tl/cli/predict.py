"""`resnet-tl predict`: what a run or checkpoint says of images."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_tl.cli.command import Command, Options
from resnet_tl.errors import RecipeError, RunError

if TYPE_CHECKING:
    from resnet_tl.prediction.classification import ClassPrediction, Predictor
    from resnet_tl.prediction.detection import BoxPredictor
    from resnet_tl.prediction.segmentation import MaskPredictor

HELP = """usage: resnet-tl predict RUN_OR_CHECKPOINT IMAGES ... [--out FILE]

What a run (its best checkpoint) or a checkpoint says of images: files, folders, zips, globs.

  --out FILE.csv | FILE.json        a line an image (detectors: an object); never overwritten (default: the terminal)
  --out FOLDER                      of a network that segments: masks, overlays, areas.csv (default: predictions);
                                    of a detector: objects.json in COCO's format, objects.csv (default: predictions)
  --draw                            of a detector: also images with boxes, names, scores and masks, in FOLDER/drawn
  --score S                         of a detector: leave out what is less sure (0.05; drawn: 0.4)
  --top N                           how many classes to name, likeliest first (5)
  --batch-size N                    images at a time (32)
  --device DEVICE                   cpu, cuda, cuda:1, mps
  --on-error error|skip             what an image that cannot be decoded does: end it all, or be left out and named
  --trust-code                      let the checkpoint name classes outside resnet_tl

example: resnet-tl predict runs/folder_resnet50_finetune/2026-01-31_12-00-00 "new/**/*.jpg" --out predictions.csv"""

FOLDER, FILES = Path("predictions"), (".csv", ".json")


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("run", nargs="?")
    parser.add_argument("images", nargs="*")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--draw", action="store_true")
    parser.add_argument("--score", type=float)
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--on-error", choices=["error", "skip"], default="error")
    parser.add_argument("--trust-code", action="store_true")
    options = parser.read(command, recipe=False)
    if options.help:
        print(HELP)
        return 0
    if options.run is None or not options.images:
        raise RecipeError("predict needs a run folder or checkpoint, and images: resnet-tl predict RUN photos")
    if options.top < 1 or options.batch_size < 1:
        raise RecipeError("--top and --batch-size need a number of at least 1")
    if options.out is not None and options.out.suffix in FILES and options.out.exists():
        raise RunError(f"--out {options.out}: exists already, and nothing is overwritten")
    from resnet_tl.prediction.detection import BoxPredictor
    from resnet_tl.prediction.load import load
    from resnet_tl.prediction.segmentation import MaskPredictor

    predictor = load(options.run, device=options.device, trust_code=options.trust_code, batch_size=options.batch_size)
    if isinstance(predictor, BoxPredictor):
        return _objects(predictor, options)
    if options.draw or options.score is not None:
        raise RecipeError("--draw and --score are for detectors, and this network finds no objects")
    return _masks(predictor, options) if isinstance(predictor, MaskPredictor) else _classes(predictor, options)


def _classes(predictor: Predictor, options: Namespace) -> int:
    from resnet_tl.prediction.classification import write_csv, write_json

    out: Path | None = options.out
    if out is not None and out.suffix not in FILES:
        raise RecipeError(f"--out {out}: expected a name that ends in .csv or .json")
    predictions = predictor.stream(options.images, options.top, options.on_error)
    if out is None:
        for prediction in predictions:
            print(_line(prediction))
        return 0
    return _said(out, (write_csv if out.suffix == ".csv" else write_json)(predictions, out))


def _masks(predictor: MaskPredictor, options: Namespace) -> int:
    from resnet_tl.prediction.segmentation import write_masks

    folder = options.out or FOLDER
    predictions = predictor.stream(options.images, options.on_error)
    return _said(folder, write_masks(predictions, predictor.classes, predictor.colours, folder))


def _objects(predictor: BoxPredictor, options: Namespace) -> int:
    from resnet_tl.prediction.box_files import DRAWN, coco_file, drawings, new_folder, table_file, write

    out: Path = options.out or FOLDER
    is_file = out.suffix in FILES
    if is_file and options.draw:
        raise RecipeError(f"--draw needs a folder to write to: --out {out.with_suffix('')}")
    if not is_file:
        new_folder(out)
    outputs = []
    if out.suffix != ".csv":
        outputs.append(coco_file(out if is_file else out / "objects.json", predictor.classes, predictor.codes))
    if out.suffix != ".json":
        outputs.append(table_file(out if is_file else out / "objects.csv"))
    if options.draw:
        outputs.append(drawings(out / "drawn", DRAWN if options.score is None else options.score))
    predictions = predictor.stream(options.images, options.on_error, options.score or 0.0)
    return _said(out, write(predictions, outputs))


def _said(out: Path, count: int) -> int:
    print(f"{out}: {count} image{'' if count == 1 else 's'}", file=sys.stderr)
    return 0


def _line(prediction: ClassPrediction) -> str:
    named = zip(prediction.classes, prediction.scores, strict=True)
    return f"{prediction.path}  " + "  ".join(f"{name} {score:.3f}" for name, score in named)
