# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Height map of the table: how far up every object reaches over a 1 cm grid.

Everything below an object's upper surface counts as occupied, which is on the safe side for things
that come from above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.rays import object_entry
from robotracer_ros.sim.spec import Scene, SceneObject

CELL = 0.01
#: the grid covers this rectangle of the world, metres
X_RANGE, Y_RANGE = (0.0, 1.1), (-0.75, 0.75)
SHAPE = (round((X_RANGE[1] - X_RANGE[0]) / CELL), round((Y_RANGE[1] - Y_RANGE[0]) / CELL))
_ORIGIN = np.array([X_RANGE[0], Y_RANGE[0]])
_CORNERS = np.array([[x, y] for x in (-0.5, 0.5) for y in (-0.5, 0.5)])
_ABOVE = 3.0


@dataclass(frozen=True)
class _Patch:
    rows: slice
    cols: slice
    top: NDArray[np.float64]


class Heights:
    """Upper surface of every object of a scene, combined on demand.

    Args:
        scene: The scene; objects outside the grid are clipped to it.
        origin: (2,) corner of the grid with the least x and y, metres.
        shape: Cells along x and y.
    """

    def __init__(
        self,
        scene: Scene,
        origin: NDArray[np.float64] = _ORIGIN,
        shape: tuple[int, int] = SHAPE,
    ) -> None:
        self.origin, self.shape = origin, shape
        self._patches = [_rasterise(o, origin, shape) for o in scene.objects]
        self._cache: dict[frozenset[int], NDArray[np.float64]] = {}

    def without(self, *indices: int) -> NDArray[np.float64]:
        """Return the height map (``shape``, metres, 0 is the free table) with some objects left out."""
        key = frozenset(indices)
        if key not in self._cache:
            grid = self._ground(key)
            for i, p in enumerate(self._patches):
                if i not in key:
                    view = grid[p.rows, p.cols]
                    np.maximum(view, p.top, out=view)
            self._cache[key] = grid
        return self._cache[key]

    def _ground(self, left_out: frozenset[int]) -> NDArray[np.float64]:
        """Return a new map without any of the scene's objects."""
        return np.zeros(self.shape)

    def with_height(
        self, base: NDArray[np.float64], index: int, height: float
    ) -> NDArray[np.float64]:
        """Return a copy of a map in which the cells of one object reach up to ``height``."""
        grid = base.copy()
        p = self._patches[index]
        view = grid[p.rows, p.cols]
        np.maximum(view, np.where(p.top > 0, height, 0.0), out=view)
        return grid


def _rasterise(o: SceneObject, origin: NDArray[np.float64], shape: tuple[int, int]) -> _Patch:
    """Look down on one object, four rays a cell, and keep the highest."""
    half = np.abs((_CORNERS * o.extents[:2]) @ o.pose[:2, :2].T).max(axis=0)
    if abs(o.pose[2, 2]) < 0.999:
        half = np.full(2, float(np.linalg.norm(o.extents)) / 2)
    lo = np.clip(np.floor((o.pose[:2, 3] - half - origin) / CELL).astype(int), 0, shape)
    hi = np.clip(np.ceil((o.pose[:2, 3] + half - origin) / CELL).astype(int), 0, shape)
    nx, ny = int(hi[0] - lo[0]), int(hi[1] - lo[1])
    xs = origin[0] + (lo[0] + (np.arange(2 * nx) + 0.5) / 2) * CELL
    ys = origin[1] + (lo[1] + (np.arange(2 * ny) + 0.5) / 2) * CELL
    gx, gy = np.meshgrid(xs, ys, indexing='ij')
    origins = np.stack([gx.ravel(), gy.ravel(), np.full(gx.size, _ABOVE)], axis=1)
    t = object_entry(o, origins, np.broadcast_to(np.array([0.0, 0.0, -1.0]), origins.shape))
    top = np.where(np.isfinite(t), _ABOVE - t, 0.0).reshape(nx, 2, ny, 2).max(axis=(1, 3))
    return _Patch(slice(int(lo[0]), int(hi[0])), slice(int(lo[1]), int(hi[1])), top)


def footprint_cells(half: tuple[float, float], yaw: float, margin: float) -> NDArray[np.int64]:
    """Return the cell offsets (K, 2) that a rectangle touches, whose centre lies anywhere in the middle cell.

    Args:
        half: Half sides of the rectangle, metres.
        yaw: Its angle, rad.
        margin: Free space kept around it, metres.
    """
    # Half a cell's diagonal covers the position of the centre in its cell.
    reach = float(np.hypot(*half)) + margin + CELL
    n = int(np.ceil(reach / CELL))
    i, j = np.meshgrid(np.arange(-n, n + 1), np.arange(-n, n + 1), indexing='ij')
    x, y = i.ravel() * CELL, j.ravel() * CELL
    c, s = np.cos(yaw), np.sin(yaw)
    slack = margin + CELL * 0.71 + CELL / 2
    inside = (np.abs(c * x + s * y) <= half[0] + slack) & (
        np.abs(-s * x + c * y) <= half[1] + slack
    )
    return np.stack([i.ravel()[inside], j.ravel()[inside]], axis=1)


def highest_under(
    grid: NDArray[np.float64],
    xy: NDArray[np.float64],
    cells: NDArray[np.int64],
    origin: NDArray[np.float64] = _ORIGIN,
) -> NDArray[np.float64]:
    """Return the highest point (N,) of the map under a footprint centred at each of the positions (N, 2), metres."""
    index = np.floor((xy - origin) / CELL).astype(int)
    rows = np.clip(index[:, :1] + cells[:, 0], 0, grid.shape[0] - 1)
    cols = np.clip(index[:, 1:] + cells[:, 1], 0, grid.shape[1] - 1)
    return np.asarray(grid[rows, cols].max(axis=1))
