"""Vehicles, in two views each: every call draws a different one, with its own proportions and colours."""

from __future__ import annotations

import numpy as np

from drawing.shapes import GLASS, METALS, RUBBER, Part, box, curve, ellipse, lacquer, limb, pick, polygon, shade


def airplane(rng: np.random.Generator) -> list[Part]:
    return _airplane_aside(rng) if rng.random() < 0.5 else _airplane_above(rng)


def car(rng: np.random.Generator) -> list[Part]:
    return _car_aside(rng) if rng.random() < 0.6 else _car_ahead(rng)


def truck(rng: np.random.Generator) -> list[Part]:
    return _truck_aside(rng) if rng.random() < 0.65 else _truck_ahead(rng)


def ship(rng: np.random.Generator) -> list[Part]:
    return _freighter(rng) if rng.random() < 0.6 else _sailing_boat(rng)


def _skin(rng: np.random.Generator) -> tuple[float, float, float]:
    return pick(rng, METALS[:3]) if rng.random() < 0.7 else lacquer(rng)


def _airplane_aside(rng: np.random.Generator) -> list[Part]:
    skin, livery = _skin(rng), lacquer(rng)
    t, fin, span = rng.uniform(0.09, 0.15), rng.uniform(0.32, 0.5), rng.uniform(0.3, 0.5)
    root = rng.uniform(0.0, 0.2)
    return [
        Part(polygon((-0.6, -t), (-0.92, -t - fin), (-1.05, -t - fin), (-0.98, 0)), livery),
        Part(
            polygon((root, -t / 2), (root - 0.45, -span), (root - 0.55, -span), (root - 0.3, -t / 2)), shade(skin, 0.8)
        ),
        Part(curve((-1.05, -t * 0.8), (-0.3, -t), (0.6, -t), (1.0, 0), (0.7, t), (-0.2, t), (-0.8, t * 0.3)), skin),
        Part(limb(-0.6, -t * 0.25, 0.6, -t * 0.25, t * 0.35), shade(GLASS, rng.uniform(0.7, 1.3))),
        Part(polygon((0.72, -t * 0.6), (0.88, -t * 0.45), (0.8, -t * 0.1), (0.7, -t * 0.1)), GLASS),
        Part(polygon((-0.7, 0), (-1.0, 0.16), (-1.08, 0.16), (-0.95, 0)), shade(skin, 0.65)),
        Part(
            polygon((root, t * 0.3), (root - 0.5, span), (root - 0.64, span), (root - 0.35, t * 0.3)), shade(skin, 0.7)
        ),
        Part(ellipse(root - 0.12, t * 0.3 + span * 0.35, 0.13, 0.06), shade(livery, 0.8)),
    ]


def _airplane_above(rng: np.random.Generator) -> list[Part]:
    skin, livery = _skin(rng), lacquer(rng)
    t, sweep, chord = rng.uniform(0.08, 0.14), rng.uniform(0.1, 0.55), rng.uniform(0.2, 0.34)
    span = rng.uniform(0.75, 1.0)
    parts = []
    for side in (-1, 1):
        wing = polygon((0.2, 0), (0.2 - sweep, side * span), (0.08 - sweep, side * span), (0.2 - chord, 0))
        tail = polygon((-0.7, 0), (-0.92, side * 0.34), (-1.02, side * 0.34), (-0.95, 0))
        engine = ellipse(0.16 - sweep * 0.35, side * span * 0.35, 0.12, 0.055)
        parts += [Part(engine, shade(livery, 0.7)), Part(wing, shade(skin, 0.78 + 0.08 * side)), Part(tail, livery)]
    return [
        *parts,
        Part(ellipse(0, 0, 1.0, t), skin),
        Part(limb(-0.98, 0, -0.7, 0, 0.04), shade(livery, 0.7)),
        Part(polygon((0.82, -t * 0.4), (0.9, 0), (0.82, t * 0.4), (0.74, t * 0.5), (0.74, -t * 0.5)), GLASS),
    ]


def _wheel(x: float, y: float, radius: float) -> list[Part]:
    return [
        Part(ellipse(x, y, radius, radius), RUBBER),
        Part(ellipse(x, y, radius * 0.5, radius * 0.5), (0.6, 0.6, 0.62)),
    ]


