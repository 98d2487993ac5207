"""Drawings as images and text, for loggers without charts of their own."""

from __future__ import annotations

import csv
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from resnet_tl.fonts import draw_text
from resnet_tl.structures.records import IGNORE
from resnet_tl.tracking.loggers.drawings import Calibration, Cell, Confusion, LabelledBox, Picture, Pictures, Table

Pixels = NDArray[np.uint8]

INK, TRUE, PREDICTED, WRONG = "black", "#f59e0b", "#10b981", (230, 50, 50)
SIDE, TEXT, COLUMNS = 240, 34, 4
"""Of a sheet of pictures: pixels of a picture's longer side and of the caption below it, pictures in a row."""


def painted(drawing: Confusion | Calibration | Pictures) -> Pixels:
    """Returns `[H, W, 3]`."""
    if isinstance(drawing, Confusion):
        return np.asarray(_confusion(drawing))
    return np.asarray(_calibration(drawing) if isinstance(drawing, Calibration) else _sheet(drawing))


def as_csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([table.columns, *table.rows])
    return text.getvalue()


def as_markdown(table: Table) -> str:
    lines = [table.columns, ["---"] * len(table.columns), *(map(_cell, row) for row in table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Cell) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value).replace("|", "\\|")


def _confusion(drawing: Confusion) -> Image.Image:
    """The darker a cell, the larger its share of the true class; rows are true classes."""
    names, counts = drawing.names, drawing.counts
    side, margin = max(10, min(48, 960 // len(names))), 110
    image = Image.new("RGB", (margin + side * len(names) + 1, margin + side * len(names) + 1), "white")
    canvas, size = ImageDraw.Draw(image), max(8, min(11, side - 4))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    for (true, guess), share in np.ndenumerate(shares):
        x, y = margin + side * guess, margin + side * true
        blue = round(255 - 200 * share)
        canvas.rectangle((x, y, x + side, y + side), (blue, blue, 255), "#dddddd")
        if side >= 24 and counts[true, guess]:
            ink = "white" if share > 0.6 else INK
            draw_text(canvas, (x + side / 2, y + side / 2), _short(int(counts[true, guess])), ink, size, "mm")
    for index, name in enumerate(names):
        at = margin + side * (index + 0.5)
        draw_text(canvas, (margin - 4, at), name[:16], INK, size, "rm")
        label = Image.new("L", (margin - 8, side), 0)
        draw_text(ImageDraw.Draw(label), (0, side / 2), name[:16], 255, size, "lm")
        turned = label.rotate(90, expand=True)
        image.paste(Image.new("RGB", turned.size, INK), (margin + side * index, 0), turned)
    draw_text(canvas, (4, 4), "rows: true\ncolumns: predicted", INK, 10)
    return image


def _short(count: int) -> str:
    """`12`, `3.4k`, `5.6M`."""
    return next(
        (f"{count / unit:.2g}{letter}" for unit, letter in ((10**6, "M"), (10**3, "k")) if count >= unit), str(count)
    )


def _calibration(drawing: Calibration) -> Image.Image:
    side, margin = 320, 40
    image = Image.new("RGB", (side + 2 * margin, side + 2 * margin), "white")
    canvas = ImageDraw.Draw(image)

    def at(x: float, y: float) -> tuple[float, float]:
        return margin + side * x, margin + side * (1 - y)

    canvas.rectangle((*at(0, 1), *at(1, 0)), outline="#bbbbbb")
    canvas.line((at(0, 0), at(1, 1)), "#bbbbbb")
    points = [at(x, y) for x, y in zip(drawing.confidence, drawing.accuracy, strict=True)]
    canvas.line(points, "#2563eb", 2)
    for x, y in points:
        canvas.ellipse((x - 3, y - 3, x + 3, y + 3), "#2563eb")
    draw_text(canvas, (margin + side / 2, side + margin + 14), "confidence, 0 to 1", INK, 11, "mt")
    draw_text(canvas, (margin, margin - 8), "accuracy, 0 to 1 (grey: perfectly calibrated)", INK, 11, "ls")
    return image


def _sheet(drawing: Pictures) -> Image.Image:
    """Pictures side by side with their captions; true boxes are orange, predicted ones green, wrong pixels red."""
    pictures, step = drawing.pictures, SIDE + TEXT
    columns = min(COLUMNS, len(pictures))
    sheet = Image.new("RGB", (columns * (SIDE + 4), -(-len(pictures) // columns) * step), "white")
    canvas = ImageDraw.Draw(sheet)
    for index, picture in enumerate(pictures):
        x, y = index % columns * (SIDE + 4), index // columns * step
        sheet.paste(_with_boxes(picture, drawing.classes), (x, y))
        caption = picture.caption
        draw_text(canvas, (x, y + SIDE + 2), f"{caption[:44]}\n{caption[44:88]}", INK, 10)
    return sheet


def _with_boxes(picture: Picture, classes: list[str]) -> Image.Image:
    image = Image.fromarray(_errors(picture))
    factor = SIDE / max(image.size)
    image = image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))
    canvas = ImageDraw.Draw(image)
    for boxes, colour in ((picture.true, TRUE), (picture.predicted, PREDICTED)):
        for box in boxes:
            x1, y1, x2, y2 = _pixels(box, image.size)
            canvas.rectangle((x1, y1, x2, y2), outline=colour)
            if box.score is not None:
                draw_text(canvas, (x1 + 2, y1), f"{classes[box.label]} {box.score:.2f}", colour, 10)
    return image


def _errors(picture: Picture) -> Pixels:
    """The image; with masks in grey, its wrong pixels red and those that are ignored dark."""
    if picture.true_mask is None or picture.predicted_mask is None:
        return picture.pixels
    grey = np.repeat((130 + 0.45 * picture.pixels.mean(2, keepdims=True)).astype(np.uint8), 3, 2)
    ignored = picture.true_mask == IGNORE
    grey[ignored] //= 3
    wrong = ~ignored & (picture.true_mask != picture.predicted_mask)
    grey[wrong] = grey[wrong] // 2 + np.array(WRONG, np.uint8) // 2
    return grey


def _pixels(box: LabelledBox, size: tuple[int, int]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (corner * side for corner, side in zip(box.corners, (*size, *size), strict=True))
    return x1, y1, max(x1, x2), max(y1, y2)
