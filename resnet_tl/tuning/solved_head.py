"""Solving a linear head on the cached features of all training images, in a phase that takes no steps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.structures.records import Features
from resnet_tl.tuning.average import Average
from resnet_tl.tuning.decoded import with_decoded
from resnet_tl.tuning.feature_cache import Report, solver_images
from resnet_tl.tuning.plan import Plan, Tuning
from resnet_tl.tuning.prefix import networks_in
from resnet_tl.tuning.ranks import broadcast

if TYPE_CHECKING:
    from resnet_tl.tuning.protocols import CachingData, SolvableHead, Trainer


def check_solvable(plan: Plan, module: nn.Module) -> None:
    """Checks that a head can be solved where a phase solves it.

    Raises:
        RecipeError: it is no linear classifier, or has parts before it that are trained with it.
    """
    solving = [index for index, phase in enumerate(plan.phases) if phase.settings.solver is not None]
    if solving and not [network for network in networks_in(module) if getattr(network.head, "solvable", False)]:
        heads = [type(network.head).__name__ for network in networks_in(module)] or [type(module).__name__]
        raise RecipeError(
            f"tuning.phases[{solving[0]}].solver needs a head that is one linear classifier of fixed features, as "
            f"LinearHead without pool: gem, but {heads[0]} is not; omit solver"
        )


def solve_head(
    trainer: Trainer, module: nn.Module, data: object, tuning: Tuning, average: Average | None, report: Report
) -> dict[str, float]:
    """Solves the head of the network in `module` on the features that `data` has in use, and sets its averaged copy.

    All ranks call it, and each solves the same. What an optimizer has stored for the head belongs to other weights and
    is dropped.

    Returns:
        `l2`, the penalty; `acc` and `loss` of images that the head was not fitted on; `seconds`.
    """
    start = time.perf_counter()
    network, caching = networks_in(module)[0], cast("CachingData", data)
    head: SolvableHead = network.head
    device = next(network.head.parameters()).device
    # MPS has no 64 bits.
    features, targets = _features(head, caching, tuning, torch.device("cpu") if device.type == "mps" else device)
    if not features.isfinite().all():
        raise RunError("the features that the head is to be solved on are NaN or infinite; check the weights")
    solution = head.solve(features, targets, caching.seed)
    broadcast(network.head.parameters())  # ranks on other machines may round in another way
    for parameter in network.head.parameters():
        for optimizer in trainer.optimizers:
            optimizer.state.pop(parameter, None)
    if average is not None:
        solved = set(network.head.parameters())
        average.copy_raw(module, [name for name, parameter in module.named_parameters() if parameter in solved])
    l2, score, seconds = solution.l2, solution.score, time.perf_counter() - start
    views, images, width = features.shape
    report(
        f"head solved in {seconds:.1f} s on {width} features of {images:,} images{f' in {views} views' * (views > 1)}: "
        f"L2 penalty {l2:g}, accuracy {score.accuracy:.1%} in cross-validation"
    )
    if unused := _unused(module, network.head, data, tuning):
        report(f"not used to solve the head: {', '.join(unused)}")
    return {"l2": l2, "acc": score.accuracy, "loss": score.loss, "seconds": seconds}


def _features(head: SolvableHead, data: CachingData, tuning: Tuning, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns the head's inputs `[V, N, C]` in V views of the N images that can be decoded, and their targets `[N]` or
    `[N, K]`."""
    images = solver_images(data, tuning)
    views, kept, targets = [], [], []
    for view in range(max(tuning.views, 1)):
        batches, decoded = zip(*with_decoded(batch.to(device) for batch in images.batches(view)), strict=True)
        maps = [cast(Features, batch.images).maps for batch in batches]
        with torch.no_grad():
            views.append(torch.cat([head.features(each) for each in maps]))
        kept.append(torch.cat(decoded))
        targets = [batch.targets for batch in batches]
    chosen = torch.stack(kept).all(0)
    return torch.stack(views)[:, chosen], torch.cat(targets)[chosen]


def _unused(module: Any, head: Any, data: Any, tuning: Tuning) -> list[str]:
    """Returns the settings of training that a solver does not use."""
    augmenting = data.augments() if hasattr(data, "augments") and not tuning.views else None
    settings = {
        module.mixes() if hasattr(module, "mixes") else None: True,
        augmenting: True,
        "data.balanced": getattr(data, "balanced", False),
        "data.unlabelled": getattr(data, "unlabelled", None) is not None,
        "tuning.teacher": tuning.teacher is not None,
        "head.label_smoothing": getattr(head, "label_smoothing", 0),
        "head.class_weights": getattr(head, "weight", None) is not None,
        "head.dropout": getattr(getattr(head, "dropout", None), "p", 0),
    }
    return [name for name, is_set in settings.items() if name and is_set]
