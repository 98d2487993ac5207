"""report.html: a run in one file that opens without a network."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_tl.errors import RunError
from resnet_tl.files import atomic_write
from resnet_tl.metrics.names import NAMES, metric_name
from resnet_tl.report import boxes, classes, pixels, training, values
from resnet_tl.report.assets import Assets, vega_script
from resnet_tl.report.mixes import mixes
from resnet_tl.report.records import RunRecord
from resnet_tl.report.section import Section, score_table
from resnet_tl.report.words import SPLITS, as_text, counted, interval_text
from resnet_tl.structures.evaluation import BoxEvaluation, ClassEvaluation, PixelEvaluation, ValueEvaluation

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


def write_report(run: RunRecord, path: Path) -> None:
    """Writes the page about a run; replaces an earlier one, unless that has images and this one has none.

    Raises:
        RunError: the file cannot be written, or would lose its images.
    """
    assets = Assets(run.data.channels if run.data is not None else 3)
    sections = [
        training.folds(run) if run.folder.is_folds else training.training(run, assets),
        mixes(run, assets),
        score_table(run.score_tables),
        *_about_predictions(run, assets),
        training.data(run, assets),
        training.speed(run, assets),
        training.repeat(run),
    ]
    if not assets.pictures and _has_pictures(path):
        raise RunError(
            f"{path}: has images, and a report without images does not replace it; name where they are now, "
            "--data.root PATH, or another file: --out FILE.html"
        )
    there = [section for section in sections if section is not None]
    content = {"title": run.name, "head": _head(run), "sections": there, "notes": run.notes}
    write_page("report.html", content, assets, path)


def write_page(template: str, content: dict[str, Any], assets: Assets, path: Path) -> None:
    """Renders a page with its charts and pictures into one file."""
    data = {"charts": assets.charts, "pictures": assets.pictures}
    embedded = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    text = _environment().get_template(template).render(**content, data=embedded, vega=vega_script())
    with atomic_write(path) as file:
        file.write(text.encode())


def _has_pictures(path: Path) -> bool:
    return path.is_file() and '"pictures":{"' in path.read_text(encoding="utf-8")


def _about_predictions(run: RunRecord, assets: Assets) -> list[Section]:
    if isinstance(run.evaluation, ClassEvaluation):
        return classes.sections(run, run.evaluation, assets)
    if isinstance(run.evaluation, PixelEvaluation):
        return pixels.sections(run, run.evaluation, assets)
    if isinstance(run.evaluation, ValueEvaluation):
        return values.sections(run, run.evaluation, assets)
    assert isinstance(run.evaluation, BoxEvaluation)
    return boxes.sections(run, run.evaluation, assets)


def _head(run: RunRecord) -> dict[str, Any]:
    """The headline metric with its interval, and the others."""
    model, scores, headline = run.recipe["model"]["init_args"], run.scores, run.metrics.headline
    names = {row["metric"]: row["name"] for row in run.tables["summary"]}
    named = {names.get(key, metric_name(key)): scores[key] for key in scores if key in NAMES and key != headline}
    tiles = [(name, f"{value:.3f}") for name, value in named.items() if value >= 0]
    return {
        "task": run.evaluation.task.capitalize(),
        "backbone": model["backbone"]["name"],
        "weights": model["backbone"]["weights"] or "random weights",
        "classes": counted(len(run.evaluation.classes), run.evaluation.task),
        "images": len(run.evaluation),
        "split": SPLITS[run.evaluation.split],
        "headline": names[headline],
        "value": as_text(headline, scores[headline]),
        "interval": interval_text(headline, run.score_tables.interval),
        "tiles": [*tiles, ("loss", f"{run.loss:.3f}")],
        "date": _date(run),
    }


def _date(run: RunRecord) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(run.folder.results.stat().st_mtime).strftime("%d %B %Y, %H:%M")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(TEMPLATES)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
