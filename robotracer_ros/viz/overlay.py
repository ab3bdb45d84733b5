# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A trace drawn on the image it came from."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from robotracer_ros.geometry.camera import UV_RANGE
from robotracer_ros.geometry.trace import Referring, Trace

#: colours along the trace, first to last point
START_RGB, END_RGB = (46, 204, 113), (231, 76, 60)
_REFERRING_RGB = (52, 152, 219)
_MIN_WIDTH = 960


def gradient(n: int) -> NDArray[np.uint8]:
    """Return (n, 3) uint8 colours from ``START_RGB`` to ``END_RGB``, through yellow so that the middle stays bright."""
    stops = np.array([START_RGB, (241, 196, 15), END_RGB], dtype=float)
    t = np.linspace(0, 2, max(n, 1))
    low = np.minimum(t.astype(int), 1)
    return np.round(stops[low] + (t - low)[:, None] * (stops[low + 1] - stops[low])).astype(
        np.uint8
    )


def draw_trace(
    rgb: NDArray[np.uint8], trace: Trace, *, labels: bool = True, min_width: int = _MIN_WIDTH
) -> NDArray[np.uint8]:
    """Draw a trace with its depths, the things it refers to and the instruction.

    Args:
        rgb: (H, W, 3) uint8 image.
        trace: Its u and v are relative to this image, whatever its size.
        labels: Write depths, targets and the instruction.
        min_width: Smaller images are enlarged to this width, so that the writing can be read.

    Returns:
        (H', W', 3) uint8 image of the same aspect, plus a caption line below when ``labels``.
    """
    scale = max(1.0, min_width / rgb.shape[1])
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    image = (
        Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS)
        if scale > 1
        else Image.fromarray(rgb)
    )
    draw = ImageDraw.Draw(image, 'RGBA')
    unit = max(size) / 960
    font = ImageFont.load_default(max(9.0, 15 * unit))
    pixels = trace.points[:, :2] * (size[0] / UV_RANGE, size[1] / UV_RANGE)
    colors = gradient(len(pixels))
    _draw_path(draw, pixels, unit)
    if labels:
        for step in trace.reasoning:
            if isinstance(step, Referring):
                _draw_referred(draw, step, size, unit, font)
    for i, (pixel, color, d) in enumerate(zip(pixels, colors, trace.points[:, 2], strict=True)):
        radius = (9 if i in (0, len(pixels) - 1) else 6) * unit
        _draw_disc(draw, pixel, radius, tuple(int(c) for c in color))
        if labels:
            _write(
                draw, (pixel[0] + radius + 3 * unit, pixel[1] - 9 * unit), f'{d:.3f} m', font, size
            )
    if not labels or not trace.instruction:
        return np.asarray(image)
    return np.asarray(_with_caption(image, trace.instruction, unit))


def _draw_path(draw: ImageDraw.ImageDraw, pixels: NDArray[np.float64], unit: float) -> None:
    """Draw the polyline as a dark casing with the colour gradient on top."""
    fine = np.concatenate(
        [
            np.linspace(a, b, 24, endpoint=False)
            for a, b in itertools.pairwise(pixels)
        ]
        + [pixels[-1:]]
    )
    draw.line([tuple(p) for p in fine], fill=(0, 0, 0, 150), width=round(8 * unit), joint='curve')
    for a, b, c in zip(fine[:-1], fine[1:], gradient(len(fine)), strict=False):
        draw.line([tuple(a), tuple(b)], fill=(*(int(x) for x in c), 255), width=round(4 * unit))


def _draw_disc(
    draw: ImageDraw.ImageDraw, center: NDArray[np.float64], radius: float, color: tuple[int, ...]
) -> None:
    box = [center[0] - radius, center[1] - radius, center[0] + radius, center[1] + radius]
    draw.ellipse(
        box, fill=(*color, 255), outline=(20, 20, 20, 255), width=max(1, round(radius / 4))
    )


def _draw_referred(
    draw: ImageDraw.ImageDraw,
    step: Referring,
    size: tuple[int, int],
    unit: float,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    x, y = step.point[0] * size[0] / UV_RANGE, step.point[1] * size[1] / UV_RANGE
    r = 13 * unit
    draw.ellipse(
        [x - r, y - r, x + r, y + r], outline=(*_REFERRING_RGB, 255), width=max(2, round(3 * unit))
    )
    _write(draw, (x + r + 2 * unit, y + 8 * unit), step.target, font, size)


def _write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    words: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    size: tuple[int, int],
) -> None:
    """Write on a dark plate that is kept inside the image."""
    left, top, right, bottom = draw.textbbox((0, 0), words, font=font)
    w, h = right - left, bottom - top
    x = min(max(at[0], 2), size[0] - w - 4)
    y = min(max(at[1], 2), size[1] - h - 6)
    draw.rounded_rectangle([x - 3, y - 2, x + w + 3, y + h + 4], radius=3, fill=(0, 0, 0, 150))
    draw.text((x - left, y - top + 1), words, font=font, fill=(255, 255, 255, 255))


def _with_caption(image: Image.Image, words: str, unit: float) -> Image.Image:
    font = ImageFont.load_default(max(10.0, 19 * unit))
    lines, line = [], ''
    for word in f'"{words}"'.split():
        longer = f'{line} {word}'.strip()
        if font.getlength(longer) > image.width - 24 * unit and line:
            lines.append(line)
            line = word
        else:
            line = longer
    lines.append(line)
    step = 26 * unit
    height = round(step * len(lines) + 16 * unit)
    page = Image.new('RGB', (image.width, image.height + height), (24, 26, 30))
    page.paste(image, (0, 0))
    draw = ImageDraw.Draw(page)
    for i, written in enumerate(lines):
        draw.text(
            (12 * unit, image.height + 8 * unit + i * step),
            written,
            font=font,
            fill=(236, 240, 241),
        )
    return page
