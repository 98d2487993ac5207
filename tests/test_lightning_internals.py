"""Lightning's private attributes hold what the functions around them say."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import CombinedLoader
from torch import nn
from torch.utils.data import DataLoader

from resnet_tl import lightning_internals as internals
from resnet_tl.errors import RunError

BATCHES = 4


class Loader:
    """Batches that hold the number of the iterator they come from."""

    def __init__(self) -> None:
        self.iterators = 0

    def __len__(self) -> int:
        return BATCHES

    def __iter__(self) -> Iterator[torch.Tensor]:
        self.iterators += 1
        return iter(torch.tensor([[[float(self.iterators), float(batch)]] for batch in range(BATCHES)]))


class Module(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.seen: list[tuple[int, int]] = []

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        self.seen.append((int(batch[0, 0]), int(batch[0, 1])))
        self.log("batch", batch[0, 1], on_step=False, on_epoch=True, batch_size=1)
        self.log("largest", batch[0, 1], on_step=False, on_epoch=True, batch_size=1, reduce_fx="max")
        self.log("step loss", batch[0, 1])
        return self.layer(batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class Call(Callback):
    """Calls a function in one hook of every training batch, or at the start of training."""

    def __init__(self, hook: str, function: Callable[[Trainer], None]) -> None:
        setattr(self, hook, lambda trainer, *_: function(trainer))


class Rows(DummyLogger):
    """The steps and metrics that a logger receives."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))


def fit(folder: Path, callback: Callback, loader: Any = None, **options: Any) -> tuple[Trainer, Module]:
    module = Module()
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=folder, callbacks=[callback], **{"logger": False, **options},
    )  # fmt: skip
    trainer.fit(module, Loader() if loader is None else loader)
    return trainer, module


@pytest.mark.parametrize("replaces", [True, False])
def test_the_trainers_use_distributed_sampler(replaces: bool) -> None:
    trainer = Trainer(use_distributed_sampler=replaces, accelerator="cpu", logger=False, enable_checkpointing=False)
    assert internals.replaces_samplers(trainer) == replaces


@pytest.mark.parametrize("converts", [True, False])
def test_the_trainers_sync_batchnorm(converts: bool) -> None:
    options: Any = {"accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False}
    strategy = Trainer(strategy="ddp", sync_batchnorm=converts, **options).strategy
    assert isinstance(strategy, DDPStrategy)
    assert internals.converts_batch_norms(strategy) == converts


def test_training_loaders_are_those_given_to_fit(tmp_path: Path) -> None:
    loader, found = Loader(), []
    fit(tmp_path, Call("on_train_batch_end", lambda trainer: found.extend(internals.training_loaders(trainer))), loader)
    assert found == [loader] * BATCHES


def test_training_loaders_come_out_of_collections(tmp_path: Path) -> None:
    loaders, found = [Loader(), DataLoader(Loader(), batch_size=None)], []  # type: ignore[arg-type]
    trainer, _ = fit(tmp_path, Callback())
    for collection in (loaders, {"a": loaders[0], "b": [loaders[1]]}):
        trainer.fit_loop._combined_loader = CombinedLoader(collection)
        found.append(internals.training_loaders(trainer))
    assert found == [loaders, loaders]


def test_an_epoch_takes_its_batches_from_restarted_iterators(tmp_path: Path) -> None:
    plain, restarted = Loader(), Loader()
    fit(tmp_path, Callback(), plain)
    _, module = fit(tmp_path, Call("on_train_epoch_start", internals.restart_iterators), restarted)
    assert restarted.iterators == plain.iterators + 1
    assert [iterator for iterator, _ in module.seen] == [restarted.iterators] * BATCHES
    assert [batch for _, batch in module.seen] == list(range(BATCHES))


def test_loggers_receive_the_step_that_is_set(tmp_path: Path) -> None:
    rows = Rows()
    shifted = Call("on_train_batch_start", lambda trainer: internals.set_logged_step(trainer, trainer.global_step + 10))
    fit(tmp_path, shifted, logger=rows, log_every_n_steps=1)
    assert [step for step, metrics in rows.rows if "step loss" in metrics] == [10, 11, 12, 13]


def test_writes_logs_where_loggers_receive_a_row(tmp_path: Path) -> None:
    rows, written = Rows(), []
    fit(
        tmp_path, Call("on_before_optimizer_step", lambda trainer: written.append(internals.writes_logs(trainer))),
        logger=rows, log_every_n_steps=2,
    )  # fmt: skip
    assert written == [False, True, False, True]
    assert [step for step, metrics in rows.rows if "step loss" in metrics] == [1, 3]


def test_callback_metrics_are_the_trainers(tmp_path: Path) -> None:
    trainer, _ = fit(tmp_path, Callback())
    internals.callback_metrics(trainer)["added"] = torch.tensor(1.0)
    assert trainer.callback_metrics["added"] == 1.0
    assert trainer.callback_metrics["batch"] == 1.5


def test_what_an_epoch_has_logged_continues_in_another_run(tmp_path: Path) -> None:
    saved: list[internals.Log] = []

    def save(trainer: Trainer) -> None:
        if trainer.global_step == 3:
            saved.extend(copy.deepcopy(internals.epoch_logs(trainer)))

    fit(tmp_path, Call("on_train_batch_end", save))
    assert {log["call"]["name"] for log in saved} == {"batch", "largest", "step loss"}

    def load(trainer: Trainer) -> None:
        internals.set_epoch_logs(trainer, copy.deepcopy(saved))

    # 0, 1 and 2 of the first run and one batch, 9, of this one
    trainer, _ = fit(tmp_path, Call("on_train_start", load), DataLoader([torch.tensor([[0.0, 9.0]])], batch_size=None))
    assert trainer.callback_metrics["batch"] == pytest.approx((0 + 1 + 2 + 9) / 4)
    assert trainer.callback_metrics["largest"] == 9


def test_a_reduction_that_lightning_does_not_write_is_not_called() -> None:
    """A checkpoint may be someone else's: only the names in `REDUCTIONS` are looked up."""
    logs = [{"call": {"reduce_fx": "builtins.exec", "fx": "training_step", "name": "x"}, "values": {}}]
    with pytest.raises(RunError, match=r"names the reduction 'builtins\.exec'; expected one of builtins\.sum"):
        internals.set_epoch_logs(
            SimpleNamespace(fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(_results={}))), logs
        )


def test_a_value_that_is_logged_again_is_what_log_logs() -> None:
    again: list[bool] = []
    seen: list[tuple[float, float]] = []

    class Both(Module):
        def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
            again.append(internals.log_again(self, "quick", batch[0, 1]))
            if not again[-1]:
                self.log("quick", batch[0, 1], prog_bar=True)
            self.log("slow", batch[0, 1], prog_bar=True)
            return self.layer(batch).sum()

        def on_train_batch_end(self, *args: Any) -> None:
            metrics = self.trainer.callback_metrics
            assert self.trainer.progress_bar_metrics["quick"] == self.trainer.progress_bar_metrics["slow"]
            seen.append((float(metrics["quick"]), float(metrics["slow"])))

    options: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", max_epochs=2, enable_model_summary=False, **options)
    trainer.fit(Both(), Loader())
    assert again == 2 * [False, *[True] * (BATCHES - 1)]
    assert len(seen) == 2 * BATCHES
    assert all(quick == slow for quick, slow in seen)
    assert trainer.callback_metrics["quick"] == trainer.callback_metrics["slow"] == BATCHES - 1
    assert not internals.log_again(Both(), "quick", torch.zeros(()))
