"""The bundle inside a checkpoint: weights, recipe, class names and preprocessing. Enough to predict; safe to read.

A checkpoint is a Lightning checkpoint that holds only tensors and plain Python, with one extra key, `resnet_tl`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from torch import Tensor

from resnet_tl.errors import WeightsError
from resnet_tl.files import did_you_mean_path
from resnet_tl.ranges import NonNegativeInt, Pixels, PositiveFloat, PositiveInt
from resnet_tl.structures.decisions import ClassSpace, Decisions
from resnet_tl.structures.records import Code, Interpolation, Preprocessing
from resnet_tl.tensor_file import first_broken, is_dense, load_safely, save_atomically, to_plain

KEY = "resnet_tl"
SPACE_KEY = "resnet_tl_class_space"
VERSION = 1
FOLDS = "folds.json"
"""What a folder of folds holds next to their runs, `fold1`, `fold2`, ..."""


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
    decisions: what validation decided for prediction; neutral in checkpoints without.
    class_space: of the training images' features, for classifiers with `decisions.outliers`.
    new_classes: those that the weights it started from did not know, where it kept the others; else empty.
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
    decisions: Decisions
    class_space: ClassSpace | None
    epoch: int
    step: int
    new_classes: Sequence[str] = ()


def bundle(
    model: Mapping[str, Any],
    classes: Sequence[str],
    preprocessing: Preprocessing,
    recipe: Mapping[str, Any] | None = None,
    *,
    eval_transforms: list[dict[str, Any]] | None = None,
    colours: list[list[int]] | None = None,
    codes: Sequence[Code] | None = None,
    new_classes: Sequence[str] = (),
) -> dict[str, Any]:
    """Builds the dictionary that a task stores in its checkpoint under `KEY`.

    Args:
        model: the recipe's `model` section, resolved: `{class_path, init_args}`.
        recipe: the other sections, if any.
        eval_transforms, colours, codes: of the data module, if it has them.
        new_classes: see `Bundle`.
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
            "new_classes": list(new_classes),
        },
        at=KEY,
    )


def read(path: str | Path) -> Bundle:
    """Reads the bundle of a run folder (its best checkpoint, else its last) or of a checkpoint file.

    Raises:
        WeightsError: the path does not exist, the file would run code, it is damaged, or not a resnet_tl checkpoint.
    """
    path = locate(path)
    return restored(load_safely(path), path)


def restored(content: Any, path: Path) -> Bundle:
    """Returns the bundle in what a checkpoint holds, checked. Raises WeightsError: it is not valid."""
    if not isinstance(content, dict) or KEY not in content:
        raise WeightsError(f"{path}: not a checkpoint of resnet_tl but {_kind(content)}")
    ours, recipe = parse_stored(content[KEY], path)
    rest = parse(_Training, content, path)
    _check_weights(rest.state_dict, path)
    state = {key: value for key, value in rest.state_dict.items() if key.startswith("network.")}
    return Bundle(
        path=path,
        state_dict={key.removeprefix("network."): value for key, value in state.items()},
        recipe=recipe,
        classes=ours.classes,
        preprocessing=Preprocessing(**dict(ours.preprocessing)),
        eval_transforms=ours.eval_transforms,
        colours=ours.colours,
        codes=ours.codes,
        decisions=ours.decisions,
        class_space=None if rest.class_space is None else _parse_space(rest.class_space, path),
        epoch=rest.epoch,
        step=rest.global_step,
        new_classes=ours.new_classes,
    )


def store_decisions(path: Path, decisions: Decisions, space: ClassSpace | None = None) -> None:
    """Rewrites a checkpoint with what validation decided; all else in it stays.

    Raises:
        WeightsError: it is damaged. RunError: it cannot be written.
    """
    content = load_safely(path)
    content[KEY]["decisions"] = asdict(decisions)
    content.pop(SPACE_KEY, None)
    if space is not None:
        content[SPACE_KEY] = to_plain(asdict(space))
    save_atomically(content, path)


