"""Several runs next to each other: scores, differences on the same images, recipes, curves, the images that decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from resnet_tl.errors import RunError
from resnet_tl.metrics.names import NAMES, metric_name
from resnet_tl.metrics.paired import Difference, common, difference, headline, spread
from resnet_tl.report import charts, classes
from resnet_tl.report.assets import Assets
from resnet_tl.report.page import write_page
from resnet_tl.report.records import RunRecord
from resnet_tl.report.section import Gallery, Section, drawn
from resnet_tl.report.words import SPLITS, as_text, capitalised, difference_text, interval_text, share
from resnet_tl.structures.evaluation import ClassEvaluation, Evaluation
from resnet_tl.structures.scores import improves

SHOWN = 12
"""Pictures of a gallery."""


def write_comparison(runs: Sequence[RunRecord], path: Path) -> None:
    """Writes a page about two or more runs; each recipe is compared with that of the first.

    Raises:
        RunError: runs of different tasks or classes, or without common images.
    """
    _check(runs)
    names = labels(runs)
    channels = next((run.data.channels for run in runs if run.data is not None), 3)
    assets = Assets(channels)
    shared = _on_common_images(runs)
    there = [
        _scores(runs, shared, names),
        _curves(runs, names, assets),
        _recipes(runs, names),
        _by_class(shared, names),
        *(_images(runs[0], run, (names[0], name), assets) for run, name in zip(runs[1:], names[1:], strict=True)),
    ]
    content = {
        "title": " · ".join(names),
        "task": capitalised(runs[0].evaluation.task),
        "sentences": verdicts(runs, names),
        "metric": metric_name(runs[0].metrics.headline),
        "sections": [section for section in there if section is not None],
        "notes": [note for run in runs for note in run.notes],
    }
    write_page("compare.html", content, assets, path)


def verdicts(runs: Sequence[RunRecord], names: list[str]) -> list[dict[str, Any]]:
    """Returns a sentence about each recipe against the first one's, and one about the seeds of each.

    Runs whose recipes differ by the seed alone are one group: what differs between them is chance. Of runs with one
    seed, the first counts.
    """
    groups: dict[str, dict[str, Evaluation]] = {}
    members: dict[str, list[str]] = {}
    for run, name in zip(runs, names, strict=True):
        recipe, seed = _recipe_and_seed(run.recipe)
        groups.setdefault(recipe, {}).setdefault(seed, run.evaluation)
        members.setdefault(recipe, []).append(name)
    evaluations = [list(group.values()) for group in groups.values()]
    chance = spread(evaluations)
    titles = [" + ".join(those) for those in members.values()]
    each = zip(evaluations, titles, members.values(), strict=True)
    metric = runs[0].metrics.headline
    seeds = [_of_seeds(group, title, metric) for group, title, those in each if len(those) > 1]
    others = zip(evaluations[1:], titles[1:], strict=True)
    return [
        *(_sentence(difference(evaluations[0], group, chance), titles[0], title, metric) for group, title in others),
        *seeds,
    ]


def _recipe_and_seed(recipe: dict[str, Any]) -> tuple[str, str]:
    """Returns the recipe without its seeds, and these."""
    values = {key: value for key, value in flattened(recipe) if not key.startswith("tracking.")}
    seeds = {key: value for key, value in values.items() if key.startswith(("seed", "data.seed"))}
    return repr({key: value for key, value in values.items() if key not in seeds}), repr(seeds)


def _of_seeds(evaluations: Sequence[Evaluation], title: str, metric: str) -> dict[str, Any]:
    if len(evaluations) == 1:
        return {"text": f"{title}: one recipe with one seed, which says nothing about chance.", "sure": False}
    scores = [headline(each) for each in common(evaluations)]
    text = (
        f"{title}: one recipe with {len(scores)} seeds, {as_text(metric, min(scores))} to "
        f"{as_text(metric, max(scores))}, standard deviation "
        f"{difference_text(metric, float(np.std(scores, ddof=1)))}. That is chance."
    )
    return {"text": text, "sure": False}


def _check(runs: Sequence[RunRecord]) -> None:
    first = runs[0].evaluation
    keys = first.keys
    for number, run in enumerate(runs[1:], 2):
        other = run.evaluation
        for name in ("task", "classes"):
            if getattr(other, name) != getattr(first, name):
                raise RunError(f"{runs[0].folder.path} and {run.folder.path} cannot be compared: their {name} differ")
        keys = np.intersect1d(keys, other.keys)
        if not len(keys):
            paths = " and ".join(str(each.folder.path) for each in runs[:number])
            raise RunError(f"{paths} have no {SPLITS[first.split]} image in common")


def _on_common_images(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs with their predictions of the images that all of them have."""
    every = common([run.evaluation for run in runs])
    return [replace(run, evaluation=evaluation) for run, evaluation in zip(runs, every, strict=True)]


def labels(runs: Sequence[RunRecord]) -> list[str]:
    """Returns a short name of each run: the parts of its folder by which they differ."""
    parts = [run.folder.path.absolute().parts for run in runs]
    shared = max((n for n in range(min(map(len, parts))) if len({each[:n] for each in parts}) == 1), default=0)
    return ["/".join(each[shared:]) for each in parts]


