"""Every private attribute of Lightning that is read or set, each behind a function that says why.

`make test-lightning` runs what depends on them with the oldest and the newest Lightning that pyproject.toml allows.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

from resnet_tl.errors import RunError

if TYPE_CHECKING:
    from lightning import LightningModule, Trainer
    from lightning.pytorch.loggers import WandbLogger
    from lightning.pytorch.strategies import DDPStrategy
    from torch import Tensor

Log = dict[str, Any]
"""What was logged under one name: the arguments of `self.log` (`call`), and the values accumulated since (`values`)."""


def replaces_samplers(trainer: Trainer) -> bool:
    """The Trainer's `use_distributed_sampler`, for which it has no public attribute."""
    return trainer._accelerator_connector.use_distributed_sampler


def converts_batch_norms(strategy: DDPStrategy) -> bool:
    """The Trainer's `sync_batchnorm`: only the strategy knows it, and has no public attribute for it."""
    return strategy._layer_sync is not None


def ddp_options(strategy: DDPStrategy) -> dict[str, Any]:
    """The arguments with which a strategy wraps the network, to add to: a strategy that Lightning chooses by the number
    of devices (`strategy: auto`) takes none."""
    return strategy._ddp_kwargs


def training_loaders(trainer: Trainer) -> list[Any]:
    """The training loaders, out of whatever collection they are in. This is public API."""
    from lightning.pytorch.utilities import CombinedLoader

    loaders = trainer.train_dataloader
    if isinstance(loaders, DataLoader):  # making a CombinedLoader takes 0.4 ms, and every step asks
        return [loaders]
    return CombinedLoader(loaders).flattened


def restart_iterators(trainer: Trainer) -> None:
    """Makes the iterators of the training loaders again, those that the epoch takes its batches from.

    Lightning makes them before `on_train_start`, the first hook that knows where the run resumes. Iterating the public
    `trainer.train_dataloader` would make others.
    """
    assert trainer.fit_loop._data_fetcher is not None
    iter(trainer.fit_loop._data_fetcher)


def end_restart(trainer: Trainer) -> None:
    """Ends the restart of a resumed fit before its first epoch ends: Lightning would skip ReduceLROnPlateau there, for
    want of a metric that `Position` restores. The public setter starts one where `max_steps` is set."""
    trainer.fit_loop._restarting = False


def drop_anonymous(logger: WandbLogger) -> None:
    """Removes an argument of `wandb.init` that Lightning always gives and W&B warns of."""
    logger._wandb_init.pop("anonymous", None)


def set_logged_step(trainer: Trainer, step: int) -> None:
    """Sets the step that loggers receive. The public way, logging a metric named `step`, would need every `log` call
    to do so; and on some restarts Lightning miscounts by one."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = step


def log_again(module: LightningModule, name: str, value: Tensor) -> bool:
    """Logs a value of a step as `module.log` has done in this epoch; returns False, and does nothing, where that has
    not been called yet. It checks and copies all settings each time, which takes as long as a linear head's step; no
    public API logs without."""
    trainer, hook = module._trainer, module._current_fx_name
    results = None if trainer is None else trainer._results
    if trainer is None or results is None or hook is None:
        return False
    key = f"{hook}.{name}"
    if key not in results or trainer._logger_connector.should_reset_tensors(hook):
        return False
    results.update_metrics(key, value, batch_size=1)
    trainer._logger_connector._current_fx = hook
    return True


def writes_logs(trainer: Trainer) -> bool:
    """Whether loggers receive what this step logs. `log_every_n_steps` is public, the count that it divides is not."""
    return trainer._logger_connector.should_update_logs


def callback_metrics(trainer: Trainer) -> dict[str, Tensor]:
    """`trainer.callback_metrics` as they were last updated: reading the public property computes those of the epoch
    so far, which over several ranks waits for all of them."""
    return trainer._logger_connector._callback_metrics


REDUCTIONS = {"builtins.sum": builtins.sum, "torch.mean": torch.mean, "torch.max": torch.max, "torch.min": torch.min}
"""How logged values become one at the end of an epoch, by their names in a checkpoint: nothing else in it is called."""


def epoch_logs(trainer: Trainer) -> list[Log]:
    """What training steps have logged in this epoch so far: sums that become means at its end, and last values.

    Lightning's checkpoint leaves them out, and no public API reads them.
    """
    results = trainer.fit_loop.epoch_loop._results
    return [_log_of(metric) for metric in results.values() if metric.is_tensor and not metric.has_reset]


def set_epoch_logs(trainer: Trainer, logs: list[Log]) -> None:
    """Continues from `epoch_logs`, whose tensors are on the strategy's device."""
    results = trainer.fit_loop.epoch_loop._results
    for saved in logs:
        call = {**saved["call"], "reduce_fx": _reduction(saved["call"]["reduce_fx"])}
        value = saved["values"]["value"].clone()
        results.log(**call, value=value, sync_dist_fn=trainer.strategy.reduce, batch_size=1)
        metric = results[f"{call['fx']}.{call['name']}"]
        vars(metric).update(saved["values"], _computed=None)
    if logs:  # the next batch is not the epoch's first, at which Lightning would set all of this to zero
        trainer._logger_connector._first_loop_iter = True


def _log_of(metric: Any) -> Log:
    meta = metric.meta
    flags = ("fx", "name", "prog_bar", "logger", "on_step", "on_epoch", "enable_graph", "add_dataloader_idx")
    call = {flag: getattr(meta, flag) for flag in flags}
    call |= {"sync_dist": meta.sync.should, "rank_zero_only": meta.sync.rank_zero_only}
    call["reduce_fx"] = ("builtins." if meta.reduce_fx is builtins.sum else "torch.") + meta.reduce_fx.__name__
    names = ("value", "cumulated_batch_size", "_forward_cache", "_update_count")
    return {"call": call, "values": {name: vars(metric)[name] for name in names if vars(metric).get(name) is not None}}


def _reduction(name: str) -> Any:
    if name not in REDUCTIONS:
        raise RunError(f"last.ckpt names the reduction {name!r}; expected one of {', '.join(REDUCTIONS)}")
    return REDUCTIONS[name]
