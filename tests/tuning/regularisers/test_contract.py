"""What holds for every regulariser: finite gradients, exact resume, equal ranks, mixed precision, no effect at
strength 0."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import regularised
import torch
from power_cut import PowerCut
from regularised import BATCHES, CASES, EPOCHS, WITHOUT_EFFECT, fit, photos

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.models.network import Backbone
from resnet_tl.recipe.schema import can_be_named, kinds_of
from resnet_tl.tracking.last import Last
from resnet_tl.tuning.plan import Phase
from resnet_tl.tuning.rates import Optimizer
from resnet_tl.tuning.regularisers.base import Regulariser

every = pytest.mark.parametrize("name", CASES)
"""A fit takes 0.7 s: the everyday tests have one for each."""
OF_STEPS = [name for name in CASES if CASES[name]().reads]
"""Those that add a term to the loss."""


@pytest.fixture(autouse=True)
def _photos(tmp_path: Path) -> None:
    photos(tmp_path)


def test_all_of_them_are_here() -> None:
    named = [kind for kind in kinds_of(Regulariser) if can_be_named(kind, 0)]  # the terms of a teacher: test_teacher.py
    ours = {kind.__name__ for kind in named if kind.__module__.startswith("resnet_tl.")}
    assert ours == set(CASES) == set(WITHOUT_EFFECT)


@every
def test_gradients_are_finite_and_terms_are_logged_and_summed(name: str, tmp_path: Path) -> None:
    _, record = fit(tmp_path, CASES[name])
    assert record.faults == []
    assert len(record.terms) == EPOCHS * BATCHES
    term = f"train/{CASES[name]().name}"
    if name in OF_STEPS:
        assert all(set(terms) <= {"train/loss", term} for terms in record.terms)
        assert all(terms[term] > 0 for terms in record.terms[-BATCHES:])


@pytest.mark.slow
@every
def test_a_run_that_is_cut_within_an_epoch_resumes_bit_for_bit(name: str, tmp_path: Path) -> None:
    check_resume(name, tmp_path, 2, 5, 8)


def test_one_resumes_every_day(tmp_path: Path) -> None:
    check_resume("BSS", tmp_path, 5)


def check_resume(name: str, tmp_path: Path, *cuts: int) -> None:
    options: dict[str, Any] = {"tuning": {"ema": 0.9}}
    task, whole = fit(tmp_path, CASES[name], **options)
    for cut in cuts:
        folder = tmp_path / str(cut)
        photos(folder)
        with pytest.raises(RuntimeError, match="power cut"):
            fit(folder, CASES[name], callbacks=[Last(folder, every=1), PowerCut(cut)], **options)
        resumed, rest = fit(folder, CASES[name], resume=folder / "last.ckpt", **options)
        assert rest.digests == whole.digests[-len(rest.digests) :]
        assert rest.terms == whole.terms[-len(rest.terms) :]
        torch.testing.assert_close(resumed.state_dict(), task.state_dict(), rtol=0, atol=0)


@pytest.mark.slow
@every
def test_mixed_precision_trains_and_keeps_terms_in_fp32(name: str, tmp_path: Path) -> None:
    task, record = fit(tmp_path, CASES[name], trainer={"precision": "bf16-mixed"})
    assert record.faults == []
    assert all(value == value for terms in record.terms for value in terms.values())
    if name in OF_STEPS:
        seen = {value.dtype for key, value in task.trainer.callback_metrics.items() if key.startswith("train/")}
        assert seen == {torch.float32}


@pytest.mark.slow
@every
def test_strength_0_has_no_effect(name: str, tmp_path: Path) -> None:
    (plain, _), (zero, _) = fit(tmp_path), fit(tmp_path, WITHOUT_EFFECT[name])
    torch.testing.assert_close(zero.network.state_dict(), plain.network.state_dict(), rtol=0, atol=0)


@pytest.mark.slow
@every
def test_it_has_an_effect_and_leaves_the_network_as_it_was_built(name: str, tmp_path: Path) -> None:
    (plain, _), (task, _) = fit(tmp_path), fit(tmp_path, CASES[name])
    assert any(not torch.equal(v, plain.network.state_dict()[k]) for k, v in task.network.state_dict().items())
    assert [type(part) for part in task.network.modules()] == [type(part) for part in plain.network.modules()]
    assert list(task.network.state_dict()) == list(plain.network.state_dict())


@pytest.mark.slow
@every
def test_cached_features_train_as_images_or_are_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    if CASES[name]().source:
        with pytest.raises(RecipeError, match=f"tuning.cache is on, but tuning.regularisers: {name} runs the loaded"):
            fit(tmp_path, CASES[name], tuning={"cache": "on"})
        phases = [Phase(["head"], epochs=2), Phase(["layer3", "head"])]
        _, cached = fit(tmp_path, CASES[name], tuning={"phases": phases, "cache": "auto"})
        assert cached.cached == [True] * 2 * BATCHES + [False] * BATCHES
        return
    _, cached = fit(tmp_path, CASES[name], tuning={"cache": "on"})
    _, plain = fit(tmp_path, CASES[name])
    assert cached.cached == [True] * 2 * BATCHES + [False] * BATCHES
    for one, other in zip(cached.terms, plain.terms, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5)


@pytest.mark.slow
@every
def test_micro_batches_are_one_batch_or_refused(name: str, tmp_path: Path) -> None:
    if not CASES[name]().splits:
        with pytest.raises(RecipeError, match=f"micro_batch is 2, but tuning.regularisers: {name} needs whole batches"):
            fit(tmp_path, CASES[name], micro_batch=2)
        return
    options: dict[str, Any] = {"tuning": {"norm": "frozen"}, "trainer": {"precision": "64-true"}}
    options["optimizer"] = Optimizer(lr=0.002)
    (whole, _), (pieces, _) = (
        fit(tmp_path, CASES[name], **options),
        fit(tmp_path, CASES[name], micro_batch=2, **options),
    )
    torch.testing.assert_close(pieces.network.state_dict(), whole.network.state_dict(), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@every
def test_other_weights_end_a_resume(name: str, tmp_path: Path) -> None:
    if name not in ("L2SP", "DELTA", "LwF"):
        pytest.skip("it holds nothing of the loaded weights that a checkpoint does not store")
    fit(tmp_path, CASES[name], callbacks=[Last(tmp_path, every=1)])
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    (key,) = (key for key in saved["callbacks"] if key.startswith("FineTuning"))
    saved["callbacks"][key]["regularisers"][CASES[name]().name]["digest"] = "0" * 64
    torch.save(saved, tmp_path / "other.ckpt")
    with pytest.raises(RunError, match=f"{name} regularises towards the weights"):
        fit(tmp_path, CASES[name], resume=tmp_path / "other.ckpt")


@pytest.mark.slow
def test_ranks_are_equal(launch: Callable[..., Any], tmp_path: Path) -> None:
    found = launch(2, *CASES, program=regularised.__file__)
    for name in CASES:
        assert len(found[0][name]["digests"]) == EPOCHS * 2  # a last batch that not all ranks fill is left out
        assert found[0][name] == found[1][name], name
        assert found[0][name]["faults"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_STEPS)
def test_a_step_compiled_as_one_graph_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=f"{name} looks into the network, which tuning.compile: all"):
        fit(tmp_path, CASES[name], tuning={"compile": "all"})


@pytest.mark.slow
@every
def test_random_weights_are_refused_by_those_that_pull_towards_loaded_ones(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"backbone": Backbone("resnet20_cifar"), "tuning": {"allow_untrained": True}}
    if CASES[name]().name in ("bss", "stoch_norm", "bi_tuning"):
        fit(tmp_path, CASES[name], **options)
        return
    with pytest.raises(RecipeError, match=f"tuning.regularisers: {name} .* loaded"):
        fit(tmp_path, CASES[name], **options)