def _sentence(found: Difference, first: str, second: str, metric: str) -> dict[str, Any]:
    over = f"{found.images:,} images" + (", over seeds too" if found.seeds else "")
    low, high = (difference_text(metric, each, signed=True).removesuffix(" points") for each in found[1:3])
    interval = f"95 % interval {low} to {high}, {over}"
    if not found.sure:
        text = (
            f"{second} and {first} do not differ for certain: "
            f"{difference_text(metric, found.value, signed=True)} ({interval})."
        )
    else:
        better, worse = (second, first) if improves(metric, found.value, 0) else (first, second)
        low, high = (difference_text(metric, each).removesuffix(" points") for each in sorted(found[1:3], key=abs))
        text = (
            f"{better} is better than {worse} by {difference_text(metric, found.value)} "
            f"(95 % interval {low} to {high}, {over})."
        )
    return {"text": text, "sure": found.sure}


def _scores(runs: Sequence[RunRecord], shared: Sequence[RunRecord], names: list[str]) -> Section:
    """shared: the runs on their common images. The loss of an epoch is known of all its images alone."""
    main, count = runs[0].metrics.headline, len(shared[0].evaluation)
    alike = all(len(run.evaluation) == count for run in runs)
    rows = []
    for run, name in zip(shared, names, strict=True):
        others = {metric_name(key): value for key, value in run.scores.items() if key in NAMES and key != main}
        interval = interval_text(main, run.score_tables.interval)
        seconds, epoch = run.summary["seconds"], run.summary["best"]["epoch"] + 1
        rows.append(
            {
                "run": name,
                metric_name(main): run.scores[main],
                "95 % interval": interval,
                **{key: value for key, value in others.items() if value >= 0},
                **({"loss": run.loss} if alike else {}),
                "best epoch": epoch,
                "seconds": round(seconds),
            }
        )
    which = "" if alike else f" that all runs have, {count:,}"
    lead = f"Of the best epoch of each run, on the {SPLITS[runs[0].evaluation.split]} images{which}."
    return Section("scores", "Scores", "rows.html", {"rows": rows}, lead)


def _curves(runs: Sequence[RunRecord], names: list[str], assets: Assets) -> Section | None:
    if not any(run.rows for run in runs):  # of folds
        return None
    main = f"val/{runs[0].metrics.headline}"
    curves = [
        drawn(capitalised(metric_name(key)), assets.chart(charts.runs([run.rows for run in runs], names, key)))
        for key in (main, "val/loss")
    ]
    return Section("curves", "Training", "charts.html", {"charts": curves}, "On the validation images of each run.")


def _recipes(runs: Sequence[RunRecord], names: list[str]) -> Section:
    """The keys whose values differ."""
    flat = [dict(flattened(run.recipe)) for run in runs]
    keys = list(dict.fromkeys(key for each in flat for key in each))
    rows = [
        {"key": key, **{name: _written(each.get(key)) for name, each in zip(names, flat, strict=True)}}
        for key in keys
        if len({_written(each.get(key)) for each in flat}) > 1
    ]
    lead = "The keys whose values differ." if rows else "The recipes are the same."
    return Section("recipes", "Recipes", "rows.html", {"rows": rows}, lead)


def flattened(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the values of a recipe by their dotted keys; lists are values, `init_args` is left out of keys."""
    if not isinstance(value, dict):
        yield key, value
        return
    for name, child in value.items():
        yield from flattened(child, key if name == "init_args" else f"{key}.{name}".lstrip("."))


def _written(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _by_class(runs: Sequence[RunRecord], names: list[str]) -> Section:
    """The main score of each class in each run, with the difference between the last and the first."""
    first = runs[0].evaluation
    one_label = isinstance(first, ClassEvaluation) and not first.multi_label
    column = (
        "f1" if one_label else next(key for key in ("iou", "map", "ap", "mae") if key in runs[0].tables["per_class"][0])
    )
    tables = [run.tables["per_class"] for run in runs]
    kind, rows = next(iter(tables[0][0])), []
    for each in zip(*tables, strict=True):
        values = [row[column] for row in each]
        known = values[0] is not None and values[-1] is not None
        change = values[-1] - values[0] if known else None
        rows.append({kind: each[0][kind], **dict(zip(names, values, strict=True)), "difference": change})
    lead = (
        f"The {metric_name(column)} of each {kind} on the {len(first):,} images that all runs have; the difference is "
        "the last run's from the first's."
    )
    title = "Numbers" if kind == "number" else "Classes"
    return Section("classes", title, "rows.html", {"rows": rows}, lead)


def _images(first: RunRecord, second: RunRecord, names: tuple[str, str], assets: Assets) -> Section | None:
    """The images that one run predicts rightly and the other wrongly."""
    one, other = first.evaluation, second.evaluation
    if not isinstance(one, ClassEvaluation) or not isinstance(other, ClassEvaluation):
        return None
    one, other = common([one, other])
    wrong, galleries = (classes.wrong(one), classes.wrong(other)), []
    for evaluation, better, worse, chosen in (
        (one, names[1], names[0], wrong[0] & ~wrong[1]),
        (other, names[0], names[1], wrong[1] & ~wrong[0]),
    ):
        order = np.argsort(-evaluation.losses, kind="stable")
        indices = order[chosen[order]][:SHOWN].tolist()
        pictures = classes.pictures(evaluation, indices, assets)
        lead = f"{int(chosen.sum())} images, {share(chosen.mean())}; the surest mistakes of {worse} first."
        shown = [pictures[index] for index in indices if index in pictures]
        galleries.append(Gallery(f"{better} right, {worse} wrong", lead, shown))
    anchor = f"images-{names[1]}"
    return Section(anchor, f"Images: {names[1]}", "galleries.html", {"galleries": galleries})
