"""`resnet-tl rank`: which weights suit these images, before anything is trained."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from resnet_tl.cli.command import Command, Options, check_counts
from resnet_tl.cli.table_text import lines
from resnet_tl.errors import RecipeError, printable

if TYPE_CHECKING:
    from resnet_tl.run.rank import Ranking, Rated

HELP = """usage: resnet-tl rank -c RECIPE [-c OVERLAY ...] --weights NAME [NAME ...] [--images N] [--KEY VALUE ...]

Rate weights by their features of a recipe's training images, without training; for images with one class each, and for
boxes and masks: then the features are those of each box, or of the pixels of each class in an image. The table is
ordered by probe, the accuracy of a linear classifier on images that it was not fitted on (five folds), with its 95 %
interval; earlier is that of the features one stage before the last. k-NN is the accuracy of the five nearest in other
images. LogME, H-score, LEEP and NCE are higher for better weights; the last two are of the weights' own classifier,
where they have one. Below the table stands how sure the first place is.

  -c RECIPE                         the recipe, then any overlays; its own weights are not used
  --weights NAME [NAME ...]         BACKBONE=WEIGHTS: a backbone, and its weights as model.backbone.weights names them
                                    (a file, builtin/..., timm/..., torchvision/...); WEIGHTS alone are of the recipe's
                                    backbone; random for none, which shows what weights are worth
  --images N                        training images at most, evenly from each class (5000), but 20 of each; of
                                    those with boxes or masks, spread over the list
  --device DEVICE                   cpu, cuda, cuda:1, mps

Any value of a recipe can be overridden, as for `resnet-tl fit`.

example: resnet-tl rank -c quickstart --weights builtin/resnet20_cifar10 random"""

SURE = 0.95


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("--weights", nargs="+", metavar="NAME")
    parser.add_argument("--images", type=int, metavar="N", default=5000)
    parser.add_argument("--device", default="cpu")
    options = parser.read(command)
    if options.help:
        print(HELP)
        return 0
    if not command.configs or options.weights is None:
        raise RecipeError("rank needs a recipe and weights: resnet-tl rank -c RECIPE --weights NAME NAME")
    check_counts(options, "images")
    from resnet_tl.run.rank import rank

    ranking = rank(
        command.configs,
        command.overrides,
        options.weights,
        images=options.images,
        device=options.device,
        progress=lambda candidate: print(printable(candidate), file=sys.stderr, flush=True),
    )
    print("\n".join(printable(note) for note in ranking.notes))
    print("\n".join(["", *lines([_row(each) for each in ranking.rated])]))
    if (sentence := _sureness(ranking)) is not None:
        print(f"\n{sentence}")
    return 0


def _row(rated: Rated) -> dict[str, str | float | None]:
    low, high = rated.interval
    return {
        "weights": str(rated.candidate),
        "probe": rated.probe,
        "95 % interval": f"{low:.3f} to {high:.3f}",
        "earlier": rated.earlier,
        "k-NN": rated.neighbours,
        "LogME": rated.log_me,
        "H-score": rated.h_score,
        "LEEP": rated.leep,
        "NCE": rated.nce,
        "seconds": f"{rated.seconds:.1f}",
    }


def _sureness(ranking: Ranking) -> str | None:
    """Returns how sure the first place is; None for a single candidate."""
    if ranking.sure is None:
        return None
    first, second = (printable(str(each.candidate)) for each in ranking.rated[:2])
    advice = "" if ranking.sure >= SURE else ": too close to tell, so train both"
    return f"{first} is better than {second} in {ranking.sure:.1%} of resamples of these images{advice}"
