"""The device that the parts of `benchmarks.gpu` measure on: the only file of them that calls torch.cuda."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal
from unittest.mock import patch

import torch

Run = Callable[[], object]
Mode = Literal["eager", "compiled", "CUDA graphs"]


@dataclass(frozen=True)
class Device:
    """kind: `cuda`, or `cpu` for `--dry`, where nothing is said about memory and `torch.compile` only traces."""

    kind: Literal["cuda", "cpu"]

    @property
    def is_gpu(self) -> bool:
        return self.kind == "cuda"

    def settle(self) -> None:
        """Sets what the project's runs set on a GPU, for all contestants alike."""
        torch.manual_seed(0)
        if self.is_gpu:
            torch.backends.cudnn.benchmark = True
            torch.set_float32_matmul_precision("high")
        else:
            torch.set_num_threads(1)

    def seconds(self, run: Run, steps: int) -> float:
        """Returns the seconds of one of so many runs in a row, up to the end of their last kernel."""
        self.wait()
        start = time.perf_counter()
        for _ in range(steps):
            run()
        self.wait()
        return (time.perf_counter() - start) / steps

    def now(self) -> float:
        """Returns the time, in seconds, once all kernels have ended."""
        self.wait()
        return time.perf_counter()

    def allocated(self) -> float | None:
        """Returns the MiB that tensors occupy; None on a CPU."""
        return torch.cuda.memory_allocated() / 2**20 if self.is_gpu else None

    def peak(self) -> float | None:
        """Returns the most MiB that tensors have occupied since `forget_peak`; None on a CPU."""
        return torch.cuda.max_memory_allocated() / 2**20 if self.is_gpu else None

    def forget_peak(self) -> None:
        if self.is_gpu:
            torch.cuda.reset_peak_memory_stats()

    def free(self) -> None:
        """Drops compiled code and CUDA graphs, and returns cached memory; the disk's cache of kernels stays."""
        if "torch._dynamo" in sys.modules:  # to import it takes seconds
            torch.compiler.reset()
        gc.collect()
        if self.is_gpu:
            torch.cuda.empty_cache()

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.kind, torch.bfloat16)

    def in_mode(self, function: Callable[..., Any], mode: Mode) -> Callable[..., Any]:
        """Returns the function, compiled for this mode; CUDA graphs are those of `torch.compile`."""
        if mode == "eager":
            return function
        if not self.is_gpu:
            return torch.compile(function, backend="eager")
        return torch.compile(function, mode="default" if mode == "compiled" else "reduce-overhead")

    @contextmanager
    def compiler(self) -> Iterator[None]:
        """Within it, `torch.compile` only traces on a CPU, as by `in_mode`: compiling would take minutes."""
        original = torch.compile

        def trace(function: Callable[..., Any], *, options: Any, **others: Any) -> Any:
            return original(function, backend="eager", **others)

        with nullcontext() if self.is_gpu else patch.object(torch, "compile", trace):
            yield

    @contextmanager
    def memory_of(self, mib: float) -> Iterator[None]:
        """Lets this process have no more than so many MiB of the GPU's memory."""
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(mib * 2**20 / whole)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)

    def graphs_skipped(self) -> int:
        """Returns how many functions CUDA graphs were not made of since the last call: they ran as compiled."""
        if "torch._dynamo" not in sys.modules:
            return 0
        counters = torch._dynamo.utils.counters["inductor"]
        return counters.pop("cudagraph_skips", 0)

    def wait(self) -> None:
        """Returns once all kernels have ended."""
        if self.is_gpu:
            torch.cuda.synchronize()
