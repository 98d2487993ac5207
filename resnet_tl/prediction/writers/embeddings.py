"""Files of embeddings: `.npz` and Parquet, both with `path` and `features` of each image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from resnet_tl.errors import DataError, RecipeError, printable
from resnet_tl.extras import require
from resnet_tl.files import did_you_mean_path
from resnet_tl.prediction.embedding import Embedding
from resnet_tl.prediction.writers.output import Add, appearing, image_name

ENDINGS = (".npz", ".parquet")


@contextmanager
def embedding_file(path: Path) -> Iterator[Add[Embedding]]:
    """A file of N embeddings, by its ending:

    - `.npz`: the arrays `path` `[N]`, text, and `features` `[N, F]` float32;
    - `.parquet`: the columns `path` and `features`, lists of F floats.

    They are held in memory until all are there, 4 F bytes each: 800 MB for 100,000 images of a ResNet-50.

    Raises:
        RecipeError: another ending. RunError: the file exists or cannot be written; pyarrow is not installed.
        DataError: there is no image that can be read.
    """
    if path.suffix not in ENDINGS:
        raise RecipeError(f"{path}: expected a name that ends in {' or '.join(ENDINGS)}")
    if path.suffix == ".parquet":
        require(f"{path}: Parquet", "pyarrow", extra="parquet")
    with appearing(path) as part, open(part, "xb") as file:
        embeddings: list[Embedding] = []
        yield embeddings.append
        if not embeddings:
            raise DataError(f"{path} is not written: no image can be read")
        paths = [image_name(each) for each in embeddings]
        features = np.stack([each.features for each in embeddings])
        if path.suffix == ".npz":
            np.savez(file, allow_pickle=False, path=np.array(paths), features=features)
            return
        import pyarrow as pa
        from pyarrow import parquet

        rows = pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), features.shape[1])
        parquet.write_table(pa.table({"path": list(map(printable, paths)), "features": rows}), file)


def read_embeddings(path: Path) -> list[Embedding]:
    """Reads what `embedding_file` wrote.

    Raises:
        DataError: no such file, or one of another kind; pyarrow is not installed.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}{did_you_mean_path(path)}")
    paths, features = _read_parquet(path) if path.suffix == ".parquet" else _read_npz(path)
    if features.ndim != 2 or len(paths) != len(features) or not np.isfinite(features).all():
        raise DataError(f"{path}: not valid: expected finite features of as many images as there are paths")
    return [Embedding(index, name, row) for index, (name, row) in enumerate(zip(paths, features, strict=True))]


def _read_npz(path: Path) -> tuple[list[str], npt.NDArray[np.float32]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return list(map(str, file["path"])), np.asarray(file["features"], np.float32)
    except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile) as error:
        raise _foreign(path, error) from None


def _read_parquet(path: Path) -> tuple[list[str], npt.NDArray[np.float32]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
        from pyarrow.types import is_fixed_size_list
    except ImportError:
        raise DataError(f"{path}: Parquet needs pyarrow: pip install 'resnet-tl[parquet]'") from None
    try:
        table = read_table(path, columns=["path", "features"])
        rows = table["features"].combine_chunks()
        if not is_fixed_size_list(rows.type):
            raise ValueError(f"features are of the type {rows.type}")
        features = rows.flatten().to_numpy(zero_copy_only=False).reshape(len(rows), -1)
        return list(map(str, table["path"].to_pylist())), features.astype(np.float32)
    except (ArrowException, OSError, ValueError, KeyError) as error:
        raise _foreign(path, error) from None


def _foreign(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: not a file that `resnet-tl embed` has written, or a damaged one ({error})")
