from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.finetune import figures, peers, runner


def test_peers_that_are_not_at_hand_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.finetune.find_spec", lambda name: None)
    options = Namespace(peers=str(tmp_path), epochs=1)
    assert list(peers(tmp_path, tmp_path, options)) == ["Lightning's BackboneFinetuning"]
    script = tmp_path / "pytorch-image-models" / "train.py"
    script.parent.mkdir()
    script.touch()
    assert list(peers(tmp_path, tmp_path, options)) == ["timm's train.py", "Lightning's BackboneFinetuning"]


def test_a_command_has_a_folder_for_its_output_and_is_run_to_its_end(tmp_path: Path) -> None:
    cores: dict[str, list[float]] = {}
    writes = "import pathlib, sys; pathlib.Path(sys.argv[1], 'best').touch()"
    runner("some", ["-c", writes, "{out}"], tmp_path, cores)()
    (seconds,) = cores["some"]
    assert seconds > 0
    with pytest.raises(SystemExit, match="some ended with 3"):
        runner("some", ["-c", "raise SystemExit(3)"], tmp_path, cores)()


def test_each_is_compared_with_ours_of_the_same_phases() -> None:
    seconds = {
        "ours, all stages": [10.0, 10.0],
        "ours, head, then all stages": [8.0, 8.0],
        "timm's train.py": [20.0, 20.0],
        "Lightning's BackboneFinetuning": [10.0, 10.0],
    }
    found = {
        (figure.row, figure.column): figure.value for figure in figures({"seconds": seconds, "core_seconds": seconds})
    }
    assert found["timm's train.py", "ours of the same phases"] == 0.5
    assert found["Lightning's BackboneFinetuning", "ours of the same phases"] == 0.8
    assert ("ours, all stages", "ours of the same phases") not in found
