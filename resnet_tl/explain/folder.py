"""A folder of pictures that explain predictions, with a table of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from resnet_tl.csv_text import text_cell
from resnet_tl.explain.drawing import picture
from resnet_tl.explain.explain import Explanation
from resnet_tl.prediction.writers.output import Add, FileNames, image_name, new_file, new_folder

COLUMNS = ("path", "picture", "label", "score", "x1", "y1", "x2", "y2", "largest", "inside")


@contextmanager
def explanation_folder(
    path: Path, *, numbered: bool, maps: bool = False, safe: bool = True
) -> Iterator[Add[Explanation]]:
    """A folder of `<name>.jpg`, and `explanations.csv` with a line a picture.

    `largest` is the largest value of the map; `inside` the share of its positive values within the box.

    Args:
        numbered: an image may have several explanations: `<name>-1.jpg`, `<name>-2.jpg`, ...
        maps: write `<name>.npz` too, with `map` `[H, W]` float32 in the image's own pixels.
        safe: see `resnet_tl.csv_text.text_cell`.
    """
    names, name, index, number = FileNames(), "", -1, 0
    with new_folder(path) as folder, new_file(folder / "explanations.csv") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)

        def add(each: Explanation) -> None:
            nonlocal name, index, number
            if each.index != index:
                name, index, number = names(each), each.index, 0
            number += 1
            stem = f"{name}-{number}" if numbered else name
            picture(each).save(folder / f"{stem}.jpg", quality=92)
            if maps:
                np.savez_compressed(folder / f"{stem}.npz", map=each.map)
            edges = [""] * 4 if each.box is None else [f"{edge:.2f}" for edge in each.box]
            texts = [text_cell(text, safe) for text in (image_name(each), f"{stem}.jpg", each.label)]
            inside = "" if each.box is None else f"{share_inside(each):.4f}"
            table.writerow([*texts, f"{each.score:.6f}", *edges, f"{each.map.max():.6g}", inside])

        yield add


def share_inside(explanation: Explanation) -> float:
    """Returns the share of the map's positive values that lie within the box; 0 for a map without any."""
    assert explanation.box is not None
    positive = explanation.map.clip(min=0)
    x1, y1, x2, y2 = (max(round(edge), 0) for edge in explanation.box)
    total = float(positive.sum())
    return float(positive[y1:y2, x1:x2].sum()) / total if total > 0 else 0.0
