from __future__ import annotations

import subprocess

import pytest

from benchmarks.startup import STARTS, figures, start


def test_a_command_is_run_to_its_end() -> None:
    start(STARTS["`resnet-tl --version`"])()
    with pytest.raises(subprocess.CalledProcessError):
        start(("-c", "raise SystemExit(3)"))()


def test_figures_are_medians() -> None:
    (figure,) = figures({"seconds": {"some": [1.0, 2.0, 3.0]}})
    assert (figure.row, figure.value, figure.low, figure.high) == ("some", 2, 1.5, 2.5)
