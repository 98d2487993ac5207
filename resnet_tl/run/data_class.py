"""The class of a recipe's data: the one it names, or the one that reads the form of what lies at `data.root`."""

from __future__ import annotations

import difflib
import inspect
from dataclasses import replace

from resnet_tl.data.base import ImageData
from resnet_tl.data.classification import ClassificationData
from resnet_tl.data.detection import DetectionData
from resnet_tl.data.images.manifest import MODULES
from resnet_tl.data.regression import RegressionData
from resnet_tl.data.segmentation import SegmentationData
from resnet_tl.data.sources.forms import Form, form_of
from resnet_tl.errors import DataError, RecipeError
from resnet_tl.recipe.node import Node, overlay
from resnet_tl.recipe.resolve import SPEC
from resnet_tl.recipe.schema import REQUIRED, can_be_named, fields_of, find_class, kinds_of
from resnet_tl.tasks.base import Task
from resnet_tl.tasks.classification import Classification
from resnet_tl.tasks.detection import Detection
from resnet_tl.tasks.regression import Regression
from resnet_tl.tasks.segmentation import Segmentation

ANY = "AnyData"
"""What a recipe may write for the class that reads its data, whichever that is; the same as no `class_path`."""

DATA_OF: dict[type[Task], type[ImageData]] = {
    Classification: ClassificationData,
    Detection: DetectionData,
    Regression: RegressionData,
    Segmentation: SegmentationData,
}
"""The data modules that each task takes."""


def as_init_args(layer: Node) -> Node:
    """A recipe file in which `data: {root: photos}` is short for `data: {init_args: {root: photos}}`."""
    data = layer.value.get("data")
    if data is None or not isinstance(data.value, dict) or any(_is_spec(key) for key in data.value):
        return layer
    return _with_data(layer, {"init_args": data})


def names_class(tree: Node) -> bool:
    """Whether a recipe names the class of its data, rightly or wrongly."""
    data = _data(tree)
    name = data.get("class_path")
    misspelt = any(_is_spec(key) and key not in SPEC for key in data)
    return misspelt or (name is not None and name.value != ANY)


def data_options(tree: Node) -> dict[str, Node]:
    """The options that a recipe sets of its data; those of the command need no `init_args`."""
    data = _data(tree)
    init_args = data.get("init_args")
    if init_args is None or not isinstance(init_args.value, dict):
        init_args = Node({}, tree.where)
    others = {key: node for key, node in data.items() if key not in SPEC}
    return dict(overlay(init_args, Node(others, tree.where)).value)


def with_likely_class(tree: Node) -> Node:
    """The recipe with the class of its task that takes most of the options of its data, without reading any."""
    options = data_options(tree)
    likely = max(_kinds(tree), key=lambda kind: len(options.keys() & fields_of(kind).keys()))
    if "root" in options and "csv" in fields_of(likely):
        options = _as_table(options, str(options["root"].value))
    return _with_class(tree, likely.__name__, options)


def with_detected_class(tree: Node) -> tuple[Node, str]:
    """The recipe with the class of its task that reads what lies at `data.root`, and a note about what that is.

    Raises:
        DataError: nothing lies there, or no class reads it, or several that take the options of the data.
    """
    options, base = data_options(tree), _base(tree)
    task = next((task.__name__.lower() for task, kind in DATA_OF.items() if kind is base), None)
    key = "csv" if "csv" in options else "root"
    if key not in options or options[key].value is None:
        raise RecipeError("data.root is missing: add --data.root VALUE or write it in the recipe")
    needed = options.keys() - {"root"}
    place = str(options[key].value)
    takers = [kind.__name__ for kind in _kinds(tree) if needed <= fields_of(kind).keys()]
    plain = [name for name in takers if name not in (*MODULES.values(), "WebDataset")]  # these are detected
    only = Form("", plain[0], "the only one that takes these options", place) if len(plain) == 1 else None
    try:
        form = form_of(place, task, takers.__contains__)
    except DataError:
        if only is None:
            raise
        form = only
    if task is None and only is not None and form.module != only.module:
        form = only
    if key == "root" and form.table is not None and "csv" in fields_of(find_class(form.module, ImageData)):
        options = _as_table(options, form.table)
    return _with_class(tree, form.module, options), f"{place}: read by {form.module} ({form.why})"


