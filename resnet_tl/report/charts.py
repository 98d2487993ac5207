"""Charts. Colours are readable on light and dark pages; axes and text take theirs from the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from resnet_tl.report.records import Row

Values = list[dict[str, Any]]
AnyChart = alt.Chart | alt.LayerChart
Floats = NDArray[np.floating[Any]]

BLUE, ORANGE, GREEN, RED, GREY, VIOLET = "#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#94a3b8", "#8b5cf6"
SERIES = [BLUE, ORANGE, GREEN, VIOLET, RED, "#06b6d4", "#ec4899", "#84cc16", GREY]
MOST_CLASSES = 40
"""Classes at most that a chart has bars of."""


def losses(rows: Sequence[Row], best: float | None) -> AnyChart:
    """Training loss, the mean of each epoch, and validation loss over epochs."""
    names = {"train/loss_epoch": "training", "val/loss": "validation"}
    if not any("train/loss_epoch" in row for row in rows):  # a run of an earlier version
        names = {"train/loss": "training (single batches)", "val/loss": "validation"}
    values: Values = [
        {"epoch": row["at"], "value": row[name], "loss": label}
        for name, label in names.items()
        for row in rows
        if name in row
    ]
    lines = (
        _chart(values)
        .mark_line(point={"size": 18})
        .encode(
            x=_epochs(rows),
            y=alt.Y("value:Q", title="loss", scale=alt.Scale(zero=False)),
            color=_colours("loss", list(names.values()), [GREY, BLUE]),
            tooltip=[_number("epoch"), alt.Tooltip("loss:N"), _number("value")],
        )
    )
    return _sized(_phases(rows) + lines + _best(best))


def curve(rows: Sequence[Row], name: str, title: str, best: float | None) -> AnyChart:
    """A validation metric over epochs, its best epoch marked."""
    values: Values = [{"epoch": row["at"], "value": row[name]} for row in rows if name in row]
    line = (
        _chart(values)
        .mark_line(color=BLUE, point={"size": 18, "color": BLUE})
        .encode(
            x=_epochs(rows),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
            tooltip=[_number("epoch"), _number("value", title)],
        )
    )
    point = _chart([value for value in values if value["epoch"] == best])
    point = point.mark_point(color=ORANGE, filled=True, size=110, opacity=1)
    point = point.encode(x="epoch:Q", y="value:Q", tooltip=[_number("epoch", "best epoch"), _number("value", title)])
    return _sized(_phases(rows) + line + _best(best) + point)


def runs(rows: Sequence[Sequence[Row]], names: Sequence[str], key: str) -> AnyChart:
    """A value of several runs over epochs."""
    values: Values = [
        {"epoch": row["at"], "value": row[key], "run": name}
        for name, each in zip(names, rows, strict=True)
        for row in each
        if key in row
    ]
    lines = (
        _chart(values)
        .mark_line(point={"size": 18})
        .encode(
            x=_epochs([row for each in rows for row in each]),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
            color=_colours("run", names),
            tooltip=[_number("epoch"), alt.Tooltip("run:N"), _number("value")],
        )
    )
    return _sized(lines)


def mixes(rows: Values, best: float, title: str) -> AnyChart:
    """A score, with `low` and `high` where they are known, over the `share` of a mix; the best share is marked."""
    x, scale = alt.X("share:Q", title="share of the run's end in the mix"), alt.Scale(zero=False)
    known = _chart([row for row in rows if row["low"] is not None])
    band = known.mark_area(color=BLUE, opacity=0.16).encode(
        x=x, y=alt.Y("low:Q", title=title, scale=scale), y2="high:Q"
    )
    line = (
        _chart(rows)
        .mark_line(color=BLUE, point={"size": 30, "color": BLUE})
        .encode(
            x=x,
            y=alt.Y("value:Q", title=title, scale=scale),
            tooltip=[_number("share"), _number("value", title), _number("low"), _number("high")],
        )
    )
    rule = _chart([{"share": best}]).mark_rule(color=ORANGE, strokeDash=[3, 3]).encode(x=x)
    return _sized(band + line + rule)


def rates(rows: Sequence[Row]) -> AnyChart:
    """The learning rate of each stage over epochs, logarithmic; a frozen stage has none."""
    stages = [name for name in dict.fromkeys(name for row in rows for name in row) if name.startswith("lr/")]
    values: Values = [
        {"epoch": row["at"], "rate": row[name], "stage": name.removeprefix("lr/")}
        for name in stages
        for row in rows
        if row.get(name, 0) > 0
    ]
    order, axis = [name.removeprefix("lr/") for name in stages], alt.Axis(format=".0e", tickCount=5)
    lines = (
        _chart(values)
        .mark_line(point={"size": 12})
        .encode(
            x=_epochs(rows),
            y=alt.Y("rate:Q", title="learning rate", scale=alt.Scale(type="log"), axis=axis),
            color=_colours("stage", order),
            tooltip=[_number("epoch"), alt.Tooltip("stage:N"), alt.Tooltip("rate:Q", format=".3g")],
        )
    )
    return _sized(_phases(rows) + lines)


def calibration(bins: Floats) -> AnyChart:
    """Accuracy by confidence, from `confidence_bins`; perfectly calibrated predictions are on the diagonal."""
    edges = np.linspace(0, 1, len(bins) + 1).tolist()
    values: Values = [
        {"low": low, "high": high, "images": images, "accuracy": right / images, "confidence": confidence / images}
        for low, high, (images, right, confidence) in zip(edges, edges[1:], bins.tolist(), strict=False)
        if images
    ]
    scale = alt.Scale(domain=[0, 1])
    bars = (
        _chart(values)
        .mark_bar(color=BLUE, opacity=0.55)
        .encode(
            x=alt.X("low:Q", bin="binned", title="confidence", scale=scale),
            x2="high:Q",
            y=alt.Y("accuracy:Q", title="accuracy", scale=scale),
            tooltip=[_percent("confidence", "mean confidence"), _percent("accuracy"), alt.Tooltip("images:Q")],
        )
    )
    points = _chart(values).mark_point(color=ORANGE, filled=True, size=40, opacity=1)
    ends = _chart([{"x": 0, "y": 0}, {"x": 1, "y": 1}])
    diagonal = ends.mark_line(color=GREY, strokeDash=[4, 4]).encode(x="x:Q", y="y:Q")
    return _sized(bars + diagonal + points.encode(x="confidence:Q", y="accuracy:Q"))


def predicted_and_true(truth: Floats, predicted: Floats, images: Sequence[str]) -> AnyChart:
    """A point for each image; exact predictions are on the diagonal."""
    low, high = (float(pick([*truth, *predicted])) for pick in (min, max))
    ends = _chart([{"true": low, "predicted": low}, {"true": high, "predicted": high}])
    line = ends.mark_line(color=GREY, strokeDash=[4, 4]).encode(x="true:Q", y="predicted:Q")
    return _sized(line + _points(truth, "predicted", predicted, images))


def residuals(truth: Floats, predicted: Floats, images: Sequence[str]) -> AnyChart:
    """The error of each image by its true number."""
    rule = _chart([{"error": 0.0}]).mark_rule(color=GREY, strokeDash=[4, 4]).encode(y="error:Q")
    return _sized(rule + _points(truth, "error", predicted - truth, images))


def _points(truth: Floats, name: str, numbers: Floats, images: Sequence[str]) -> alt.Chart:
    pairs = zip(truth.tolist(), numbers.tolist(), images, strict=True)
    values: Values = [{"true": x, name: y, "image": image} for x, y, image in pairs]
    return (
        _chart(values)
        .mark_point(color=BLUE, filled=True, size=24, opacity=0.6)
        .encode(
            x=alt.X("true:Q", title="true", scale=alt.Scale(zero=False)),
            y=alt.Y(f"{name}:Q", title=name, scale=alt.Scale(zero=False)),
            tooltip=[alt.Tooltip("image:N"), _number("true"), _number(name)],
        )
    )


def right_and_wrong(scores: Floats, right: NDArray[np.bool_], title: str, unit: str = "images") -> AnyChart:
    """How often each score, 0...1, was right and wrong."""
    edges = np.linspace(0, 1, 21)
    values: Values = []
    for label, chosen in (("right", right), ("wrong", ~right)):
        counts = np.histogram(scores[chosen], edges)[0].tolist()
        each = zip(edges.tolist(), edges[1:].tolist(), counts, strict=False)
        values += [{"low": low, "high": high, unit: count, "prediction": label} for low, high, count in each]
    bars = (
        _chart(values)
        .mark_bar()
        .encode(
            x=alt.X("low:Q", bin="binned", title=title, scale=alt.Scale(domain=[0, 1])),
            x2="high:Q",
            y=alt.Y(f"{unit}:Q", stack="zero", title=unit),
            color=_colours("prediction", ["right", "wrong"], [GREEN, RED]),
            tooltip=[_number("low", "from"), _number("high", "to"), alt.Tooltip("prediction:N"), _number(unit)],
        )
    )
    return _sized(bars)


def precision_recall(precision: Floats, classes: Sequence[str]) -> AnyChart:
    """Precision over recall, from `[101, K]`: of each class, or of many classes their mean; -1 marks absent ones."""
    occurring = [k for k in range(len(classes)) if precision[0, k] >= 0]
    curves = {classes[k]: precision[:, k] for k in occurring}
    if len(curves) > len(SERIES):
        curves = {f"mean of {len(curves)} classes": precision[:, occurring].mean(1)}
    values: Values = [
        {"recall": place / 100, "precision": value, "class": name}
        for name, column in curves.items()
        for place, value in enumerate(column.round(4).tolist())
    ]
    scale = alt.Scale(domain=[0, 1])
    lines = (
        _chart(values)
        .mark_line(interpolate="step-before")
        .encode(
            x=alt.X("recall:Q", scale=scale),
            y=alt.Y("precision:Q", scale=scale),
            color=_colours("class", list(curves)),
            tooltip=[alt.Tooltip("class:N"), _percent("recall"), _percent("precision")],
        )
    )
    return _sized(lines)


def intervals(rows: Values, title: str) -> AnyChart:
    """Bars of `value` by `class`, with lines from `low` to `high`."""
    y = alt.Y("class:N", title=None, sort=[row["class"] for row in rows])
    tooltip = [alt.Tooltip("class:N"), _number("value", title), _number("low"), _number("high")]
    base = _chart(rows)
    bars = base.mark_bar(color=BLUE, opacity=0.6).encode(
        y=y, x=alt.X("value:Q", title=title, axis=alt.Axis(tickCount=6)), tooltip=tooltip
    )
    lines = base.mark_rule(color=ORANGE, strokeWidth=2).encode(y=y, x="low:Q", x2="high:Q", tooltip=tooltip)
    return _sized(bars + lines, 24 * len(rows))


def error_costs(rows: Values) -> AnyChart:
    """What each kind of error costs, in points of mAP at IoU 0.5."""
    order = [row["error"] for row in rows]
    values = [{"error": row["error"], "points": 100 * row["map50_cost"], "number": row["number"]} for row in rows]
    bars = (
        _chart(values)
        .mark_bar(color=RED, opacity=0.75)
        .encode(
            y=alt.Y("error:N", title=None, sort=order),
            x=alt.X("points:Q", title="points of mAP at IoU 0.5", axis=alt.Axis(tickCount=8)),
            tooltip=[alt.Tooltip("error:N"), _number("points"), _number("number")],
        )
    )
    return _sized(bars, 26 * len(rows))


def shares(values: dict[str, float]) -> AnyChart:
    """Bars of shares, the largest first."""
    order = sorted(values, key=lambda name: -values[name])
    bars = (
        _chart([{"what": name, "share": values[name]} for name in order])
        .mark_bar(color=BLUE, opacity=0.75)
        .encode(
            y=alt.Y("what:N", title=None, sort=order),
            x=alt.X("share:Q", title="share of the time", axis=alt.Axis(format=".0%", tickCount=6)),
            tooltip=[alt.Tooltip("what:N"), _percent("share")],
        )
    )
    return _sized(bars, 26 * len(order))


def classes_by_split(classes: dict[str, dict[str, int]], counted: str) -> AnyChart:
    """How much there is of each class in each split."""
    splits = list(dict.fromkeys(split for counts in classes.values() for split in counts))
    values: Values = [
        {"class": name, "split": split, counted: count}
        for name, counts in classes.items()
        for split, count in counts.items()
    ]
    bars = (
        _chart(values)
        .mark_bar()
        .encode(
            y=alt.Y("class:N", title=None, sort=list(classes)),
            yOffset=alt.YOffset("split:N", sort=splits),
            x=alt.X(f"{counted}:Q", title=counted, axis=alt.Axis(format="~s")),
            color=_colours("split", splits),
            tooltip=[alt.Tooltip("class:N"), alt.Tooltip("split:N"), alt.Tooltip(f"{counted}:Q", format=",")],
        )
    )
    return _sized(bars, max(90, 26 * len(classes)))


def _chart(values: Values) -> alt.Chart:
    return alt.Chart(alt.Data(values=values))


def _sized(chart: AnyChart, height: int = 240) -> AnyChart:
    return chart.properties(width="container", height=height)


def _epochs(rows: Sequence[Row]) -> alt.X:
    scale = alt.Scale(domain=[0, max(row["at"] for row in rows)], nice=False)
    return alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d"), scale=scale)


def _colours(field: str, domain: Sequence[str], colours: Sequence[str] = SERIES) -> alt.Color:
    scale = alt.Scale(domain=list(domain), range=list(colours))
    return alt.Color(
        f"{field}:N", title=None, sort=list(domain), scale=scale, legend=alt.Legend(orient="top", columns=4)
    )


def _number(field: str, title: str | None = None) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", title=title or field, format=".4~g")


def _percent(field: str, title: str | None = None) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", title=title or field, format=".1%")


def _best(epoch: float | None) -> AnyChart:
    return (
        _chart([] if epoch is None else [{"epoch": epoch}])
        .mark_rule(color=ORANGE, strokeDash=[3, 3])
        .encode(x="epoch:Q")
    )


def _phases(rows: Sequence[Row]) -> AnyChart:
    """Shades every second phase, and names those that are wide enough, or has only their numbers."""
    ends = {int(row["phase"]): row["at"] for row in rows if "phase" in row}
    starts = dict(zip(ends, [0.0, *ends.values()], strict=False))
    end_of_run = max((row["at"] for row in rows), default=0)
    values: Values = [
        {
            "start": starts[phase],
            "end": end,
            "phase": _phase_name(phase, (end - starts[phase]) / end_of_run) if len(ends) > 1 else "",
            "odd": phase % 2 == 1,
        }
        for phase, end in ends.items()
    ]
    base = _chart(values)
    shade = base.mark_rect(color=GREY, opacity=0.16).encode(x="start:Q", x2="end:Q").transform_filter("datum.odd")
    names = base.mark_text(align="left", baseline="top", dx=4, dy=2, color=GREY, fontSize=10)
    return shade + names.encode(x="start:Q", y=alt.value(0), text="phase:N")


def _phase_name(phase: int, share: float) -> str:
    """As much of the name as fits into a share of the width, about 250 pixels where three charts stand in a row."""
    if share >= 0.18:
        return f"phase {phase}"
    return str(phase) if share >= 0.08 else ""
