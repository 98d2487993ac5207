"""`resnet-tl explain`."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("captum")


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import yaml

    import resnet_tl
    from tests.cli.conftest import RECIPE

    folder = tmp_path_factory.mktemp("explain") / "run"
    return resnet_tl.fit(yaml.safe_load(RECIPE), run=folder, **{"data.root": images, "tracking.report": False}).path


def test_pictures_and_a_table_are_written(
    resnet_tl: Callable[..., Any], run: Path, images: Path, tmp_path: Path
) -> None:
    done = resnet_tl(f"explain {run} {images / 'val'} --out {tmp_path / 'why'} --stage layer1 --maps")
    assert done.code == 0
    assert "8 pictures" in done.err
    rows = list(csv.DictReader((tmp_path / "why" / "explanations.csv").open(encoding="utf-8")))
    assert len({row["picture"] for row in rows}) == 8
    assert all((tmp_path / "why" / row["picture"]).is_file() for row in rows)
    assert len(list((tmp_path / "why").glob("*.npz"))) == 8
    again = resnet_tl(f"explain {run} {images / 'val'} --out {tmp_path / 'why'}")
    assert again.code == 2
    assert "is not overwritten" in again.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "explain needs a run folder or checkpoint, and images"),
        (
            "RUN IMAGES --stage layer9",
            "stage: 'layer9' cannot be explained in this network; expected one of stem, layer1",
        ),
        ("RUN IMAGES --class green", "class: there is no 'green'; expected blue, red"),
        ("RUN IMAGES --box 1,2,3", "--box 1,2,3: expected four numbers in pixels: --box X1,Y1,X2,Y2"),
        ("RUN IMAGES --box 1,2,3,4", "box applies to segmentation"),
        ("RUN IMAGES --stages layer1", "did you mean --stage?"),
        ("RUN IMAGES --every 0", "--every is 0; expected 1 or more"),
    ],
)
def test_mistakes_are_one_sentence(
    resnet_tl: Callable[..., Any], run: Path, images: Path, here: Path, words: str, message: str
) -> None:
    done = resnet_tl(f"explain {words}".replace("RUN", str(run)).replace("IMAGES", str(images / "val")))
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not (here / "explanations").exists()


def test_without_the_extra_the_command_says_what_to_install(
    resnet_tl: Callable[..., Any], run: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet_tl.extras.find_spec", lambda name: None)
    done = resnet_tl(f"explain {run} {images / 'val'}")
    assert done.code == 2
    assert "pip install 'resnet-tl[explain]'" in done.err
