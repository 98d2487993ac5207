from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

import resnet_tl
from resnet_tl.checkpoint import bundle, save_atomically
from resnet_tl.data.classification import ImageFolder
from resnet_tl.errors import DataError, RunError, WeightsError
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone
from resnet_tl.prediction.classification import ClassPrediction, Predictor, write_csv, write_json
from resnet_tl.structures.records import Preprocessing
from resnet_tl.tasks.classification import Classification
from resnet_tl.tracking.callbacks import callbacks
from resnet_tl.tracking.checkpoints import SafeCheckpointIO
from resnet_tl.tracking.run_folder import RunFolder

CLASSES = ["ant", "bee", "cat"]


def draw(path: Path, seed: int, dtype: type = np.uint8) -> None:
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(30, 60)), int(rng.integers(30, 60)), 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), rng.integers(0, np.iinfo(dtype).max, size, dtype=dtype))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for seed in range(24):
        draw(root / CLASSES[seed % 3] / f"{seed}.{'png' if seed % 5 else 'jpg'}", seed)
    return root


def data(photos: Path, **options: Any) -> ImageFolder:
    return ImageFolder(str(photos), image_size=24, batch_size=7, num_workers=0, val_fraction=0.5, **options)


def trained(photos: Path, folder: Path, **options: Any) -> Classification:
    """A task after one epoch, its run in `folder`."""
    torch.manual_seed(0)
    task = Classification(CLASSES, Backbone(name="resnet_tiny"))
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        callbacks=callbacks(RunFolder(folder), "val/acc"),
        plugins=[SafeCheckpointIO()],
        enable_model_summary=False,
    )
    trainer.fit(task, data(photos, **options))
    return task.eval()


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Classification]:
    folder = tmp_path_factory.mktemp("run")
    return folder, trained(photos, folder)


def untrained(path: Path, task: Classification, **bundled: Any) -> Path:
    """A checkpoint of `task` as it is."""
    torch.manual_seed(0)
    content = {
        "epoch": 0,
        "global_step": 0,
        "state_dict": task.state_dict(),
        "resnet_tl": bundle(task.spec(), task.classes, Preprocessing(size=24), **bundled),
    }
    save_atomically(content, path)
    return path


@torch.no_grad()
def validated(task: Classification, module: ImageFolder) -> dict[str, torch.Tensor]:
    """Path -> probabilities as validation computes them."""
    return {
        module.listings["val"][row].path: probabilities
        for batch in module.val_dataloader()
        for row, probabilities in zip(batch.indices.tolist(), task(batch.images), strict=True)
    }


def assert_as_validation(predictor: Predictor, expected: dict[str, torch.Tensor]) -> None:
    predictions = predictor.predict(list(expected))
    assert [prediction.path for prediction in predictions] == list(expected)
    found = torch.from_numpy(np.stack([prediction.probabilities for prediction in predictions]))
    torch.testing.assert_close(found, torch.stack(list(expected.values())), rtol=0, atol=1e-5)
    assert found.std(0).max() > 1e-3, "all images look the same to this network: the test proves nothing"


def test_predictions_are_validations_own(run: tuple[Path, Classification], photos: Path) -> None:
    folder, task = run
    expected = validated(task, data(photos))
    assert len(expected) == 12
    assert_as_validation(resnet_tl.load(str(folder)), expected)
    assert_as_validation(Predictor.from_path(folder / "checkpoints" / "last.ckpt", batch_size=5), expected)


def test_listed_transforms_of_validation_are_predictions_too(photos: Path, tmp_path: Path) -> None:
    listed = [
        {"class_path": "Resize", "init_args": {"height": 20, "width": 28}},
        {"class_path": "VerticalFlip", "init_args": {"p": 1.0}},
    ]
    task = trained(photos, tmp_path, eval_transforms=listed)
    predictor = resnet_tl.load(str(tmp_path))
    assert_as_validation(predictor, validated(task, data(photos, eval_transforms=listed)))


def test_jpegs_are_decoded_at_the_size_that_validation_decoded_them_at(tmp_path: Path) -> None:
    for seed in range(6):
        noise = np.random.default_rng(seed).integers(0, 256, (120 + seed, 130, 3), np.uint8)
        (tmp_path / CLASSES[seed % 3]).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / CLASSES[seed % 3] / f"{seed}.jpg"), np.where(noise > 40 * seed, 255, 0))
    reduced = {"class_path": "ImageFolder", "init_args": {"reduced_decoding": True}}
    torch.manual_seed(0)
    task = Classification(CLASSES, Backbone(name="resnet_tiny", zero_init_last=False)).eval()
    path = untrained(tmp_path / "x.ckpt", task, recipe={"data": reduced})
    expected = validated(task, data(tmp_path, reduced_decoding=True))
    whole = validated(task, data(tmp_path))
    assert max((whole[file] - expected[file]).abs().max() for file in expected) > 1e-4
    assert_as_validation(Predictor.from_path(path), expected)


