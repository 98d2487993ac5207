"""`resnet-tl embed`: the features of images, as a file."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_tl.cli.command import Command, Options
from resnet_tl.cli.image_options import image_options, read_image_options
from resnet_tl.cli.new_files import counted
from resnet_tl.errors import RecipeError, WeightsError, printable

if TYPE_CHECKING:
    from resnet_tl.prediction.classification import ClassPredictor
    from resnet_tl.prediction.load import AnyPredictor

HELP = """usage: resnet-tl embed RUN_OR_CHECKPOINT IMAGES ... [--out FILE]
       resnet-tl embed WEIGHTS IMAGES ... --backbone NAME [--out FILE]

Writes the features of images (files, folders, zips, globs, videos): vectors that are near each other for images that
look alike to the network, for search, clusters, duplicates.

  --out FILE.npz | FILE.parquet     arrays or columns `path` and `features`; never overwritten (default: embeddings.npz)
  --level LEVEL                     of the trunk, c1 ... c5, averaged over all places (default: what the last layer of a
                                    classifier takes; of other networks the deepest level)
  --normalise                       vectors of length 1: the product of two is their cosine
  --backbone NAME                   WEIGHTS are of this backbone, as model.backbone.weights names them: a file,
                                    builtin/..., timm/..., torchvision/...
  --batch-size N                    images at a time (32; segmentation and detection: 1)
  --device DEVICE                   cpu, cuda, cuda:1, mps
  --every N                         every N-th frame of a video, or image of a folder, zip or glob, from the first (1)
  --on-error error|skip             what an image that cannot be decoded does: stop everything, or be skipped and named
  --trust-code                      let the checkpoint name classes outside resnet_tl

example: resnet-tl embed builtin/resnet20_cifar10 photos --backbone resnet20_cifar --out photos.npz"""

FILE = Path("embeddings.npz")


def run(verb: str, command: Command) -> int:
    parser = image_options(verb)
    add_network_options(parser)
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--normalise", action="store_true")
    options = read_image_options(parser, verb, command)
    if options.help:
        print(HELP)
        return 0
    from resnet_tl.prediction.embedding import embed
    from resnet_tl.prediction.writers.embeddings import ENDINGS, embedding_file
    from resnet_tl.prediction.writers.output import write

    if options.out.suffix not in ENDINGS:
        raise RecipeError(f"--out {options.out}: expected a name that ends in {' or '.join(ENDINGS)}")
    embeddings = embed(
        read_network(options),
        options.images,
        level=options.level,
        normalise=options.normalise,
        on_error=options.on_error,
        every=options.every,
    )
    count = write(embeddings, [embedding_file(options.out)])
    print(f"{printable(str(options.out))}: {counted(count, 'image')}", file=sys.stderr)
    return 0


def add_network_options(parser: Options) -> None:
    """Adds the options of what `read_network` returns."""
    parser.add_argument("--backbone", metavar="NAME")
    parser.add_argument("--level")
    parser.add_argument("--batch-size", type=int)


def read_network(options: Namespace) -> AnyPredictor | ClassPredictor:
    """Returns the network of a run, or of weights with the name of their backbone."""
    own = {} if options.batch_size is None else {"batch_size": options.batch_size}
    if options.backbone is not None:
        from resnet_tl.prediction.backbone import backbone_predictor

        return backbone_predictor(options.run, options.backbone, device=options.device, **own)
    from resnet_tl.prediction.load import load

    if not Path(options.run).exists() and options.run.startswith(("builtin/", "timm/", "torchvision/", "https://")):
        raise WeightsError(f"{options.run} are weights without a network: add --backbone NAME, as --backbone resnet50")
    return load(options.run, device=options.device, trust_code=options.trust_code, **own)
