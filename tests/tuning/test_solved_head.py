"""A head that is solved is the optimum on the network's features; no step moves it, and later phases start from it."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer
from torch import Tensor
from watching import fit_watched

from resnet_tl.data.classification import ImageFolder, ImageTable
from resnet_tl.errors import RecipeError, RunError
from resnet_tl.models.heads.classification import LinearHead, MLPHead
from resnet_tl.models.logistic_regression import solve
from resnet_tl.models.network import Backbone
from resnet_tl.tasks.classification import Classification
from resnet_tl.tracking.last import Last
from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv
from resnet_tl.tuning import feature_cache
from resnet_tl.tuning.callback import FineTuning
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer
from resnet_tl.tuning.regularisers.collection import features_of as regularised_features

SAMPLES = Path(__file__).parents[2] / "data" / "samples" / "classification" / "train"
CIFAR = Backbone("resnet20_cifar", weights="builtin/resnet20_cifar10")
SOLVED = Phase(["head"], solver="lbfgs")
KINDS = ("cat", "ship", "frog")
STEPS = 4
"""Of an epoch: fifteen training images in batches of four."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three classes of six images."""
    for kind in KINDS:
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for image in sorted((SAMPLES / kind).iterdir())[:6]:
            shutil.copy(image, tmp_path / "photos" / kind)
    return tmp_path / "photos"


def fit(
    photos: Path,
    tuning: Tuning | None = None,
    epochs: int = 1,
    *,
    data: dict[str, Any] | None = None,
    trainer: dict[str, Any] | None = None,
    head: Any = LinearHead,
    resume: Path | None = None,
    **model: Any,
) -> SimpleNamespace:
    options = {"image_size": 32, "crop": 1.0, "batch_size": 4, "num_workers": 0, "seed": 3, "augment": "none"}
    images = ImageFolder(str(photos), **{**options, "cache_dir": str(photos.parent / "cache"), **(data or {})})
    return fit_task(photos, images, tuning or Tuning([SOLVED]), epochs, trainer, head, resume, **model)


def fit_task(
    photos: Path,
    images: Any,
    tuning: Tuning,
    epochs: int = 1,
    trainer: dict[str, Any] | None = None,
    head: Any = LinearHead,
    resume: Path | None = None,
    **model: Any,
) -> SimpleNamespace:
    torch.manual_seed(0)
    model = {"backbone": CIFAR, "optimizer": Optimizer("sgd", lr=0.05, weight_decay=0.01), **model}
    task = Classification(images.classes, tuning=tuning, head=head, **model)
    watch, metrics = fit_watched(
        task, images, photos.parent, resume=resume, **{"max_epochs": epochs, **(trainer or {})}
    )
    return SimpleNamespace(task=task, metrics=metrics, watch=watch, data=images)


def features_of(run: SimpleNamespace, views: int = 1, *, evaluated: bool = True) -> tuple[Tensor, Tensor]:
    """The classifier's inputs by the network itself, image by image, and the targets."""
    network, images = run.task.network.eval(), run.data.fixed_images("train", evaluated=evaluated)
    batches = [list(images.batches(view)) for view in range(views)]
    with torch.no_grad():
        features = [
            torch.cat([network.head.features(network.maps_after("layer3", network.normalise(b.images))) for b in view])
            for view in batches
        ]
    return torch.stack(features), torch.cat([batch.targets for batch in batches[0]])


def assert_solves(fc: torch.nn.Linear, features: Tensor, targets: Tensor, atol: float = 1e-3) -> None:
    expected = solve(features, targets, fc.out_features, seed=3).linear
    torch.testing.assert_close(fc(features[0]).double(), expected(features[0].double()), rtol=0, atol=atol)


def test_the_head_is_the_optimum_on_the_networks_own_features(photos: Path) -> None:
    run = fit(photos)
    assert_solves(run.task.network.head.fc, *features_of(run))
    assert run.watch.kinds == [True] * STEPS, "an epoch of steps on cached features, which change nothing"
    solved = run.task.solved
    assert solved["phase"] == 0
    assert solved["acc"] == run.metrics["solved/acc"] > 1 / 3
    assert solved["l2"] == run.metrics["solved/l2"]
    assert 0 < solved["seconds"] < 60
    assert run.metrics["train/loss"] < 0.8, "of the solved head: at first it is ln 3"


