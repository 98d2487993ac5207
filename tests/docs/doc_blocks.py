"""Code blocks of Markdown pages, and their running in a folder with small images.

What a page says is run as it stands, with two differences that keep it quick and without a network: a recipe's weights
and size are replaced by those of `STAND_INS`, unless the page gives them itself; and few batches are trained.

A comment in the line before a block changes how it is tested:
    <!-- not run: needs a cluster -->   it is not, and why
    <!-- slow -->                       by the slow tests alone, in a process of its own
    <!-- exit code 2 -->                the command is refused, by one sentence
    <!-- exit code 0 or 1 -->           either
    <!-- printed -->                    the block was printed by the command before it, but for line breaks
A block whose first line is `# file: NAME` is written to that file, in place of being run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^(?:<!-- (?P<mark>.*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

_QUICK = {
    "data.num_workers": "0",
    "trainer.max_epochs": "2",
    "trainer.limit_train_batches": "2",
    "trainer.limit_val_batches": "2",
}
_CIFAR = {"model.backbone.name": "resnet20_cifar", "model.backbone.weights": "builtin/resnet20_cifar10"}
_RANDOM = {
    "model.backbone.name": "resnet_tiny",
    "model.backbone.weights": "null",
    "model.tuning.allow_untrained": "true",
}
_BOXES = {
    **_QUICK,
    **_RANDOM,
    "model.neck.channels": "16",
    "model.head.detections": "5",
    "data.image_size": "64",
    "data.max_size": "80",
    "data.batch_size": "4",
    "trainer.limit_train_batches": "1",
    "trainer.limit_val_batches": "1",
}
STAND_INS = {
    "quickstart": {**_QUICK, "data.root": "photos"},
    "classify/folder_resnet50_probe": {**_QUICK, **_CIFAR, "data.image_size": "32", "trainer.max_epochs": "1"},
    "classify/": {**_QUICK, **_CIFAR, "data.image_size": "32", "data.batch_size": "8"},
    "detect/": _BOXES,
    "instance/": {**_BOXES, "model.head.samples": "8"},
    "segment/": {**_QUICK, **_RANDOM, "data.image_size": "32", "data.short": "32", "data.batch_size": "4"},
    "": _QUICK,
}
"""Values for the recipes whose names begin like this; the first that fits."""


@dataclass(frozen=True)
class Block:
    """language: `bash`, `python`, `yaml`, `text`. mark: the comment before it, or ""."""

    language: str
    text: str
    mark: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that it is written to."""
        first = self.text.partition("\n")[0]
        return first.removeprefix("# file: ").strip() if first.startswith("# file: ") else None

    @property
    def runs(self) -> bool:
        return self.language in ("bash", "python", "yaml") and not self.mark.startswith("not run: ")

    @property
    def slow(self) -> bool:
        return self.mark == "slow"

    @property
    def exit_codes(self) -> list[int]:
        return [int(code) for code in re.findall(r"\d+", self.mark)] if self.mark.startswith("exit code ") else [0]

    def commands(self) -> list[list[str]]:
        """Of a block of shell: the words of each line, continued ones joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        yield Block(match["language"], match["text"], match["mark"] or "", line)


def pages() -> list[Path]:
    """The hand-written pages, and the README."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def adapted(words: list[str]) -> list[str]:
    """A command of the project with stand-ins for what its recipe would take too long for."""
    if words[1] == "sweep":
        words = [*words, "--trials", "2"]
    recipe = next((words[n + 1] for n, word in enumerate(words) if word == "-c"), None)
    if recipe is None or words[1] not in ("fit", "plan", "validate", "sweep", "sweep-file"):
        return words
    given = {word.removeprefix("--").partition("=")[0] for word in words if word.startswith("--")}
    more = {key: value for key, value in stand_ins(recipe).items() if key not in given}
    if words.count("-c") > 1:
        more.pop("data.root", None)  # an overlay may have its own
    if words[1] == "plan":  # shows the epochs and trains nothing
        more = {key: value for key, value in more.items() if not key.startswith("trainer.")}
    return [*words, *(word for key, value in more.items() for word in (f"--{key}", value))]


def stand_ins(recipe: str) -> dict[str, str]:
    return next(values for start, values in STAND_INS.items() if recipe.startswith(start))


def quick(fit: Callable[..., Any]) -> Callable[..., Any]:
    """`resnet_tl.fit` with the stand-ins of its recipe."""

    def with_stand_ins(recipe: Any = None, **options: Any) -> Any:
        more = stand_ins(recipe) if isinstance(recipe, str) else {}
        quickly = {"trainer.max_epochs": 2} if "trainer.max_epochs" in options else {}
        return fit(recipe, **{**more, **options, **quickly})

    return with_stand_ins
