"""The kinds of corruption of ImageNet-C (arXiv:1903.12261), each in five severities: all fifteen but frost, which needs
photographs of frost to blend.

The constants are those of ImageNet-C/create_c/make_imagenet_c.py in github.com/hendrycks/robustness (commit e0377d46),
for images of 224 pixels; motion is blurred as ImageMagick does it (MagickCore/effect.c), which that program calls.
Zooms and warps are OpenCV's, so that pixels differ by what interpolations differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Pixels = NDArray[np.float32]
"""`[H, W, 3]`, RGB, 0...1."""


def corrupted(pixels: Pixels, kind: str, severity: int, seed: int) -> Pixels:
    """Returns an image with one of `KINDS`, of severity 1...5."""
    change, constants = KINDS[kind]
    return np.clip(change(pixels, constants[severity - 1], np.random.default_rng(seed)), 0, 1).astype(np.float32)


def as_bytes(pixels: Pixels) -> NDArray[np.uint8]:
    return (pixels * 255).astype(np.uint8)


def gaussian_noise(pixels: Pixels, scale: float, rng: np.random.Generator) -> Any:
    return pixels + rng.normal(scale=scale, size=pixels.shape)


def shot_noise(pixels: Pixels, photons: float, rng: np.random.Generator) -> Any:
    return rng.poisson(pixels * photons) / photons


def impulse_noise(pixels: Pixels, share: float, rng: np.random.Generator) -> Any:
    hit, white = rng.random(pixels.shape) < share, rng.random(pixels.shape) < 0.5
    return np.where(hit, white, pixels)


def defocus_blur(pixels: Pixels, disk: tuple[int, float], rng: np.random.Generator) -> Any:
    radius, alias = disk
    reach, size = (8, 3) if radius <= 8 else (radius, 5)
    x, y = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    kernel = (x**2 + y**2 <= radius**2).astype(np.float32)
    return cv2.filter2D(pixels, -1, cv2.GaussianBlur(kernel / kernel.sum(), (size, size), sigmaX=alias))


def glass_blur(pixels: Pixels, glass: tuple[float, int, int], rng: np.random.Generator) -> Any:
    """Pixels become others of up to `reach` away, in several rounds, between two blurs."""
    sigma, reach, rounds = glass
    height, width = pixels.shape[:2]
    source = list(range(height * width))
    inner = [y * width + x for y in range(height - reach, reach, -1) for x in range(width - reach, reach, -1)]
    for _ in range(rounds):
        dx, dy = rng.integers(-reach, reach, (2, len(inner)))
        for at, move in zip(inner, (dy * width + dx).tolist(), strict=True):
            source[at] = source[at + move]  # the original means to exchange both, but its arrays are views
    shuffled = as_bytes(_blurred(pixels, sigma)).reshape(-1, 3)[source].reshape(pixels.shape)
    return _blurred(shuffled.astype(np.float32) / 255, sigma)


def motion_blur(pixels: Pixels, motion: tuple[int, float], rng: np.random.Generator) -> Any:
    return _moved(pixels, *motion, degrees=rng.uniform(-45, 45))


def zoom_blur(pixels: Pixels, zooms: tuple[float, float], rng: np.random.Generator) -> Any:
    """The mean of the image and of its zooms, 1 included. zooms: end of their range, step."""
    factors = np.arange(1, *zooms)
    return (pixels + sum(_zoomed(pixels, factor) for factor in factors)) / (len(factors) + 1)


def snow(pixels: Pixels, flakes: tuple[float, ...], rng: np.random.Generator) -> Any:
    """Flakes are what of a zoomed noise is above a threshold, blurred by their fall; the image is whitened."""
    mean, scale, zoom, threshold, radius, sigma, share = flakes
    layer = _zoomed(rng.normal(mean, scale, pixels.shape[:2]).astype(np.float32), zoom)
    layer = np.clip(np.where(layer < threshold, 0, layer), 0, 1).astype(np.float32)
    layer = _moved(layer, int(radius), sigma, degrees=rng.uniform(-135, -45))[..., None]
    white = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None] * 1.5 + 0.5
    return share * pixels + (1 - share) * np.maximum(pixels, white) + layer + layer[::-1, ::-1]


def fog(pixels: Pixels, haze: tuple[float, float], rng: np.random.Generator) -> Any:
    density, decay = haze
    brightest = pixels.max()
    clouds = plasma(max(pixels.shape[:2]), decay, rng)[: pixels.shape[0], : pixels.shape[1], None]
    return (pixels + density * clouds) * brightest / (brightest + density)


def brightness(pixels: Pixels, added: float, rng: np.random.Generator) -> Any:
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    hsv[..., 2] = np.clip(hsv[..., 2] + added, 0, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def contrast(pixels: Pixels, factor: float, rng: np.random.Generator) -> Any:
    means = pixels.mean((0, 1), keepdims=True)
    return (pixels - means) * factor + means


def elastic(pixels: Pixels, warp: tuple[float, float, float], rng: np.random.Generator) -> Any:
    """A random affine map, then shifts that are a smooth random field. warp: its height, its width, the affine map's
    largest shift of a corner, in pixels."""
    amplitude, sigma, shift = warp
    height, width = pixels.shape[:2]
    x, y, arm = width // 2, height // 2, min(height, width) // 3
    corners = np.array([[x + arm, y + arm], [x + arm, y - arm], [x - arm, y - arm]], np.float32)
    moved = corners + rng.uniform(-shift, shift, corners.shape).astype(np.float32)
    matrix = cv2.getAffineTransform(corners, moved)
    image = cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    fields = [rng.uniform(-1, 1, (height, width)) for _ in range(2)]
    dx, dy = (amplitude * gaussian_filter(field, sigma, mode="reflect", truncate=3) for field in fields)
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    places = (columns + dx).astype(np.float32), (rows + dy).astype(np.float32)
    return cv2.remap(image, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def pixelate(pixels: Pixels, factor: float, rng: np.random.Generator) -> Any:
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, (int(width * factor), int(height * factor)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


def jpeg(pixels: Pixels, quality: int, rng: np.random.Generator) -> Any:
    data = cv2.imencode(".jpg", as_bytes(pixels)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1] / 255


def plasma(side: int, decay: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Returns a fractal of heights 0...1, `[side, side]`: on a torus whose side is a power of two, the middles of
    squares, then of their edges, become the mean of their neighbours and a random height (diamond-square). Each halving
    of the squares divides the range of these heights by the square of `decay`."""
    step = 1 << (side - 1).bit_length()
    heights, spread = np.zeros((step, step)), 100.0

    def mean(*neighbours: NDArray[np.float64]) -> NDArray[np.float64]:
        return sum(neighbours) / 4 + spread * rng.uniform(-spread, spread, neighbours[0].shape)

    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step].copy()
        right, below = np.roll(corners, -1, 1), np.roll(corners, -1, 0)
        middles = mean(corners, right, below, np.roll(right, -1, 0))
        heights[half::step, half::step] = middles
        heights[::step, half::step] = mean(corners, right, middles, np.roll(middles, 1, 0))
        heights[half::step, ::step] = mean(corners, below, middles, np.roll(middles, 1, 1))
        step, spread = half, spread / decay
    heights -= heights.min()
    return heights[:side, :side] / heights.max()