def test_arrays_files_and_batch_sizes_give_the_same(run: tuple[Path, Classification], photos: Path) -> None:
    predictor = Predictor.from_path(run[0], batch_size=2)
    files = sorted(str(path) for path in photos.rglob("*.png"))[:5]
    arrays = [cv2.cvtColor(cv2.imread(file), cv2.COLOR_BGR2RGB) for file in files]
    from_files, from_arrays = predictor.predict(files), predictor.predict(arrays)
    for file, array in zip(from_files, from_arrays, strict=True):
        np.testing.assert_allclose(file.probabilities, array.probabilities, rtol=0, atol=1e-6)
    assert [prediction.index for prediction in from_arrays] == [0, 1, 2, 3, 4]
    assert from_arrays[0].path is None
    square = np.stack([array[:24, :24] for array in arrays])
    assert [p.classes for p in predictor.predict(square)] == [p.classes for p in predictor.predict(list(square))]
    assert len(predictor.predict(arrays[0])) == 1


def test_sixteen_bits_beside_eight_mean_the_same(run: tuple[Path, Classification], tmp_path: Path) -> None:
    predictor = resnet_tl.load(str(run[0]))
    eight = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    alone, (mixed, sixteen) = predictor.predict(eight)[0], predictor.predict([eight, eight.astype(np.uint16) * 257])
    np.testing.assert_allclose(mixed.probabilities, alone.probabilities, rtol=0, atol=1e-6)
    np.testing.assert_allclose(sixteen.probabilities, alone.probabilities, rtol=0, atol=2e-3)


def test_top_names_the_likeliest_first(run: tuple[Path, Classification], photos: Path) -> None:
    predictor = resnet_tl.load(str(run[0]))
    assert predictor.classes == CLASSES
    for prediction in predictor.predict(photos, top=2):
        best = sorted(range(3), key=lambda k: -prediction.probabilities[k])[:2]
        assert prediction.classes == [CLASSES[k] for k in best]
        assert prediction.scores == [prediction.probabilities[k] for k in best]
        assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert len(predictor.predict(photos / "ant", top=99)[0].classes) == 3


def test_multi_label_names_what_reaches_its_threshold(photos: Path, tmp_path: Path) -> None:
    head = partial(LinearHead, multi_label=True, thresholds=[0.0, 1.0, 0.25])
    task = Classification(CLASSES, Backbone(name="resnet_tiny"), head)
    for prediction in resnet_tl.load(str(untrained(tmp_path / "x.ckpt", task))).predict(photos):
        named = {"ant": True, "bee": prediction.probabilities[1] >= 1, "cat": prediction.probabilities[2] >= 0.25}
        assert set(prediction.classes) == {name for name, true in named.items() if true}
        assert prediction.scores == sorted(prediction.scores, reverse=True)


def test_a_damaged_image_is_named_or_left_out(run: tuple[Path, Classification], photos: Path, tmp_path: Path) -> None:
    predictor = Predictor.from_path(run[0], batch_size=2)
    good = sorted(str(path) for path in photos.rglob("*.png"))[:3]
    bad = tmp_path / "cut.png"
    bad.write_bytes(Path(good[0]).read_bytes()[:500])
    with pytest.raises(DataError, match=r"cut\.png"):
        predictor.predict([*good, bad])
    with pytest.warns(UserWarning, match=r"left out: .*cut\.png") as warned:
        predictions = predictor.predict([good[0], bad, *good[1:]], on_error="skip")
    assert [(p.index, p.path) for p in predictions] == [(0, good[0]), (2, good[1]), (3, good[2])]
    assert len(warned) == 1


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 24, 24), np.uint8), r"shape \(3, 24, 24\), expected \(height, width, 3\)"),
        (np.zeros((24, 24), np.uint8), r"shape \(24, 24\)"),
        (np.zeros((24, 24, 3), np.float32), r"is float32, expected uint8"),
        (np.zeros((0, 24, 3), np.uint8), r"shape \(0, 24, 3\)"),
    ],
)
def test_arrays_of_another_kind_are_refused(run: tuple[Path, Classification], array: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=f"^array 1 {'has the ' if 'shape' in words else ''}{words}"):
        resnet_tl.load(str(run[0])).predict([np.zeros((24, 24, 3), np.uint8), array])


def test_no_such_device_is_one_sentence(run: tuple[Path, Classification]) -> None:
    for name in ("cuda:77", "gpu"):
        with pytest.raises(RunError, match=rf"^no device '{name}' here; there is cpu[^\n]*$"):
            Predictor.from_path(run[0], device=name)


