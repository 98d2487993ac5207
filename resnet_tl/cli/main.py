"""`resnet-tl VERB ...`: configures the process, runs the verb, and prints a user's mistake as one sentence."""

from __future__ import annotations

import errno
import os
import re
import sys
from importlib import import_module

from resnet_tl.cli.command import Command, split
from resnet_tl.errors import RecipeError, UserError, did_you_mean, memory_full, printable
from resnet_tl.run.process import configure_process
from resnet_tl.tracking.terminal import terminal_log

VERBS = {
    "fit": "train: fine-tune a network on your images",
    "check": "list every fault of a recipe, without data",
    "plan": "show what a recipe trains, when and how fast, or suggest a learning rate",
    "rank": "rate weights by their features of your images, before training",
    "validate": "evaluate a run, an exported file, or a recipe's weights on the validation images",
    "test": "the same on the test images",
    "report": "write what there is to know about a run into one HTML file",
    "average": "write the mean of the weights of several runs as one network",
    "sweep": "search the values of a recipe that score best, trial by trial",
    "sweep-file": "write such a search as a file, for Weights & Biases or to change it",
    "predict": "predict images with a run or checkpoint: CSV, JSON, masks, drawn boxes",
    "explain": "show which parts of images the predictions come from",
    "embed": "write the features of images: for search, clusters, duplicates",
    "similar": "find the images that are most similar to one",
    "export": "write a run or checkpoint as a file for other programs, proved on images",
    "benchmark": "time runs, checkpoints and exported files on this machine",
    "publish": "write a run or checkpoint as a folder that others load, with a model card",
    "serve": "serve a run or checkpoint: a page to try it on, and HTTP for programs",
    "data": "check a data set before training on it",
    "recipes": "list, show and copy the recipes that come with the project",
}
ELSEWHERE = {
    "train": "fit", "finetune": "fit", "val": "validate", "eval": "validate", "evaluate": "validate",
    "infer": "predict", "inference": "predict", "detect": "predict", "segment": "predict", "classify": "predict",
    "encode": "embed", "features": "embed", "search": "similar", "neighbors": "similar", "neighbours": "similar",
}  # fmt: skip
"""What other tools call these verbs."""
ON_ANY_FILES = ("predict", "explain", "embed", "similar", "serve")
"""Verbs that run on folders of anybody's files: only code that is trusted is taken from there."""
_MODULES = {"validate": "evaluate", "test": "evaluate", "sweep-file": "sweep_file"}


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0, 2 for a user's mistake, 130 after Ctrl-C. Bugs raise."""
    code = 0
    try:
        code = _run_or_refuse(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()  # at Python's exit, a closed pipe would be reported
    except BrokenPipeError:  # `| head` has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _run_or_refuse(arguments: list[str]) -> int:
    try:
        return _run(arguments)
    except UserError as error:
        return _refuse(sentence(error))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except OSError as error:
        if error.errno not in _SENTENCES:
            raise
        at = f"{error.filename}: " if error.filename else ""
        return _refuse(f"{at}{_SENTENCES[error.errno]}")
    except (MemoryError, RuntimeError) as error:
        if (full := memory_full(error)) is None:
            raise
        return _refuse(str(full))


def sentence(error: UserError) -> str:
    """The error on one line, without the traceback that torch prepends to errors from a DataLoader worker."""
    lines = str(error).strip().splitlines()
    if "Original Traceback" not in str(error):
        return re.sub(r"\n(?!  )", " ", str(error).strip())  # a data set's faults, indented, keep a line each
    return lines[-1].partition(": ")[2]


_SENTENCES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than the system allows",
    errno.EACCES: "no permission",
    errno.EROFS: "the file system is read-only",
    errno.ELOOP: "a symbolic link leads back to itself",
    errno.EMFILE: "too many open files; allow more (ulimit -n 4096) or lower data.num_workers",
    errno.ENAMETOOLONG: "the name is too long",
}


def _refuse(text: str) -> int:
    print(f"error: {printable(text)}", file=sys.stderr)
    return 2


def _run(arguments: list[str]) -> int:
    command = split(arguments)
    verb = next((word for word in command.rest if word in VERBS), None)
    configure_process(local_code=verb not in ON_ANY_FILES or "--trust-code" in command.rest)
    if verb is None:
        return _without_verb(command)
    command.rest.remove(verb)
    with terminal_log():
        return import_module(f"resnet_tl.cli.{_MODULES.get(verb, verb)}").run(verb, command)


def _without_verb(command: Command) -> int:
    word = next((word for word in command.rest if not word.startswith("-")), None)
    if word is not None:
        near = f"; did you mean {ELSEWHERE[word]!r}?" if word in ELSEWHERE else did_you_mean(word, VERBS)
        raise RecipeError(f"no verb {word!r}: expected {', '.join(VERBS)}{near}")
    if "--version" in command.rest:
        from resnet_tl import __version__

        print(f"resnet-tl {__version__}")
        return 0
    if command.configs or command.overrides or set(command.rest) - {"-h", "--help"}:
        raise RecipeError(f"which verb? expected one of {', '.join(VERBS)}: resnet-tl fit -c RECIPE")
    verbs = "\n".join(f"  {verb:<10} {help_line}" for verb, help_line in VERBS.items())
    print(f"{_USAGE}\n\nverbs:\n{verbs}\n\n{_EXAMPLES}")
    return 0


_USAGE = """usage: resnet-tl VERB ...       (more: resnet-tl VERB --help)

Fine-tune a ResNet on your own images."""

_EXAMPLES = """examples:
  resnet-tl fit -c quickstart
  resnet-tl fit -c classify/folder_resnet50_finetune --data.root photos
  resnet-tl validate runs/folder_resnet50_finetune/2026-01-31_12-00-00 --data.root photos
  resnet-tl predict runs/folder_resnet50_finetune/2026-01-31_12-00-00 new_photos --out predictions.csv"""

if __name__ == "__main__":
    sys.exit(main())
