"""Reading what `tuning.teacher` names: runs, folds, models of timm; which of their outputs are the data's classes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor
from torch.nn import functional as F

from resnet_tl.checkpoint import bundle
from resnet_tl.errors import RecipeError, UserError, WeightsError
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone
from resnet_tl.run.teacher import Teachers, read_teacher
from resnet_tl.structures.records import Preprocessing
from resnet_tl.tasks.base import Task
from resnet_tl.tasks.classification import Classification
from resnet_tl.tasks.regression import Regression
from resnet_tl.tensor_file import save_atomically
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.teacher import Teacher

CLASSES = ["cat", "ship"]
TINY = Backbone("resnet_tiny", norm="group", zero_init_last=False)
OTHER = Preprocessing((0.4, 0.5, 0.6), (0.25, 0.3, 0.2), size=32, crop=1.0)


def saved(path: Path, task: Task, preprocessing: Preprocessing = OTHER) -> str:
    task.network.set_preprocessing(preprocessing)
    described = bundle(task.spec(), task.classes, preprocessing)
    content = {"epoch": 0, "global_step": 0, "state_dict": task.state_dict(), "resnet_tl": described}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_atomically(content, path)
    return str(path)


def classifier(classes: list[str], seed: int = 0, **options: Any) -> Classification:
    torch.manual_seed(seed)
    task = Classification(classes, TINY, **options).eval()
    torch.nn.init.normal_(task.classifier.fc.weight)
    return task


def pupil(classes: list[str] | None = None, *, multi_label: bool = False, **teacher: Any) -> Classification:
    head = partial(LinearHead, multi_label=multi_label)
    return classifier(classes or CLASSES, 9, head=head, tuning=Tuning(teacher=Teacher(**teacher)))


def pixels(size: int = 32) -> Tensor:
    return torch.randint(256, (3, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def logits(task: Classification, of: Tensor) -> Tensor:
    found = read_teacher(task)(task.network.normalise(of), outputs=True, features=False).outputs
    assert found is not None
    return found


def close(found: Tensor, expected: Tensor) -> None:
    """As probabilities, which logits are known by."""
    # Group norms over few cells multiply rounding.
    torch.testing.assert_close(found.softmax(1), expected.softmax(1), rtol=0, atol=2e-3)


def test_columns_are_found_by_name_and_images_normalised_as_its_own(tmp_path: Path) -> None:
    teacher = classifier(["dog", "ship", "bird", "cat"])
    path = saved(tmp_path / "x.ckpt", teacher)
    with torch.no_grad():
        close(logits(pupil(network=path), pixels()), teacher.network(pixels())[:, [3, 1]])


def test_images_of_another_size_are_resized_for_it(tmp_path: Path) -> None:
    teacher = classifier(CLASSES)
    path = saved(tmp_path / "x.ckpt", teacher)
    with torch.no_grad():
        resized = F.interpolate(pixels(20).float(), (32, 32), mode="bilinear", antialias=True)
        close(logits(pupil(network=path), pixels(20)), teacher.network(resized))
        close(logits(pupil(network=path, size=20), pixels(20)), teacher.network(pixels(20)))


def test_of_several_it_is_the_mean_of_their_probabilities(tmp_path: Path) -> None:
    teachers = [classifier(CLASSES, seed) for seed in (1, 2)]
    paths = [saved(tmp_path / f"{seed}.ckpt", teacher) for seed, teacher in enumerate(teachers)]
    with torch.no_grad():
        mean = torch.stack([teacher(pixels()) for teacher in teachers]).mean(0)
        close(logits(pupil(network=paths), pixels()), mean.log())


def test_of_several_labels_too(tmp_path: Path) -> None:
    teachers = [classifier(CLASSES, seed, head=partial(LinearHead, multi_label=True)) for seed in (1, 2)]
    paths = [saved(tmp_path / f"{seed}.ckpt", teacher) for seed, teacher in enumerate(teachers)]
    with torch.no_grad():
        mean = torch.stack([teacher(pixels()) for teacher in teachers]).mean(0)
    found = logits(pupil(network=paths, multi_label=True), pixels())
    torch.testing.assert_close(found.sigmoid(), mean, rtol=0, atol=2e-3)


def test_folds_teach_together(tmp_path: Path) -> None:
    teachers = [classifier(CLASSES, seed) for seed in (1, 2)]
    for number, teacher in enumerate(teachers, 1):
        saved(tmp_path / "run" / f"fold{number}" / "checkpoints" / "best.ckpt", teacher)
    (tmp_path / "run" / "folds.json").write_text(json.dumps({"folds": 2, "finished": True}))
    with torch.no_grad():
        mean = torch.stack([teacher(pixels()) for teacher in teachers]).mean(0)
        close(logits(pupil(network=str(tmp_path / "run")), pixels()), mean.log())
    with pytest.raises(RecipeError, match=r"are several networks; expected one, as .*fold1"):
        read_teacher(pupil(network=str(tmp_path / "run"), features=1))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_model_of_timm_by_a_file(prefix: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    net = timm.create_model("test_efficientnet", num_classes=5).eval()
    torch.save({"state_dict": {prefix + key: value for key, value in net.state_dict().items()}}, tmp_path / "net.pth")
    task = pupil(
        network="timm/test_efficientnet", file=str(tmp_path / "net.pth"), outputs={"cat": 4, "ship": 1}, size=32
    )
    config = timm.data.resolve_model_data_config(net)
    mean, std = (torch.tensor(config[name])[:, None, None] for name in ("mean", "std"))
    with torch.no_grad():
        close(logits(task, pixels()), net((pixels() / 255 - mean) / std)[:, [4, 1]])


def test_as_many_outputs_as_classes_are_theirs_in_order(tmp_path: Path) -> None:
    net = timm.create_model("test_efficientnet", num_classes=2).eval()
    torch.save(net.state_dict(), tmp_path / "net.pth")
    task = pupil(network="timm/test_efficientnet", file=str(tmp_path / "net.pth"))
    assert logits(task, pixels()).shape == (3, 2)
    assert read_teacher(task).description.startswith("timm/test_efficientnet (")


@pytest.mark.parametrize(("model", "level"), [("test_vit", None), ("test_efficientnet", "blocks.1")])
def test_features_of_a_model_without_a_classifier(model: str, level: str | None, tmp_path: Path) -> None:
    net: Any = timm.create_model(model, num_classes=0).eval()
    torch.save(net.state_dict(), tmp_path / "net.pth")
    named = {"network": f"timm/{model}", "file": str(tmp_path / "net.pth"), "features": 1.0}
    task = pupil(**named, weight=0, level="layer1" if level else None, teacher_level=level)
    teacher = read_teacher(task)
    found = teacher(task.network.normalise(pixels()), outputs=False, features=True)
    assert found.outputs is None
    assert found.features is not None
    assert found.features.ndim == (4 if level else 2)
    assert found.features.shape[1] == teacher.channels
    if level is None:
        assert teacher.channels == net.num_features
    if model == "test_vit":
        with pytest.raises(RecipeError, match=r"level is layer1, but timm/test_vit .* gives features of"):
            read_teacher(pupil(**named, weight=0, level="layer1", teacher_level="blocks.1"))
    with pytest.raises(RecipeError, match=r"has no classifier: set tuning\.teacher\.weight to 0"):
        read_teacher(pupil(**named))


def test_reading_draws_nothing_and_the_digest_is_of_weights_and_classes(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.ckpt", classifier(["cat", "dog", "ship"]))
    task, swapped = pupil(network=path), pupil(["ship", "cat"], network=path)
    before = torch.get_rng_state()
    teacher = read_teacher(task)
    assert torch.equal(before, torch.get_rng_state())
    assert isinstance(teacher, Teachers)
    assert teacher.digest == read_teacher(task).digest != read_teacher(swapped).digest
    assert teacher.digest != read_teacher(pupil(network=path, size=48)).digest
    assert not any(parameter.requires_grad for member in teacher.members for parameter in member.parameters())
    assert not any(part.training for member in teacher.members for part in member.modules())


@pytest.fixture
def run(tmp_path: Path) -> str:
    return saved(tmp_path / "x.ckpt", classifier(["cat", "dog"]))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, r"x\.ckpt does not know ship, only cat, dog; expected a network of all classes of the data$"),
        ({"multi_label": True}, "has one label per image, but the task several labels"),
        ({"network": []}, "is an empty list"),
        ({"network": "runs/absent"}, r"tuning\.teacher\.network: no run folder or checkpoint at 'runs/absent'"),
        ({"network": "timm/test_efficientnett"}, "timm has no model 'test_efficientnett'; did you mean"),
        ({"network": "timm/test_vit", "file": "absent.pth"}, r"tuning\.teacher\.file: there is no 'absent\.pth'"),
        ({"outputs": {"cat": 0}}, r"outputs is for one network of timm, but network names .*x\.ckpt"),
        ({"level": "layer1"}, r"level is for features, whose strength is 0"),
        ({"teacher_level": "layer1"}, r"teacher_level is for features, whose strength is 0"),
        ({"network": ["a", "b"], "features": 1.0}, "features needs one network"),
        (
            {"weight": 0.0, "features": 1.0, "level": "layer7"},
            r"teacher_level is 'layer7'; expected one of stem, layer1",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(settings: dict[str, Any], words: str, run: str) -> None:
    with pytest.raises(UserError, match=words):
        read_teacher(pupil(**{"network": run, **settings}))


def test_a_timm_file_of_other_outputs_or_another_model(tmp_path: Path) -> None:
    net = timm.create_model("test_efficientnet", num_classes=5)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    named = {"network": "timm/test_efficientnet", "file": str(tmp_path / "net.pth")}
    with pytest.raises(RecipeError, match=r"has 5 outputs without names, but the data has 2 classes"):
        read_teacher(pupil(**named))
    with pytest.raises(RecipeError, match="outputs has none for ship"):
        read_teacher(pupil(**named, outputs={"cat": 0}))
    with pytest.raises(RecipeError, match="outputs names 5, but timm/test_efficientnet has 5"):
        read_teacher(pupil(**named, outputs={"cat": 0, "ship": 5}))
    with pytest.raises(WeightsError, match=r"its weights are not of timm/test_vit"):
        read_teacher(pupil(**{**named, "network": "timm/test_vit"}))


def test_a_network_of_other_images_or_another_task(tmp_path: Path) -> None:
    grey = Classification(CLASSES, replace(TINY, in_channels=1))
    numbers = Regression(["age"], TINY)
    with pytest.raises(RecipeError, match=r"takes images of 1 channels, but data\.channels is 3"):
        read_teacher(pupil(network=saved(tmp_path / "grey.ckpt", grey, Preprocessing((0.5,), (0.2,)))))
    with pytest.raises(RecipeError, match=r"numbers\.ckpt ends in RegressionHead; expected a classifier"):
        read_teacher(pupil(network=saved(tmp_path / "numbers.ckpt", numbers)))


def test_the_command_learns_from_a_run_on_unlabelled_images_too(
    here: Path, images: Path, resnet_tl: Callable[..., Any]
) -> None:
    assert resnet_tl("fit -c photos.yaml --data.root {} --run teacher --trainer.max_epochs 1", images).code == 0
    shutil.copytree(images / "train", here / "pool")
    student = "fit -c photos.yaml --data.root {} --run student --data.unlabelled pool"
    done = resnet_tl(student, images)
    assert done.code == 2
    assert "data.unlabelled names images that only a teacher has targets for" in done.err
    done = resnet_tl(
        f"{student} -c overlays/distill --model.tuning.teacher.network teacher --data.unlabelled_share 0.5", images
    )
    assert done.code == 0, done.err
    log = (here / "student" / "log.txt").read_text()
    assert "pool: 12 unlabelled images" in log
    assert re.search(r"teacher: teacher \(\d.* weights, 16 pixels\); it runs in every step", log)
    shutil.rmtree(here / "pool")
    assert resnet_tl("validate student").code == 0
    done = resnet_tl("fit --resume student --trainer.max_epochs 3")
    assert done.code == 2
    assert "pool does not exist" in done.err
