"""Files of embeddings give back what was written, and never replace another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resnet_tl.errors import DataError, RecipeError, RunError
from resnet_tl.prediction.embedding import Embedding
from resnet_tl.prediction.writers.embeddings import embedding_file, read_embeddings
from resnet_tl.prediction.writers.output import write

FEATURES = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
PATHS = ["a/1.jpg", "é.png", None]


def embeddings() -> list[Embedding]:
    return [Embedding(index, path, row) for index, (path, row) in enumerate(zip(PATHS, FEATURES, strict=True))]


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_what_is_written_is_read_again(tmp_path: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"x.{ending}"
    assert write(embeddings(), [embedding_file(path)]) == 3
    found = read_embeddings(path)
    assert [each.path for each in found] == ["a/1.jpg", "é.png", "2"]
    np.testing.assert_array_equal(np.stack([each.features for each in found]), FEATURES)
    with pytest.raises(RunError, match="exists and is not overwritten"):
        write(embeddings(), [embedding_file(path)])
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_other_programs_read_them(tmp_path: Path) -> None:
    write(embeddings(), [embedding_file(tmp_path / "x.npz")])
    with np.load(tmp_path / "x.npz") as stored:
        assert stored["path"].tolist() == ["a/1.jpg", "é.png", "2"]
        assert (stored["features"].dtype, stored["features"].shape) == (np.float32, (3, 4))
    parquet = pytest.importorskip("pyarrow.parquet")
    write(embeddings(), [embedding_file(tmp_path / "x.parquet")])
    assert parquet.read_table(tmp_path / "x.parquet").to_pylist()[1] == {
        "path": "é.png",
        "features": FEATURES[1].tolist(),
    }


def test_nothing_is_written_after_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"expected a name that ends in \.npz or \.parquet"):
        write(embeddings(), [embedding_file(tmp_path / "x.csv")])
    with pytest.raises(DataError, match="no image can be read"):
        write([], [embedding_file(tmp_path / "x.npz")])
    monkeypatch.setattr("resnet_tl.extras.find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"pip install 'resnet-tl\[parquet\]'"):
        write(embeddings(), [embedding_file(tmp_path / "x.parquet")])
    assert not list(tmp_path.iterdir())


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        read_embeddings(tmp_path / "x.npz")
    np.savez(tmp_path / "other.npz", values=FEATURES)
    np.savez(tmp_path / "short.npz", path=np.array(["a"]), features=FEATURES)
    np.savez(tmp_path / "broken.npz", path=np.array(["a"]), features=np.array([[np.nan]]))
    (tmp_path / "text.npz").write_text("no")
    for name, message in (
        ("other", "not a file"),
        ("text", "not a file"),
        ("short", "not valid"),
        ("broken", "not valid"),
    ):
        with pytest.raises(DataError, match=f"{name}.npz: {message}"):
            read_embeddings(tmp_path / f"{name}.npz")
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"path": ["a"], "features": [1.0]}), tmp_path / "flat.parquet")
    (tmp_path / "text.parquet").write_text("no")
    for name in ("flat", "text"):
        with pytest.raises(DataError, match=f"{name}.parquet: not a file that `resnet-tl embed` has written"):
            read_embeddings(tmp_path / f"{name}.parquet")
