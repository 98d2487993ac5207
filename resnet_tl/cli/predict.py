"""`resnet-tl predict`: the predictions of a run or checkpoint, as files or on the terminal."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_tl.cli.command import Command
from resnet_tl.cli.image_options import add_table_options, image_options, read_image_options
from resnet_tl.cli.new_files import counted
from resnet_tl.cli.video_out import video_out_rate
from resnet_tl.errors import RecipeError, RunError, printable

if TYPE_CHECKING:
    from resnet_tl.prediction.classification import ClassPrediction, ClassPredictor
    from resnet_tl.prediction.detection import BoxPrediction, BoxPredictor, Limits
    from resnet_tl.prediction.regression import ValuePrediction, ValuePredictor
    from resnet_tl.prediction.segmentation import MaskPredictor
    from resnet_tl.prediction.writers.output import Output

HELP = """usage: resnet-tl predict MODEL IMAGES ... [--out FILE]

Predicts images (files, folders, zips, globs) and videos with a run's best checkpoint, with a checkpoint, an exported
file or a published folder, or with all folds of a folder together: probabilities of classes and pixels, and numbers,
are means; boxes are fused.

  --out FILE.csv | FILE.json        a line per image (detectors: per object); never overwritten (default: the terminal)
  --out FOLDER                      segmentation: masks, overlays, areas.csv (default: predictions);
                                    detection: objects.json and results.json in COCO's formats (a data set; a list
                                    that COCO's tools score), objects.csv (default: predictions)
  --out FILE.mp4 | FILE.webm        with --draw, of one video: its frames with objects, class or masks drawn on them,
                                    lasting as long as it does, without its sound; browsers play it
  --draw                            detection: also images with boxes, names, scores and masks, in FOLDER/drawn;
                                    classification: with class and score; then --out is a FOLDER with classes.csv, too
  --score S                         detection: drop objects with lower scores; without it, each class has the score of
                                    its best F1 in validation, and results.json has all objects, for mAP
  --annotations FILE.json           detection: results.json has the image ids of this COCO file
  --tiles N                         detection: large images by tiles of N x N of their pixels (sliced inference), their
                                    objects merged; N: the short side of the training images keeps objects at their size
  --overlap N                       of tiles, in pixels, at least as wide as the largest objects (a fifth of --tiles)
  --top N                           classification: how many classes to name, best first (5); not for several labels
                                    per image, all of which are named from their threshold on
  --unsure                          classification: also the classes that are possible (for 90 % of images like those of
                                    validation, the true one is among them), or "none of these" for images unlike all
                                    training images
  --unsure-by SCORE                 --unsure by cosine (of features and class means), relative (Mahalanobis distance of
                                    features from class means) or energy (of logits) (cosine)
  --batch-size N                    images at a time (32; segmentation and detection: 1, images of one size together)
  --device DEVICE                   cpu, cuda, cuda:1, mps
  --every N                         every N-th frame of a video, or image of a folder, zip or glob, from the first (1);
                                    frames are named by their number: film.mp4/000120
  --on-error error|skip             what an image that cannot be decoded does: stop everything, or be skipped and named
  --no-csv-safe                     do not put ' before names in a CSV that spreadsheets take for formulas (=, +, -, @)
  --trust-code                      let the checkpoint name classes outside resnet_tl; open .pt2 files, which run code