def _car_aside(rng: np.random.Generator) -> list[Part]:
    paint = lacquer(rng)
    roof, wheel = rng.uniform(-0.5, -0.36), rng.uniform(0.17, 0.23)
    back, front = rng.uniform(-0.85, -0.45), rng.uniform(0.2, 0.4)
    hood, belly = rng.uniform(-0.1, 0.0), 0.3
    pillar = (back + front) / 2
    return [
        Part(polygon((back - 0.15, 0), (back + 0.05, roof), (front - 0.1, roof), (front + 0.3, 0)), paint),
        Part(
            polygon((back, -0.02), (back + 0.12, roof + 0.08), (pillar - 0.03, roof + 0.08), (pillar - 0.03, -0.02)),
            GLASS,
        ),
        Part(
            polygon(
                (pillar + 0.04, -0.02), (pillar + 0.04, roof + 0.08), (front - 0.14, roof + 0.08), (front + 0.14, -0.02)
            ),
            GLASS,
        ),
        Part(
            curve((-1, 0.0), (-0.6, hood - 0.03), (0.4, hood), (0.95, 0.08), (1.0, 0.25), (0.9, belly), (-0.95, belly)),
            paint,
        ),
        Part(limb(-0.95, belly - 0.02, 0.95, belly - 0.02, 0.08), shade(paint, 0.5)),
        Part(ellipse(0.92, 0.12, 0.07, 0.05), (0.97, 0.95, 0.75)),
        Part(box(-1.0, 0.08, -0.92, 0.18), (0.75, 0.1, 0.1)),
        *_wheel(-0.58, belly, wheel),
        *_wheel(0.58, belly, wheel),
    ]


def _car_ahead(rng: np.random.Generator) -> list[Part]:
    paint = lacquer(rng)
    roof, top, wide = rng.uniform(-0.62, -0.45), rng.uniform(0.38, 0.5), rng.uniform(0.68, 0.8)
    lamp = (0.97, 0.95, 0.8)
    return [
        Part(box(-wide + 0.03, 0.3, -wide + 0.25, 0.66), RUBBER),
        Part(box(wide - 0.25, 0.3, wide - 0.03, 0.66), RUBBER),
        Part(polygon((-wide + 0.08, -0.05), (-top, roof), (top, roof), (wide - 0.08, -0.05)), paint),
        Part(
            polygon((-wide + 0.18, -0.06), (-top + 0.05, roof + 0.08), (top - 0.05, roof + 0.08), (wide - 0.18, -0.06)),
            GLASS,
        ),
        Part(curve((-wide, 0.05), (0, -0.12), (wide, 0.05), (wide, 0.45), (0, 0.52), (-wide, 0.45)), paint),
        Part(box(-0.3, 0.14, 0.3, 0.3), shade(RUBBER, 2)),
        Part(ellipse(-wide + 0.17, 0.16, 0.13, 0.09), lamp),
        Part(ellipse(wide - 0.17, 0.16, 0.13, 0.09), lamp),
        Part(box(-0.16, 0.36, 0.16, 0.44), (0.85, 0.85, 0.8)),
    ]


def _truck_aside(rng: np.random.Generator) -> list[Part]:
    cab, load = lacquer(rng), lacquer(rng)
    roof, cargo, split = rng.uniform(-0.45, -0.25), rng.uniform(-0.7, -0.45), rng.uniform(0.35, 0.48)
    nose = rng.uniform(0.0, 0.2)
    bed = 0.32
    if rng.random() < 0.75:
        freight = [
            Part(box(-1.0, cargo, split, bed - 0.06), load),
            Part(box(-1.0, cargo, split, cargo + 0.06), shade(load, 1.2)),
        ]
        freight += [Part(limb(x, cargo + 0.1, x, bed - 0.1, 0.02), shade(load, 0.75)) for x in (-0.65, -0.3, 0.05)]
    else:
        tank = (bed - 0.06 + cargo) / 2
        freight = [Part(ellipse((split - 1) / 2, tank, (split + 1) / 2, (bed - cargo) / 2), load)]
    return [
        *freight,
        Part(
            polygon(
                (split + 0.05, bed),
                (split + 0.05, roof),
                (0.95 - nose, roof),
                (1.0 - nose / 2, -0.02),
                (1.0, 0.02),
                (1.0, bed),
            ),
            cab,
        ),
        Part(
            polygon(
                (split + 0.16, -0.03), (split + 0.16, roof + 0.08), (0.9 - nose, roof + 0.08), (0.95 - nose / 2, -0.03)
            ),
            GLASS,
        ),
        Part(box(-1.0, bed - 0.06, 1.0, bed + 0.05), shade(RUBBER, 2.2)),
        Part(box(0.93, 0.12, 1.02, 0.22), (0.97, 0.95, 0.75)),
        *_wheel(-0.75, bed + 0.1, 0.17),
        *_wheel(-0.38, bed + 0.1, 0.17),
        *_wheel(0.7, bed + 0.1, 0.17),
    ]


