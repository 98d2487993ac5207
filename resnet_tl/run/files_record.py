"""files.json of a run folder: the files that the run is trained on, compared with those that are there on resume."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lightning.pytorch.utilities import rank_zero_only
from pydantic import BaseModel, ValidationError

from resnet_tl.data.base import ImageData
from resnet_tl.data.listings.recorded import File, RecordedSplit, SplitFiles, changes, record
from resnet_tl.errors import RunError
from resnet_tl.files import atomic_write
from resnet_tl.tracking.run_folder import RunFolder


class _Split(BaseModel):
    labels: str
    files: dict[str, File]


class _Content(BaseModel):
    """The content of files.json. accepted: what has changed so far, with `--accept-changed-data`."""

    splits: dict[str, _Split]
    accepted: list[str]


@rank_zero_only
def write_record(run: RunFolder, data: ImageData, accepted: Sequence[str] = ()) -> None:
    splits = {split: vars(each) for split, each in record(data.split_files()).items()}
    with atomic_write(run.files) as file:
        file.write(json.dumps({"splits": splits, "accepted": list(accepted)}).encode())


def check_unchanged(run: RunFolder, data: ImageData, accept: bool) -> list[str]:
    """Compares the data with that of the run; a run that has no record (of an earlier version) gets one.

    Args:
        accept: record the changed data and continue.

    Returns what was accepted so far, a sentence for each resume.

    Raises:
        RunError: the data has changed.
    """
    if not run.files.is_file():
        write_record(run, data)
        return []
    content = _read(run)
    recorded = {split: RecordedSplit(each.labels, each.files) for split, each in content.splits.items()}
    changed = changes(recorded, data.split_files())
    if changed is None:
        return content.accepted
    if not accept:
        raise RunError(
            f"{data.root} has changed since {run.place} began: {changed}; restore it, or resume with what is there: "
            "--accept-changed-data (in Python accept_changed_data=True)"
        )
    accepted = [*content.accepted, changed]
    write_record(run, data, accepted)
    return accepted


def same_files(run: RunFolder, files: SplitFiles, splits: Sequence[str]) -> list[str]:
    """Returns the keys of files that are also in these splits of a run, with the same size and, where both were read,
    the same content."""
    content = _read(run)
    before = {
        key: file for split in splits if split in content.splits for key, file in content.splits[split].files.items()
    }
    now = record({"": files})[""].files
    return sorted(key for key in before.keys() & now.keys() if _are_same(before[key], now[key]))


def _are_same(one: File, other: File) -> bool:
    return one.size == other.size and (one.crc is None or other.crc is None or one.crc == other.crc)


def _read(run: RunFolder) -> _Content:
    try:
        return _Content.model_validate_json(run.files.read_bytes())
    except ValidationError:
        raise RunError(f"{run.files}: damaged; delete it to resume without comparing the data") from None