def _blurred(pixels: Pixels, sigma: float) -> Pixels:
    return gaussian_filter(pixels, (sigma, sigma, 0), mode="nearest")


def _moved(pixels: Pixels, radius: int, sigma: float, degrees: float) -> Pixels:
    """Blurs along a line of 2 radius + 1 pixels that starts at each pixel, with the weights of half a Gaussian."""
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    angle = np.deg2rad(degrees)
    dy, dx = np.ceil(np.outer([np.sin(angle), np.cos(angle)], steps) - 0.5).astype(int)
    kernel = np.zeros((4 * radius + 1, 4 * radius + 1), np.float32)
    np.add.at(kernel, (2 * radius + dy, 2 * radius + dx), weights / weights.sum())
    return cv2.filter2D(pixels, -1, kernel, borderType=cv2.BORDER_REPLICATE)


def _zoomed(pixels: Pixels, factor: float) -> Pixels:
    """Returns the middle of an image, enlarged to its size."""
    height, width = pixels.shape[:2]
    y, x = (height - 1) / 2, (width - 1) / 2
    back = np.array([[1 / factor, 0, x - x / factor], [0, 1 / factor, y - y / factor]])
    return cv2.warpAffine(pixels, back, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


KINDS: dict[str, tuple[Callable[[Pixels, Any, np.random.Generator], Any], tuple[Any, ...]]] = {
    "gaussian_noise": (gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot_noise": (shot_noise, (60, 25, 12, 5, 3)),
    "impulse_noise": (impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27)),
    "defocus_blur": (defocus_blur, ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))),
    "glass_blur": (glass_blur, ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))),
    "motion_blur": (motion_blur, ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))),
    "zoom_blur": (zoom_blur, ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))),
    "snow": (
        snow,
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    ),
    "fog": (fog, ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))),
    "brightness": (brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": (contrast, (0.4, 0.3, 0.2, 0.1, 0.05)),
    "elastic": (
        elastic,
        ((488, 170.8, 24.4), (488, 19.52, 48.8), (12.2, 2.44, 4.88), (17.08, 2.44, 4.88), (29.28, 2.44, 4.88)),
    ),
    "pixelate": (pixelate, (0.6, 0.5, 0.4, 0.3, 0.25)),
    "jpeg": (jpeg, (25, 18, 15, 10, 7)),
}
"""What changes an image, and its constants for each severity."""

FAMILIES = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "fog", "brightness"),
    "digital": ("contrast", "elastic", "pixelate", "jpeg"),
}
"""The paper's four."""
