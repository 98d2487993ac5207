"""Networks timed next to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnet_tl.prediction import speed
from resnet_tl.prediction.load import predictor_of
from resnet_tl.prediction.speed import Speed, compare_speed
from tests.exported import SAVED, opened


@pytest.fixture
def images() -> list[np.ndarray]:
    """Three of one size, and one of another."""
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (48, width, 3), np.uint8) for width in (64, 64, 96, 64)]


def test_percentiles_of_too_few_runs_are_unknown() -> None:
    few, many = (
        Speed("a", "checkpoint", 4, (8, 8), [0.001 * n for n in range(1, runs + 1)], None) for runs in (19, 100)
    )
    assert [few.milliseconds(name) for name in ("p50", "p95", "p99")] == [pytest.approx(10), None, None]
    assert many.milliseconds("p99") == pytest.approx(99.01)
    assert many.images_per_second == pytest.approx(4 * 100 / 5.05)


def test_networks_take_turns_on_the_same_images(images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, torch.Tensor]] = []
    whole = speed._Contender.__call__

    def record(contender: Any, batch: torch.Tensor) -> Any:
        seen.append((contender.form, batch))
        return whole(contender, batch)

    monkeypatch.setattr(speed._Contender, "__call__", record)
    result = compare_speed([SAVED / "half_run"], images, batch_sizes=[2], seconds=0, compiled=False)
    runs = 1 + speed.WARM_UP + speed.LEAST
    assert [form for form, _ in seen] == ["checkpoint", "folded"] * runs
    for (_, one), (_, other) in zip(seen[::2], seen[1::2], strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(seen[2][1], seen[4][1]), "all images have their turn"
    assert [(each.form, each.batch_size, len(each.seconds)) for each in result.speeds] == [
        ("checkpoint", 2, speed.LEAST),
        ("folded", 2, speed.LEAST),
    ]
    assert result.machine["threads"] == torch.get_num_threads()


def test_images_of_the_commonest_size_are_used_or_all_are_resized(images: list[np.ndarray]) -> None:
    model = SAVED / "segmentation.ckpt"
    result = compare_speed([model], images, batch_sizes=[1], seconds=0, compiled=False)
    assert {each.pixels for each in result.speeds} == {(48, 64)}
    assert result.notes[0] == "1 of 4 images have another size than most and are not used; see --size"
    result = compare_speed([model], images, batch_sizes=[1], size=(32, 40), seconds=0, compiled=False)
    assert {each.pixels for each in result.speeds} == {(32, 40)}
    assert result.notes == [
        "blank where there were fewer: p95 needs 20 runs, p99 needs 100 runs; --seconds gives more time"
    ]


def test_a_graph_that_takes_one_image_at_a_time_says_so(
    images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, bundle = opened("half_run", batch=1)
    monkeypatch.setattr(speed, "load", lambda *_, **__: predictor_of(network, bundle, "classification"))
    result = compare_speed([Path("a.onnx")], images, batch_sizes=[1, 3], seconds=0)
    assert [(each.form, each.batch_size) for each in result.speeds] == [("exported", 1), ("exported", 3)]
    assert result.notes[0] == "a.onnx (exported) takes 1 image at a time: it runs several times for a larger batch"


def test_where_torch_compile_fails_its_row_is_missing_with_the_reason(
    images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise torch._dynamo.exc.TorchDynamoException("no C++ compiler\nand a long explanation")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    result = compare_speed([SAVED / "half_run"], images, batch_sizes=[1], seconds=0)
    assert [each.form for each in result.speeds] == ["checkpoint", "folded"]
    assert result.notes[0].endswith("half_run (compiled) has no row, because torch.compile fails: no C++ compiler")


@pytest.mark.slow
def test_compiled_networks_have_the_seconds_of_their_first_run(images: list[np.ndarray]) -> None:
    result = compare_speed([SAVED / "half_run"], images, batch_sizes=[2], seconds=0)
    assert [each.form for each in result.speeds] == ["checkpoint", "folded", "compiled"]
    compiled = result.speeds[-1].compile_seconds
    assert compiled is not None
    assert compiled > max(result.speeds[-1].seconds)
