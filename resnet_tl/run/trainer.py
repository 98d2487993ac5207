"""Builds Lightning's Trainer from a recipe's `trainer` section, and turns its errors into sentences."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from resnet_tl.data.loading.worker import killed_worker
from resnet_tl.errors import RecipeError, RunError, memory_full
from resnet_tl.recipe.build import instantiate
from resnet_tl.recipe.schema import fields_of
from resnet_tl.run.acceleration import Acceleration
from resnet_tl.run.launch import check_accelerator, check_devices, with_launched
from resnet_tl.run.no_profiler import NoProfiler
from resnet_tl.run.precision import Precision, automatic, hardware_of
from resnet_tl.run.sections import sections
from resnet_tl.run.sharding import FSDP2
from resnet_tl.tasks.micro_batches import is_full
from resnet_tl.tracking.checkpoints import SafeCheckpointIO
from resnet_tl.tracking.limits import TimeLimit
from resnet_tl.tracking.preemption import Preemption

NOT_LIGHTNINGS = ("micro_batch", "recover_memory", "global_batch")
"""Options of the `trainer` section that are the task's or the data's."""

LOST_PROCESS = ("Connection closed by peer", "Connection reset by peer", "remote process exit")
"""What errors of gloo and NCCL contain about a rank that is gone."""

WEIGHTS_IN_16_BITS = ("bf16-true", "16-true", "transformer-engine", "transformer-engine-float16")


def resolve_precision(options: dict[str, Any]) -> tuple[dict[str, Any], Precision]:
    """Returns the resolved `trainer` section with `precision: auto` replaced, and the choice with its reason.

    Raises:
        RecipeError: weights in 16 bits.
        RunError: this machine lacks the accelerator.
    """
    if options["precision"] in WEIGHTS_IN_16_BITS:
        raise RecipeError(
            f"trainer.precision is {options['precision']}, whose weights of 16 bits lose the small steps of "
            "fine-tuning; expected auto, bf16-mixed, 16-mixed, 32-true or 64-true"
        )
    device = device_type(options["accelerator"], options["devices"])
    if options["precision"] != "auto":
        return options, Precision(str(options["precision"] or "32-true"))
    precision = automatic(hardware_of(device))
    return {**options, "precision": precision.value}, precision


def build_trainer(options: dict[str, Any], *, callbacks: list[Callback], loggers: list[Logger]) -> Trainer:
    """Builds a Trainer from the resolved `trainer` section, whose own callbacks run before `callbacks`.

    Raises:
        RunError: in Lightning's words, for options that this machine or Lightning does not support.
    """
    fields = sections().fields["trainer"].hint.fields
    ours = {*fields_of(Acceleration), *NOT_LIGHTNINGS}
    given = with_launched(options)
    values = {name: instantiate(fields[name].hint, value) for name, value in given.items() if name not in ours}
    if values["strategy"] == FSDP2:
        from resnet_tl.tasks.sharded_head import ShardedHead  # which older versions of torch cannot import

        values["strategy"] = ShardedHead()
    if (limit := values.pop("max_time")) is not None:
        values["callbacks"].append(TimeLimit(limit))
    values["callbacks"] += callbacks
    values["profiler"] = values.get("profiler") or NoProfiler()
    try:
        return Trainer(
            **values,
            logger=loggers,
            plugins=[SafeCheckpointIO(), *_cluster()],
            enable_checkpointing=bool(callbacks),
            enable_progress_bar=bool(callbacks),
            enable_model_summary=False,
            use_distributed_sampler=False,  # the data modules' samplers are exact on any number of ranks
        )
    except (MisconfigurationException, ValueError, TypeError, ModuleNotFoundError) as error:
        raise RunError(f"trainer: {_one_line(error)}") from error


def _cluster() -> list[SLURMEnvironment]:
    """SLURM as Lightning detects it, which is torchrun where that runs under SLURM, without Lightning's signal
    handlers: `Preemption` has its own."""
    on_slurm = SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
    return [SLURMEnvironment(auto_requeue=False)] if on_slurm else []


@contextmanager
def translate_errors() -> Iterator[None]:
    """Around a Trainer's work: its complaints and out-of-memory errors become a RunError, Ctrl-C stays Ctrl-C."""
    try:
        yield
    except (MisconfigurationException, ValueError, RuntimeError, MemoryError) as error:
        found = memory_full(error) or killed_worker(error) or _lost_process(error)
        if found is not None:
            raise found from error
        if is_full(error):
            raise RunError(
                "the device's memory is full: set trainer.micro_batch, which keeps the global batch, or "
                "model.backbone.checkpoint_segments, or lower data.image_size"
            ) from error
        if "Expected more than 1 value per channel" in str(error):
            raise RunError(
                "a norm cannot normalise a single value per channel: raise data.batch_size or data.image_size, or set "
                "model.backbone.norm or model.tuning.norm to frozen"
            ) from error
        if _raised_by_compiler(error):
            reason = str(error).strip().partition("\n")[0]
            raise RunError(f"torch.compile fails here: {reason}; set model.tuning.compile to off") from error
        if not (isinstance(error, MisconfigurationException) or _raised_by_lightning(error)):
            raise
        raise RunError(f"trainer: {_one_line(error)}") from error
    except SystemExit as error:  # Lightning turns Ctrl-C into this
        raise error.__context__ if isinstance(error.__context__, KeyboardInterrupt) else error from None


