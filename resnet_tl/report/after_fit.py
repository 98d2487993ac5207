"""The report at the end of a run, which never fails the run."""

from __future__ import annotations

from dataclasses import replace

from resnet_tl.data.base import ImageData
from resnet_tl.errors import UserError
from resnet_tl.extras import require
from resnet_tl.run.resume import checkpoint_is_trusted
from resnet_tl.tracking.log import log_info
from resnet_tl.tracking.run_folder import RunFolder

PACKAGES = ("altair", "vl_convert", "jinja2")


def after_fit(run: RunFolder, data: ImageData | None) -> None:
    """Writes report.html into the folder of a run, or of folds; what prevents it becomes a line of the log."""
    try:
        require_packages()
        from resnet_tl.report.page import write_report
        from resnet_tl.report.records import read_run

        record = read_run(run.path, data=data, trust_code=checkpoint_is_trusted(run))
        # The report is the last that a run writes before it is finished.
        write_report(replace(record, summary={**record.summary, "finished": True}), run.report)
    except UserError as error:
        log_info(f"no report: {error} (tracking.report: false ends this line)")
    except Exception as error:  # the run is trained and saved: a bug here must not look like a failed run
        reason = f"{type(error).__name__}: {error}"
        log_info(f"no report, because of a bug ({reason}): `resnet-tl report {run.path}` shows where")
    else:
        log_info(f"the report: {run.report}")


def require_packages() -> None:
    """Raises RunError if what draws reports is not installed."""
    require("a report", *PACKAGES, extra="report")