@pytest.mark.parametrize("views", [0, 2])
def test_images_that_cannot_be_decoded_do_not_count_as_copies_of_others(photos: Path, views: int) -> None:
    root = photos.parent / "split"
    for split in ("train", "val"):
        shutil.copytree(photos, root / split)
    damaged = [image for kind in KINDS for image in sorted((root / "train" / kind).iterdir())[1:4]]
    for image in damaged:
        image.write_bytes(b"no image")
    tuning, data = Tuning([SOLVED], views=views), {"on_error": "skip", "augment": "light" if views else "none"}
    skipped = fit(root, tuning, data=data)
    counted = [len(targets) for _, targets in regularised_features(skipped.task, images_of(skipped.data))]
    assert sum(counted) == 9, "of eighteen"
    for image in damaged:
        image.unlink()
    removed = fit(root, tuning, data=data)
    assert skipped.task.solved["acc"] == removed.task.solved["acc"]
    torch.testing.assert_close(skipped.task.network.head.fc.weight, removed.task.network.head.fc.weight)


def images_of(data: Any) -> Any:
    data.use_images()
    return partial(data.fixed_images("train").batches, 0)


class Steps(Callback):
    """The head's weights, raw and averaged, and what else the optimizer knows, after every step."""

    def __init__(self) -> None:
        self.heads: list[Tensor] = []
        self.averages: list[Tensor] = []
        self.remembered: list[int] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        average = next(each for each in trainer.callbacks if isinstance(each, FineTuning)).average  # type: ignore[attr-defined]
        self.heads.append(pl_module.network.head.fc.weight.detach().clone())
        self.averages.append(average.state["network.head.fc.weight"].clone())
        self.remembered.append(len(trainer.optimizers[0].state))


def test_steps_of_its_epoch_move_nothing_and_later_ones_start_from_it(photos: Path) -> None:
    steps = Steps()
    phases = [Phase(["layer3", "head"], epochs=1), SOLVED, Phase(restart=True)]
    run = fit(photos, Tuning(phases, ema=0.5, l2_sp=0.1), epochs=3, trainer={"callbacks": [steps]})
    before, solved, after = (steps.heads[start : start + STEPS] for start in (0, STEPS, 2 * STEPS))
    assert not torch.equal(before[-1], solved[0])
    assert torch.equal(solved[0], solved[-1])
    assert torch.equal(steps.averages[STEPS], solved[0])
    assert torch.equal(steps.averages[2 * STEPS - 1], solved[0]), "of a constant, bit for bit"
    assert not torch.equal(after[0], solved[0])
    assert float((after[0] - solved[0]).abs().max()) < 0.2, "one step away"
    assert steps.remembered[STEPS] == steps.remembered[STEPS - 1] - 2, "no momentum of the head that was replaced"
    assert run.metrics["phase"] == 2


