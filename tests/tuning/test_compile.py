"""The whole training step compiled: as eager training, one graph a phase, exact on resume."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from power_cut import PowerCut
from ranks_probe import digest
from torch import Tensor
from torch._dynamo.exc import BackendCompilerFailed
from torch._inductor.exc import CppCompileError
from torch.utils.data import DataLoader

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone
from resnet_tl.structures.records import Batch, Features
from resnet_tl.tasks.classification import Classification
from resnet_tl.tuning.compile import EAGER, MEASURED, PARTS, CompiledLosses, _gain, compiled_losses, graph_mode
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer

FULL, LAST, BATCHES = 4, 3, 7
"""Images of a batch and of an epoch's last one, and batches of an epoch."""
PHASES = [Phase(["head"], epochs=1), Phase(["layer4", "head"], epochs=1, lr={"layer4": 0.1}), Phase()]
INDUCTOR = pytest.param(
    "inductor",
    marks=[pytest.mark.slow, pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")],
)


class Loader:
    """Resumes anywhere; the last batch is smaller."""

    def __init__(self) -> None:
        self.start = self.given = 0
        self.batches = [batch(number, FULL if number < BATCHES - 1 else LAST) for number in range(BATCHES)]

    def __len__(self) -> int:
        return BATCHES

    def __iter__(self) -> Iterator[Batch]:
        self.given, self.start = self.start, 0
        for each in self.batches[self.given :]:
            self.given += 1
            yield each

    def state_dict(self) -> dict[str, int]:
        return {"start": self.given % BATCHES}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.start = state["start"]


def batch(seed: int, images: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.full((images, 2), 32)
    return Batch(
        torch.randint(256, (images, 3, 32, 32), dtype=torch.uint8, generator=generator),
        torch.randint(3, (images,), generator=generator),
        sizes,
        sizes,
        torch.arange(images),
    )


def classifier(tuning: Tuning) -> Classification:
    torch.manual_seed(0)
    head = partial(LinearHead, dropout=0.2)
    backbone = Backbone("resnet_tiny", drop_path=0.1)
    task = Classification(list("abc"), backbone, head, tuning, Optimizer("sgd", lr=0.01), mixup=0.2)
    task.loaded_stages = list(task.stages())[:-1]
    return task


class Losses(Callback):
    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.values.append(float(outputs["loss"]))
        assert pickle.loads(pickle.dumps(pl_module.compiled)) is None


def fit(
    folder: Path, tuning: Tuning, *callbacks: Callback, resume: Path | None = None, **options: Any
) -> tuple[Classification, Losses]:
    task, losses = classifier(tuning), Losses()
    torch.manual_seed(1)
    trainer = Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, callbacks=[*callbacks, losses], num_sanity_val_steps=1,
        **{"enable_checkpointing": any(isinstance(each, ModelCheckpoint) for each in callbacks), **options},
    )  # fmt: skip
    validation = DataLoader([batch(9, LAST), batch(10, FULL)], batch_size=None)
    trainer.fit(task, Loader(), validation, ckpt_path=resume, weights_only=True)
    return task, losses


class Compiler:
    """Counts what torch.compile compiles, by the name of the function, with a backend in place of inductor."""

    def __init__(self, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.graphs: list[str] = []
        self.inductor, self.backend = backend == "inductor", torch._dynamo.lookup_backend(backend)
        self.compile = torch.compile
        monkeypatch.setattr(torch, "compile", self)
        torch.compiler.reset()

    def __call__(self, function: Any, *, options: Any = None, mode: Any = None, **others: Any) -> Any:
        patches = {"config_patches": options or {}} if self.inductor else {}

        def count(graph: Any, inputs: Any) -> Any:
            self.graphs.append(function.__name__.rstrip("0123456789_"))
            return self.backend(graph, inputs, **patches)

        return self.compile(function, backend=count, **others)


def tuning(compile_: str, **options: Any) -> Tuning:
    return Tuning(PHASES, compile=compile_, allow_untrained=True, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["aot_eager", INDUCTOR])
def test_three_phases_are_compiled_once_each_and_train_as_eager_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {"ema": 0.9, "l2_sp": 0.01, "recalibrate": 2}
    eager, expected = fit(tmp_path, tuning("off", **options))
    compiler = Compiler(backend, monkeypatch)
    task, losses = fit(tmp_path, tuning("all", **options))
    assert compiler.graphs.count("compiled_step") == len(PHASES)
    assert set(compiler.graphs) == {"compiled_step", "maps_after"}
    assert len(losses.values) == 3 * BATCHES > 20
    torch.testing.assert_close(losses.values, expected.values, rtol=1e-5, atol=0)
    assert list(task.state_dict()) == list(eager.state_dict())
    assert task.compiled is None
    assert caplog.text.count("tuning.compile: compiled in") == len(PHASES)
    assert caplog.text.count("s eager: it ") == len(PHASES)


CUTS = {"eager": (BATCHES + 4,), "inductor": (1, BATCHES + 4, 3 * BATCHES - 1)}
"""Batches after which a run is cut, by backend."""


@pytest.mark.parametrize("backend", ["eager", INDUCTOR])
def test_it_resumes_bit_for_bit_in_the_middle_of_a_phase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    compiler = Compiler(backend, monkeypatch)
    whole, losses = fit(tmp_path / "whole", tuning("all", ema=0.9))
    for cut in CUTS[backend]:
        folder = tmp_path / str(cut)
        keep = ModelCheckpoint(folder, "last", every_n_train_steps=1, save_top_k=1)
        with pytest.raises(RuntimeError, match="power cut"):
            fit(folder, tuning("all", ema=0.9), keep, PowerCut(cut))
        compiler.graphs.clear()
        resumed, rest = fit(folder, tuning("all", ema=0.9), resume=folder / "last.ckpt")
        assert rest.values == losses.values[cut:]
        assert state(resumed) == state(whole)
        assert compiler.graphs.count("compiled_step") <= len(PHASES) - cut // BATCHES


def state(task: Classification) -> str:
    return digest(task.state_dict().values())


class Head(torch.nn.Module):
    """A sum; `loss` or `forward` depends on a value, where asked."""

    def __init__(self, breaks: str) -> None:
        super().__init__()
        self.breaks = breaks

    def forward(self, maps: dict[str, Tensor], sizes: Tensor | None, input_size: tuple[int, int]) -> Tensor:
        return -maps["c1"] if self.breaks == "forward" and maps["c1"].sum() > 1e9 else maps["c1"]

    def fixed_shapes(self, targets: Tensor, images: int) -> Tensor:
        return targets

    def loss(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        loss = ((outputs.mean((1, 2, 3)) - targets) ** 2).mean()
        return {"loss": -loss if self.breaks == "loss" and loss > 1e9 else loss}


class Network(torch.nn.Module):
    def __init__(self, breaks: str) -> None:
        super().__init__()
        self.conv, self.head = torch.nn.Conv2d(3, 2, 1), Head(breaks)

    def features(self, images: Tensor | Features) -> Features:
        if isinstance(images, Features):
            return images
        return Features({"c1": self.conv(images)}, (images.shape[2], images.shape[3]), "stem")

    def run(self, images: Tensor | Features, sizes: Tensor | None = None) -> Tensor:
        features = self.features(images)
        return self.head(features.maps, sizes, features.input_size)


class Module(torch.nn.Module):
    compiled = None

    def __init__(self, breaks: str = "") -> None:
        super().__init__()
        self.network = Network(breaks)

    def losses(self, images: Tensor | Features, sizes: Tensor | None, targets: Tensor) -> dict[str, Tensor]:
        return self.network.head.loss(self.network.run(images, sizes), targets)


@pytest.mark.parametrize(("breaks", "part"), [("", 0), ("loss", 1), ("forward", 2)])
def test_the_largest_part_that_is_one_graph_is_compiled(
    monkeypatch: pytest.MonkeyPatch, breaks: str, part: int
) -> None:
    compiler, notes, module = Compiler("eager", monkeypatch), list[str](), Module(breaks)
    losses = CompiledLosses(module, "default", torch.device("cpu"), notes.append)
    images, targets = torch.randn(2, 3, 4, 4), torch.ones(2)
    for _ in range(EAGER + MEASURED + 1):
        assert losses(images, None, targets) == module.losses(images, None, targets)
        losses.after_backward()
    assert compiler.graphs == ["compiled_step"]
    assert [note.split(" is no single graph (")[0] for note in notes[:-1]] == [
        f"tuning.compile: {each}" for each in PARTS[:part]
    ]
    assert notes[-1].startswith("tuning.compile: compiled in ")


def test_where_nothing_compiles_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise torch._dynamo.exc.InternalTorchDynamoError("no C++ compiler\nand a long explanation")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    losses = CompiledLosses(Module(), "default", torch.device("cpu"), print)
    losses.eager_batches = EAGER
    with pytest.raises(RunError, match=r"^tuning.compile is all, but torch.compile fails here: no C\+\+ compiler$"):
        losses(torch.randn(2, 3, 4, 4), None, torch.ones(2))


def test_a_compiler_that_fails_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise BackendCompilerFailed(fails, CppCompileError(["g++"], "Killed"), None)

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    notes = list[str]()
    losses = CompiledLosses(Module(), "default", torch.device("cpu"), notes.append)
    losses.eager_batches = EAGER
    with pytest.raises(RunError, match="fails here"):
        losses(torch.randn(2, 3, 4, 4), None, torch.ones(2))
    assert notes == []


def test_memory_that_is_full_while_compiling_is_no_reason_for_a_smaller_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise BackendCompilerFailed(fails, torch.OutOfMemoryError("CUDA out of memory."), None)

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    notes = list[str]()
    losses = CompiledLosses(Module(), "default", torch.device("cpu"), notes.append)
    losses.eager_batches = EAGER
    with pytest.raises(torch.OutOfMemoryError):
        losses(torch.randn(2, 3, 4, 4), None, torch.ones(2))
    assert (losses.part, notes) == (0, [])


def test_images_of_many_sizes_are_not_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler, notes = Compiler("eager", monkeypatch), list[str]()
    losses = CompiledLosses(Module(), "default", torch.device("cpu"), notes.append)
    for side in [*range(4, 23), 4, 4, 4, 4]:
        losses(torch.randn(2, 3, side, side), None, torch.ones(2))
    assert compiler.graphs == ["compiled_step"]
    assert notes == [
        "tuning.compile: 18 of this phase's first 20 batches have other shapes than its first, [[2, 3, 4, 4]], for "
        "which it is compiled: they run eagerly"
    ]


def test_it_saves_what_decides_which_batches_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = Compiler("eager", monkeypatch)
    before, after = (CompiledLosses(Module(), "default", torch.device("cpu"), print) for _ in range(2))
    for _ in range(EAGER):
        before(torch.randn(2, 3, 4, 4), None, torch.ones(2))
    after.load_state_dict(before.state_dict())
    after(torch.randn(1, 3, 4, 4), None, torch.ones(1))
    assert compiler.graphs == []
    after(torch.randn(2, 3, 4, 4), None, torch.ones(2))
    assert compiler.graphs == ["compiled_step"]


@pytest.mark.parametrize(
    ("mode", "device", "accumulated", "expected", "reason"),
    [
        ("default", "cpu", 1, "default", None),
        ("reduce-overhead", "cuda", 1, "reduce-overhead", None),
        ("reduce-overhead", "cpu", 1, "default", "the network is not on a CUDA GPU"),
        ("reduce-overhead", "cuda", 2, "default", "gradients are accumulated over batches"),
        ("max-autotune", "cpu", 1, "max-autotune-no-cudagraphs", "the network is not on a CUDA GPU"),
    ],
)
def test_cuda_graphs_are_used_where_they_can_be(
    mode: str, device: str, accumulated: int, expected: str, reason: str | None
) -> None:
    note = reason and f"tuning.compile_mode is {mode}, here without CUDA graphs: {reason}"
    assert graph_mode(mode, device, accumulated) == (expected, note)
    assert expected in torch._inductor.list_mode_options()


def test_a_module_without_losses_is_refused() -> None:
    trainer: Any = SimpleNamespace(strategy=None)
    assert compiled_losses(torch.nn.Linear(1, 1), Tuning(compile="frozen"), trainer, print) is None
    with pytest.raises(RecipeError, match=r"compile is all, but Linear has no `losses\(images, sizes, targets\)`"):
        compiled_losses(torch.nn.Linear(1, 1), Tuning(compile="all"), trainer, print)


def test_what_compiling_gains() -> None:
    assert _gain(31.0, 0.75, 1.0) == (
        "tuning.compile: compiled in 30.2 s; a batch takes 0.75 s compiled, 1 s eager: it pays after 121 batches"
    )
    assert _gain(31.0, 1.5, 1.0).endswith("1.5 s compiled, 1 s eager: it gains nothing")
    assert _gain(31.0, 1.0, None) == "tuning.compile: compiled in 30.0 s; a batch takes 1 s compiled"


def test_what_was_true_or_false_is_a_word() -> None:
    assert [Tuning(compile=each).compile for each in (True, False)] == ["frozen", "off"]  # type: ignore[arg-type]