FOREIGN = """
from pathlib import Path
Path(__file__).with_name("imported").touch()
import albumentations
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.resnet import resnet

class Mine(LinearHead): pass
class Mirror(albumentations.HorizontalFlip): pass
def trunk(in_channels): return resnet("resnet_tiny", in_channels=in_channels)
"""


@pytest.mark.parametrize("what", ["head", "trunk", "transform"])
def test_foreign_code_needs_trust(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    name = f"foreign_{what}"
    (tmp_path / f"{name}.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(str(tmp_path))
    task = Classification(CLASSES, Backbone(name="resnet_tiny"))
    spec, transforms = task.spec(), None
    if what == "head":
        spec["init_args"]["head"]["class_path"] = f"{name}.Mine"
    elif what == "trunk":
        spec["init_args"]["backbone"]["name"] = f"{name}.trunk"
    else:
        resize = {"class_path": "Resize", "init_args": {"height": 24, "width": 24}}
        inner = {"class_path": f"{name}.Mirror", "init_args": {"p": 1.0}}
        transforms = [resize, {"class_path": "OneOf", "init_args": {"transforms": [inner], "p": 1.0}}]
    monkeypatch.setattr(task, "spec", lambda: spec)
    path = untrained(tmp_path / "x.ckpt", task, eval_transforms=transforms)
    with pytest.raises(WeightsError, match=rf"x\.ckpt: needs '{name}\.\w+', which is not part of resnet_tl[^\n]*$"):
        Predictor.from_path(path)
    assert not (tmp_path / "imported").exists()
    assert len(Predictor.from_path(path, trust_code=True).predict(photos)) == 24
    assert (tmp_path / "imported").exists()


def test_prediction_imports_no_training(run: tuple[Path, Classification], photos: Path) -> None:
    code = (
        "import sys, resnet_tl\n"
        f"assert len(resnet_tl.load({str(run[0])!r}).predict({str(photos)!r})) == 24\n"
        "print(sorted({'lightning', 'pytorch_lightning', 'timm', 'wandb', 'torchmetrics'} & sys.modules.keys()))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "[]\n"


PREDICTIONS = [
    ClassPrediction(0, "a,b.jpg", ["ant", "bee"], [0.75, 0.25], np.array([0.75, 0.25], np.float32)),
    ClassPrediction(1, None, ["bee", "ant"], [0.5, 0.5], np.array([0.5, 0.5], np.float32)),
]
SEVERAL = [
    ClassPrediction(0, "a.jpg", ["ant", "bee"], [0.75, 0.5], np.array([0.75, 0.5], np.float32), multi_label=True),
    ClassPrediction(1, "b.jpg", [], [], np.array([0.25, 0.25], np.float32), multi_label=True),
]


def test_csv_has_a_line_an_image(tmp_path: Path) -> None:
    assert write_csv(iter(PREDICTIONS), tmp_path / "one.csv") == 2
    assert list(csv.reader((tmp_path / "one.csv").read_text().splitlines())) == [
        ["path", "label", "score", "label_2", "score_2"],
        ["a,b.jpg", "ant", "0.750000", "bee", "0.250000"],
        ["1", "bee", "0.500000", "ant", "0.500000"],
    ]
    write_csv(SEVERAL, tmp_path / "several.csv")
    assert (tmp_path / "several.csv").read_text() == "path,label,score\na.jpg,ant|bee,0.750000|0.500000\nb.jpg,,\n"


def test_json_has_an_entry_an_image(tmp_path: Path) -> None:
    assert write_json(iter(SEVERAL), tmp_path / "p.json") == 2
    assert json.loads((tmp_path / "p.json").read_text()) == [
        {"path": "a.jpg", "labels": ["ant", "bee"], "scores": [0.75, 0.5]},
        {"path": "b.jpg", "labels": [], "scores": []},
    ]


@pytest.mark.parametrize("write", [write_csv, write_json])
def test_what_exists_is_refused_before_anything_is_predicted(tmp_path: Path, write: Any) -> None:
    (tmp_path / "mine").write_text("keep")

    def predicted() -> Any:
        raise AssertionError("the network was asked")
        yield

    with pytest.raises(RunError, match=r"mine exists and is not overwritten; [^\n]*$"):
        write(predicted(), tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "keep"
    with pytest.raises(RunError, match=r"cannot be written: No such file or directory$"):
        write(predicted(), tmp_path / "gone" / "p")
    with pytest.raises(AssertionError):
        write(predicted(), tmp_path / "half")
    assert os.listdir(tmp_path) == ["mine"], "a failed run leaves no half file, so the next one may have the name"
