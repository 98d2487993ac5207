"""`data.batch_size: auto`: the recipe's global batch, in micro-batches that fit into memory.

`auto` does not replace the number that it is laid over, which the schedule's rate was chosen for: it becomes
`trainer.micro_batch: auto`, and the number stays.
"""

from __future__ import annotations

from typing import Any

from resnet_tl.errors import RecipeError
from resnet_tl.recipe.node import Node, overlay

AUTO = "auto"

Recipe = dict[str, Any]


def overlay_batch(under: Node, over: Node) -> Node:
    """`overlay`, in which a `data.batch_size` of `auto` sets `trainer.micro_batch` instead, and a number that is laid
    over an `auto` takes that back.

    Raises:
        RecipeError: a file, or the command line, sets both.
    """
    data = over.value.get("data")
    given = None if data is None else _batch_size(data)
    if given is None:
        _check_one_choice(_micro_batch_of(under), _micro_batch_of(over))
        return overlay(under, over)
    if given.value == AUTO:
        _check_one_choice(given, _micro_batch_of(over), same_file=True)
        _check_one_choice(given, _micro_batch_of(under))
        return overlay(overlay(under, _without_batch_size(over)), _micro_batch(AUTO, given.where))
    laid = overlay(under, over)
    micro = _micro_batch_of(laid)
    is_auto = micro is not None and micro.value == AUTO
    return overlay(laid, _micro_batch(None, given.where)) if is_auto else laid


def with_whole_steps(recipe: Recipe) -> Recipe:
    """The recipe in which, for a micro-batch of `auto`, a batch is all that a device accumulates for a step.

    Raises:
        RecipeError: its data has no batches, or an option counts them.
    """
    trainer, data = recipe["trainer"], recipe["data"]
    if trainer["micro_batch"] != AUTO:
        return recipe
    if "batch_size" not in data["init_args"]:
        raise RecipeError(f"data.batch_size is auto, but {data['class_path']} has no batch_size")
    batches = trainer["accumulate_grad_batches"]
    for key in ("limit_train_batches", "val_check_interval"):
        if batches > 1 and type(trainer[key]) is int:
            raise RecipeError(
                f"trainer.{key} is {trainer[key]} batches, of which data.batch_size: auto makes one of {batches}; give "
                "a fraction of the epoch, or a number as data.batch_size"
            )
    size = data["init_args"]["batch_size"] * batches
    data = {**data, "init_args": {**data["init_args"], "batch_size": size}}
    return {**recipe, "data": data, "trainer": {**trainer, "accumulate_grad_batches": 1}}


def _batch_size(data: Node) -> Node | None:
    """What a layer sets: of an option, or under the `init_args` of a file."""
    if not isinstance(data.value, dict):
        return None
    if "batch_size" in data.value:
        return data.value["batch_size"]
    init_args = data.value.get("init_args")
    return None if init_args is None else _batch_size(init_args)


def _without_batch_size(node: Node) -> Node:
    """The layer without it, which names nothing else `batch_size` at these places."""
    if not isinstance(node.value, dict):
        return node
    kept = {key: child for key, child in node.value.items() if key != "batch_size"}
    inner = {key: _without_batch_size(kept[key]) for key in ("data", "init_args") if key in kept}
    return Node({**kept, **inner}, node.where)


def _check_one_choice(auto: Node | None, micro: Node | None, *, same_file: bool = False) -> None:
    """Raises RecipeError where one file, or the command line, sets `auto` and another micro-batch: neither of them is
    an overlay on the other."""
    if auto is None or micro is None or auto.value != AUTO or micro.value in (AUTO, None):
        return
    if same_file or (auto.where.startswith("--") and micro.where.startswith("--")):
        raise RecipeError(
            f"data.batch_size is auto, which chooses trainer.micro_batch, but that is {micro.value} ({micro.where}); "
            "give one of the two"
        )


def _micro_batch_of(node: Node) -> Node | None:
    trainer = node.value.get("trainer")
    return trainer.value.get("micro_batch") if trainer is not None and isinstance(trainer.value, dict) else None


def _micro_batch(value: Any, where: str) -> Node:
    return Node({"trainer": Node({"micro_batch": Node(value, where)}, where)}, where)
