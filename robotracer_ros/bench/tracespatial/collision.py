# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Does the moved object meet something: the official test at the written points, and a test of the whole way."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.bench.tracespatial.occupancy import VOXEL_M, Occupancy
from robotracer_ros.bench.tracespatial.samples import Box
from robotracer_ros.data.files import Array
from robotracer_ros.data.sweep import densified

Unseen = Literal['free', 'occupied']
#: poses looked at between two points of a way are at most this far apart, metres
STEP_M = VOXEL_M / 2
#: so many poses at once
_CHUNK = 32
#: poses of one way at most: ways that are longer are sampled less densely
_MAX_POSES = 5000


def keypoint_ratio(around: Occupancy, cloud: Array, points: Array) -> float:
    """Return the largest share of the cloud in occupied voxels at any written point, as the official code counts it.

    Args:
        around: What stands around.
        cloud: (M, 3) of the object where it stands, M > 0.
        points: (N, 3) of the way, camera frame, metres; what is not finite meets nothing.
    """
    worst = 0.0
    for move in points - points[0]:
        if np.isfinite(move).all():
            hit = around.at(around.indices(cloud + move, toward_zero=True))
            worst = max(worst, float(hit.mean()))
    return worst


def swept_ratio(
    around: Occupancy | None,
    cloud: Array,
    points: Array,
    box: Box | None,
    hidden: HiddenSpace | None = None,
) -> float:
    """Return the largest share of the cloud that meets something anywhere along the way.

    What the object meets where it stands is what it rests on, and does not count. While the point of the way or a part
    of the object is in the destination box it has arrived, and may touch what it is put on or into.

    Args:
        around: What stands around, None when nothing is seen.
        cloud: (M, 3) of the object where it stands, M > 0.
        points: (N, 3) of the way, camera frame, metres.
        box: The destination.
        hidden: Counts as occupied, too, when given.
    """
    length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
    way = densified(points, max(STEP_M, length / _MAX_POSES))
    if around is not None:
        free = around.voxels.copy()
        rest = around.indices(cloud)
        rest = rest[around.at(rest)]
        free[rest[:, 0], rest[:, 1], rest[:, 2]] = False
        around = Occupancy(around.origin, free)
    worst = 0.0
    for start in range(0, len(way), _CHUNK):
        poses = cloud[None] + (way[start : start + _CHUNK] - points[0])[:, None]
        met = np.zeros(poses.shape[:2], dtype=bool)
        if around is not None:
            met |= around.at(around.indices(poses))
        if hidden is not None:
            met |= hidden.holds(poses)
        if box is not None:
            there = box.distances(poses.reshape(-1, 3)).reshape(met.shape) == 0
            arrived = there.any(axis=1) | (box.distances(way[start : start + _CHUNK]) == 0)
            met[arrived] = False
        worst = max(worst, float(met.mean(axis=1).max()))
    return worst


class HiddenSpace:
    """The space behind what a depth image shows; outside of the picture and behind invalid depth nothing is hidden.

    Args:
        depth: (H, W) metres, 0 invalid; the moved object removed, whose shadow is free by that.
        intrinsics: (3, 3) pixels.
    """

    def __init__(self, depth: NDArray[np.floating], intrinsics: Array) -> None:
        self._depth, self._k = depth, intrinsics

    def holds(self, points: Array) -> NDArray[np.bool_]:
        """Tell for points (..., 3) of the camera frame whether they are hidden by more than a voxel."""
        height, width = self._depth.shape
        z = np.where(points[..., 2] > 1e-6, points[..., 2], np.nan)
        u = np.round(points[..., 0] * self._k[0, 0] / z + self._k[0, 2])
        v = np.round(points[..., 1] * self._k[1, 1] / z + self._k[1, 2])
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        column, row = np.where(inside, u, 0).astype(int), np.where(inside, v, 0).astype(int)
        seen = self._depth[row, column]
        return np.asarray(inside & (seen > 0) & (points[..., 2] > seen + VOXEL_M))