class StoredPreprocessing(BaseModel):
    """The schema of `Preprocessing` in a file."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    mean: Annotated[tuple[float, ...], MinLen(1), MaxLen(1024)]
    std: Annotated[tuple[PositiveFloat, ...], MinLen(1), MaxLen(1024)]
    size: Annotated[int, Ge(0), Le(16384)]  # 0: images of masks keep their size
    interpolation: Interpolation
    crop: Annotated[float, Ge(0.01), Le(1)]
    max_size: Pixels | None = None


class _Object(BaseModel):
    class_path: str
    init_args: dict[str, JsonValue]


class _Recipe(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    model: _Object
    data: _Object | None = None


Byte = Annotated[int, Ge(0), Le(255)]


class Stored(BaseModel):
    """The schema of what `bundle` builds. Files of the same version may lack the keys that have defaults."""

    version: PositiveInt
    recipe: _Recipe
    classes: Annotated[list[str], MinLen(1)]
    preprocessing: StoredPreprocessing
    eval_transforms: list[dict[str, JsonValue]] | None = None
    colours: list[Annotated[list[Byte], MinLen(3), MaxLen(3)]] | None = None
    codes: list[Code] | None = None
    new_classes: list[str] = []
    decisions: Decisions = Decisions()


class _Folds(BaseModel):
    """The schema of what is read here of folds.json."""

    folds: Annotated[int, Ge(2), Le(10_000)]
    finished: bool


class Weights(BaseModel):
    """The schema of a checkpoint's weights."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    state_dict: dict[str, Tensor]


class _Training(Weights):
    """The schema of Lightning's keys that are read here."""

    epoch: NonNegativeInt
    global_step: NonNegativeInt
    class_space: Annotated[dict[str, Tensor] | None, Field(alias=SPACE_KEY)] = None


Model = TypeVar("Model", bound=BaseModel)


def parse_stored(value: Any, path: Path) -> tuple[Stored, dict[str, Any]]:
    """Checks what a checkpoint holds under `KEY`, which anyone may have written, before anything is built from it.
    Returns it, and its whole recipe as plain Python.

    Raises:
        WeightsError: a key is missing or has a value of the wrong type or range; or a newer version has written it.
    """
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not valid: {KEY} holds more than text, numbers and lists ({error})") from None
    version = value.get("version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise WeightsError(
            f"{path}: written by a newer resnet_tl (format {version}, this one reads up to {VERSION}); "
            "upgrade with `pip install -U resnet-tl`"
        )
    stored = parse_json(Stored, text, path, KEY)
    classes = len(stored.classes)
    lists = {"colours": stored.colours, "codes": stored.codes, "decisions.box_scores": stored.decisions.box_scores}
    lists["decisions.margins"] = stored.decisions.margins
    if stored.decisions.temperature is not None and len(stored.decisions.temperature) > 1:
        lists["decisions.temperature"] = stored.decisions.temperature
    for name, values in lists.items():
        if values is not None and len(values) != classes:
            raise WeightsError(f"{path}: not valid: {KEY}.{name} has {len(values)} entries for {classes} classes")
    return stored, json.loads(text)["recipe"]


def parse_json(schema: type[Model], text: str | bytes, path: Path, *at: str) -> Model:
    """Returns what a file holds at a key, checked. Raises WeightsError: it does not follow the schema."""
    try:
        return schema.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise _invalid(path, error, *at) from None


def parse(schema: type[Model], content: Mapping[str, Any], path: Path) -> Model:
    """Returns keys of a file, checked. Raises WeightsError: they do not follow the schema."""
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        raise _invalid(path, error) from None


def _invalid(path: Path, error: ValidationError, *at: str) -> WeightsError:
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, (*at, *first["loc"])))
    given = "" if first["type"] == "missing" else f", got {_short(first['input'])}"
    return WeightsError(f"{path}: not valid: {key}: {first['msg'][0].lower()}{first['msg'][1:]}{given}")


