"""The next batch on its way to a device: order, errors, streams; runs resume as exactly as without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor

from resnet_tl.data.loading.image_loader import ImageLoader
from resnet_tl.data.loading.prefetch import SideStream, prefetched
from resnet_tl.models.network import Backbone
from resnet_tl.structures.records import Batch, Boxes
from resnet_tl.tasks.classification import Classification
from resnet_tl.tracking.last import Last
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer
from tests.data.epochs import folder
from tests.tuning.power_cut import PowerCut


def test_a_batch_that_is_not_sent_ahead_is_not_waited_for_either(class_photos: Path) -> None:
    copied = SimpleNamespace(to=lambda device, non_blocking: (device.type, non_blocking))
    transfer: Any = folder(class_photos).transfer_batch_to_device
    assert transfer(copied, torch.device("cuda:0"), 0) == ("cuda", True)
    assert transfer(copied, torch.device("cpu"), 0) == ("cpu", False)


class Recorded:
    """Stands in for a GPU: copies at once, and records what happens."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def send(self, batch: Any) -> Any:
        self.log.append(f"send {batch}")
        return (batch,)

    def receive(self, sent: Any) -> Any:
        self.log.append(f"receive {sent[0]}")
        return sent[0]


def test_the_next_batch_is_sent_before_the_current_one_is_used() -> None:
    transfer = Recorded()
    batches = prefetched(iter("abc"), transfer)  # type: ignore[arg-type]
    assert transfer.log == [], "the loader begins with the first batch that is asked for"
    for batch in batches:
        transfer.log.append(f"use {batch}")
    assert transfer.log == [
        "send a", "send b", "receive a", "use a", "send c", "receive b", "use b", "receive c", "use c",
    ]  # fmt: skip


def test_an_error_of_the_next_batch_waits_for_its_turn() -> None:
    def broken() -> Iterator[str]:
        yield "a"
        raise ValueError("broken image")

    batches = prefetched(broken(), Recorded())  # type: ignore[arg-type, type-var]
    assert next(batches) == "a"
    with pytest.raises(ValueError, match="broken image"):
        next(batches)


def test_copies_run_on_a_stream_of_their_own_and_their_use_waits_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[Any] = []
    side = SimpleNamespace(record_event=lambda: "copied")
    main = SimpleNamespace(wait_event=lambda event: log.append(f"main waits: {event}"))

    @contextmanager
    def on(stream: Any) -> Iterator[None]:
        assert stream is side
        log.append("side begins")
        yield
        log.append("side ends")

    class OnHost:
        def to(self, device: torch.device, *, non_blocking: bool) -> Any:
            log.append(f"copy to {device}, non_blocking {non_blocking}")
            return SimpleNamespace(record_stream=lambda stream: log.append(f"memory is main's: {stream is main}"))

    monkeypatch.setattr("torch.cuda.Stream", lambda device: side)
    monkeypatch.setattr("torch.cuda.stream", on)
    monkeypatch.setattr("torch.cuda.current_stream", lambda device: main)
    assert len(list(prefetched(iter([OnHost()]), SideStream(torch.device("cuda:1"))))) == 1  # type: ignore[list-item]
    assert log == [
        "side begins", "copy to cuda:1, non_blocking True", "side ends", "main waits: copied", "memory is main's: True",
    ]  # fmt: skip


def test_a_batch_records_the_stream_on_all_of_its_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[int] = []
    monkeypatch.setattr(Tensor, "record_stream", lambda self, stream: recorded.append(self.data_ptr()))
    boxes = Boxes(*(torch.ones(3, *more) for more in ((4,), (), (), (), ())), masks=None)
    batch = Batch(torch.ones(2, 3, 4, 4), boxes, *(torch.ones(2) for _ in range(3)))
    batch.record_stream(SimpleNamespace())  # type: ignore[arg-type]
    tensors = [batch.images, boxes.boxes, boxes.labels, boxes.image, boxes.crowd, boxes.area]
    tensors += [batch.sizes, batch.original_sizes, batch.indices]
    assert sorted(recorded) == sorted(tensor.data_ptr() for tensor in tensors)  # type: ignore[union-attr]


def fit(
    images: Path, run: Path, optimizer: str, *, workers: int, cut: int = 99, resume: Path | None = None
) -> dict[str, Tensor]:
    """Two epochs and phases of 5 batches, mixup and augmentation on, validated within epochs, a fused optimizer."""
    torch.manual_seed(0)
    data = folder(images, augment="strong", batch_size=4, num_workers=workers, image_size=32)
    tuning = Tuning([Phase(["head"], epochs=1), Phase()], allow_untrained=True, cache="off")
    steps = Optimizer(optimizer, fused=True)
    task = Classification(data.classes, Backbone("resnet20_cifar"), tuning=tuning, optimizer=steps, mixup=0.4)
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, val_check_interval=2, default_root_dir=run,
        callbacks=[Last(run, every=1), PowerCut(cut)],
    )  # fmt: skip
    trainer.fit(task, data, ckpt_path=resume, weights_only=True)
    return task.state_dict()


@pytest.mark.parametrize(("workers", "optimizer"), [pytest.param(0, "sgd", marks=pytest.mark.slow), (1, "adamw")])
def test_runs_resume_within_epochs_bit_for_bit(
    workers: int, optimizer: str, class_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(class_photos, tmp_path / "whole", optimizer, workers=0)
    monkeypatch.setattr(ImageLoader, "transfer", Recorded())
    ahead = fit(class_photos, tmp_path / "ahead", optimizer, workers=workers)
    torch.testing.assert_close(ahead, whole, rtol=0, atol=0)
    for cut in (3, 6):
        run = tmp_path / str(cut)
        with pytest.raises(RuntimeError, match="power cut"):
            fit(class_photos, run, optimizer, workers=workers, cut=cut)
        saved = torch.load(run / "last.ckpt", weights_only=True)["position"][0]["loaders"][0]
        assert saved["batches"] == cut % 5, "those trained on, not those sent"
        resumed = fit(class_photos, run, optimizer, workers=workers, resume=run / "last.ckpt")
        torch.testing.assert_close(resumed, whole, rtol=0, atol=0)
