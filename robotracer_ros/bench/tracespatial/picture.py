# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of one answer beside the truth: over the colour image, and the scene in 3D from the side."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from robotracer_ros.bench.tracespatial.samples import Sample
from robotracer_ros.data.files import Array
from robotracer_ros.geometry.transforms import rotation_about

TRUTH_RGB, ANSWER_RGB, BOX_RGB = (46, 204, 113), (231, 76, 60), (52, 152, 219)
_WIDTH = 480
#: the view from the side: turned about the vertical of the picture, then tilted, rad
_TURN, _TILT = 0.8, 0.35
#: edges of a box by the numbers of its corners
_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if bin(a ^ b).count('1') == 1]


def overlay(rgb: NDArray[np.uint8], sample: Sample, pixels: Array | None) -> Image.Image:
    """Draw the true way, the destination box and an answer over the colour image.

    Args:
        rgb: (H, W, 3).
        sample: With the truth.
        pixels: (N, 2) of the answer in the image, None when it cannot be read.
    """
    height, width = rgb.shape[:2]
    scale = _WIDTH / width
    image = Image.fromarray(rgb).resize((_WIDTH, round(height * scale)), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    if sample.box is not None and (sample.box.corners()[:, 2] > 0.05).all():
        corners = sample.project(sample.box.corners()) * scale
        for a, b in _EDGES:
            _line(draw, corners[[a, b]], BOX_RGB, 1)
    _way(draw, sample.project(sample.trajectory) * scale, TRUTH_RGB)
    if pixels is not None:
        _way(draw, pixels * scale, ANSWER_RGB)
    return image


def from_the_side(
    rgb: NDArray[np.uint8], depth: NDArray[np.floating], sample: Sample, way: Array | None
) -> Image.Image:
    """Draw what the depth image shows, the true way, the box and an answer, seen from the side without perspective.

    Args:
        rgb: (H, W, 3); only colours, of any size.
        depth: (Hd, Wd) metres, 0 invalid.
        sample: With the truth.
        way: (N, 3) of the answer in the camera frame, metres, None when there is none in 3D.
    """
    rows, columns = np.nonzero(depth > 0)
    z = depth[rows, columns].astype(float)
    k = sample.intrinsics
    points = np.stack(
        [(columns - k[0, 2]) * z / k[0, 0], (rows - k[1, 2]) * z / k[1, 1], z], axis=1
    )
    colours = np.asarray(
        Image.fromarray(rgb).resize((depth.shape[1], depth.shape[0]), Image.Resampling.NEAREST)
    )[rows, columns]
    shown = [sample.trajectory] + ([] if sample.box is None else [sample.box.corners()])
    around = np.concatenate(shown)
    middle, reach = (around.max(axis=0) + around.min(axis=0)) / 2, float(np.ptp(around, axis=0).max())
    turn = rotation_about((1, 0, 0), _TILT) @ rotation_about((0, 1, 0), _TURN)
    scale = _WIDTH / (2.0 * max(reach, 0.2))
    size = (_WIDTH, round(_WIDTH * 0.75))

    def seen(at: Array) -> Array:
        turned = (at - middle) @ turn.T
        return np.column_stack([turned[:, :2] * scale + np.array(size) / 2, turned[:, 2]])

    canvas = np.full((size[1], size[0], 3), 245, dtype=np.uint8)
    where = seen(points)
    order = np.argsort(-where[:, 2])  # what is nearer is painted over what is farther
    dot = max(1, int(np.ceil(scale * float(np.median(z)) / k[0, 0]))) if len(z) else 1
    column, row = where[order, 0].astype(int), where[order, 1].astype(int)
    inside = (column >= 0) & (column < size[0] - dot) & (row >= 0) & (row < size[1] - dot)
    column, row, colours = column[inside], row[inside], colours[order][inside]
    for i in range(dot):
        for j in range(dot):
            canvas[row + i, column + j] = colours
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    if sample.box is not None:
        corners = seen(sample.box.corners())[:, :2]
        for a, b in _EDGES:
            _line(draw, corners[[a, b]], BOX_RGB, 1)
    _way(draw, seen(sample.trajectory)[:, :2], TRUTH_RGB)
    if way is not None:
        _way(draw, seen(way)[:, :2], ANSWER_RGB)
    return image


def data_uri(image: Image.Image) -> str:
    """Return an image as a JPEG that stands in a page itself."""
    out = io.BytesIO()
    image.save(out, 'JPEG', quality=80)
    return 'data:image/jpeg;base64,' + base64.b64encode(out.getvalue()).decode('ascii')


def _way(draw: ImageDraw.ImageDraw, points: Array, rgb: tuple[int, int, int]) -> None:
    """Draw a way (N, 2) with a disc at its start and a ring at its end."""
    _line(draw, points, rgb, 3)
    for i, (x, y) in enumerate(np.clip(points, -9999, 9999)):
        r = 6 if i == 0 else 3
        draw.ellipse((x - r, y - r, x + r, y + r), fill=rgb)
    x, y = np.clip(points[-1], -9999, 9999)
    draw.ellipse((x - 9, y - 9, x + 9, y + 9), outline=rgb, width=3)


def _line(
    draw: ImageDraw.ImageDraw, points: Array, rgb: tuple[int, int, int], width: int
) -> None:
    draw.line([(float(x), float(y)) for x, y in np.clip(points, -9999, 9999)], fill=rgb, width=width)