@contextmanager
def stop_if_signalled(trainer: Trainer) -> Iterator[None]:
    """Around the Trainer's work: a signal to a whole process group ends the compiler, too, whose failure is then the
    stop of a preempted run.

    Raises:
        Preempted, KeyboardInterrupt: in place of the compiler's error.
    """
    try:
        yield
    except Exception as error:
        if any(_raised_by_compiler(each) for each in (error, error.__cause__)):
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, Preemption):
                    callback.stop_compiling(trainer)
        raise


def global_batch(batch_size: int, trainer: Trainer, micro_batch: int | None = None) -> str:
    """The line that shows how the global batch comes about: learning rates are chosen for it."""
    devices, accumulated = trainer.world_size, trainer.accumulate_grad_batches
    pieces = "" if micro_batch is None or micro_batch >= batch_size else f" in micro-batches of {micro_batch}"
    if devices * accumulated == 1:
        return f"global batch: {batch_size}{pieces}"
    total = batch_size * devices * accumulated
    return f"global batch: {total} = {batch_size} per device{pieces} x {devices} devices x {accumulated} accumulated"


def device_type(accelerator: str, devices: str | int | list[int]) -> str:
    """`cuda`, `mps` or `cpu`: the device that the Trainer will choose."""
    check_accelerator(accelerator)
    check_devices(devices, accelerator)
    cuda, mps = CUDAAccelerator.is_available(), MPSAccelerator.is_available()
    if (accelerator == "gpu" and not (cuda or mps)) or (accelerator == "cuda" and not cuda):
        raise RunError(
            f"trainer.accelerator is {accelerator!r}, but torch finds no GPU on this machine; to run on the CPU: "
            "--trainer.accelerator cpu"
        )
    if accelerator == "auto" and not (cuda or mps) and devices not in ("auto", 1, "1"):
        raise RunError(
            f"trainer.devices is {devices}, but torch finds no GPU on this machine; "
            "to run that many processes on the CPU: --trainer.accelerator cpu"
        )
    if cuda and accelerator in ("auto", "gpu", "cuda"):
        return "cuda"
    return "mps" if mps and accelerator in ("auto", "gpu", "mps") else "cpu"


def _lost_process(error: Exception) -> RunError | None:
    """Returns the sentence for a rank that ended before the others, as gloo and NCCL report it to them."""
    text = str(error)
    sign = next((sign for sign in LOST_PROCESS if sign in text), None)
    if sign is None or not ("gloo" in text or "NCCL" in text):
        return None
    return RunError(
        f"another process of this run has ended or cannot be reached ({sign}): what it printed says why; "
        "--resume continues from the last checkpoint"
    )


def _raised_by_lightning(error: Exception) -> bool:
    """Whether Lightning itself raised it, which says that its arguments do not fit the run: a callback that monitors a
    metric that nothing logs, a `val_check_interval` beyond the epoch."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals["__name__"]).startswith("lightning.")


def _raised_by_compiler(error: BaseException | None) -> bool:
    """Whether it is torch.compile's, as of a backward pass, which is compiled when it first runs."""
    return type(error).__module__.startswith(("torch._dynamo.", "torch._inductor."))


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text if len(text) <= 300 else f"{text[:300]}..."
