"""What holds for learning from a teacher: the same pixels, exact resume, equal ranks, mixed precision, cached outputs,
micro-batches, no effect at weight 0."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import regularised
import taught
import torch
from lightning import Callback
from power_cut import PowerCut
from regularised import BATCHES, EPOCHS
from taught import CASES, EXACT, TERMS, fit, prepare

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.tracking.last import Last
from resnet_tl.tuning.plan import Phase
from resnet_tl.tuning.regularisers.base import Taught

every = pytest.mark.parametrize("name", CASES)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    prepare(tmp_path)


@every
def test_terms_are_logged_and_every_gradient_is_finite(name: str, tmp_path: Path) -> None:
    task, record = fit(tmp_path, name)
    assert record.faults == []
    assert len(record.terms) == EPOCHS * BATCHES
    assert all(set(terms) == {"train/loss", *TERMS[name]} for terms in record.terms[-BATCHES:])
    assert all(terms[term] > 0 for terms in record.terms[-BATCHES:] for term in TERMS[name])
    assert not any("teacher" in key for key in task.state_dict() if not key.startswith("regulariser_layers."))
    optimized = sum(p.numel() for group in task.trainer.optimizers[0].param_groups for p in group["params"])
    assert optimized == sum(p.numel() for p in task.parameters())


@pytest.mark.slow
@every
def test_a_run_that_is_cut_within_an_epoch_resumes_bit_for_bit(name: str, tmp_path: Path) -> None:
    check_resume(name, tmp_path, 1, 5, 7)


def test_one_resumes_every_day(tmp_path: Path) -> None:
    check_resume("unlabelled", tmp_path, 4)


def check_resume(name: str, tmp_path: Path, *cuts: int) -> None:
    options: dict[str, Any] = {"tuning": {"ema": 0.9}, "mixup": 0.2}
    task, whole = fit(tmp_path, name, **options)
    for cut in cuts:
        folder = prepare(tmp_path / str(cut))
        with pytest.raises(RuntimeError, match="power cut"):
            fit(folder, name, callbacks=[Last(folder, every=1), PowerCut(cut)], **options)
        resumed, rest = fit(folder, name, resume=folder / "last.ckpt", **options)
        assert rest.digests == whole.digests[-len(rest.digests) :]
        assert rest.terms == whole.terms[-len(rest.terms) :]
        torch.testing.assert_close(resumed.state_dict(), task.state_dict(), rtol=0, atol=0)


def test_another_teacher_ends_a_resume(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path, "outputs", callbacks=[Last(tmp_path, every=1), PowerCut(1)])
    saved = torch.load(tmp_path / "teacher.ckpt", weights_only=True)
    saved["state_dict"]["network.head.fc.weight"] += 1e-3
    torch.save(saved, tmp_path / "teacher.ckpt")
    with pytest.raises(RunError, match=r"tuning\.teacher is another network than the run has learned from"):
        fit(tmp_path, "outputs", resume=tmp_path / "last.ckpt")


@pytest.mark.slow
@every
def test_mixed_precision_trains_and_keeps_terms_in_fp32(name: str, tmp_path: Path) -> None:
    task, record = fit(tmp_path, name, trainer={"precision": "bf16-mixed"})
    assert record.faults == []
    seen = {value.dtype for key, value in task.trainer.callback_metrics.items() if key.startswith("train/")}
    assert seen == {torch.float32}


def test_weight_0_is_training_without(tmp_path: Path) -> None:
    plain, _ = regularised.fit(tmp_path, images={"augment": "light"})
    zero, _ = fit(tmp_path, "outputs", settings={"weight": 0.0})
    torch.testing.assert_close(zero.state_dict(), plain.state_dict(), rtol=0, atol=0)


@pytest.mark.slow
@every
def test_it_has_an_effect(name: str, tmp_path: Path) -> None:
    (plain, _), (task, _) = regularised.fit(tmp_path, images={"augment": "light"}), fit(tmp_path, name)
    assert any(not torch.equal(v, plain.network.state_dict()[k]) for k, v in task.network.state_dict().items())
    assert list(task.network.state_dict()) == list(plain.network.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["outputs", "features", "maps"])
@pytest.mark.parametrize("views", [0, 2])
def test_outputs_that_are_cached_train_as_those_that_are_computed(
    name: str, views: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    phases = [Phase(["head"], epochs=1), Phase(["layer3", "head"], epochs=1), Phase()]
    images = {"augment": "light" if views else "none"}
    options: dict[str, Any] = {"images": images, **EXACT, "trainer": {}}
    options["tuning"] = {"phases": phases, "norm": "frozen", "views": views}
    with caplog.at_level("INFO"):
        _, cached = fit(tmp_path, name, **{**options, "tuning": {**options["tuning"], "cache": "on"}})
    assert cached.cached == [True] * 2 * BATCHES + [False] * BATCHES
    lines = [line for line in caplog.messages if line.startswith("teacher: ")]
    first = "not needed in this phase" if name == "maps" else "its outputs are cached with the features"
    assert [line.rpartition("; ")[2] for line in lines] == [
        first, "its outputs are cached with the features", "it runs in every step",
    ]  # fmt: skip
    assert any("and the teacher's outputs: " in line for line in caplog.messages)
    if views:  # without a cache there are none
        return
    _, plain = fit(tmp_path, name, **options)
    for one, other in zip(cached.terms, plain.terms, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5)


def test_unlabelled_images_are_never_cached(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"tuning\.cache is on, but data\.unlabelled puts other images"):
        fit(tmp_path, "unlabelled", tuning={"cache": "on"}, images={"augment": "none"})


@pytest.mark.slow
@every
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_micro_batches_are_one_batch(name: str, share: float, tmp_path: Path) -> None:
    images = {"unlabelled_share": share} if name == "unlabelled" else {}
    whole, _ = fit(tmp_path, name, images=images, **EXACT)
    for size in (1, 3):
        pieces, _ = fit(tmp_path, name, images=images, micro_batch=size, **EXACT)
        torch.testing.assert_close(pieces.network.state_dict(), whole.network.state_dict(), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_two_ranks_are_equal_and_train_as_one(launch: Callable[..., Any], tmp_path: Path) -> None:
    found = launch(2, *CASES, program=taught.__file__)
    for name in CASES:
        assert found[0][name]["faults"] == []
        assert found[0][name] == found[1][name], name
        # A last batch that not all ranks fill is left out.
        alone, _ = fit(tmp_path, name, trainer={**EXACT["trainer"], "limit_train_batches": 2}, tuning=EXACT["tuning"])
        together = torch.load(tmp_path / f"{name}0.pt", weights_only=True)
        torch.testing.assert_close(together, alone.state_dict(), rtol=1e-8, atol=1e-8)


class Spy:
    """A teacher that notes what it sees."""

    digest, description, channels = "0", "a spy", 64

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def __call__(self, images: torch.Tensor, *, outputs: bool, features: bool) -> Any:
        self.seen.append(images)
        return Taught(images.mean((2, 3))[:, :2] if outputs else None, None)


@pytest.mark.parametrize("mixing", [{"mixup": 0.4}, {"cutmix": 1.0}, {}])
def test_it_sees_the_very_pixels_that_the_network_sees(
    mixing: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy, inputs = Spy(), list[torch.Tensor]()

    class Watching(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            run = pl_module.network.run_prefix

            def noting(images: torch.Tensor) -> Any:
                inputs.append(images)
                return run(images)

            pl_module.network.run_prefix = noting

    monkeypatch.setattr(regularised, "read_teacher", lambda task: spy)
    tuning = {"phases": [Phase()], "cache": "off"}
    fit(tmp_path, "unlabelled", tuning=tuning, settings={"features": 0.0}, callbacks=[Watching()], **mixing)
    assert len(spy.seen) == EPOCHS * BATCHES
    assert all(any(one is other for other in inputs) for one in spy.seen)
    assert {len(one) for one in spy.seen} == {4, 8}  # 10 images in batches of 4, 4 and 2, and as many beside them


def test_unlabelled_images_without_a_teacher_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.unlabelled names images that only a teacher has targets for"):
        regularised.fit(tmp_path, images={"unlabelled": str(tmp_path / "pool")})


def test_a_step_compiled_as_one_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"tuning\.teacher looks into the network, which tuning\.compile: all"):
        fit(tmp_path, "outputs", tuning={"compile": "all"})
