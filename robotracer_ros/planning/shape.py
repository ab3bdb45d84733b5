# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Collision shape of the object to be moved, from what the camera sees of it."""

from __future__ import annotations

import coal
import numpy as np
from numpy.typing import NDArray

from robotracer_ros.planning.solids import box
from robotracer_ros.scene.base import ObjectSegment

Matrix = NDArray[np.float64]

#: with fewer points the box is the better guess
MIN_POINTS = 30
#: heights at which the outline is taken
LAYERS = 4
#: directions in which the outline is taken; of a circle this misses less than one hundredth of the radius
_DIRECTIONS = np.stack(
    [np.cos(np.arange(24) * np.pi / 12), np.sin(np.arange(24) * np.pi / 12)], axis=1
)


def object_shape(segment: ObjectSegment, shrink: float = 0.0) -> coal.CollisionGeometry:
    """Return a convex shape in the frame of the object's box.

    It holds the visible points, the hidden back (as the scene estimates it, else mirror images) and
    everything below them, within the box: a box around a round thing would touch a bowl's walls
    that the thing does not.

    Args:
        segment: The object.
        shrink: The shape is made this much thinner all around, metres.
    """
    half = segment.box.extents / 2
    sides = np.maximum(segment.box.extents - [2 * shrink, 2 * shrink, 0.0], 0.004)
    if len(segment.points) < MIN_POINTS:
        return box(sides)
    pose = segment.box.pose
    local = (np.asarray(segment.points, dtype=float) - pose[:3, 3]) @ pose[:3, :3]
    if segment.hidden is None:
        back = local * (-1.0, -1.0, 1.0)
    else:
        back = (np.asarray(segment.hidden, dtype=float) - pose[:3, 3]) @ pose[:3, :3]
    both = np.clip(np.concatenate([local, back]), -half, half)
    along = both[:, :2] @ _DIRECTIONS.T
    corners = []
    for low in np.linspace(-half[2], half[2], LAYERS + 1)[:-1]:
        # What is seen above this height may reach down to it: sides are upright or lean inwards.
        above = np.flatnonzero(both[:, 2] >= low)
        if len(above):
            outermost = above[along[above].argmax(axis=0)]
            corners.append(np.column_stack([both[outermost, :2], np.full(len(outermost), low)]))
    top = np.flatnonzero(both[:, 2] >= half[2] - 0.006)
    if len(top):
        outermost = top[along[top].argmax(axis=0)]
        corners.append(np.column_stack([both[outermost, :2], np.full(len(outermost), half[2])]))
    points = np.concatenate(corners)
    reach = np.maximum(np.linalg.norm(points[:, :2], axis=1, keepdims=True), 1e-6)
    points[:, :2] *= np.maximum(1.0 - shrink / reach, 0.0)
    if len(points) < 8 or (np.ptp(points, axis=0) < 0.003).any():
        return box(sides)
    stacked = coal.StdVec_Vec3s()
    stacked.extend(list(points))
    return coal.Convex.convexHull(stacked, True, 'Qt')
