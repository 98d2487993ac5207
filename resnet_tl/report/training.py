"""The sections about a run: its training, its data, how to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from resnet_tl.data.checks.stats import stats
from resnet_tl.metrics.names import metric_name
from resnet_tl.report import charts
from resnet_tl.report.assets import Assets
from resnet_tl.report.records import RunRecord
from resnet_tl.report.section import Section, drawn
from resnet_tl.report.words import capitalised, share
from resnet_tl.tracking.pace import duration

DECODED = 60
"""Images that are decoded for sizes and colours."""


def training(run: RunRecord, assets: Assets) -> Section:
    headline = f"val/{run.metrics.headline}"
    curves = [
        ("Loss", charts.losses(run.rows, run.best_at)),
        (capitalised(metric_name(headline)), charts.curve(run.rows, headline, metric_name(headline), run.best_at)),
    ]
    if any(name.startswith("lr/") for row in run.rows for name in row):
        curves.append(("Learning rates by stage", charts.rates(run.rows)))
    content = {"charts": [drawn(title, assets.chart(chart)) for title, chart in curves]}
    summary = run.summary
    speed = summary["images_per_s"]
    parts = [
        f"{_epochs(run)}, {_count(summary['step'], 'step')}",
        duration(summary["seconds"]),
        *([f"{speed:.0f} images/s in training"] if speed else []),
        f"best after epoch {summary['best']['epoch'] + 1}",
    ]
    unfinished = "" if summary["finished"] else " The run is not finished."
    return Section("training", "Training", "charts.html", content, " · ".join(parts) + "." + unfinished)


def _epochs(run: RunRecord) -> str:
    """Counts the epochs; of one within which `max_steps` or `max_time` ended the run, the part that was trained."""
    begun = run.summary["final"]["epoch"] + 1
    last = max((row["at"] for row in run.rows), default=begun)
    return f"{last:.1f} epochs" if begun - 1 < last < begun else _count(begun, "epoch")


def speed(run: RunRecord, assets: Assets) -> Section | None:
    """What the run's time and memory went into; None for a run of an earlier version."""
    summary, options = run.summary, run.recipe["data"]["init_args"]
    if not (shares := summary.get("shares")):
        return None
    facts = [("time", duration(summary["seconds"]))]
    if summary["images_per_s"]:
        waiting = f", of which {share(summary['waiting'])} waiting for data" if summary["waiting"] >= 0.01 else ""
        facts.append(("training", f"{summary['images_per_s']:.3g} images/s{waiting}"))
    facts += [(f"memory, {name}", f"{gigabytes:.2f} GB") for name, gigabytes in summary["memory_gb"].items()]
    facts.append(("precision", str(run.recipe["trainer"]["precision"])))
    facts += [(key.replace("_", " "), str(options[key])) for key in ("batch_size", "num_workers") if key in options]
    chart = assets.chart(charts.shares({**shares, "other": max(1 - sum(shares.values()), 0.0)}))
    lead = "Time since the start, without the breaks before a resume; memory at its most."
    content = {"facts": facts, "charts": [drawn("Where the time went", chart)], "rows": [], "notes": []}
    return Section("speed", "Speed and memory", "data.html", content, lead)


def folds(run: RunRecord) -> Section:
    """The table of all folds, in place of curves: these are in the report of each."""
    metrics, count = run.summary["metrics"], run.summary["folds"]
    columns = {metric_name(key): [*each["folds"], each["mean"], each["sd"]] for key, each in metrics.items()}
    names = [*map(str, range(1, count + 1)), "mean", "standard deviation"]
    rows = [
        {"fold": name, **{key: float(column[i]) for key, column in columns.items()}} for i, name in enumerate(names)
    ]
    lead = (
        f"The best epoch of each of {count} networks, on the images that it was not trained on. The rest of the page "
        "is about these images of all folds together. Each fold has a report in its own folder."
    )
    return Section("folds", "Folds", "rows.html", {"rows": rows}, lead)


def data(run: RunRecord, assets: Assets) -> Section | None:
    if run.data is None:
        return None
    numbers = stats(run.data, DECODED)
    facts = [("images", ", ".join(f"{count:,} {split}" for split, count in numbers["splits"].items()))]
    for side, (least, median, most) in numbers.get("sizes", {}).items():
        facts.append((side, f"{least} to {most} pixels, median {median}"))
    if "objects" in numbers:
        facts.append(("objects by area", ", ".join(f"{count:,} {name}" for name, count in numbers["objects"].items())))
    for name, values in numbers.get("channels", {}).items():
        facts.append((f"channel {name}", ", ".join(f"{value:.3f}" for value in values)))
    if "decoded" in numbers:
        facts.append(("sizes and channels of", numbers["decoded"]))
    for name, spreads in numbers.get("values", {}).items():
        facts.append((name, "; ".join(_spread(split, *values) for split, values in spreads.items())))
    content: dict[str, Any] = {"facts": facts, "notes": run.data.notes, "rows": (), "shares": (), "charts": []}
    if "values" not in numbers:  # of numbers, each image has every one
        content |= _by_class(numbers, assets)
    return Section("data", "Data", "data.html", content, str(run.evaluation.root))


def _spread(split: str, least: float, median: float, most: float) -> str:
    return f"{least:.4g} to {most:.4g}, median {median:.4g} ({split})"


def _by_class(numbers: Mapping[str, Any], assets: Assets) -> dict[str, Any]:
    """Returns a chart of what is counted, or the rows of a table for many classes."""
    if len(numbers["classes"]) <= charts.MOST_CLASSES:
        chart = assets.chart(charts.classes_by_split(numbers["classes"], numbers["counted"]))
        return {"charts": [drawn(f"{numbers['counted'].capitalize()} by class and split", chart)]}
    rows = [
        {"class": name, **{split: counts.get(split, 0) for split in numbers["splits"]}}
        for name, counts in numbers["classes"].items()
    ]
    return {"rows": rows}


def repeat(run: RunRecord) -> Section:
    summary = run.summary
    git = summary["git"]
    state = "outside of git" if git is None else git["commit"] + (" with uncommitted changes" if git["changed"] else "")
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    recipe = yaml.safe_dump(run.recipe, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100)
    every = f" --folds {summary['folds']}" if run.folder.is_folds else ""
    content = {
        "command": f"resnet-tl fit -c {shlex.quote(str(run.folder.recipe))}{every}",
        "facts": [("commit", state), ("versions", versions), ("folder", str(run.folder.path.absolute()))],
        "recipe": recipe,
    }
    return Section("repeat", "Repeat this run", "repeat.html", content)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
