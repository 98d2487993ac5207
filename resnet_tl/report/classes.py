"""The sections about a classifier: classes, confidence, images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_tl.report.assets import Assets
from resnet_tl.report.confidence import confidence
from resnet_tl.report.confusion import cells_of, confusion
from resnet_tl.report.explained import Explained, explained
from resnet_tl.report.records import RunRecord
from resnet_tl.report.section import Gallery, Picture, Section, class_table
from resnet_tl.report.words import SPLITS, capitalised, share
from resnet_tl.run.closing import calibration
from resnet_tl.structures.evaluation import ClassEvaluation

IN_A_GALLERY = 12
IN_A_CELL = 12
IN_ALL_CELLS = 180
"""Pictures at most."""
WITH_MAP = 6
"""Pictures of a gallery, the first ones, that have a map at their side."""
LOOKED = "Maps: where the network looked for the class that it predicted (Grad-CAM)."
LOOKED_SEVERAL = "Maps: where the network looked for the class that is farthest from the truth (Grad-CAM)."


def sections(run: RunRecord, evaluation: ClassEvaluation, assets: Assets) -> list[Section]:
    network = explained(run, LOOKED_SEVERAL if evaluation.multi_label else LOOKED)
    about = [
        class_table(run.tables["per_class"]),
        _confidence(run, evaluation, assets),
        _images(evaluation, assets, network),
    ]
    return about if evaluation.multi_label else [_confusion(evaluation, assets), *about]


def predicted(evaluation: ClassEvaluation) -> NDArray[Any]:
    """Returns class indices `[N]`, or marks `[N, K]` for several labels."""
    if evaluation.multi_label:
        return evaluation.probabilities >= evaluation.thresholds
    return evaluation.probabilities.argmax(1)


def wrong(evaluation: ClassEvaluation) -> NDArray[np.bool_]:
    """Returns which images `[N]` were predicted wrongly, in any label."""
    differs = predicted(evaluation) != evaluation.targets
    return differs.any(1) if evaluation.multi_label else differs


def _confusion(evaluation: ClassEvaluation, assets: Assets) -> Section:
    """Each cell has its images, the least probable first."""
    order = np.argsort(-evaluation.losses, kind="stable")
    return confusion(
        evaluation.classes,
        cells_of(evaluation.targets.astype(np.int64), predicted(evaluation), order),
        lambda indices: pictures(evaluation, indices, assets),
        "Rows are true classes, columns predictions. A cell shows its images.",
        in_a_cell=IN_A_CELL,
        in_all=IN_ALL_CELLS,
    )


def _confidence(run: RunRecord, evaluation: ClassEvaluation, assets: Assets) -> Section:
    decisions = run.summary.get("decisions", {})
    note = f"{capitalised(calibration(decisions))}." if "temperature" in decisions else ""
    if not evaluation.multi_label:
        scores = evaluation.probabilities.max(1)
        return confidence(scores, ~wrong(evaluation), assets, word="confidence", unit="images", note=note)
    truth, scores = evaluation.targets.ravel() > 0, evaluation.probabilities.ravel()
    right = predicted(evaluation).ravel() == truth
    return confidence(scores, truth, assets, word="probability", unit="labels", right=right, note=note)


def _images(evaluation: ClassEvaluation, assets: Assets, network: Explained) -> Section:
    losses, is_wrong = evaluation.losses, wrong(evaluation)
    mistakes, hits = np.flatnonzero(is_wrong), np.flatnonzero(~is_wrong)
    highest = evaluation.probabilities.max(1)
    worst = mistakes[np.argsort(-losses[mistakes], kind="stable")][:IN_A_GALLERY].tolist()
    surest = mistakes[np.argsort(-highest[mistakes], kind="stable")][:IN_A_GALLERY].tolist()
    unsure = hits[np.argsort(-losses[hits], kind="stable")][:IN_A_GALLERY].tolist()
    chosen = [("Worst mistakes", "The true class had the lowest probability.", worst)]
    if set(surest) != set(worst) and not evaluation.multi_label:
        chosen.append(("Most confident mistakes", "The wrong class had the highest probability.", surest))
    chosen.append(("Least sure hits", "Right, but only just.", unsure))
    shown = pictures(evaluation, [index for _, _, indices in chosen for index in indices], assets)
    first = dict.fromkeys(index for _, _, indices in chosen for index in indices[:WITH_MAP] if index in shown)
    drawn = network.of_classes(
        {evaluation.path(index): _explained(evaluation, index) for index in first}, assets.channels
    )
    for index in first:
        if (picture := drawn.get(evaluation.path(index))) is not None:
            shown[index] = replace(shown[index], map=assets.picture(picture))
    galleries = [
        Gallery(title, lead, [shown[index] for index in indices if index in shown])
        for title, lead, indices in chosen
        if indices
    ]
    count = f"{len(mistakes)} of {len(evaluation)} {SPLITS[evaluation.split]} images were predicted wrongly."
    return Section("images", "Images", "galleries.html", {"galleries": galleries}, f"{count} {network.note}")


def _explained(evaluation: ClassEvaluation, index: int) -> int:
    """Returns the class whose map is drawn."""
    probabilities = evaluation.probabilities[index]
    errors = abs(probabilities - evaluation.targets[index]) if evaluation.multi_label else probabilities
    return int(errors.argmax())


def pictures(evaluation: ClassEvaluation, indices: Iterable[int], assets: Assets) -> dict[int, Picture]:
    """Returns pictures of the images by their indices, without those whose files cannot be read."""
    indices = list(indices)
    ids = assets.images([evaluation.path(index) for index in indices])
    is_wrong = wrong(evaluation)
    return {
        index: Picture(ids[path], str(evaluation.keys[index]), _lines(evaluation, index), bool(is_wrong[index]))
        for index in indices
        if (path := evaluation.path(index)) in ids
    }


def _lines(evaluation: ClassEvaluation, index: int) -> list[str]:
    names, probabilities, truth = evaluation.classes, evaluation.probabilities[index], evaluation.targets[index]
    if evaluation.multi_label:
        guesses = [f"{names[k]} {share(probabilities[k])}" for k in np.flatnonzero(predicted(evaluation)[index])]
        true = [f"{names[k]} {share(probabilities[k])}" for k in np.flatnonzero(truth)]
        return [f"predicted: {', '.join(guesses) or 'nothing'}", f"true: {', '.join(true) or 'nothing'}"]
    guess = int(probabilities.argmax())
    lines = [f"{names[guess]} {share(probabilities[guess])}"]
    return lines if guess == truth else [*lines, f"is {names[truth]} {share(probabilities[truth])}"]