example: resnet-tl predict runs/folder_resnet50_finetune/2026-01-31_12-00-00 "new/**/*.jpg" --out predictions.csv"""

FOLDER, FILES = Path("predictions"), (".csv", ".json")


def run(verb: str, command: Command) -> int:
    parser = image_options(verb)
    add_table_options(parser)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--draw", action="store_true", default=None)
    parser.add_argument("--score", type=float)
    parser.add_argument("--annotations", type=Path)
    parser.add_argument("--tiles", type=int)
    parser.add_argument("--overlap", type=int)
    parser.add_argument("--unsure", action="store_true", default=None)
    parser.add_argument("--unsure-by", choices=["cosine", "energy", "relative"])
    parser.add_argument("--batch-size", type=int)
    options = read_image_options(parser, verb, command)
    if options.help:
        print(HELP)
        return 0
    if options.out is not None and options.out.suffix in FILES and options.out.exists():
        raise RunError(f"--out {options.out}: exists already, and nothing is overwritten")
    options.rate = video_out_rate(options)
    from resnet_tl.prediction.base import wrong_task
    from resnet_tl.prediction.detection import BoxPredictor
    from resnet_tl.prediction.load import load
    from resnet_tl.prediction.regression import ValuePredictor
    from resnet_tl.prediction.segmentation import MaskPredictor

    predictor = load(options.run, device=options.device, trust_code=options.trust_code, batch_size=options.batch_size)
    for option, task in (
        ("top", "classification"),
        ("score", "detection"),
        ("unsure", "classification"),
        ("unsure_by", "classification"),
        ("draw", f"detection and classification{', and segmentation' if options.rate is not None else ''}"),
        ("annotations", "detection"),
        ("tiles", "detection"),
        ("overlap", "detection"),
    ):
        if getattr(options, option) is not None and predictor.task not in task:
            raise wrong_task(f"--{option.replace('_', '-')}", task, predictor.task)
    if isinstance(predictor, BoxPredictor):
        return _objects(predictor, options)
    if isinstance(predictor, ValuePredictor):
        return _values(predictor, options)
    return _masks(predictor, options) if isinstance(predictor, MaskPredictor) else _classes(predictor, options)


def _classes(predictor: ClassPredictor, options: Namespace) -> int:
    from resnet_tl.prediction.writers.csv_tables import class_table
    from resnet_tl.prediction.writers.drawings import class_drawing_folder, class_frame
    from resnet_tl.prediction.writers.json_list import class_list
    from resnet_tl.prediction.writers.output import new_folder, write
    from resnet_tl.prediction.writers.video import video_file

    out: Path | None = options.out
    if options.draw and out is not None and out.suffix in FILES:
        raise RecipeError(f"--draw needs a folder to write to: --out {out.with_suffix('')}")
    if not options.draw and out is not None and out.suffix not in FILES:
        raise RecipeError(f"--out {out}: expected a name that ends in .csv or .json")
    predictor.keep_pixels = bool(options.draw)
    predictor.loader = replace(predictor.loader, keep_images=options.rate is not None)
    predictions = predictor.stream(
        options.images,
        every=options.every,
        on_error=options.on_error,
        top=options.top,
        unsure=options.unsure_by or options.unsure,
    )
    if options.rate is not None:
        return _report(options.out, write(predictions, [video_file(options.out, options.rate, class_frame)]), "frame")
    if options.draw:
        with new_folder(out or FOLDER) as folder:
            outputs = [
                class_table(folder / "classes.csv", safe=options.csv_safe),
                class_drawing_folder(folder / "drawn"),
            ]
            count = write(predictions, outputs)
        return _report(out or FOLDER, count)
    if out is None:
        for prediction in predictions:
            print(_line(prediction))
        return 0
    output = class_table(out, safe=options.csv_safe) if out.suffix == ".csv" else class_list(out)
    return _report(out, write(predictions, [output]))


def _values(predictor: ValuePredictor, options: Namespace) -> int:
    from resnet_tl.prediction.writers.csv_tables import value_table
    from resnet_tl.prediction.writers.json_list import value_list
    from resnet_tl.prediction.writers.output import write

    out: Path | None = options.out
    if out is not None and out.suffix not in FILES:
        raise RecipeError(f"--out {out}: expected a name that ends in .csv or .json")
    predictions = predictor.stream(options.images, every=options.every, on_error=options.on_error)
    if out is None:
        for prediction in predictions:
            print(_numbers(prediction))
        return 0
    output = value_table(out, safe=options.csv_safe) if out.suffix == ".csv" else value_list(out)
    return _report(out, write(predictions, [output]))


def _masks(predictor: MaskPredictor, options: Namespace) -> int:
    from resnet_tl.prediction.writers.masks import mask_folder, overlaid
    from resnet_tl.prediction.writers.output import write
    from resnet_tl.prediction.writers.video import video_file

    folder: Path = options.out or FOLDER
    if folder.suffix in FILES:
        raise RecipeError(f"--out {folder}: masks need a folder; expected a name without {folder.suffix}")
    predictions = predictor.stream(options.images, every=options.every, on_error=options.on_error)
    if options.rate is not None:
        video = video_file(folder, options.rate, partial(overlaid, colours=predictor.colours))
        return _report(folder, write(predictions, [video]), "frame")
    output = mask_folder(folder, predictor.classes, predictor.colours, safe=options.csv_safe)
    return _report(folder, write(predictions, [output]))


def _objects(predictor: BoxPredictor, options: Namespace) -> int:
    from resnet_tl.prediction.score_text import described
    from resnet_tl.prediction.writers.coco import coco_file
    from resnet_tl.prediction.writers.csv_tables import box_table
    from resnet_tl.prediction.writers.drawings import drawing
    from resnet_tl.prediction.writers.limited import limited
    from resnet_tl.prediction.writers.output import write
    from resnet_tl.prediction.writers.video import video_file

    out: Path = options.out or FOLDER
    if out.suffix in FILES:
        for option in ("draw", "annotations"):
            if getattr(options, option):
                raise RecipeError(f"--{option} needs a folder to write to: --out {out.with_suffix('')}")
    # results.json has the unsure objects too, unless --score drops them: mAP counts them.
    score = 0.0 if options.score is None else options.score
    predictions = predictor.stream(
        options.images,
        every=options.every,
        on_error=options.on_error,
        score=score,
        tiles=options.tiles,
        overlap=options.overlap,
    )
    limits = predictor.limits(options.score)
    if options.score is None and predictor.decisions.box_scores is not None:
        scores = described(limits, predictor.classes)
        print(f"scores from {scores}: the best F1 of each class in validation; --score sets another", file=sys.stderr)
    data_set = partial(coco_file, classes=predictor.classes, codes=predictor.codes, scores=limits.tolist())
    table = partial(box_table, safe=options.csv_safe)
    if options.rate is not None:
        video = video_file(out, options.rate, partial(drawing, smallest=0))
        return _report(out, _write_drawn(predictor, options, predictions, [], video), "frame")
    if out.suffix not in FILES:
        return _object_folder(predictor, options, predictions, data_set, table)
    output = table(out) if out.suffix == ".csv" else data_set(out)
    return _report(out, write(predictions, [limited(output, limits)]))


def _object_folder(
    predictor: BoxPredictor,
    options: Namespace,
    predictions: Iterator[BoxPrediction],
    data_set: Callable[[Path], Output[BoxPrediction]],
    table: Callable[[Path], Output[BoxPrediction]],
) -> int:
    from resnet_tl.prediction.writers.coco import read_image_ids, results_file
    from resnet_tl.prediction.writers.drawings import drawing_folder
    from resnet_tl.prediction.writers.limited import limited
    from resnet_tl.prediction.writers.output import new_folder

    out: Path = options.out or FOLDER
    limits = predictor.limits(options.score)
    image_ids = None if options.annotations is None else read_image_ids(options.annotations)
    with new_folder(out) as folder:
        outputs = [limited(data_set(folder / "objects.json"), limits)]
        outputs.append(results_file(folder / "results.json", predictor.codes, image_ids))
        outputs.append(limited(table(folder / "objects.csv"), limits))
        drawings = drawing_folder(folder / "drawn") if options.draw else None
        count = _write_drawn(predictor, options, predictions, outputs, drawings)
    return _report(out, count)


def _write_drawn(
    predictor: BoxPredictor,
    options: Namespace,
    predictions: Iterator[BoxPrediction],
    outputs: Sequence[Output[BoxPrediction]],
    drawings: Output[BoxPrediction] | None,
) -> int:
    """Writes the outputs, and the drawings of objects that are likely enough; without any, the best score is reported.
    Returns the number of images."""
    from resnet_tl.prediction.score_text import described
    from resnet_tl.prediction.writers.drawings import SCORE
    from resnet_tl.prediction.writers.limited import limited
    from resnet_tl.prediction.writers.output import write

    if drawings is None:
        return write(predictions, outputs)
    drawn, found = predictor.limits(options.score, default=SCORE), list[tuple[float, bool]]()
    count = write(_recording(predictions, drawn, found), [*outputs, limited(drawings, drawn)])
    if not any(is_drawn for _, is_drawn in found):
        limit = described(drawn, predictor.classes) if options.score is None else f"{options.score:g}"
        best = f"the best has {max(found)[0]:.3f}" if found else "none was found"
        print(
            f"nothing is drawn: no object has a score of {limit} or more ({best}); --score lowers it", file=sys.stderr
        )
    return count


def _recording(
    predictions: Iterator[BoxPrediction], limits: Limits, found: list[tuple[float, bool]]
) -> Iterator[BoxPrediction]:
    """Yields the predictions, and appends of each the best score, and whether an object reaches the limit of its
    class."""
    for prediction in predictions:
        if len(prediction.scores):
            found.append((float(prediction.scores[0]), len(prediction.at_least(limits).scores) > 0))
        yield prediction


def _report(out: Path, count: int, thing: str = "image") -> int:
    print(f"{printable(str(out))}: {counted(count, thing)}", file=sys.stderr)
    return 0


def _numbers(prediction: ValuePrediction) -> str:
    ends = prediction.intervals or {}
    each = (
        f"{name} {value:.4g}" + (" ({:.4g} to {:.4g})".format(*ends[name]) if name in ends else "")
        for name, value in prediction.values.items()
    )
    return "  ".join([printable(str(prediction.path)), *each])


def _line(prediction: ClassPrediction) -> str:
    scored = "  ".join(f"{name} {score:.3f}" for name, score in zip(prediction.classes, prediction.scores, strict=True))
    line = f"{printable(str(prediction.path))}  {scored}"
    if prediction.possible is None:
        return line
    return (
        f"{line}  possible: {'none of these' if prediction.none_of_these else ', '.join(prediction.possible) or 'none'}"
    )