class EveryStep(Last):
    """Saves `N.ckpt` after N steps: before the next one, when a phase that begins there has begun."""

    def save(self, trainer: Trainer) -> None:
        self.path = self.path.with_name(f"{trainer.global_step}.ckpt")
        super().save(trainer)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(STEPS - 1, marks=pytest.mark.slow),
        STEPS,
        pytest.param(STEPS + 2, marks=pytest.mark.slow),
        pytest.param(2 * STEPS, marks=pytest.mark.slow),
    ],
)
def test_a_resumed_run_is_the_unbroken_one(photos: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    solved: list[int] = []
    solve_it = LinearHead.solve
    monkeypatch.setattr(LinearHead, "solve", lambda *a: (solved.append(1), solve_it(*a))[1])
    tuning = Tuning([Phase(["layer3", "head"], epochs=1), SOLVED, Phase(restart=True)], ema=0.5)
    head = partial(LinearHead, dropout=0.3)

    def run(name: str, resume: Path | None = None) -> tuple[Any, ...]:
        (photos.parent / name).mkdir()
        every_step, csv = EveryStep(photos.parent / name, every=1), MetricsCsv(photos.parent / f"{name}.csv")
        if resume is not None:
            shutil.copy(photos.parent / "whole.csv", csv.path)
            csv.truncate_after(step)
        options = {"callbacks": [every_step], "enable_checkpointing": True, "logger": [csv], "log_every_n_steps": 1}
        found = fit(photos, tuning, 3, head=head, trainer=options, data={"augment": "light"}, resume=resume)
        end = torch.load(every_step.path, weights_only=True)
        assert end["global_step"] == 3 * STEPS
        states = [end["state_dict"], end["raw_state_dict"], end["optimizer_states"][0]["state"]]
        return states, csv.path.read_text(), {**found.task.solved, "seconds": 0}

    whole = run("whole")
    again = run("again", photos.parent / "whole" / f"{step}.ckpt")
    torch.testing.assert_close(again[0], whole[0], rtol=0, atol=0)
    assert again[1:] == whole[1:]
    assert len(solved) == 1 + (step < STEPS)


def test_augmented_images_are_solved_as_evaluation_sees_them(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    def head(*options: Any) -> LinearHead:
        return LinearHead(*options, dropout=0.2, label_smoothing=0.1, class_weights="auto")

    with caplog.at_level("INFO"):
        run = fit(photos, data={"augment": "medium", "crop": 0.8, "balanced": True}, mixup=0.2, head=head)
    assert "not used to solve the head: model.mixup, data.augment: medium, data.balanced, head.label_smoothing, " in (
        caplog.text
    )
    features, targets = features_of(run)
    assert_solves(run.task.network.head.fc, features, targets)
    assert all(run.watch.kinds)
    assert not torch.allclose(features, features_of(fit(photos, data={"crop": 1.0}))[0])


def test_fixed_views_are_used_where_there_are_any(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        run = fit(photos, Tuning([SOLVED], views=2), data={"augment": "light"})
    assert "features of 15 images in 2 views" in caplog.text
    assert "not used" not in caplog.text
    features, targets = features_of(run, 2, evaluated=False)
    assert not torch.allclose(features[0], features[1])
    assert_solves(run.task.network.head.fc, features, targets)


def test_under_autocast(photos: Path) -> None:
    run = fit(photos, trainer={"precision": "bf16-mixed"})
    maps = [batch.images.maps["c4"] for batch in run.watch.batches]
    assert maps[0].dtype == torch.bfloat16
    assert_solves(run.task.network.head.fc, *features_of(fit(photos)), atol=0.1)


def test_several_labels_per_image(photos: Path) -> None:
    rows = [f"{path.parent.name}/{path.name},{path.parent.name}|it" for path in sorted(photos.glob("*/*"))]
    (photos / "table.csv").write_text("\n".join(["path,label", *rows]))
    options: dict[str, Any] = {"image_size": 32, "crop": 1.0, "num_workers": 0, "batch_size": 4, "seed": 3}
    images = ImageTable(str(photos / "table.csv"), cache_dir=str(photos.parent / "cache"), **options)
    run = fit_task(photos, images, Tuning([SOLVED]), head=partial(LinearHead, multi_label=True))
    features, targets = features_of(run)
    assert targets.shape == (len(targets), 4)
    expected = solve(features, targets, 4, seed=3)
    torch.testing.assert_close(run.task.network.head.fc.weight.double(), expected.linear.weight, rtol=1e-3, atol=1e-3)
    assert run.task.solved["acc"] == pytest.approx(expected.score.accuracy)


def test_the_run_ends_with_a_last_solver_that_begins_early(photos: Path) -> None:
    stalls = Phase(["head"], epochs=4, until="plateau", patience=1, monitor="val/acc", lr={"head": 1e-9})
    run = fit(photos, Tuning([stalls, SOLVED]), epochs=5)
    assert len(run.watch.batches) == STEPS * (2 + 1), "two epochs that improve nothing, and the solver's"
    assert run.task.solved["phase"] == 1


GEM = {"head": partial(LinearHead, pool="gem")}


@pytest.mark.parametrize(
    ("tuning", "options", "message"),
    [
        (Tuning([SOLVED]), {"head": MLPHead}, "needs a head that is one linear classifier .* but MLPHead is not"),
        (Tuning([SOLVED]), GEM, "as LinearHead without pool: gem, but LinearHead is not"),
        (
            Tuning([SOLVED], cache="off"),
            {},
            "which reads cached features, but tuning.cache is off; expected auto or on",
        ),
        (Tuning([SOLVED]), {"trainer": {"precision": "64-true"}}, "but trainer.precision is 64-true"),
        (Tuning([SOLVED]), {"data": {"crops": 10}}, "data.crops evaluates several views of an image"),
    ],
)
def test_what_cannot_be_solved_is_refused(photos: Path, tuning: Tuning, options: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        fit(photos, tuning, **options)


def test_a_full_disk_ends_the_run(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_cache, "fill", full)
    with (
        pytest.warns(UserWarning, match="No space left"),
        pytest.raises(RunError, match="a solver, which reads cached features, but they cannot be written"),
    ):
        fit(photos)


def test_features_that_are_no_numbers_are_refused(photos: Path) -> None:
    class Broken(LinearHead):
        def features(self, maps: dict[str, Tensor]) -> Tensor:
            return super().features(maps) * torch.nan

    with pytest.raises(RunError, match="are NaN or infinite"):
        fit(photos, head=Broken)
