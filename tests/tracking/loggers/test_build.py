from __future__ import annotations

import pytest

from resnet_tl.tracking.loggers.build import loggers
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking


def test_csv_is_always_there_and_alone_by_default(run: RunFolder) -> None:
    assert [logger.name for logger in loggers(Tracking(), run)] == ["csv"]


@pytest.mark.parametrize("name", ["wandb", "tensorboard", "mlflow"])
def test_others_are_added_on_request(name: str, run: RunFolder) -> None:
    pytest.importorskip(name)
    assert len(loggers(Tracking(**{name: True}), run)) == 2
