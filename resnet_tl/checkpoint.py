"""The bundle inside a checkpoint: weights, recipe, class names and preprocessing. Enough to predict; safe to read.

A checkpoint is a Lightning checkpoint made of tensors and plain Python alone, with one more key, `resnet_tl`.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnet_tl.errors import WeightsError
from resnet_tl.files import as_run_error, atomic_write, did_you_mean_path
from resnet_tl.structures.records import Preprocessing

KEY = "resnet_tl"
VERSION = 1


@dataclass(frozen=True)
class Bundle:
    """What a checkpoint says.

    state_dict: of the `Network`: the weights that validation used.
    recipe: resolved; `recipe["model"]` is `{class_path, init_args}` with full import paths.
    classes: K names, in the order of the head's outputs.
    preprocessing: of the images that validation saw.
    eval_transforms: the pipeline of one's own that took its resizing's place, as a recipe lists it; else None.
    colours: of the classes in masks, `[K][3]` RGB 0...255; None where they have none.
    codes: of the classes, the training set's own numbers (COCO's category ids); None where it has none.
    epoch, step: epochs begun (counted from 0), optimizer steps taken.
    """

    path: Path
    state_dict: dict[str, Tensor]
    recipe: dict[str, Any]
    classes: list[str]
    preprocessing: Preprocessing
    eval_transforms: list[dict[str, Any]] | None
    colours: list[list[int]] | None
    codes: list[int] | None
    epoch: int
    step: int


def bundle(
    model: Mapping[str, Any],
    classes: Sequence[str],
    preprocessing: Preprocessing,
    recipe: Mapping[str, Any] | None = None,
    *,
    eval_transforms: list[dict[str, Any]] | None = None,
    colours: list[list[int]] | None = None,
    codes: Sequence[int] | None = None,
) -> dict[str, Any]:
    """What a task puts into its checkpoint under `KEY`.

    Args:
        model: the recipe's `model` section, resolved: `{class_path, init_args}`.
        recipe: the other sections, where there are any.
        eval_transforms, colours, codes: of the data module, where it has any.
    """
    return to_plain(
        {
            "version": VERSION,
            "recipe": {**(recipe or {}), "model": model},
            "classes": list(classes),
            "preprocessing": asdict(preprocessing),
            "eval_transforms": eval_transforms,
            "colours": colours,
            "codes": None if codes is None else list(codes),
        },
        at=KEY,
    )


def read(path: str | Path) -> Bundle:
    """The bundle of a run folder (its best checkpoint, else its last) or of a checkpoint.

    Raises:
        WeightsError: nothing there, a file that would run code, a file that is no checkpoint of ours.
    """
    path = locate(path)
    checkpoint = load_safely(path)
    if not isinstance(checkpoint, dict) or KEY not in checkpoint:
        raise WeightsError(f"{path}: not a checkpoint of resnet_tl but {_kind(checkpoint)}")
    ours = checkpoint[KEY]
    if ours["version"] > VERSION:
        raise WeightsError(
            f"{path}: written by a newer resnet_tl (format {ours['version']}, this one reads up to {VERSION}); "
            "upgrade with `pip install -U resnet-tl`"
        )
    state = checkpoint["state_dict"]
    return Bundle(
        path=path,
        state_dict={key.removeprefix("network."): state[key] for key in state if key.startswith("network.")},
        recipe=ours["recipe"],
        classes=ours["classes"],
        preprocessing=Preprocessing(**ours["preprocessing"]),
        eval_transforms=ours["eval_transforms"],
        colours=ours["colours"],
        codes=ours.get("codes"),  # younger than the format
        epoch=checkpoint["epoch"],
        step=checkpoint["global_step"],
    )


def locate(path: str | Path) -> Path:
    """The checkpoint file meant by a run folder or a checkpoint's own path."""
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        raise WeightsError(f"no run folder or checkpoint at {str(path)!r}{did_you_mean_path(path)}")
    for name in ("best.ckpt", "last.ckpt"):
        if (path / "checkpoints" / name).is_file():
            return path / "checkpoints" / name
    raise WeightsError(
        f"{path}: no run in this folder: expected checkpoints/best.ckpt or checkpoints/last.ckpt{_runs_inside(path)}"
    )


def load_safely(path: Path, *, mmap: bool = False) -> Any:
    """What `torch.save` wrote, on the CPU, if it is tensors and plain Python; nothing in the file is ever run.

    Args:
        mmap: leave tensors on disk until they are read, where the file is a zip (torch 1.6 and later).

    Raises:
        WeightsError: the file would run code, or is no file of `torch.save`, or cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on protocols that foreign pickles use: the refusal says enough
            # training scripts store their parsed arguments: a Namespace holds values and runs nothing
            with torch.serialization.safe_globals([Namespace]):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and zipfile.is_zipfile(path))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AssertionError) as error:
        raise WeightsError(f"{path}: {_refusal(path, str(error))}") from None


def save_atomically(value: Any, path: Path) -> None:
    """Write tensors and plain Python. On a full disk, as on a kill, the file that was at `path` stays whole.

    Raises:
        RunError: the folder cannot be written to, or its disk is full.
    """
    with as_run_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        try:
            torch.save(value, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch closes its archive all the same and complains about that
                raise error.__context__ from None
            raise


def to_plain(value: Any, at: str = "checkpoint") -> Any:
    """`value` as tensors and plain Python, so that `load_safely` reads it: numpy becomes numbers and tensors, paths and
    enumerations become text, mappings become dicts.

    Raises:
        TypeError: `value` holds anything else; the message says at which key.
    """
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return value
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {to_plain(key, at): to_plain(item, f"{at}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [to_plain(item, f"{at}[{i}]") for i, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, set):
        return {to_plain(item, at) for item in value}
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    for base in (str, int, float):
        if isinstance(value, base):
            return base(value.value if hasattr(value, "value") else value)
    raise TypeError(f"{at} is a {type(value).__qualname__}: a checkpoint holds tensors and plain Python only")


def _kind(content: Any) -> str:
    """What a file holds that is not ours, and what it is good for."""
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    if "pytorch-lightning_version" in content:
        return "a Lightning checkpoint of another project: it names no classes and no preprocessing"
    tensors = sum(isinstance(value, Tensor) for value in content.values())
    if tensors or "state_dict" in content or "model" in content:
        return "weights alone, without class names and recipe; they can start a training as model.backbone.weights"
    return f"a dict of {', '.join(map(repr, list(content)[:3]))}"


def _refusal(path: Path, reason: str) -> str:
    """One sentence for what `torch.load` says in a page."""
    code = re.search(r"GLOBAL ([\w.]+)", reason)
    if code:
        return f"refused, because reading it would run code ({code[1]}); expected tensors and plain Python only"
    with open(path, "rb") as file:
        if file.read(1) == pickle.PROTO:
            return "refused, because reading this pickle may run code; expected a file of torch.save with tensors only"
    return "not a file of torch.save, or cut off or damaged"


def _runs_inside(path: Path) -> str:
    runs = sorted(
        found.parent.parent for depth in ("*", "*/*") for found in path.glob(f"{depth}/checkpoints/last.ckpt")
    )
    return f"; the newest run inside is {str(runs[-1])!r}" if runs else ""
