"""A detector that imitates another where objects are: its term in plain numpy, and what holds for every teacher."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint
from regularised import Record
from torch import nn

from resnet_tl.checkpoint import bundle
from resnet_tl.data.detection import CocoDetection
from resnet_tl.errors import RecipeError, UserError
from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.network import Backbone
from resnet_tl.models.pyramid import FPN
from resnet_tl.run.give_teacher import give_teacher
from resnet_tl.structures.records import Boxes, Level, Preprocessing
from resnet_tl.tasks.classification import Classification
from resnet_tl.tasks.detection import Detection
from resnet_tl.tasks.segmentation import Segmentation
from resnet_tl.tensor_file import save_atomically
from resnet_tl.tracking.last import Last
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer
from resnet_tl.tuning.regularisers.base import Seen, Start, Step, Taught
from resnet_tl.tuning.regularisers.imitation import Imitation, touched
from resnet_tl.tuning.teacher import Teacher

SAMPLES = Path(__file__).parents[3] / "data" / "samples" / "detection"
OUTPUTS = ["p3", "p4", "p5"]


def boxes(*corners: tuple[float, float, float, float], image: list[int], crowd: list[bool] | None = None) -> Boxes:
    number = torch.tensor(image, dtype=torch.long)
    crowds = torch.tensor(crowd or [False] * len(image), dtype=torch.bool)
    return Boxes(torch.tensor(corners).view(-1, 4), number * 0, number, crowds, number + 1.0)


def test_a_cell_is_touched_by_any_overlap_and_the_smallest_box_touches_one() -> None:
    found = touched(
        boxes((0, 0, 8, 8), (9, 17, 10, 18), (0, 0, 32, 32), image=[0, 1, 1], crowd=[False, False, True]), 3, (4, 4), 8
    )
    expected = np.zeros((3, 4, 4), bool)
    expected[0, 0, 0] = expected[1, 2, 1] = True
    assert np.array_equal(found.numpy(), expected)
    assert touched(boxes((4, 4, 20, 9), image=[0]), 1, (4, 4), 8).sum() == 6
    assert touched(boxes(image=[]), 2, (3, 5), 8).shape == (2, 3, 5)


def test_the_term_is_the_squared_difference_in_these_cells() -> None:
    levels = [Level("p3", 6, 8), Level("p4", 6, 16)]
    network = SimpleNamespace(neck=SimpleNamespace(feature_info=levels))
    teacher = SimpleNamespace(levels=levels, channels=6, digest="0")
    body = nn.Conv2d(1, 1, 1)
    start = Start(SimpleNamespace(network=network, teacher=teacher), {"neck": [body], "head": [nn.Linear(1, 1)]}, [])
    imitation = Imitation(Teacher("x", weight=0, features=0.3))
    imitation.start(start)
    imitation.layers.double()
    draw = np.random.default_rng(0)
    maps = {name: draw.normal(size=(2, 2, 6, side, side)) for name, side in (("p3", 4), ("p4", 2))}
    targets = boxes((4, 4, 20, 9), image=[0])  # the second image has no object
    ours, theirs = ({name: torch.from_numpy(each[n]) for name, each in maps.items()} for n in (0, 1))
    step = Step(torch.empty(2, 3, 32, 32), targets, Seen({"neck": ours}, None), None, Taught(None, theirs))  # type: ignore[dict-item]
    p3, p4 = (np.square(each[0] - each[1]).mean(1)[0] for each in maps.values())  # it starts as the identity
    expected = 0.3 * (p3[:2, :3].mean() + p4[:1, :2].mean()) / 2

    def of_image(number: int) -> float:
        own, other = ({name: maps[number, None] for name, maps in each.items()} for each in (ours, theirs))
        seen = Seen({"neck": own}, None)  # type: ignore[dict-item]
        of_one = Step(torch.empty(1), targets.images(number, number + 1), seen, None, Taught(None, other))
        penalty = imitation.penalty(of_one)
        assert penalty is not None
        return float(penalty.detach())

    found = imitation.penalty(step)
    assert found is not None
    assert float(found.detach()) == pytest.approx(expected, rel=1e-9)
    assert sum(map(of_image, (0, 1))) / 2 == pytest.approx(expected, rel=1e-9)  # as micro-batches and ranks add it up
    assert imitation.learns()
    body.requires_grad_(False)
    assert not imitation.learns()


class PowerCut(Callback):
    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == 4:
            raise RuntimeError("power cut")


def detector(classes: list[str], seed: int, channels: int = 8, **options: Any) -> Detection:
    torch.manual_seed(seed)
    neck, head = partial(FPN, channels=channels, outputs=OUTPUTS), partial(FCOS, convs=1)
    return Detection(classes, Backbone("resnet_tiny"), neck=neck, head=head, optimizer=Optimizer(lr=0.01), **options)


def saved(folder: Path, task: Any) -> str:
    preprocessing = Preprocessing(size=64)
    described = bundle(task.spec(), task.classes, preprocessing)
    content = {"epoch": 0, "global_step": 0, "state_dict": task.state_dict(), "resnet_tl": described}
    folder.mkdir(parents=True, exist_ok=True)
    save_atomically(content, folder / "teacher.ckpt")
    return str(folder / "teacher.ckpt")


def fit(
    folder: Path, callbacks: list[Callback] | None = None, resume: Path | None = None,
    precision: Any = "32-true", tuning: dict[str, Any] | None = None, **settings: Any,
) -> tuple[Detection, Record]:  # fmt: skip
    """Returns the task after two epochs of three steps, and what was recorded of these."""
    data = CocoDetection(str(SAMPLES), image_size=64, batch_size=4, num_workers=0, seed=3)
    network = saved(folder, detector(data.classes, 5, channels=12))
    teacher = Teacher(network, **{"weight": 0.0, "features": 1.0, **settings})
    plan = Tuning([Phase(["neck", "head"], 1), Phase()], teacher=teacher, allow_untrained=True, **(tuning or {}))
    task, record = detector(data.classes, 1, tuning=plan), Record()
    give_teacher(task)
    saves = any(isinstance(callback, Checkpoint) for callback in callbacks or [])
    Trainer(
        max_epochs=2, limit_train_batches=3, limit_val_batches=0, accelerator="cpu", devices=1, logger=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, precision=precision,
        default_root_dir=folder, log_every_n_steps=1, enable_checkpointing=saves,
        callbacks=[record, *(callbacks or [])],
    ).fit(task, data, ckpt_path=resume, weights_only=True)  # fmt: skip
    return task, record


def test_a_run_that_is_cut_resumes_bit_for_bit(tmp_path: Path) -> None:
    whole, record = fit(tmp_path / "a")
    assert record.faults == []
    assert all(terms["train/teacher_features"] > 0 for terms in record.terms)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path / "b", [Last(tmp_path / "b", every=1), PowerCut()])
    resumed, rest = fit(tmp_path / "b", resume=tmp_path / "b" / "last.ckpt")
    assert rest.digests == record.digests[-len(rest.digests) :]
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


@pytest.mark.slow
def test_mixed_precision_trains(tmp_path: Path) -> None:
    _, record = fit(tmp_path, precision="bf16-mixed")
    assert record.faults == []


def test_features_that_are_cached_are_refused_where_maps_are_learned(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"tuning\.cache is on, but tuning\.teacher runs another network"):
        fit(tmp_path, tuning={"cache": "on", "views": 2})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight": 0.5}, "a detector learns features, not outputs"),
        ({"features": 0.0}, "a detector learns features, not outputs"),
        ({"level": "layer1"}, r"tuning\.teacher\.level is for classifiers"),
        ({"network": "timm/resnet18"}, "expected its folder"),
    ],
)
def test_settings_of_classifiers_are_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"network": "runs/x", "weight": 0.0, "features": 1.0, **change}
    with pytest.raises(RecipeError, match=words):
        give_teacher(detector(["a"], 0, tuning=Tuning(teacher=Teacher(**settings))))


def test_another_kind_of_network_is_named(tmp_path: Path) -> None:
    teacher: Callable[[Any], Teacher] = lambda task: Teacher(saved(tmp_path, task), weight=0.0, features=1.0)  # noqa: E731
    with pytest.raises(RecipeError, match=r"teacher\.ckpt is no detector with a neck"):
        give_teacher(detector(["a"], 0, tuning=Tuning(teacher=teacher(Classification(["a"], Backbone("resnet_tiny"))))))
    other = detector(["a"], 0)
    other.network.set_preprocessing(Preprocessing(mean=(0.1, 0.2, 0.3)))
    with pytest.raises(RecipeError, match=r"normalised in another way \(mean \(0\.1, 0\.2, 0\.3\)"):
        give_teacher(detector(["a"], 0, tuning=Tuning(teacher=teacher(other))))
    with pytest.raises(UserError, match="is for Classification and Detection, not for Segmentation"):
        give_teacher(Segmentation(["a", "b"], Backbone("resnet_tiny"), tuning=Tuning(teacher=teacher(other))))
