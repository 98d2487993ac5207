"""The section about mixes of the run's end with the end of its head's phase."""

from __future__ import annotations

import json
import math
from pathlib import Path

from resnet_tl.metrics.names import metric_name
from resnet_tl.report import charts
from resnet_tl.report.assets import Assets
from resnet_tl.report.records import RunRecord
from resnet_tl.report.section import Section, drawn
from resnet_tl.report.words import as_text, capitalised
from resnet_tl.run.average import WISE_FT
from resnet_tl.run.mixes import curve_of


def mixes(run: RunRecord, assets: Assets) -> Section | None:
    """Returns the curve of the scores; None for a run that `resnet-tl average RUN --wise-ft` has not mixed."""
    file = curve_of(run.folder.checkpoints / WISE_FT)
    if not file.is_file():
        return None
    curve = json.loads(file.read_text(encoding="utf-8"))
    rows = [row for row in curve["mixes"] if math.isfinite(row["value"])]
    scores, name = {row["share"]: as_text(curve["metric"], row["value"]) for row in rows}, metric_name(curve["metric"])
    lead = (
        f"WiSE-FT: weighted means of {Path(curve['head']).name}, from the end of the head's phase (share 0), and "
        f"{Path(curve['end']).name} (share 1). Share {curve['best']:g} has the best validation score, "
        f"{scores[curve['best']]}; the ends have {scores[0.0]} and {scores[1.0]}. It was chosen by this score, "
        "which is therefore a little optimistic."
    )
    chart = assets.chart(charts.mixes(rows, curve["best"], name))
    note = "Band: 95 % interval. Dashed: the mix in wise_ft.ckpt."
    return Section("mixes", "Mixes", "charts.html", {"charts": [drawn(capitalised(name), chart, note)]}, lead)
