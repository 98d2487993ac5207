"""`resnet-tl similar`: the images that are most similar to one."""

from __future__ import annotations

import csv
import io
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_tl.cli.command import Command
from resnet_tl.cli.embed import add_network_options, read_network
from resnet_tl.cli.image_options import add_table_options, image_options, read_image_options
from resnet_tl.cli.new_files import check_new
from resnet_tl.csv_text import text_cell
from resnet_tl.errors import RecipeError, did_you_mean, printable
from resnet_tl.files import write_new_text

if TYPE_CHECKING:
    from resnet_tl.prediction.embedding import Embedding
    from resnet_tl.prediction.similar import Match

HELP = """usage: resnet-tl similar RUN_OR_CHECKPOINT QUERY IMAGES ... [--top N] [--sheet FILE.jpg]
       resnet-tl similar WEIGHTS QUERY IMAGES ... --backbone NAME
       resnet-tl similar FILE.npz QUERY

Lists the images (files, folders, zips, globs) that are most similar to the image QUERY, by the cosine of their
features, which are computed, or those of a file that `resnet-tl embed` has written; QUERY then is one of its paths.
QUERY itself is left out; a score of 1 under another name is a copy.

  --top N                           how many are listed and drawn (20)
  --out FILE.csv                    write path and score to a file instead
  --sheet FILE.jpg                  draw QUERY and the images listed, to look at
  --level LEVEL                     of the trunk, c1 ... c5 (default: as of embed)
  --backbone NAME                   WEIGHTS are of this backbone, see embed
  --batch-size N                    images at a time (32; segmentation and detection: 1)
  --device DEVICE                   cpu, cuda, cuda:1, mps
  --every N                         every N-th image of a folder, zip or glob, from the first (1)
  --on-error error|skip             what an image that cannot be decoded does: stop everything, or be skipped and named
  --no-csv-safe                     do not put ' before names in a CSV that spreadsheets take for formulas (=, +, -, @)
  --trust-code                      let the checkpoint name classes outside resnet_tl

Nothing is overwritten.

example: resnet-tl similar runs/photos query.jpg photos --sheet similar.jpg"""

TOP = 20


def run(verb: str, command: Command) -> int:
    parser = image_options(verb)
    add_table_options(parser)
    add_network_options(parser)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sheet", type=Path)
    options = read_image_options(parser, verb, command)
    if options.help:
        print(HELP)
        return 0
    top = TOP if options.top is None else options.top
    check_new(options, pictures=["sheet"])
    from resnet_tl.prediction.drawing import save
    from resnet_tl.prediction.similar import similar, similar_sheet

    query, others, channels = _stored(options) if options.run.endswith((".npz", ".parquet")) else _computed(options)
    matches = similar(query, others, top)
    if options.sheet is not None:
        save(similar_sheet(str(query.path), matches, channels), options.sheet)
    if options.out is None:
        print("\n".join(["score   path", *(f"{score:6.3f}  {printable(path)}" for path, score in matches)]))
    else:
        write_new_text(options.out, _csv(matches, options.csv_safe))
    return 0


def _computed(options: Namespace) -> tuple[Embedding, list[Embedding], int]:
    """Returns the features of the query and of the images to search, and how many channels they have."""
    from resnet_tl.prediction.embedding import embed
    from resnet_tl.prediction.inputs import list_images

    query, *images = options.images
    if not images:
        raise RecipeError(f"similar needs a query and images to search: resnet-tl similar {options.run} {query} photos")
    if len(found := list_images(query)) != 1:
        raise RecipeError(f"{query}: {len(found)} images; expected one image to compare with")
    predictor = read_network(options)
    (first,) = embed(predictor, query, level=options.level)
    others = embed(predictor, images, level=options.level, on_error=options.on_error, every=options.every)
    return first, list(others), len(predictor.network.mean)


def _stored(options: Namespace) -> tuple[Embedding, list[Embedding], int]:
    """Returns the features of the query and of all images of a file."""
    from resnet_tl.prediction.writers.embeddings import read_embeddings

    if len(options.images) > 1:
        raise RecipeError(f"{options.run} holds the images to search: remove {' '.join(options.images[1:])}")
    for name in ("backbone", "level", "batch_size", "every"):
        if getattr(options, name) is not None:
            raise RecipeError(f"--{name.replace('_', '-')}: the features of {options.run} are computed; remove it")
    embeddings, (query,) = read_embeddings(Path(options.run)), options.images
    by_path = {str(each.path): each for each in embeddings}
    if query not in by_path:
        near = did_you_mean(query, by_path)
        raise RecipeError(f"{query} is not a path in {options.run}, as {next(iter(by_path), '')}{near}")
    return by_path[query], embeddings, 3


def _csv(matches: list[Match], safe: bool) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("path", "score"))
    table.writerows((text_cell(printable(path), safe), f"{score:.6f}") for path, score in matches)
    return text.getvalue()
