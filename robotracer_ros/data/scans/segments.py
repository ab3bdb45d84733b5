# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which pixel shows which annotated thing, and how much of each is hidden: from boxes and depth alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.rays import part_entry
from robotracer_ros.data.scans.frame import ScanBox, ScanFrame
from robotracer_ros.data.scans.labels import STRUCTURE
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import apply, invert
from robotracer_ros.sim.spec import SEG_BACKGROUND, Primitive

Array = NDArray[np.float64]

#: boxes are this much larger on the sides and the top, metres: annotations and depth differ
MARGIN = 0.01
#: what lies lower in a box than this (m, and share of its height) may be what the thing stands on
_FOOT_M, _FOOT_SHARE = 0.012, 0.3
#: something is in front of a box when it is nearer than its surface by more than this, metres
_IN_FRONT = 0.025
#: boxes are looked at for what hides them in steps of so many pixels, this far around the picture
_STRIDE, _AROUND = 4, 0.5
_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


@dataclass(frozen=True)
class Segments:
    """What is seen of the boxes of a frame.

    Attributes:
        points: (H, W, 3) world points, NaN without depth.
        segmentation: (H, W) int16, index into the frame's boxes or ``SEG_BACKGROUND``.
        seen: (M,) share of the picture that shows each box.
        full: (M,) what that would be if nothing hid it, the edges of the picture included.
    """

    points: Array
    segmentation: NDArray[np.int16]
    seen: Array
    full: Array


def segment(frame: ScanFrame) -> Segments:
    """Give every pixel with depth to the smallest box that holds its point.

    The lowest centimetre of a box is left to what it stands on. Walls, floors and other parts of the room are
    background.
    """
    points = apply(
        frame.world_from_camera, frame.camera.depth_to_points(frame.depth).astype(float)
    )
    segmentation = np.full(frame.depth.shape, SEG_BACKGROUND, dtype=np.int16)
    order = sorted(range(len(frame.boxes)), key=lambda i: -float(frame.boxes[i].extents.prod()))
    for i in order:
        box = frame.boxes[i]
        window = _window(frame, box)
        if box.label in STRUCTURE or window is None:
            continue
        local = (points[window] - box.pose[:3, 3]) @ box.pose[:3, :3]
        half = box.extents / 2
        foot = min(_FOOT_M, _FOOT_SHARE * box.extents[2])
        with np.errstate(invalid='ignore'):
            inside = (
                np.all(np.abs(local[..., :2]) <= half[:2] + MARGIN, axis=-1)
                & (local[..., 2] <= half[2] + MARGIN)
                & (local[..., 2] >= foot - half[2])
            )
        segmentation[window][inside] = i
    count = np.bincount(segmentation[segmentation >= 0], minlength=len(frame.boxes))
    seen = count / segmentation.size
    hidden = np.array([hidden_share(frame, b) if seen[i] else 0.0 for i, b in enumerate(frame.boxes)])
    return Segments(points, segmentation, seen, seen + hidden)


def hidden_share(frame: ScanFrame, box: ScanBox) -> float:
    """Return the share of the picture that a box would cover more if nothing were in front and the picture endless."""
    wide = CameraModel(
        frame.camera.width,
        frame.camera.height,
        *(frame.camera.fx, frame.camera.fy, frame.camera.cx, frame.camera.cy),
    )
    w, h = wide.width, wide.height
    low, high = _outline(frame, box, (-_AROUND * w, -_AROUND * h), ((1 + _AROUND) * w, (1 + _AROUND) * h))
    cols = np.arange(low[0], high[0], _STRIDE)
    rows = np.arange(low[1], high[1], _STRIDE)
    if not len(cols) or not len(rows):
        return 0.0
    u, v = np.meshgrid(cols, rows)
    rays = np.stack([(u - wide.cx) / wide.fx, (v - wide.cy) / wide.fy, np.ones_like(u)], axis=-1)
    directions = rays.reshape(-1, 3) @ frame.world_from_camera[:3, :3].T
    part = Primitive('box', tuple(float(x) for x in box.extents / 2), np.eye(4))
    entry = part_entry(part, box.pose, frame.world_from_camera[:3, 3], directions).reshape(u.shape)
    inside = (u >= 0) & (u <= w - 1) & (v >= 0) & (v <= h - 1)
    depth = np.zeros(u.shape)
    depth[inside] = frame.depth[np.rint(v[inside]).astype(int), np.rint(u[inside]).astype(int)]
    in_front = inside & (depth > 0) & (depth < entry - _IN_FRONT)
    return float((np.isfinite(entry) & (in_front | ~inside)).sum() * _STRIDE**2 / (w * h))


def _outline(
    frame: ScanFrame, box: ScanBox, least: tuple[float, float], most: tuple[float, float]
) -> tuple[Array, Array]:
    """Return the pixels (2,) and (2,) between which a box lies, cut to limits."""
    corners = apply(invert(frame.world_from_camera), apply(box.pose, _CORNERS * box.extents))
    if (corners[:, 2] <= 0.05).all():
        return np.array(least), np.array(least)
    if (corners[:, 2] <= 0.05).any():  # beside the camera: anywhere
        return np.array(least), np.array(most)
    uv = frame.camera.uv_to_pixels(frame.camera.project(corners)[:, :2])
    return np.maximum(uv.min(axis=0), least), np.minimum(uv.max(axis=0), most)


def _window(frame: ScanFrame, box: ScanBox) -> tuple[slice, slice] | None:
    """Return the rows and columns in which a box with its margin can be, or None."""
    height, width = frame.depth.shape
    # The margin in pixels at the near side: generous, since it only bounds the search.
    nearest = max(0.2, float((invert(frame.world_from_camera) @ box.pose)[2, 3] - box.extents.max()))
    slack = 2 * MARGIN * frame.camera.fx / nearest + 2
    low, high = _outline(frame, box, (-slack, -slack), (width + slack, height + slack))
    c0, c1 = max(0, int(low[0] - slack)), min(width, int(high[0] + slack) + 1)
    r0, r1 = max(0, int(low[1] - slack)), min(height, int(high[1] + slack) + 1)
    return (slice(r0, r1), slice(c0, c1)) if r0 < r1 and c0 < c1 else None
