"""The options of verbs that run a network on a user's images."""

from __future__ import annotations

from argparse import BooleanOptionalAction, Namespace

from resnet_tl.cli.command import Command, Options, check_counts
from resnet_tl.errors import RecipeError


def image_options(verb: str) -> Options:
    """Returns a parser of a run, images, and how these are read; a verb adds its own options."""
    parser = Options(verb)
    parser.add_argument("run", nargs="?")
    parser.add_argument("images", nargs="*")
    parser.add_argument("--every", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--on-error", choices=["error", "skip"], default="error")
    parser.add_argument("--trust-code", action="store_true")
    return parser


def add_table_options(parser: Options) -> None:
    """Adds those of verbs that list the best of something."""
    parser.add_argument("--top", type=int)
    parser.add_argument("--csv-safe", action=BooleanOptionalAction, default=True)


def read_image_options(parser: Options, verb: str, command: Command) -> Namespace:
    """Returns the options, with a run and at least one image unless it is the help that was asked for."""
    options = parser.read(command, recipe=False)
    if not options.help and (options.run is None or not options.images):
        raise RecipeError(f"{verb} needs a run folder or checkpoint, and images: resnet-tl {verb} RUN photos")
    check_counts(options, "every", "top", "batch_size")
    return options
