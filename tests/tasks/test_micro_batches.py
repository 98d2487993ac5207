"""Training in micro-batches, and after memory was full, is training with the whole batch's samples in every step."""

from __future__ import annotations

import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone
from resnet_tl.structures.records import Batch, Features
from resnet_tl.tasks.classification import Classification
from resnet_tl.tasks.micro_batches import MicroBatches, is_full
from resnet_tl.tuning.rates import Optimizer
from tests.tuning.memory_probe import Case, fit, loader

pytestmark = pytest.mark.filterwarnings("default:memory was full")
Weights = dict[str, Tensor]


def apart(one: Weights, other: Weights) -> float:
    return max(float((one[key].double() - other[key].double()).abs().max()) for key in one)


@pytest.mark.parametrize(
    ("network", "fails"),
    [("ours", "forward"), pytest.param("masks", "backward", marks=pytest.mark.slow), ("objects", "backward")],
)
def test_a_run_that_runs_out_of_memory_is_one_with_smaller_batches(network: str, fails: str, tmp_path: Path) -> None:
    full, weights = fit(Case(network, limit=3, fails=fails), 1, 0, tmp_path)
    started, expected = fit(Case(network, batch=3, accumulate=4), 1, 0, tmp_path)
    assert (full["failures"], full["sizes"]) == (2, [3] * 6)  # 12, 6, 3
    assert (full["steps"], full["rates"]) == (started["steps"], started["rates"])
    assert apart(weights, expected) <= 1e-9
    means = [sum(started["losses"][first : first + 4]) for first in range(0, 24, 4)]  # of a fourth of a step each
    assert full["losses"] == pytest.approx(means, rel=1e-9)


def test_a_step_is_done_again_from_its_first_batch(tmp_path: Path) -> None:
    later = Case("masks", batch=6, accumulate=2, start=1, phases=1)
    full, weights = fit(replace(later, limit=3), 1, 0, tmp_path)
    split, expected = fit(replace(later, micro=3), 1, 0, tmp_path)
    assert (full["failures"], full["sizes"]) == (1, [None, 3])
    assert full["steps"] == split["steps"]
    assert full["losses"][:2] == split["losses"][:2]
    assert apart(weights, expected) == 0


def test_statistics_and_draws_are_those_of_a_run_that_starts_in_micro_batches(tmp_path: Path) -> None:
    drawn = Case("drawn", norm="train", precision="32-true")
    full, weights = fit(replace(drawn, limit=3, fails="backward"), 1, 0, tmp_path)
    _, expected = fit(replace(drawn, micro=3), 1, 0, tmp_path)
    assert full["failures"] == 2
    assert apart(weights, expected) == 0


def test_one_image_that_does_not_fit_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"full even with one image at a time: lower data\.image_size"):
        fit(Case(limit=0), 1, 0, tmp_path)


def test_other_errors_are_not_taken_for_a_full_memory(tmp_path: Path) -> None:
    assert is_full(MemoryError())
    assert is_full(RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"))
    assert is_full(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert is_full(RuntimeError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"))
    assert not is_full(RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        fit(Case(limit=3, fails="shape mismatch"), 1, 0, tmp_path)


def test_nothing_of_the_failed_step_is_left_when_it_is_done_again(tmp_path: Path) -> None:
    outputs: list[weakref.ref[Tensor]] = []
    left: list[int] = []

    class Watched(Classification):
        def loss_terms(self, batch: Batch) -> dict[str, Tensor]:
            left.append(sum(reference() is not None for reference in outputs))
            logits = self.network.run(batch.images)
            outputs.append(weakref.ref(logits))
            if len(batch) > 3:
                raise torch.OutOfMemoryError
            return self.classifier.loss(logits, batch.targets)

    fit_task(Watched(list("abcd"), Backbone("resnet20_cifar"), partial(LinearHead, multi_label=True)), tmp_path)
    assert len(outputs) == 1 + 1 + 4 + 4  # 12, 6, then two steps in four pieces
    assert set(left) == {0}


def test_a_class_with_its_own_training_step_trains_as_without_recovery(tmp_path: Path) -> None:
    class Own(Classification):
        def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
            return 2 * super().training_step(batch, batch_idx)

    head = partial(LinearHead, multi_label=True)
    torch.manual_seed(0)
    own = Own(list("abcd"), Backbone("resnet20_cifar"), head, optimizer=Optimizer("sgd", 0.05, weight_decay=0.0))
    torch.manual_seed(0)
    plain = Classification(
        list("abcd"), Backbone("resnet20_cifar"), head, optimizer=Optimizer("sgd", 0.1, weight_decay=0.0)
    )
    fit_task(own, tmp_path)
    fit_task(plain, tmp_path)
    assert apart(own.state_dict(), plain.state_dict()) <= 1e-6
    own.micro_batches.size = 4
    with pytest.raises(RecipeError, match=r"trainer\.micro_batch is 4, but Own cannot split batches; omit it"):
        fit_task(own, tmp_path)


def fit_task(task: Classification, folder: Path, **options: Any) -> None:
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, **options,
    )  # fmt: skip
    trainer.fit(task, loader(Case(), 1, 0))


def test_steps_on_cached_features_are_prepared_for_full_memory_at_first_and_for_larger_batches() -> None:
    def batch(count: int) -> Batch:
        rest = torch.arange(count)
        return Batch(Features({"c5": torch.zeros(count, 8, 1, 1)}, (32, 32), "layer4"), rest, rest, rest, rest)

    task: Any = SimpleNamespace(trainer=SimpleNamespace(world_size=1, accumulate_grad_batches=1))
    steps = MicroBatches()
    assert steps._is_careful(task, batch(4), 2), "none was seen before"
    steps._largest = 4 * 8
    assert [steps._is_careful(task, batch(4), number) for number in range(4)] == [True, True, False, False]
    assert steps._is_careful(task, batch(5), 3)