def with_table(tree: Node) -> Node:
    """The recipe in which what lies at `data.root` is the table that the named class of the data needs."""
    options, name = data_options(tree), _data(tree)["class_path"].value
    try:
        csv = fields_of(find_class(str(name), ImageData)).get("csv")
    except RecipeError:  # a fault that is reported elsewhere
        return tree
    if csv is None or csv.default is not REQUIRED or "root" not in options:
        return tree
    return _with_class(tree, str(name), _as_table(options, str(options["root"].value)))


def without_replaced_place(tree: Node) -> Node:
    """The recipe without the places of data that a replaced class was to read: `--data CocoDetection` over a recipe
    with an ImageFolder keeps size, batch and augmentation, and drops the folder."""
    data = _data(tree)
    init_args = data.get("init_args")
    if not names_class(tree) or init_args is None or not isinstance(init_args.value, dict):
        return tree
    kept = {
        key: node
        for key, node in init_args.value.items()
        if node.replaced is None or key not in _places_of(node.replaced, str(data["class_path"].value))
    }
    return _with_data(tree, {**data, "init_args": Node(kept, init_args.where)})


def mismatch(tree: Node) -> list[str]:
    """A sentence where the named class of the data is of another task than the model."""
    name, base = _data(tree).get("class_path"), _base(tree)
    try:
        data = find_class(str(name.value), ImageData) if name is not None else base
    except RecipeError:  # a fault that is reported elsewhere
        return []
    others = [task.__name__ for task, kind in DATA_OF.items() if issubclass(data, kind)]
    if issubclass(data, base) or not others:
        return []
    return [f"model is {_task(tree).__name__}, but data is {data.__name__}, which is for {others[0]}"]


def _places_of(old: str, new: str) -> set[str]:
    """The options of a class that are not shared by all data: what its own constructor reads."""
    try:
        old_kind, new_kind = find_class(old, ImageData), find_class(new, ImageData)
    except RecipeError:
        return set()
    if inspect.isclass(new_kind) and issubclass(new_kind, old_kind):
        return set()
    own = inspect.signature(old_kind).parameters.keys() - fields_of(ImageData).keys()
    return own - {"classes"}  # a checkpoint's, whatever data it is evaluated on


def _kinds(tree: Node) -> list[type]:
    """The data modules of this package that can be named for the recipe's task."""
    kinds = [kind for kind in kinds_of(_base(tree)) if kind.__module__.startswith("resnet_tl.")]
    return [kind for kind in kinds if can_be_named(kind, 0)]


def _base(tree: Node) -> type[ImageData]:
    """The data modules for the recipe's task; all of them where it names none."""
    task = _task(tree)
    return next((data for kind, data in DATA_OF.items() if issubclass(task, kind)), ImageData)


def _task(tree: Node) -> type[Task]:
    """The class of the model; `Task` where none is named, or a wrong one: a fault that is reported elsewhere."""
    model = tree.value.get("model")
    name = model.value.get("class_path") if model is not None and isinstance(model.value, dict) else model
    try:
        found: type[Task] = find_class(str(name.value), Task, 1) if name is not None else Task
    except RecipeError:
        return Task
    return found


def _data(tree: Node) -> dict[str, Node]:
    node = tree.value.get("data")
    if node is None or node.value is None:
        return {}
    return node.value if isinstance(node.value, dict) else {"class_path": node}


def _as_table(options: dict[str, Node], table: str) -> dict[str, Node]:
    """The options of a class that reads a table, which is or lies at `root`, unless they name it themselves."""
    if "csv" in options:
        return options
    others = {key: node for key, node in options.items() if key != "root"}
    return {"csv": replace(options["root"], value=table, text=None), **others}


def _with_class(tree: Node, name: str, options: dict[str, Node]) -> Node:
    where = (tree.value.get("data") or tree).where
    return _with_data(tree, {"class_path": Node(name, where), "init_args": Node(options, where)})


def _with_data(tree: Node, data: dict[str, Node]) -> Node:
    where = (tree.value.get("data") or tree).where
    return Node({**tree.value, "data": Node(data, where)}, tree.where)


def _is_spec(key: str) -> bool:
    """Whether a key is meant as `class_path` or `init_args`, rather than as an option such as `classes`."""
    return bool(difflib.get_close_matches(key, SPEC, n=1, cutoff=0.8))
