"""Cached features through Trainer.fit: the same training for less compute, and never from an outdated file."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from watching import fit_watched

from resnet_tl.data.classification import ImageFolder, ImageTable
from resnet_tl.data.images import classification_dataset, content_digest
from resnet_tl.errors import DataError, RecipeError
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone
from resnet_tl.structures.records import Draw, Features
from resnet_tl.tasks.classification import Classification
from resnet_tl.tuning import feature_cache
from resnet_tl.tuning.feature_file import FeatureFile
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer

SAMPLES = Path(__file__).parents[2] / "data" / "samples" / "classification" / "train"
CIFAR = Backbone("resnet20_cifar", weights="builtin/resnet20_cifar10")
HEAD, DEEP = Phase(["head"]), Phase(["layer3", "head"])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of six images."""
    for kind in ("cat", "ship"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for image in sorted((SAMPLES / kind).iterdir())[:6]:
            shutil.copy(image, tmp_path / "photos" / kind)
    return tmp_path / "photos"


def fit(
    photos: Path,
    tuning: Tuning,
    epochs: int = 2,
    *,
    trainer: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    **model: Any,
) -> SimpleNamespace:
    options = {"image_size": 32, "crop": 1.0, "batch_size": 4, "num_workers": 0, "seed": 3, "augment": "none"}
    images = ImageFolder(str(photos), **{**options, "cache_dir": str(photos.parent / "cache"), **(data or {})})
    torch.manual_seed(0)
    model = {
        "backbone": CIFAR,
        "head": lambda *a: LinearHead(*a, dropout=0.3),
        "optimizer": Optimizer(lr=0.05),
        **model,
    }
    task = Classification(images.classes, tuning=tuning, **model)
    watch, metrics = fit_watched(task, images, photos.parent, **{"max_epochs": epochs, **(trainer or {})})
    return SimpleNamespace(task=task, metrics=metrics, watch=watch, data=images, cached=sorted(cached_in(photos)))


def cached_in(photos: Path) -> list[Path]:
    return list((photos.parent / "cache").glob("*.features"))


def weights(run: SimpleNamespace) -> Tensor:
    return torch.cat([value.flatten().double() for value in run.task.state_dict().values()])


@pytest.mark.parametrize("phase", [HEAD, DEEP], ids=["head", "layer3"])
def test_a_cached_run_is_the_uncached_one(photos: Path, phase: Phase) -> None:
    cached, plain = (fit(photos, Tuning([phase], cache=cache)) for cache in ("on", "off"))  # type: ignore[arg-type]
    assert all(cached.watch.kinds)
    assert not any(plain.watch.kinds)
    assert cached.metrics["val/loss"] == pytest.approx(plain.metrics["val/loss"], rel=1e-4)
    assert cached.metrics["val/acc"] == plain.metrics["val/acc"]
    torch.testing.assert_close(weights(cached), weights(plain), rtol=1e-4, atol=1e-5)
    for one, other in zip(cached.watch.batches, plain.watch.batches, strict=True):
        for name in ("indices", "targets", "sizes", "original_sizes"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_a_cached_run_in_bf16_is_the_uncached_one(photos: Path) -> None:
    tunings = [Tuning([HEAD], cache=cache, prefix_precision="bf16") for cache in ("on", "off")]  # type: ignore[arg-type]
    cached, plain = (fit(photos, tuning) for tuning in tunings)
    assert all(cached.watch.kinds)
    assert not any(plain.watch.kinds)
    torch.testing.assert_close(weights(cached), weights(plain), rtol=1e-4, atol=1e-5)


def test_cached_features_are_the_networks(photos: Path) -> None:
    run = fit(photos, Tuning([DEEP], cache="on"), epochs=1)
    plain = fit(photos, Tuning([DEEP], cache="off"), epochs=1)
    network = run.task.network.eval()
    for features, images in zip(run.watch.batches, plain.watch.batches, strict=True):
        expected = network.maps_after("layer2", network.normalise(images.images))["c3"]
        difference = (features.images.maps["c3"] - expected).abs().max() / expected.abs().max()
        assert difference < 1e-5
        assert features.images.maps["c3"].is_contiguous(memory_format=torch.channels_last)


def test_of_a_frozen_trunk_only_the_pooled_map_is_cached(photos: Path) -> None:
    run = fit(photos, Tuning([HEAD], cache="on"), epochs=1)
    assert run.watch.batches[0].images.maps["c4"].shape == (4, 64, 1, 1)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of opened images."""
    paths: list[str] = []
    for module in (classification_dataset, content_digest):
        read = module.read_bytes
        monkeypatch.setattr(module, "read_bytes", lambda path, read=read: paths.append(path) or read(path))
    return paths


def test_a_cached_image_is_neither_opened_nor_decoded(photos: Path, opened: list[str]) -> None:
    first = fit(photos, Tuning([HEAD], cache="on"), epochs=3)
    assert len(opened) == 2 * 12  # for the hash and for the features, once each
    opened.clear()
    second = fit(photos, Tuning([HEAD], cache="on"), epochs=3)
    assert opened == []
    assert second.metrics == first.metrics
    assert torch.equal(weights(first), weights(second))


def _another_image(photos: Path) -> dict[str, Any]:
    path = photos / "cat" / "000.png"
    times = path.stat()
    shutil.copy(photos / "ship" / "000.png", path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return {}


CHANGES = {
    "content": _another_image,
    "crop": lambda photos: {"data": {"crop": 0.8}},
    "size": lambda photos: {"data": {"image_size": 40}},
    "weights": lambda photos: {"backbone": Backbone("resnet20_cifar"), "tuning": {"allow_untrained": True}},
    "precision": lambda photos: {"trainer": {"precision": "bf16-mixed"}},
    "prefix precision": lambda photos: {"tuning": {"prefix_precision": "bf16"}},
    "half": lambda photos: {"tuning": {"cache_half": True}},
    "pool": lambda photos: {"head": lambda *a: LinearHead(*a, pool="max")},
    "stage": lambda photos: {"phase": DEEP},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_anything_means_another_file(photos: Path, change: str) -> None:
    before = fit(photos, Tuning([HEAD], cache="on"), epochs=1).cached
    options = CHANGES[change](photos)
    tuning = Tuning([options.pop("phase", HEAD)], cache="on", **options.pop("tuning", {}))
    after = fit(photos, tuning, epochs=1, **options).cached
    assert len(before) == 2
    # the training and validation images are the folder's own two classes, split: an image is in one of them
    assert len(after) == (3 if change == "content" else 4)


def test_training_augmentation_does_not_change_cached_validation_features(photos: Path) -> None:
    before = fit(photos, Tuning([HEAD], cache="on"), epochs=1).cached
    after = fit(photos, Tuning([HEAD], cache="on", views=2), epochs=1, data={"augment": "light"}).cached
    assert len(before) == 2
    assert len(after) == 3


def test_fixed_views_are_those_of_the_first_epochs_in_turn(photos: Path) -> None:
    light = {"augment": "light"}
    cached = fit(photos, Tuning([HEAD], cache="on", views=2), epochs=2, data=light)
    plain = fit(photos, Tuning([HEAD], cache="off"), epochs=2, data=light)
    assert cached.metrics["val/loss"] == pytest.approx(plain.metrics["val/loss"], rel=1e-4)
    torch.testing.assert_close(weights(cached), weights(plain), rtol=1e-4, atol=1e-5)
    file = FeatureFile(max(cached.cached, key=lambda path: path.stat().st_size))
    one, again = (file.take([Draw(epoch, 1)])[0].maps["c4"] for epoch in (0, 2))
    other = file.take([Draw(1, 1)])[0].maps["c4"]
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(other, file.take([Draw(0, 1, repeat=1)])[0].maps["c4"])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"data": {"augment": "light"}}, "data.augment: light changes the images.*tuning.views"),
        ({"mixup": 0.2}, "model.mixup blends"),
    ],
)
def test_nothing_is_cached_after_anything_random(
    photos: Path, options: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        run = fit(photos, Tuning([HEAD]), epochs=2, **options)
    assert not any(run.watch.kinds)
    assert run.cached == []
    assert "features are not cached" in caplog.text
    with pytest.raises(RecipeError, match=reason):
        fit(photos, Tuning([HEAD], cache="on"), **options)


def test_what_is_written_is_reported_before(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        run = fit(photos, Tuning([HEAD]), epochs=2)
    messages = [record.getMessage() for record in caplog.records if "caching the features" in record.getMessage()]
    assert len(messages) == 2
    assert all(str(path) in "\n".join(messages) for path in run.cached)


def test_phases_switch_between_features_and_images(photos: Path) -> None:
    plan = [Phase(["head"], epochs=2), Phase(["layer3", "head"], epochs=1), Phase("all")]
    run = fit(photos, Tuning(plan), epochs=5, data={"num_workers": 2})
    steps = len(run.watch.kinds) // 5
    by_epoch = [run.watch.kinds[epoch * steps] for epoch in range(5)]
    assert by_epoch == [True, True, False, False, False]  # a phase of one epoch gains nothing
    assert run.data.cached_features("train") is run.data.cached_features("val") is None
    assert run.task.network.prefix is None
    assert isinstance(run.watch.validated[0].images, Features)
    assert isinstance(run.watch.validated[-1].images, Tensor)


def test_a_full_disk_is_one_warning_and_the_same_training(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fit(photos, Tuning([HEAD], cache="off"))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(feature_cache, "fill", full)
    with pytest.warns(UserWarning, match="features are not cached.*No space left") as warned:
        run = fit(photos, Tuning([HEAD], cache="on"))
    assert len([w for w in warned if "features are not cached" in str(w.message)]) == 1
    assert run.cached == []
    assert not list((photos.parent / "cache").glob(".*"))
    assert run.metrics == expected.metrics


def test_a_lack_of_disk_space_is_noticed_before_anything_is_written(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache.shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.warns(UserWarning, match="more than the free disk space"):
        assert fit(photos, Tuning([HEAD], cache="on")).cached == []
    with pytest.warns(UserWarning, match="more than half"):
        assert fit(photos, Tuning([HEAD], cache="auto")).cached == []


def test_files_cut_off_by_a_kill_are_never_read(photos: Path) -> None:
    whole = fit(photos, Tuning([HEAD], cache="on"))
    for number, path in enumerate(whole.cached):  # as a kill leaves them
        path.rename(path.with_name(f".{path.name}.{number:032x}.part"))
    again = fit(photos, Tuning([HEAD], cache="on"))
    assert again.cached == whole.cached
    assert again.metrics == whole.metrics
    cut = whole.cached[0]
    cut.write_bytes(cut.read_bytes()[:-1])
    with pytest.raises(DataError, match="damaged"):
        FeatureFile(cut)


def test_half_precision_is_half_as_large_and_nearly_the_same(photos: Path) -> None:
    whole = fit(photos, Tuning([DEEP], cache="on"))
    size = sum(path.stat().st_size for path in whole.cached)
    half = fit(photos, Tuning([DEEP], cache="on", cache_half=True))
    assert sum(path.stat().st_size for path in half.cached) - size == pytest.approx(size / 2, rel=0.05)
    assert half.watch.batches[0].images.maps["c3"].dtype == torch.float32
    assert half.metrics["val/loss"] == pytest.approx(whole.metrics["val/loss"], rel=1e-2)


def test_bf16_is_cached_as_it_is(photos: Path) -> None:
    options: Any = {"trainer": {"precision": "bf16-mixed"}}
    cached, plain = (fit(photos, Tuning([DEEP], cache=cache), **options) for cache in ("on", "off"))  # type: ignore[arg-type]
    assert cached.watch.batches[0].images.maps["c3"].dtype == torch.bfloat16
    assert cached.metrics["val/loss"] == pytest.approx(plain.metrics["val/loss"], rel=1e-2)


def test_ten_crops_of_a_validation_image_stay_together(photos: Path) -> None:
    crops = {"crop": 0.8, "crops": 10}
    cached, plain = (fit(photos, Tuning([HEAD], cache=cache), data=crops) for cache in ("on", "off"))  # type: ignore[arg-type]
    assert isinstance(cached.watch.validated[0].images, Features)
    assert cached.metrics["val/loss"] == pytest.approx(plain.metrics["val/loss"], rel=1e-4)


def test_several_labels_per_image(photos: Path) -> None:
    named = [f"{path.parent.name}/{path.name},{path.parent.name}|it" for path in sorted(photos.glob("*/*"))]
    rows = ["path,label", *named]
    (photos / "table.csv").write_text("\n".join(rows))
    options: dict[str, Any] = {"image_size": 32, "crop": 1.0, "num_workers": 0, "augment": "none"}
    images = ImageTable(str(photos / "table.csv"), cache_dir=str(photos.parent / "cache"), **options)
    loader = images.train_dataloader()
    expected = next(iter(loader))
    maps = {"c4": torch.arange(float(len(expected)))[:, None, None, None]}
    rest = {name: getattr(expected, name) for name in ("indices", "sizes", "original_sizes")}
    taken = Features(maps, (32, 32), "layer3")
    features: Any = SimpleNamespace(take=lambda draws: (taken, dict(rest)), bytes_per_image=1 << 20)
    images.use_features("train", features)
    got = next(iter(loader))
    assert torch.equal(got.targets, expected.targets)
    assert got.targets.dtype == torch.float32
    assert torch.equal(got.images.maps["c4"], maps["c4"])


def test_outdated_files_are_named(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        first = fit(photos, Tuning([HEAD], cache="on"), epochs=1)
        assert "other features of this name" not in caplog.text
        fit(photos, Tuning([HEAD], cache="on"), epochs=1, data={"crop": 0.8})
    assert f"{first.cached[0].parent} has other features of this name" in caplog.text
    assert {path.name[:-26] for path in first.cached} == {"photos-train-layer3", "photos-val-layer3"}
