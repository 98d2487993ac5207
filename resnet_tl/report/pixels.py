"""The sections about a segmentation network: classes, confusions, worst and typical images with their errors."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_tl.data.images.decode import decode
from resnet_tl.data.sources.class_list import class_colours
from resnet_tl.errors import DataError, UserError
from resnet_tl.explain.aims import region_score
from resnet_tl.metrics.extremes import worst_and_typical
from resnet_tl.prediction.drawing import to_rgb
from resnet_tl.prediction.load import load
from resnet_tl.prediction.segmentation import MaskPredictor
from resnet_tl.report import charts
from resnet_tl.report.assets import Assets
from resnet_tl.report.confusion import Cell, confusion
from resnet_tl.report.explained import Explained, explained
from resnet_tl.report.records import RunRecord
from resnet_tl.report.section import Gallery, Picture, Section, class_table, drawn
from resnet_tl.report.words import share
from resnet_tl.structures.evaluation import PixelEvaluation
from resnet_tl.structures.records import IGNORE

WORST, TYPICAL = 6, 2
"""Images whose errors are drawn."""
IN_A_CELL, IN_ALL_CELLS = 6, 90
LOOKED = "Last of each: where the network looked for the class that it predicted on most of them (Grad-CAM)."
LONG = 480
"""Pixels of the long side of a map."""

Pixels = NDArray[np.uint8]


def sections(run: RunRecord, evaluation: PixelEvaluation, assets: Assets) -> list[Section]:
    confusions = evaluation.confusions()
    return [
        _classes(run, assets),
        _confusion(evaluation, confusions, assets),
        _images(run, evaluation, confusions, assets),
    ]


def _classes(run: RunRecord, assets: Assets) -> Section:
    values = [
        {"class": row["class"], "value": row["iou"], "low": row["iou_low"], "high": row["iou_high"]}
        for row in run.tables["per_class"]
        if row["iou"] is not None
    ]
    section = class_table(run.tables["per_class"])
    chart = drawn("IoU", assets.chart(charts.intervals(values, "IoU")), "Lines: 95 % intervals over the images.")
    return Section("classes", "Classes", "classes.html", {**section.content, "charts": [chart]}, section.lead)


def _confusion(evaluation: PixelEvaluation, confusions: NDArray[np.int64], assets: Assets) -> Section:
    """A cell shows the images with most of its pixels."""
    total = confusions.sum(0)
    counts: dict[Cell, int] = {(int(true), int(guess)): int(total[true, guess]) for true, guess in np.argwhere(total)}
    cells = {
        (true, guess): np.argsort(-confusions[:, true, guess], kind="stable")[:IN_A_CELL].tolist()
        for true, guess in counts
        if true != guess
    }
    cells = {cell: [index for index in images if confusions[index][cell]] for cell, images in cells.items()}

    def pictures(chosen: list[int]) -> dict[int, Picture]:
        ids = assets.images([evaluation.path(index) for index in chosen])
        return {
            index: Picture(ids[path], str(evaluation.keys[index]), [f"{share(_wrong(confusions[index]))} wrong"])
            for index in chosen
            if (path := evaluation.path(index)) in ids
        }

    lead = "Rows are true classes, columns predictions, in percent of the true class's pixels."
    options = {"in_a_cell": IN_A_CELL, "in_all": IN_ALL_CELLS}
    return confusion(evaluation.classes, cells, pictures, lead, counts=counts, **options)


def _wrong(confusion: NDArray[np.int64]) -> float:
    """Returns the share of an image's pixels that are wrong."""
    return float(1 - np.trace(confusion) / max(confusion.sum(), 1))


