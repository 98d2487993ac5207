"""The training step's network compiled as a whole: forward pass and loss as one graph, compiled once in each phase.

What is compiled are functions: the module's parameters, keys and modules stay as they are. Validation, and training
batches of another shape than the phase's first (the last one of an epoch is often smaller), run eagerly.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from types import FunctionType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.structures.records import Features

if TYPE_CHECKING:
    from resnet_tl.tuning.plan import Tuning
    from resnet_tl.tuning.protocols import Losses, Trainer

EAGER = 2
"""Batches of a phase that run eagerly before it is compiled; the last of them is timed."""
MEASURED = 3
"""Compiled batches whose median is compared with the eager one."""
COUNTED = 20
"""Batches of a phase after which it is reported that most of them cannot use the compiled graph."""

WITHOUT_GRAPHS = {"reduce-overhead": "default", "max-autotune": "max-autotune-no-cudagraphs"}
"""Modes of torch.compile that use CUDA graphs -> the same without."""

PARTS = ("the network with its loss", "the network without its loss", "the network before its head")
"""What is compiled: the first of them that is a single graph."""

Shapes = list[list[int]]
_number = itertools.count()


def compiled_losses(
    module: Any, tuning: Tuning, trainer: Trainer, report: Callable[[str], None]
) -> CompiledLosses | None:
    """Returns what runs `module.losses` compiled, or None where `tuning.compile` is not `all`.

    Raises:
        RecipeError: this torch, or the module, has not what it takes.
    """
    if tuning.compile != "all":
        return None
    if not hasattr(torch.compiler, "set_stance"):
        raise RecipeError(f"tuning.compile is all, which needs torch 2.6 or newer; this is {torch.__version__}")
    if not hasattr(module, "losses"):
        raise RecipeError(
            f"tuning.compile is all, but {type(module).__name__} has no `losses(images, sizes, targets)` to compile; "
            "set it to off, or compile in the module's own training_step"
        )
    device = trainer.strategy.root_device
    mode, note = graph_mode(tuning.compile_mode, device.type, trainer.accumulate_grad_batches)
    if note:
        report(note)
    return CompiledLosses(module, mode, device, report)


def graph_mode(mode: str, device: str, accumulated: int) -> tuple[str, str | None]:
    """Returns the mode of `torch.compile`, and a sentence if it is not the one asked for: CUDA graphs, which
    `reduce-overhead` and `max-autotune` use, need CUDA, and the gradients of one batch alone in their memory."""
    if mode not in WITHOUT_GRAPHS or (device == "cuda" and accumulated == 1):
        return mode, None
    reason = "the network is not on a CUDA GPU" if device != "cuda" else "gradients are accumulated over batches"
    return WITHOUT_GRAPHS[mode], f"tuning.compile_mode is {mode}, here without CUDA graphs: {reason}"


class CompiledLosses:
    """Calls `module.losses`, compiled once in each phase after `EAGER` eager batches.

    Where that is no single graph, as of two-stage detectors, the largest of `PARTS` that is one is compiled. Random
    numbers are drawn as in eager mode. It is no module and registers nothing; a copied or pickled module has None in
    its place.

    Args:
        mode: of `torch.compile`.
        report: receives sentences for the log.
    """

    def __init__(self, module: Losses, mode: str, device: torch.device, report: Callable[[str], None]) -> None:
        self.module, self.mode, self.report = module, mode, report
        self._parts = self._compile_losses, self._compile_network, self._compile_stages
        self.part = 0
        self._watch = _Stopwatch(device)
        self.start_phase()

    def install(self) -> None:
        self.module.compiled = self

    def remove(self) -> None:
        self.module.compiled = None

    def start_phase(self) -> None:
        """Drops the compiled graph; the next batches decide on another."""
        self.eager_batches, self.shapes = 0, list[list[int]]()
        self._compiled: Callable[..., dict[str, Tensor]] | None = None
        self._others = self._batches = 0
        self._eager_seconds: float | None = None
        self._seconds: list[float] = []

    def leave_graphs(self) -> None:
        """Compiles without CUDA graphs from now on: the gradients of micro-batches add up in memory that the replay of
        such a graph writes again."""
        if self.mode in WITHOUT_GRAPHS:
            self.report(f"tuning.compile_mode is {self.mode}, here without CUDA graphs: batches are split")
            self.mode = WITHOUT_GRAPHS[self.mode]
            self.start_phase()

    def __call__(self, images: Tensor | Features, sizes: Tensor | None, targets: Any) -> dict[str, Tensor]:
        """Returns the terms of the loss, of normalised images or of their features."""
        shapes = _shapes(images)
        self.shapes = self.shapes or shapes
        self._count(shapes != self.shapes)
        if shapes != self.shapes:
            return self.module.losses(images, sizes, targets)
        if self.eager_batches < EAGER:
            self.eager_batches += 1
            if self.eager_batches == EAGER:
                self._watch.start()
            return self.module.losses(images, sizes, targets)
        if len(self._seconds) <= MEASURED:
            self._watch.start()
        return self._run(images, sizes, targets)

    def after_backward(self) -> None:
        """Ends the time of a batch that is measured: from its first stage to its last gradient."""
        seconds = self._watch.stop()
        if seconds is None:
            return
        if self._compiled is None:
            self._eager_seconds = seconds
            return
        self._seconds.append(seconds)
        if len(self._seconds) == MEASURED + 1:
            first, *steady = self._seconds
            self.report(_gain(first, statistics.median(steady), self._eager_seconds))

    def state_dict(self) -> dict[str, Any]:
        """Returns what a run resumes by: the same batches are compiled as in one without a break."""
        return {"eager_batches": self.eager_batches, "shapes": self.shapes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.eager_batches, self.shapes = state["eager_batches"], state["shapes"]

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def _run(self, images: Tensor | Features, sizes: Tensor | None, targets: Any) -> dict[str, Tensor]:
        if self._compiled is not None:
            # Nothing but other shapes should need another graph; whatever does runs eagerly.
            with torch.compiler.set_stance("eager_on_recompile"):
                return self._compiled(images, sizes, targets)
        self._compiled = self._parts[self.part]()
        try:
            return self._compiled(images, sizes, targets)
        except torch._dynamo.exc.TorchDynamoException as error:
            if isinstance(full := getattr(error, "inner_exception", None), torch.OutOfMemoryError):
                raise full from error
            reason = " ".join(str(error).strip().partition("\n")[0].split())
            if self.part == len(PARTS) - 1 or _is_compilers(error):
                raise RunError(f"tuning.compile is all, but torch.compile fails here: {reason}") from error
        self.part, self._compiled = self.part + 1, None
        self.report(f"tuning.compile: {PARTS[self.part - 1]} is no single graph ({reason})")
        return self._run(images, sizes, targets)

    def _compile_losses(self) -> Callable[..., dict[str, Tensor]]:
        run, head = self._compile(self.module.losses), self.module.network.head
        return lambda images, sizes, targets: run(images, sizes, head.fixed_shapes(targets, _shapes(images)[0][0]))

    def _compile_network(self) -> Callable[..., dict[str, Tensor]]:
        run, head = self._compile(self.module.network.run), self.module.network.head
        return lambda images, sizes, targets: head.loss(run(images, sizes), targets)

    def _compile_stages(self) -> Callable[..., dict[str, Tensor]]:
        run, losses = self._compile(self.module.network.features), self.module.losses
        return lambda images, sizes, targets: losses(run(images), sizes, targets)

    def _compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        # With the random numbers of eager mode, a compiled run differs from an eager one by rounding alone.
        options = {**torch._inductor.list_mode_options(self.mode), "fallback_random": True}
        # A detector's objects would have a CUDA graph recorded for every number of them.
        options["triton.cudagraph_skip_dynamic_graphs"] = True
        compiled = torch.compile(_fresh(function), fullgraph=True, dynamic=False, options=options)
        if "triton.cudagraphs" not in options:
            return compiled

        def replay(*arguments: Any) -> Any:
            torch.compiler.cudagraph_mark_step_begin()
            return _copies(compiled(*arguments))  # the next replay writes the same memory

        return replay

    def _count(self, other: bool) -> None:
        self._batches += 1
        self._others += other
        if self._batches == COUNTED and self._others > COUNTED / 2:
            self.report(
                f"tuning.compile: {self._others} of this phase's first {COUNTED} batches have other shapes than its "
                f"first, {self.shapes}, for which it is compiled: they run eagerly"
            )


def _is_compilers(error: BaseException) -> bool:
    """Whether the C++ compiler is missing or has failed, and not torch: a smaller part would end the same way."""
    return type(getattr(error, "inner_exception", error)).__name__ in ("InvalidCxxCompiler", "CppCompileError")


class _Stopwatch:
    """Seconds of work on a device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._began: float | None = None

    def start(self) -> None:
        self._began = self._now()

    def stop(self) -> float | None:
        """Returns the time since `start`; None if it was not called since the last `stop`."""
        began, self._began = self._began, None
        return None if began is None else self._now() - began

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def _fresh(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function under a code object of its own: torch counts recompilations, and learns which sizes change,
    by code object, over all phases and runs of a process."""

    def step(*arguments: Any) -> Any:
        return function(*arguments)

    name = f"compiled_step_{next(_number)}"
    return FunctionType(step.__code__.replace(co_name=name), globals(), name, None, step.__closure__)


def _shapes(images: Tensor | Features) -> Shapes:
    maps = [images] if isinstance(images, Tensor) else images.maps.values()
    return [list(each.shape) for each in maps]


def _copies(output: Any) -> Any:
    if isinstance(output, Features):
        return replace(output, maps=_copies(output.maps))
    return tree_map_only(Tensor, torch.clone, output)


def _gain(first: float, compiled: float, eager: float | None) -> str:
    """Returns what compiling has cost and gains, from the seconds of the compiling, a compiled and an eager batch."""
    cost = f"tuning.compile: compiled in {first - compiled:.1f} s; a batch takes {compiled:.3g} s compiled"
    if eager is None:
        return cost
    saved = eager - compiled
    outcome = "it gains nothing" if saved <= 0 else f"it pays after {math.ceil((first - compiled) / saved):,} batches"
    return f"{cost}, {eager:.3g} s eager: {outcome}"
