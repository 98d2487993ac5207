"""`resnet-tl export`: a run or checkpoint as a file for other programs."""

from __future__ import annotations

from pathlib import Path

from resnet_tl.cli.command import Command, Options
from resnet_tl.errors import RecipeError

HELP = """usage: resnet-tl export RUN_OR_CHECKPOINT [--to FORM] [--out PATH] [--images IMAGES ...]

Write the network for other programs, and prove it: the same images go through the checkpoint and what is written, and
an export that differs does not appear. Bytes go in (uint8, N x C x H x W, RGB, resized as in validation); the graph
normalises them, and ends in calibrated probabilities, logits of pixels, or boxes after suppression. It takes any number
of images, of two-stage detectors one. Class names and preprocessing are in it: `resnet-tl predict PATH photos` and
`resnet_tl.load("PATH")` need nothing else.

  --to FORM                         what to write (default: what --out ends in):
                                      onnx          FILE.onnx, for onnxruntime and others
                                      pt2           FILE.pt2, for torch without this project; not of two-stage detectors
                                      openvino      a folder, for OpenVINO on processors of Intel and AMD
                                      int8          the same, quantised by up to 300 training images
                                      safetensors   a folder of weights and config.json, as `publish` writes it but
                                                    without a card; timm loads most classifiers
  --out PATH                        a new file or folder (default: RUN/exports/model.onnx, RUN/exports/int8 ...)
  --compiled                        of pt2: machine code, for machines like this one only; needs a C++ compiler
  --max-loss 0.02                   of int8: by how much the score on the validation images may fall
  --data.root PATH                  of int8: where the run's images are, if not where they were
  --images IMAGES ...               what to compare on (default: validation images of the run)
  --trust-code                      let the checkpoint name classes outside resnet_tl

example: resnet-tl export runs/folder_resnet50_finetune/2026-01-31_12-00-00 --out birds.onnx"""


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("run", nargs="?", metavar="RUN_OR_CHECKPOINT")
    parser.add_argument("--to")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--images", nargs="+", default=[])
    parser.add_argument("--max-loss", type=float)
    parser.add_argument("--trust-code", action="store_true")
    options = parser.read(command)
    if options.help:
        print(HELP)
        return 0
    if command.configs:
        raise RecipeError("export takes the recipe of the run, so -c means nothing there")
    if options.run is None:
        raise RecipeError("export needs a run or checkpoint: resnet-tl export RUN --to onnx")
    from resnet_tl.export.export import export

    done = export(
        options.run,
        options.out,
        options.images,
        to=options.to,
        compiled=options.compiled,
        overrides=command.overrides,
        max_loss=options.max_loss,
        trust_code=options.trust_code,
    )
    print(f"{done.path}: {done.bytes / 1e6:.1f} MB")
    print(done.agreement.report)
    return 0