def _images(run: RunRecord, evaluation: PixelEvaluation, confusions: NDArray[np.int64], assets: Assets) -> Section:
    """The images with the largest share of wrong pixels, and typical ones, predicted again for a map of them."""
    galleries: list[Gallery] = []
    lead = "The images with the largest share of wrong pixels, and those next to the median."
    colours = class_colours(evaluation.classes)
    if run.data is None:
        return Section("images", "Images", "galleries.html", {"galleries": galleries}, lead)
    try:
        predictor = load(run.folder.path, trust_code=run.trust_code)
        assert isinstance(predictor, MaskPredictor)
        colours = predictor.colours
        network = explained(run, LOOKED, predictor)
        lead = f"{lead} {network.note}"
        worst, typical = worst_and_typical(np.array([_wrong(each) for each in confusions]), WORST, TYPICAL)
        for kind, index in [*(("Worst", each) for each in worst), *(("Typical", each) for each in typical)]:
            pictures = _maps(run, evaluation, index, predictor, network, assets)
            title = f"{kind}: {evaluation.keys[index]}"
            galleries.append(Gallery(title, _described(evaluation, confusions[index]), pictures))
    except UserError as error:
        lead = f"{lead} They are not shown: {error}."
    each = zip(evaluation.classes, colours.tolist(), strict=True)
    legend = [(name, f"rgb({red} {green} {blue})") for name, (red, green, blue) in each]
    return Section("images", "Images", "galleries.html", {"galleries": galleries, "legend": legend}, lead)


def _maps(
    run: RunRecord,
    evaluation: PixelEvaluation,
    index: int,
    predictor: MaskPredictor,
    network: Explained,
    assets: Assets,
) -> list[Picture]:
    """The image, its true and predicted classes, what is wrong, and where the network looked for the class that most
    wrong pixels were predicted as; nothing if the image cannot be read."""
    assert run.data is not None
    path, key = evaluation.path(index), str(evaluation.keys[index])
    listing = run.data.evaluated("test" if evaluation.split == "test" else "val")
    try:
        pixels = to_rgb(decode(path, assets.channels))
        truth = listing.mask(listing.keys().index(key))
    except (DataError, ValueError):
        return []
    (prediction,) = predictor.predict([path])
    guess, colours = prediction.mask, predictor.colours
    maps = {
        "image": pixels,
        "true": _painted(pixels, truth, colours),
        "predicted": _painted(pixels, guess, colours),
        "errors": _error_map(pixels, truth, guess),
    }
    wrong = (truth != guess) & (truth != IGNORE)
    if wrong.any():
        label = int(np.bincount(guess[wrong]).argmax())
        under_map = network.of_part(path, partial(region_score, label, wrong & (guess == label)))
        if under_map is not None:
            maps[f"looked at for {evaluation.classes[label]}"] = under_map
    return [Picture(assets.picture(_reduced(drawing)), key, [name]) for name, drawing in maps.items()]


def _painted(pixels: Pixels, mask: Pixels, colours: Pixels) -> Pixels:
    table = np.full((256, 3), 128, np.uint8)
    table[: len(colours)] = colours
    return (0.35 * pixels + 0.65 * table[mask]).astype(np.uint8)


def _error_map(pixels: Pixels, truth: Pixels, guess: Pixels) -> Pixels:
    """The image in pale grey; wrong pixels red, those that count nowhere dark."""
    grey = np.repeat((150 + 0.4 * pixels.mean(2, keepdims=True)).astype(np.uint8), 3, 2)
    grey[truth == IGNORE] //= 3
    grey[(truth != IGNORE) & (truth != guess)] = (230, 50, 50)
    return grey


def _reduced(pixels: Pixels) -> Image.Image:
    image = Image.fromarray(pixels)
    factor = min(1.0, LONG / max(image.size))
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


def _described(evaluation: PixelEvaluation, confusion: NDArray[np.int64]) -> str:
    """The share of wrong pixels, and the largest confusions."""
    off = confusion.copy()
    np.fill_diagonal(off, 0)
    largest = np.argsort(-off.ravel(), kind="stable")[:3]
    pairs = [divmod(int(cell), len(off)) for cell in largest if off.ravel()[cell]]
    shares = off.ravel() / max(confusion.sum(), 1)
    names = evaluation.classes
    parts = [f"{names[true]} as {names[guess]} {share(shares[true * len(off) + guess])}" for true, guess in pairs]
    return f"{share(_wrong(confusion))} of the pixels are wrong: {', '.join(parts)}."
