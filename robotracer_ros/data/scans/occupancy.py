# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Height map of a scanned platform: boxes, what the depth shows besides them, and what nobody has seen.

A cell is as high as the highest of

* the boxes over it;
* depth that belongs to no box of the scene, flying pixels at edges left out;
* unseen space: points on the way up over the cell that are behind what the camera sees there. It belongs to the thing
  that hides it, so that a thing's own shadow does not keep it from being lifted.

Points that the camera sees past, and points outside of the picture, are free: keypoints outside are refused anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from robotracer_ros.data.heights import CELL, Heights
from robotracer_ros.data.scans.platforms import FLAT_M
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import apply, invert
from robotracer_ros.sim.spec import Scene

Array = NDArray[np.float64]
Unseen = Literal['occupied', 'free']

#: heights over the platform that are looked at for unseen space, metres
_LEVELS = np.arange(0.03, 0.62, 0.02)
#: a point is behind what is seen when it is farther by more than this (m) and this share of the depth
_BEHIND_M, _BEHIND_SHARE = 0.02, 0.01
#: a depth between two others in its 3x3 neighbourhood, apart from both by more than this share, flies
_FLYING_SHARE = 0.02


@dataclass(frozen=True)
class Area:
    """The part of a platform that is mapped: cells of ``CELL``.

    Attributes:
        origin: (2,) corner with the least x and y, metres.
        shape: Cells along x and y.
    """

    origin: Array
    shape: tuple[int, int]

    def cells(self, xy: Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the cells (N, 2) of positions (N, 2) and which of them are on the map."""
        index = np.floor((xy - self.origin) / CELL).astype(np.int64)
        return index, np.all((index >= 0) & (index < self.shape), axis=1)

    def centres(self) -> Array:
        """Return the middles of all cells, (X, Y, 2)."""
        x, y = ((np.arange(n) + 0.5) * CELL + o for n, o in zip(self.shape, self.origin, strict=True))
        return np.stack(np.meshgrid(x, y, indexing='ij'), axis=-1)


def flying(depth: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Tell which pixels (H, W) lie between a near and a far surface and on neither."""
    filled = np.where(depth > 0, depth, np.nan)
    low = ndimage.minimum_filter(np.nan_to_num(filled, nan=np.inf), 3)
    high = ndimage.maximum_filter(np.nan_to_num(filled, nan=-np.inf), 3)
    gap = _FLYING_SHARE * depth
    return np.asarray((depth - low > gap) & (high - depth > gap))


class ScanHeights(Heights):
    """Height map of a platform.

    Args:
        scene: Boxes as a scene whose table is the platform.
        camera: Of the depth.
        depth: (H, W) metres, 0 invalid.
        segmentation: (H, W) index into the scene's objects, negative for what is none of them.
        points: (H, W, 3) in the scene's world, NaN without depth.
        area: What is mapped.
        never: Indices of boxes that are no obstacles: the platform's own and those around all of it.
        others: Boxes that are obstacles but not in the scene: scene objects.
        unseen: Whether unseen space is occupied.
    """

    def __init__(
        self,
        scene: Scene,
        camera: CameraModel,
        depth: NDArray[np.float32],
        segmentation: NDArray[np.int16],
        points: Array,
        area: Area,
        never: tuple[int, ...],
        others: Scene | None = None,
        unseen: Unseen = 'occupied',
    ) -> None:
        super().__init__(scene, area.origin, area.shape)
        self.area, self._never = area, never
        self.bare = np.zeros(area.shape, dtype=bool)
        self._base = np.zeros(area.shape)
        if others is not None:
            self._base = Heights(others, area.origin, area.shape).without().copy()
        self._add_points(segmentation, points, ~flying(depth))
        self._shadows: dict[int, Array] = {}
        if unseen == 'occupied':
            self._shadows = self._unseen(scene, camera, depth, segmentation)

    def without(self, *indices: int) -> Array:
        """Return the height map with some objects, and what they hide, left out."""
        return super().without(*indices, *self._never)

    def _ground(self, left_out: frozenset[int]) -> Array:
        grid = self._base.copy()
        for owner, shadow in self._shadows.items():
            if owner not in left_out:
                np.maximum(grid, shadow, out=grid)
        # The inside of a thing is unseen, too, and hidden by others: it goes with the thing.
        for i in left_out:
            if 0 <= i < len(self._patches) and i not in self._never:
                p = self._patches[i]
                view = grid[p.rows, p.cols]
                view[(p.top > 0) & (view <= p.top)] = 0.0
        return grid

    def _add_points(
        self, segmentation: NDArray[np.int16], points: Array, trusted: NDArray[np.bool_]
    ) -> None:
        free = trusted & np.isfinite(points[..., 2])
        free &= (segmentation < 0) | np.isin(segmentation, self._never)
        loose = points[free]
        index, on_map = self.area.cells(loose[:, :2])
        index, z = index[on_map], loose[on_map, 2]
        high = (z > FLAT_M) & (z < 2.0)
        np.maximum.at(self._base, tuple(index[high].T), z[high])
        flat = np.abs(z) <= FLAT_M
        self.bare[tuple(index[flat].T)] = True
        # Rays hit a slanted surface in lines that may lie further apart than cells.
        self.bare = ndimage.binary_closing(self.bare, np.ones((3, 3)), iterations=1) | self.bare

    def _unseen(
        self,
        scene: Scene,
        camera: CameraModel,
        depth: NDArray[np.float32],
        segmentation: NDArray[np.int16],
    ) -> dict[int, Array]:
        """Return, per thing that hides something, how far up unseen space reaches in every cell."""
        found: dict[int, Array] = {}
        camera_from_world = invert(scene.world_from_camera)
        plan = self.area.centres().reshape(-1, 2)
        for level in _LEVELS:
            p = apply(camera_from_world, np.column_stack([plan, np.full(len(plan), level)]))
            ahead = p[:, 2] > 0.05
            z = np.where(ahead, p[:, 2], 1.0)
            col = np.rint(p[:, 0] / z * camera.fx + camera.cx).astype(np.int64)
            row = np.rint(p[:, 1] / z * camera.fy + camera.cy).astype(np.int64)
            seen = ahead & (col >= 0) & (col < camera.width) & (row >= 0) & (row < camera.height)
            k = np.flatnonzero(seen)
            d = depth[row[k], col[k]]
            behind = (d > 0) & (z[k] > d + _BEHIND_M + _BEHIND_SHARE * d)
            k = k[behind]
            owners = segmentation[row[k], col[k]]
            for owner in np.unique(owners):
                shadow = found.setdefault(int(owner), np.zeros(self.area.shape))
                shadow.ravel()[k[owners == owner]] = level + 0.01
        return found
