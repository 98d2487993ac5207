"""A recipe's plan as text, and a learning rate for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnet_tl.data.base import ImageData
from resnet_tl.errors import RecipeError
from resnet_tl.run.batch_limits import check_batch_limits
from resnet_tl.run.build import Overrides, Recipe, RecipeSource, build_seeded, compose
from resnet_tl.run.global_batch import scale_rate
from resnet_tl.run.sharding import FSDP2, check_sharding
from resnet_tl.run.trainer import resolve_precision, translate_errors
from resnet_tl.tasks.base import Task
from resnet_tl.tasks.classification import Classification
from resnet_tl.tasks.rate_finder import find_rate
from resnet_tl.tuning.freezing import kinds_in
from resnet_tl.tuning.plan import Plan
from resnet_tl.tuning.plan_table import table
from resnet_tl.tuning.rates import bit_rule
from resnet_tl.tuning.resolve import resolve
from resnet_tl.tuning.solved_head import check_solvable
from resnet_tl.tuning.stages import blocks_of


def plan_text(recipes: Sequence[RecipeSource], overrides: Overrides) -> str:
    """Returns the plan as a table, the notes of the data, and the overlay that BiT's rule recommends for this number
    of images."""
    recipe, data, task, plan = _build(recipes, overrides)
    batch, base = recipe["trainer"]["global_batch"], task.optimizer.base_batch
    scaled = "" if batch is None else scale_rate(task, batch)
    if base is not None and not scaled:
        scaled = (
            f"the rates are for a global batch of {base} images (optimizer.base_batch); a run scales them to its own"
        )
    text = table(plan, task.stages(), task.tuning.norm, task.peak_rate, task.stage_macs())
    text = "\n".join([f"{text}\n", *data.notes, *([scaled] if scaled else [])])
    if not isinstance(task, Classification):  # the rule is one of classifiers, and so are its overlays
        return text
    images = len(data.trained())
    return f"{text}\n\nBiT's rule for {images:,} training images: -c overlays/{bit_rule(images)}"


def find_lr(recipes: Sequence[RecipeSource], overrides: Overrides, phase: int) -> str:
    """Returns the losses of rising rates in a phase as text, and the `optimizer.lr` that they suggest."""
    recipe, data, task, plan = _build(recipes, overrides)
    if not 0 <= phase < len(plan.phases):
        raise RecipeError(f"--phase {phase}: the plan has {len(plan.phases)} phases, counted from 0")
    if plan.phases[phase].settings.solver is not None:
        raise RecipeError(f"--phase {phase}: its head is solved, which takes no rate; choose another phase")
    options, _ = resolve_precision(recipe["trainer"])
    trainer = {name: options[name] for name in ("accelerator", "precision")}
    with translate_errors():
        curve = find_rate(task, data, plan.phases[phase].settings, **trainer)
    every_fifth = range(0, len(curve.rates), 5)
    lines = [f"{'rate':>8}  loss", *(f"{curve.rates[i]:8.1e}  {curve.losses[i]:.4f}" for i in every_fifth)]
    lines += ["", f"the loss falls fastest at --model.optimizer.lr {curve.suggestion:.2g} (phase {phase})"]
    return "\n".join(lines)


def _build(recipes: Sequence[RecipeSource], overrides: Overrides) -> tuple[Recipe, ImageData, Task, Plan]:
    recipe = compose(recipes, overrides, training=True)
    data, task = build_seeded(recipe)
    task.use_data(data, "fit")
    check_batch_limits(recipe["trainer"], data, recipe["trainer"]["global_batch"] or data.batch_size, ranks=1)
    plan = plan_of(task, epochs_of(recipe["trainer"]))
    check_solvable(plan, task)
    if recipe["trainer"]["strategy"] == FSDP2:
        check_sharding(recipe["trainer"], task, plan)
    return recipe, data, task, plan


def epochs_of(trainer: Mapping[str, Any]) -> int:
    """Returns how many epochs a run trains. Raises RecipeError: its recipe does not say."""
    epochs: int | None = trainer["max_epochs"]
    if epochs is None:
        raise RecipeError("trainer.max_epochs is not set; expected the number of epochs")
    return epochs


def plan_of(task: Task, epochs: int) -> Plan:
    """Returns a task's plan over so many epochs. Raises RecipeError: it does not fit."""
    stages = task.stages()
    kinds = {stage: kinds_in(modules) for stage, modules in stages.items()}
    blocks = blocks_of(task, stages) if task.tuning.by_block else {}
    return resolve(task.tuning, list(stages), epochs, task.loaded_stages, kinds, blocks)
