"""`resnet-tl embed`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnet_tl.models.network import Backbone
from resnet_tl.tasks.classification import Classification
from tests.prediction.conftest import untrained

__all__ = ["untrained"]

CIFAR = "builtin/resnet20_cifar10 --backbone resnet20_cifar"


@pytest.fixture(scope="module")
def checkpoint(untrained: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return untrained(
        tmp_path_factory.mktemp("checkpoint") / "a.ckpt", Classification(["blue", "red"], Backbone("resnet_tiny"))
    )


def test_features_by_path_of_a_checkpoint_and_of_weights(
    resnet_tl: Callable[..., Any], checkpoint: Path, images: Path, here: Path
) -> None:
    done = resnet_tl(f"embed {checkpoint} {images / 'val'} --normalise")
    assert done.code == 0, done.err
    assert "embeddings.npz: 8 images" in done.err
    with np.load("embeddings.npz") as stored:
        assert stored["path"].tolist() == sorted(map(str, (images / "val").rglob("*.png")))
        np.testing.assert_allclose(np.linalg.norm(stored["features"], axis=1), 1, atol=1e-6)
    assert resnet_tl(f"embed {CIFAR} {images / 'val'} --level c2 --every 2 --out c2.npz").code == 0
    with np.load("c2.npz") as stored:
        assert stored["features"].shape == (4, 16)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("embed", "embed needs a run folder or checkpoint, and images"),
        ("embed builtin/resnet20_cifar10 IMAGES", "are weights without a network: add --backbone NAME"),
        (f"embed {CIFAR} IMAGES --level c5", "level: 'c5' is not in this network; expected one of c1, c2, c3, c4"),
        (f"embed {CIFAR} IMAGES --out x.csv", "--out x.csv: expected a name that ends in .npz or .parquet"),
        (f"embed {CIFAR} IMAGES --batch-size 0", "--batch-size is 0; expected 1 or more"),
        (f"embed {CIFAR} IMAGES --top 3", "--top: unknown option"),
        ("embed builtin/resnet20_cifar10 IMAGES --backbone resnet20", "did you mean 'resnet200'?"),
        (f"embed {CIFAR} IMAGES --out photos.yaml", "expected a name that ends in"),
        ("features RUN IMAGES", "did you mean 'embed'?"),
    ],
)
def test_mistakes_are_one_sentence(
    resnet_tl: Callable[..., Any], images: Path, here: Path, words: str, message: str
) -> None:
    done = resnet_tl(words.replace("IMAGES", str(images / "val")))
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert [path.name for path in here.iterdir()] == ["photos.yaml"]


def test_nothing_is_overwritten(resnet_tl: Callable[..., Any], images: Path, here: Path) -> None:
    (here / "x.npz").write_text("mine")
    done = resnet_tl(f"embed {CIFAR} {images / 'val'} --out x.npz")
    assert done.code == 2
    assert "x.npz exists and is not overwritten" in done.err
    assert (here / "x.npz").read_text() == "mine"