def _parse_space(tensors: Mapping[str, Tensor], path: Path) -> ClassSpace:
    """Raises WeightsError for arrays of other names, shapes or values than those of a `ClassSpace`."""
    _check_weights(tensors, path, SPACE_KEY)
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    sizes = (*found.get("means", ()), *found.get("origin", ()))
    if len(sizes) != 3 or found != ClassSpace.shapes(*sizes):
        raise WeightsError(f"{path}: not valid: {SPACE_KEY} has arrays of the shapes {found}")
    return ClassSpace(**{name: tensor.float().numpy() for name, tensor in tensors.items()})


def _check_weights(state: Mapping[str, Tensor], path: Path, at: str = "state_dict") -> None:
    """Raises WeightsError for tensors that are not weights: sparse ones, views that repeat their values beyond the size
    of the file, NaN."""
    size = path.stat().st_size
    for key, tensor in state.items():
        if not is_dense(tensor) or tensor.nbytes > size:
            raise WeightsError(f"{path}: not valid: {at}.{key} is not a dense tensor")
    if broken := first_broken(state):
        raise WeightsError(f"{path}: {broken} holds NaN or infinite values: its training diverged")


def _short(value: Any) -> str:
    text = " ".join(repr(value).split()) if isinstance(value, (str, int, float, bool, type(None))) else ""
    return text if 0 < len(text) <= 60 else f"a {type(value).__name__}"


def locate(path: str | Path) -> Path:
    """Returns the checkpoint file of a run folder, or `path` itself if it is a file."""
    path = Path(path)
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        raise WeightsError(f"{path} is a recipe, by which `resnet-tl fit` trains; expected a run folder or checkpoint")
    if path.is_file():
        return path
    if not path.exists() and re.match(r"[a-z0-9]+:/", str(path)):
        raise WeightsError(f"{path} is an address; expected a run folder or checkpoint on this machine: copy it first")
    if not path.exists():
        raise WeightsError(f"no run folder or checkpoint at {str(path)!r}{did_you_mean_path(path)}")
    if (path / FOLDS).is_file():
        raise WeightsError(f"{path}: a folder of folds; expected one of its runs, as {path / 'fold1'}")
    if (path / "config.json").is_file():
        raise WeightsError(f"{path}: a published model, which can predict; expected the run that it is from")
    for name in ("best.ckpt", "last.ckpt"):
        if (path / "checkpoints" / name).is_file():
            return path / "checkpoints" / name
    raise WeightsError(
        f"{path}: no run in this folder: expected checkpoints/best.ckpt or checkpoints/last.ckpt{_runs_inside(path)}"
    )


def members(path: str | Path) -> list[Path]:
    """Returns the runs in a folder of folds, which predict together; `[path]` for any other path.

    Raises:
        WeightsError: not all folds are trained.
    """
    path = Path(path)
    if not (path / FOLDS).is_file():
        return [path]
    content = parse_json(_Folds, (path / FOLDS).read_bytes(), path / FOLDS)
    if not content.finished:
        raise WeightsError(f"{path}: its {content.folds} folds are not all trained: resnet-tl fit --resume {path}")
    return [path / f"fold{number + 1}" for number in range(content.folds)]


def _kind(content: Any) -> str:
    """Describes a file that is not a resnet_tl checkpoint, and what it can be used for."""
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    if "pytorch-lightning_version" in content:
        return "a Lightning checkpoint of another project: it names no classes and no preprocessing"
    tensors = sum(isinstance(value, Tensor) for value in content.values())
    if tensors or "state_dict" in content or "model" in content:
        return (
            "weights without class names and recipe; use them to start training, as model.backbone.weights, or for "
            "embeddings, with --backbone NAME"
        )
    return f"a dict of {', '.join(map(repr, list(content)[:3]))}"


def _runs_inside(path: Path) -> str:
    saved = [found for depth in ("*", "*/*") for found in path.glob(f"{depth}/checkpoints/last.ckpt")]
    if not saved:
        return ""
    newest = max(saved, key=lambda found: found.stat().st_mtime)
    return f"; the newest run inside is {str(newest.parent.parent)!r}"
