"""By what runs of the same recipe, and of the same data, are recognised."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from resnet_tl.tracking.run_folder import RunFolder


def recipe_digest(recipe: dict[str, Any]) -> str:
    """Returns 8 hexadecimal digits of a resolved recipe without its seed, its fold and its `tracking` section."""
    content = {key: value for key, value in recipe.items() if key not in ("seed_everything", "tracking")}
    options = recipe.get("data", {}).get("init_args", {})
    if options.get("folds") is not None:
        content["data"] = {**recipe["data"], "init_args": {**options, "fold": None}}
    return _digest(content)


def group_of(recipe: dict[str, Any]) -> str:
    """Returns the name of the group of the runs that differ in seed or fold alone."""
    return f"{recipe['model']['init_args']['backbone']['name']}-{recipe_digest(recipe)}"


def data_digest(run: RunFolder) -> str:
    """Returns 8 hexadecimal digits of the images' keys, their targets and classes, from files.json."""
    splits = json.loads(run.files.read_bytes())["splits"]
    return _digest({split: each["labels"] for split, each in splits.items()})


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:8]
