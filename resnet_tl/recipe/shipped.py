"""The recipes that come with the project, found from a wheel, an editable install and a clone alike."""

from __future__ import annotations

import difflib
from pathlib import Path

from resnet_tl.errors import RecipeError, did_you_mean


def shipped() -> dict[str, Path]:
    """The recipes by name, `classify/folder_resnet50_finetune` and the like, in alphabetical order."""
    folder = shipped_root() / "recipes"
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}


def shipped_root() -> Path:
    """The folder that holds `recipes/` and `data/samples/`: inside the package when installed, else the clone."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "_shipped"
    return inside if inside.is_dir() else package.parent


def find(name: str) -> Path:
    """The file of a recipe: `name` is a path, or the name of a shipped one with or without `.yaml`."""
    if Path(name).is_file():
        return Path(name)
    recipes = shipped()
    path = recipes.get(name.removesuffix(".yaml"))
    if path is None:
        raise RecipeError(
            f"no recipe {name!r}: neither a file nor one that `resnet-tl recipes list` shows{_nearest(name, recipes)}"
        )
    return path


def describe(path: Path) -> str:
    """A recipe's first sentence: the first comment of its header that is more than its own name."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.lstrip("# ").strip()
        if not line.startswith("#"):
            break
        if text and not text.endswith(".yaml"):
            return text
    return ""


def _nearest(name: str, recipes: dict[str, Path]) -> str:
    """Near by its last part, because people leave out the folder, else by the whole name."""
    by_stem = {full.rsplit("/", 1)[-1]: full for full in recipes}
    stem = name.removesuffix(".yaml").rsplit("/", 1)[-1]
    near = difflib.get_close_matches(stem, by_stem, n=1, cutoff=0.5)
    return f"; did you mean {by_stem[near[0]]!r}?" if near else did_you_mean(name, recipes)
