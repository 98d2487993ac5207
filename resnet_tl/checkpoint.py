"""The bundle inside a checkpoint: weights, recipe, class names and preprocessing. Enough to predict; safe to read.

A checkpoint is a Lightning checkpoint that holds only tensors and plain Python, with one extra key, `resnet_tl`.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
import zlib
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
from resnet_tl.structures.records import Code, Preprocessing

KEY = "resnet_tl"
VERSION = 1


@dataclass(frozen=True)
class Bundle:
    """The content of a checkpoint.

    state_dict: of the `Network`: the weights that validation used.
    recipe: resolved; `recipe["model"]` is `{class_path, init_args}` with full import paths.
    classes: K names, in the order of the head's outputs.
    preprocessing: the evaluation preprocessing.
    eval_transforms: the custom pipeline that replaced its resizing, as a recipe lists it; else None.
    colours: of the classes in masks, `[K][3]` RGB 0...255; None if they have none.
    codes: the training set's ids of the classes (COCO's category ids); None if it has none.
    epoch, step: epochs started (counted from 0), optimizer steps taken.
    """

    path: Path
    state_dict: dict[str, Tensor]
    recipe: dict[str, Any]
    classes: list[str]
    preprocessing: Preprocessing
    eval_transforms: list[dict[str, Any]] | None
    colours: list[list[int]] | None
    codes: list[Code] | None
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
    codes: Sequence[Code] | None = None,
) -> dict[str, Any]:
    """Builds the dictionary that a task stores in its checkpoint under `KEY`.

    Args:
        model: the recipe's `model` section, resolved: `{class_path, init_args}`.
        recipe: the other sections, if any.
        eval_transforms, colours, codes: of the data module, if it has them.
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
    """Reads the bundle of a run folder (its best checkpoint, else its last) or of a checkpoint file.

    Raises:
        WeightsError: the path does not exist, the file would run code, or it is not a resnet_tl checkpoint.
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
    broken = next((key for key, value in state.items() if not value.isfinite().all()), None)
    if broken is not None:
        raise WeightsError(f"{path}: {broken} holds NaN or infinite values: its training diverged")
    return Bundle(
        path=path,
        state_dict={key.removeprefix("network."): state[key] for key in state if key.startswith("network.")},
        recipe=ours["recipe"],
        classes=ours["classes"],
        preprocessing=Preprocessing(**ours["preprocessing"]),
        eval_transforms=ours["eval_transforms"],
        colours=ours["colours"],
        codes=ours.get("codes"),  # files of the same version may lack it
        epoch=checkpoint["epoch"],
        step=checkpoint["global_step"],
    )


def locate(path: str | Path) -> Path:
    """Returns the checkpoint file of a run folder, or `path` itself if it is a file."""
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


def load_safely(path: Path, *, mmap: bool = False, verify: bool = True) -> Any:
    """Loads a `torch.save` file of tensors and plain Python onto the CPU. Never runs code from the file.

    Args:
        mmap: leave tensors on disk until they are read, if the file is a zip (torch 1.6 and later).
        verify: compare all of the zip with its checksums (at more than 1 GB/s); torch itself does not.

    Raises:
        WeightsError: the file would run code, is not a `torch.save` file, is damaged, or cannot be read.
    """
    if verify and path.is_file() and zipfile.is_zipfile(path):
        _verify_checksums(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the protocols of foreign pickles: the error below says enough
            # Training scripts store their parsed arguments: a Namespace holds values and runs no code.
            with torch.serialization.safe_globals([Namespace]):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and zipfile.is_zipfile(path))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AssertionError) as error:
        raise WeightsError(f"{path}: {_refusal(path, str(error))}") from None


def save_atomically(value: Any, path: Path) -> None:
    """Writes tensors and plain Python. If the disk fills up or the process is killed, the old file stays intact.

    Raises:
        RunError: the folder is not writable, or its disk is full.
    """
    with as_run_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        try:
            torch.save(value, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch still closes its archive, and that error hides the cause
                raise error.__context__ from None
            raise


def to_plain(value: Any, at: str = "checkpoint") -> Any:
    """Converts `value` to tensors and plain Python, which `load_safely` can read: numpy becomes numbers and tensors,
    paths and enum members become text, mappings become dicts.

    Raises:
        TypeError: `value` holds anything else; the message names the key.
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


def _verify_checksums(path: Path) -> None:
    """Raises WeightsError where a part of the zip does not match its CRC-32: a bit on the disk has flipped."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None
    except (zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(f"{path}: damaged ({' '.join(str(error).split())}); restore it from a copy") from None
    if damaged is not None:
        raise WeightsError(f"{path}: damaged: {damaged} does not match its checksum; restore the file from a copy")


def _kind(content: Any) -> str:
    """Describes a file that is not a resnet_tl checkpoint, and what it can be used for."""
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    if "pytorch-lightning_version" in content:
        return "a Lightning checkpoint of another project: it names no classes and no preprocessing"
    tensors = sum(isinstance(value, Tensor) for value in content.values())
    if tensors or "state_dict" in content or "model" in content:
        return "weights without class names and recipe; use them to start training, as model.backbone.weights"
    return f"a dict of {', '.join(map(repr, list(content)[:3]))}"


def _refusal(path: Path, reason: str) -> str:
    """Shortens the page-long message of `torch.load` to one sentence."""
    code = re.search(r"GLOBAL ([\w.]+)", reason)
    if code:
        return f"refused, because reading it would run code ({code[1]}); expected only tensors and plain Python"
    with open(path, "rb") as file:
        if file.read(1) == pickle.PROTO:
            return "refused, because reading this pickle may run code; expected a torch.save file with only tensors"
    return "not a torch.save file, or cut off or damaged"


def _runs_inside(path: Path) -> str:
    runs = sorted(
        found.parent.parent for depth in ("*", "*/*") for found in path.glob(f"{depth}/checkpoints/last.ckpt")
    )
    return f"; the newest run inside is {str(runs[-1])!r}" if runs else ""