def _truck_ahead(rng: np.random.Generator) -> list[Part]:
    cab, load = lacquer(rng), lacquer(rng)
    roof, wide = rng.uniform(-0.75, -0.6), rng.uniform(0.55, 0.65)
    lamp = (0.97, 0.95, 0.8)
    return [
        Part(box(-wide - 0.06, roof - rng.uniform(0.1, 0.25), wide + 0.06, 0.5), load),
        Part(box(-wide, 0.5, -wide + 0.24, 0.85), RUBBER),
        Part(box(wide - 0.24, 0.5, wide, 0.85), RUBBER),
        Part(box(-wide, roof, wide, 0.65), cab),
        Part(box(-wide + 0.08, roof + 0.14, wide - 0.08, -0.1), GLASS),
        *[Part(limb(-0.32, y, 0.32, y, 0.06), shade(RUBBER, 2.5)) for y in (0.08, 0.2, 0.32)],
        Part(ellipse(-wide + 0.13, 0.42, 0.09, 0.08), lamp),
        Part(ellipse(wide - 0.13, 0.42, 0.09, 0.08), lamp),
        Part(box(-wide, 0.54, wide, 0.66), shade(RUBBER, 3)),
        Part(box(-wide - 0.2, -0.5, -wide - 0.1, -0.15), RUBBER),
        Part(box(wide + 0.1, -0.5, wide + 0.2, -0.15), RUBBER),
    ]


def _freighter(rng: np.random.Generator) -> list[Part]:
    hull, house, funnel = lacquer(rng), pick(rng, METALS[:2]), lacquer(rng)
    stern, high = rng.uniform(-0.75, -0.3), rng.uniform(0.35, 0.55)
    deck = 0.1
    parts = [
        Part(limb(stern + 0.1, deck, stern + 0.1, deck - high - 0.3, 0.04), shade(house, 0.6)),
        Part(
            polygon(
                (stern - 0.12, deck - high - 0.2),
                (stern + 0.06, deck - high - 0.2),
                (stern + 0.06, deck),
                (stern - 0.12, deck),
            ),
            funnel,
        ),
        Part(box(stern - 0.05, deck - high, stern + 0.3, deck), house),
        Part(box(stern - 0.2, deck - high * 0.55, stern + 0.42, deck), shade(house, 0.9)),
        Part(limb(stern, deck - high * 0.8, stern + 0.28, deck - high * 0.8, 0.05), GLASS),
        Part(limb(stern - 0.14, deck - high * 0.3, stern + 0.38, deck - high * 0.3, 0.05), GLASS),
    ]
    left = stern + 0.48
    while left < 0.65:
        parts.append(Part(box(left, deck - rng.uniform(0.1, 0.3), left + 0.17, deck), lacquer(rng)))
        left += 0.19
    return [
        *parts,
        Part(polygon((-1.0, deck - 0.04), (0.75, deck), (1.0, deck - 0.12), (0.82, 0.42), (-0.88, 0.42)), hull),
        Part(polygon((-0.93, 0.34), (0.85, 0.34), (0.82, 0.44), (-0.88, 0.44)), (0.55, 0.15, 0.12)),
    ]


def _sailing_boat(rng: np.random.Generator) -> list[Part]:
    hull, cloth = lacquer(rng), pick(rng, METALS[:1]) if rng.random() < 0.6 else lacquer(rng)
    top, mast, deep = rng.uniform(-1.0, -0.8), rng.uniform(-0.1, 0.12), rng.uniform(0.22, 0.34)
    deck = 0.45
    return [
        Part(limb(mast, deck, mast, top, 0.05), (0.4, 0.28, 0.18)),
        Part(
            curve(
                (mast - 0.04, top + 0.05), (mast - 0.08, deck - 0.12), (mast - 0.7, deck - 0.14), (mast - 0.32, -0.3)
            ),
            cloth,
        ),
        Part(
            polygon((mast + 0.06, top + 0.15), (mast + 0.06, deck - 0.1), (mast + 0.62, deck - 0.06)),
            shade(cloth, 0.85),
        ),
        Part(polygon((-0.8, deck), (0.95, deck - 0.08), (0.6, deck + deep), (-0.65, deck + deep)), hull),
        Part(limb(-0.75, deck + 0.03, 0.85, deck - 0.03, 0.05), shade(hull, 1.4)),
    ]
