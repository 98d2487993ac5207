from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer

from resnet_tl.errors import WeightsError
from resnet_tl.tensor_file import save_atomically
from resnet_tl.tracking.checkpoints import SafeCheckpointIO
from resnet_tl.tracking.last import Last, epochs_done, normalize_counters


def test_it_is_saved_every_so_many_steps_and_after_every_epoch(tiny: Any, batches: Any, tmp_path: Path) -> None:
    saved = []

    class Watched(Last):
        def save(self, trainer: Trainer) -> None:
            super().save(trainer)
            saved.append((trainer.global_step, epochs_done(self.path)))

    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=False, callbacks=[Watched(tmp_path, every=3)],
        plugins=[SafeCheckpointIO()], enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(tiny(), batches(), batches(8))
    assert saved == [(3, 0), (4, 1), (6, 1), (8, 2)]


@pytest.mark.parametrize("content", [{}, {"loops": 7}, {"loops": {"fit_loop": {"epoch_progress": {}}}}, [1]])
def test_a_file_that_does_not_count_epochs_is_named(content: Any, tmp_path: Path) -> None:
    save_atomically(content, tmp_path / "last.ckpt")
    with pytest.raises(WeightsError, match=r"last\.ckpt: not the checkpoint of a run: it does not hold"):
        epochs_done(tmp_path / "last.ckpt")


def counters(**ready: int) -> dict[str, int]:
    return {"ready": 0, "started": 0, "processed": 0, "completed": 0, **ready}


def loops(batches: dict[str, int], epochs: dict[str, int]) -> dict[str, Any]:
    def twice(values: dict[str, int]) -> dict[str, Any]:
        return {"total": dict(values), "current": dict(values)}

    return {
        "epoch_progress": twice(epochs),
        "epoch_loop.batch_progress": {**twice(batches), "is_last_batch": True},
        "epoch_loop.val_loop.batch_progress": twice(counters(ready=3, started=3, processed=2, completed=2)),
    }


def test_a_batch_that_was_only_fetched_does_not_count() -> None:
    state = loops(counters(ready=6, started=6, processed=5, completed=5), counters(ready=2, started=2, processed=1))
    normalize_counters(state, validating=False)
    assert set(state["epoch_loop.batch_progress"]["current"].values()) == {5}
    assert state["epoch_progress"]["current"]["started"] == 2
    assert not state["epoch_loop.batch_progress"]["is_last_batch"]


def test_an_epoch_of_which_no_batch_was_trained_on_has_not_started() -> None:
    state = loops(counters(ready=1, started=1), counters(ready=2, started=2, processed=1))
    normalize_counters(state, validating=False)
    assert state["epoch_progress"]["current"] == counters(ready=1, started=1, processed=1)


@pytest.mark.parametrize("validating", [False, True])
def test_normalizing_twice_changes_nothing_more(validating: bool) -> None:
    state = loops(counters(ready=6, started=6, processed=5, completed=5), counters(ready=2, started=2, processed=1))
    normalize_counters(state, validating=validating)
    once = copy.deepcopy(state)
    normalize_counters(state, validating=validating)
    assert state == once
    assert (state["epoch_loop.val_loop.batch_progress"]["current"]["ready"] == 0) == validating
