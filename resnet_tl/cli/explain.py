"""`resnet-tl explain`: which parts of images the predictions of a run or checkpoint come from, as pictures."""

from __future__ import annotations

import sys
from pathlib import Path

from resnet_tl.cli.command import Command
from resnet_tl.cli.image_options import add_table_options, image_options, read_image_options
from resnet_tl.cli.new_files import counted
from resnet_tl.errors import RecipeError, printable

HELP = """usage: resnet-tl explain RUN_OR_CHECKPOINT IMAGES ... [--out FOLDER]

Shows which parts of images (files, folders, zips, globs, videos) a run's predictions come from: a heat map over each
image, at its own size, with its scale; and explanations.csv.

  --out FOLDER                      where the pictures are written; never overwritten (default: explanations)
  --class NAME                      classification: this class (default: the predicted one); detection: its objects;
                                    segmentation: its pixels (default: the class with most pixels)
  --top N                           the N best of an image: classes (1), objects (3), classes of pixels (1)
  --box X1,Y1,X2,Y2                 segmentation: the pixels of the class within these pixels of the image
  --score S                         detection: objects from this score on (default: as in predict)
  --stage STAGE                     of the network, after which Grad-CAM reads its maps: stem, layer1 ... layer4, neck
                                    (default: the last before the head); folds together: the default alone
  --method gradcam|occlusion        occlusion covers the image window by window, as a check; about 200 times slower
  --maps                            also write each map as FILE.npz: `map`, height x width, float32
  --device DEVICE                   cpu, cuda, cuda:1, mps
  --every N                         every N-th frame of a video, or image of a folder, zip or glob, from the first (1)
  --on-error error|skip             what an image that cannot be decoded does: stop everything, or be skipped and named
  --no-csv-safe                     do not put ' before names in a CSV that spreadsheets take for formulas (=, +, -, @)
  --trust-code                      let the checkpoint name classes outside resnet_tl

example: resnet-tl explain runs/folder_resnet50_finetune/2026-01-31_12-00-00 "new/**/*.jpg" --class bees"""

FOLDER = Path("explanations")


def run(verb: str, command: Command) -> int:
    parser = image_options(verb)
    add_table_options(parser)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--class", dest="label")
    parser.add_argument("--box")
    parser.add_argument("--score", type=float)
    parser.add_argument("--stage")
    parser.add_argument("--method", default="gradcam")
    parser.add_argument("--maps", action="store_true")
    options = read_image_options(parser, verb, command)
    if options.help:
        print(HELP)
        return 0
    from resnet_tl.explain.attribution import require_captum
    from resnet_tl.explain.explain import explain
    from resnet_tl.explain.folder import explanation_folder
    from resnet_tl.prediction.load import load
    from resnet_tl.prediction.writers.output import write

    require_captum()
    predictor = load(options.run, device=options.device, trust_code=options.trust_code)
    explanations = explain(
        predictor,
        options.images,
        label=options.label,
        stage=options.stage,
        method=options.method,
        top=options.top,
        box=None if options.box is None else _box(options.box),
        score=options.score,
        on_error=options.on_error,
        every=options.every,
    )
    numbered = predictor.task == "detection" or (options.top or 1) > 1
    output = explanation_folder(options.out, numbered=numbered, maps=options.maps, safe=options.csv_safe)
    count = write(explanations, [output])
    print(f"{printable(str(options.out))}: {counted(count, 'picture')}", file=sys.stderr)
    return 0


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        x1, y1, x2, y2 = (float(edge) for edge in text.split(","))
    except ValueError:
        raise RecipeError(f"--box {text}: expected four numbers in pixels: --box X1,Y1,X2,Y2") from None
    return x1, y1, x2, y2
