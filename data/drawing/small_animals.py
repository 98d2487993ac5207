"""Birds and frogs, in two views each: every call draws a different one, with its own proportions and colours."""

from __future__ import annotations

import numpy as np

from drawing.shapes import (
    DARK,
    FURS,
    Colour,
    Part,
    curve,
    ellipse,
    eyes,
    hsv,
    jitter,
    limb,
    mirrored,
    pick,
    polygon,
    shade,
)


def bird(rng: np.random.Generator) -> list[Part]:
    return _bird_perched(rng) if rng.random() < 0.6 else _bird_flying(rng)


def frog(rng: np.random.Generator) -> list[Part]:
    return _frog_aside(rng) if rng.random() < 0.5 else _frog_ahead(rng)


def _plumage(rng: np.random.Generator) -> Colour:
    return pick(rng, FURS) if rng.random() < 0.5 else hsv(rng.random(), rng.uniform(0.4, 0.9), rng.uniform(0.4, 0.9))


def _bird_perched(rng: np.random.Generator) -> list[Part]:
    coat, wing = _plumage(rng), _plumage(rng)
    fat, neck, leg = rng.uniform(0.28, 0.42), rng.uniform(0.0, 0.35), rng.uniform(0.15, 0.5)
    beak, tail, head = rng.uniform(0.15, 0.35), rng.uniform(0.35, 0.65), rng.uniform(0.17, 0.23)
    hx, hy = 0.42 + neck * 0.3, -0.35 - neck
    bill = jitter(rng, (0.85, 0.6, 0.15))
    return [
        *[Part(limb(x, 0.2, x + rng.uniform(-0.08, 0.08), 0.3 + leg, 0.05), shade(bill, 0.7)) for x in (-0.05, 0.12)],
        Part(polygon((-0.4, -0.05), (-0.4 - tail, 0.12), (-0.35 - tail, 0.3), (-0.3, 0.2)), shade(wing, 0.8)),
        Part(limb(0.28, -0.05, hx, hy, fat * 0.8, head * 1.3), coat),
        Part(ellipse(0, 0.08, 0.5, fat, -0.25), coat),
        Part(ellipse(0.12, 0.2, 0.3, fat * 0.6, -0.3), shade(coat, 1.25)),
        Part(curve((0.2, -0.1), (-0.2, -0.18), (-0.65, 0.12), (-0.2, 0.22)), wing),
        Part(polygon((hx + head * 0.7, hy - 0.08), (hx + head + beak, hy + 0.03), (hx + head * 0.7, hy + 0.1)), bill),
        Part(ellipse(hx, hy, head, head * 0.92), coat),
        Part(ellipse(hx + head * 0.35, hy - 0.04, 0.05, 0.05), DARK),
    ]


def _bird_flying(rng: np.random.Generator) -> list[Part]:
    coat, wing = _plumage(rng), _plumage(rng)
    lift, span, beak = rng.uniform(0.4, 0.9), rng.uniform(0.2, 0.5), rng.uniform(0.12, 0.25)
    return [
        Part(
            curve((0.25, 0), (0.15, -lift * 0.7), (-0.15 - span, -lift), (-0.1, -lift * 0.45), (-0.25, 0)),
            shade(wing, 0.7),
        ),
        Part(polygon((-0.45, -0.05), (-0.95, -0.12), (-0.9, 0.16), (-0.4, 0.1)), shade(coat, 0.75)),
        Part(polygon((0.7, -0.1), (0.74 + beak, 0.0), (0.7, 0.05)), (0.85, 0.6, 0.15)),
        Part(ellipse(0.05, 0.02, 0.55, 0.17, -0.08), coat),
        Part(ellipse(0.58, -0.05, 0.16, 0.14), coat),
        Part(ellipse(0.64, -0.08, 0.035, 0.035), DARK),
        Part(
            curve((0.3, 0.05), (0.3, -lift * 0.6), (0.05 + span, -lift * 1.05), (-0.05, -lift * 0.55), (-0.25, 0.05)),
            wing,
        ),
    ]


def _frog_skin(rng: np.random.Generator) -> Colour:
    hue = rng.uniform(0.1, 0.36) if rng.random() < 0.7 else rng.random()
    return hsv(hue, rng.uniform(0.4, 0.85), rng.uniform(0.35, 0.75))


def _frog_aside(rng: np.random.Generator) -> list[Part]:
    skin, throat = _frog_skin(rng), (0.88, 0.86, 0.66)
    hunch, eye = rng.uniform(-0.4, -0.2), rng.uniform(0.12, 0.17)
    parts = [
        Part(limb(0.35, 0.2, 0.5, 0.6, 0.18, 0.12), shade(skin, 0.7)),
        Part(curve((-0.75, 0.4), (-0.45, hunch), (0.3, -0.35), (0.85, -0.12), (0.8, 0.12), (0.2, 0.45)), skin),
        Part(curve((0.25, 0.12), (0.8, 0.06), (0.6, 0.28), (0.2, 0.42)), throat),
        Part(limb(0.4, 0.05, 0.84, 0.02, 0.04), shade(skin, 0.5)),
        Part(ellipse(-0.42, 0.28, 0.4, 0.22, 0.45), shade(skin, 0.85)),
        Part(limb(-0.65, 0.55, 0.0, 0.58, 0.14, 0.1), shade(skin, 0.75)),
        Part(limb(0.2, 0.2, 0.28, 0.6, 0.16, 0.12), shade(skin, 0.95)),
        Part(ellipse(0.42, -0.33, eye, eye), shade(skin, 1.2)),
        Part(ellipse(0.46, -0.34, eye * 0.65, eye * 0.65), (0.9, 0.75, 0.2)),
        Part(ellipse(0.47, -0.34, eye * 0.4, eye * 0.3), DARK),
    ]
    return parts + _warts(rng, skin, -0.4, 0.2, -0.1, 0.1)


def _frog_ahead(rng: np.random.Generator) -> list[Part]:
    skin, throat = _frog_skin(rng), (0.88, 0.86, 0.66)
    wide, eye, gape = rng.uniform(0.6, 0.75), rng.uniform(0.17, 0.23), rng.uniform(0.4, 0.55)
    return [
        *mirrored(ellipse(wide - 0.05, 0.5, 0.22, 0.38, 0.4), shade(skin, 0.75)),
        *mirrored(limb(wide, 0.8, wide + 0.3, 0.86, 0.14, 0.08), shade(skin, 0.7)),
        Part(curve((-wide, 0.1), (0, -0.4), (wide, 0.1), (0.55, 0.75), (-0.55, 0.75)), skin),
        Part(ellipse(0, 0.5, 0.42, 0.3), throat),
        *mirrored(limb(0.36, 0.45, 0.4, 0.88, 0.16, 0.12), shade(skin, 0.9)),
        *mirrored(ellipse(0.36, -0.32, eye, eye), shade(skin, 1.15)),
        *eyes(0.36, -0.34, eye * 0.7, (0.9, 0.75, 0.2)),
        Part(curve((-gape, 0.08), (0, 0.16), (gape, 0.08), (0, 0.24)), shade(skin, 0.45)),
        *_warts(rng, skin, -0.35, 0.35, -0.2, 0.0),
    ]


def _warts(rng: np.random.Generator, skin: Colour, left: float, right: float, top: float, bottom: float) -> list[Part]:
    spots = rng.integers(0, 5)
    return [
        Part(ellipse(rng.uniform(left, right), rng.uniform(top, bottom), 0.07, 0.05), shade(skin, 0.6))
        for _ in range(spots)
    ]
