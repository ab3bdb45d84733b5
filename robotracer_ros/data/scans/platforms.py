# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Surfaces on which things stand: tops of boxes that depth confirms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.scans.frame import ScanBox, ScanFrame
from robotracer_ros.data.scans.segments import Segments

Array = NDArray[np.float64]

#: a thing rests on a surface when its box ends this close to it (m) and so much of its floor plan is over it
REST_M, REST_OVERLAP = 0.05, 0.7
#: area (m^2) of a platform, and how much of it must be seen (pixels)
_LEAST_AREA, _LEAST_PIXELS = 0.08, 300
#: depth is taken for the platform's top within this of its height, metres
FLAT_M = 0.02
#: the most common height is counted in steps of this, metres
_BIN = 0.005
#: parts of the room of which people see the upper side as something to stand on
_GROUND = ('floor', 'carpet', 'rug')
#: what has no upper side to put things on, whatever its box says
_NEVER = ('wall', 'ceiling', 'room', 'door', 'window', 'curtain', 'curtains', 'blinds', 'mirror', 'picture', 'person')
#: points of a floor plan that are tried for an overlap, along each side
_SAMPLES = 9


@dataclass(frozen=True)
class Platform:
    """A surface.

    Attributes:
        box: Index of its box in the frame.
        height: Of the surface in the world, metres: the most common height of the depth on it.
        resting: Indices of the boxes that stand on it directly.
    """

    box: int
    height: float
    resting: tuple[int, ...]


def overlap(plan: ScanBox, under: ScanBox) -> float:
    """Return the share of the floor plan of a box that is over another one's."""
    t = (np.arange(_SAMPLES) + 0.5) / _SAMPLES - 0.5
    x, y = np.meshgrid(t * plan.extents[0], t * plan.extents[1])
    points = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1) @ plan.pose[:3, :3].T
    local = (points + plan.pose[:3, 3] - under.pose[:3, 3]) @ under.pose[:3, :3]
    return float(np.all(np.abs(local[:, :2]) <= under.extents[:2] / 2, axis=1).mean())


def bottom(box: ScanBox) -> float:
    """Return the height of the lowest point of a box in the world, metres."""
    return float(box.pose[2, 3] - np.abs(box.pose[2, :3]) @ box.extents / 2)


def top(box: ScanBox) -> float:
    """Return the height of the highest point of a box in the world, metres."""
    return float(box.pose[2, 3] + np.abs(box.pose[2, :3]) @ box.extents / 2)


def find_platforms(frame: ScanFrame, segments: Segments) -> list[Platform]:
    """Find the surfaces of a frame that are seen from above and carry something, the fullest first."""
    eye = float(frame.world_from_camera[2, 3])
    found = []
    for i, box in enumerate(frame.boxes):
        area = float(box.extents[0] * box.extents[1])
        if area < _LEAST_AREA or box.label in _NEVER or top(box) > eye - 0.05:
            continue
        height = _surface(box, segments)
        if height is None:
            continue
        resting = tuple(
            j
            for j, other in enumerate(frame.boxes)
            if j != i
            and float(other.extents[0] * other.extents[1]) < area
            and abs(bottom(other) - height) <= REST_M
            and top(other) > height + FLAT_M / 2
            and other.label not in _NEVER
            and other.label not in _GROUND
            and overlap(other, box) >= REST_OVERLAP
        )
        if resting:
            found.append(Platform(i, height, resting))
    return sorted(found, key=lambda p: -len(p.resting))


def _surface(box: ScanBox, segments: Segments) -> float | None:
    """Return the most common height of the depth near the top of a box, or None where too little is seen."""
    points = segments.points.reshape(-1, 3)
    near = points[np.abs(points[:, 2] - top(box)) <= REST_M]
    local = (near - box.pose[:3, 3]) @ box.pose[:3, :3]
    heights = near[np.all(np.abs(local[:, :2]) <= box.extents[:2] / 2, axis=1), 2]
    if len(heights) < _LEAST_PIXELS:
        return None
    count, edges = np.histogram(
        heights, bins=np.arange(heights.min(), heights.max() + 2 * _BIN, _BIN)
    )
    k = int(np.argmax(count))
    flat = heights[np.abs(heights - (edges[k] + _BIN / 2)) <= FLAT_M / 2]
    return float(np.median(flat)) if len(flat) >= _LEAST_PIXELS else None
