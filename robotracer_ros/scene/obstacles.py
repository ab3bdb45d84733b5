# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Occupied voxels from points, ready for an octree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.scene.cloud import within

Matrix = NDArray[np.float64]

#: filling a grid of more cells than this would no longer fit the time budget
_MAX_CELLS = 8_000_000


def occupied_voxels(points: NDArray[np.floating], voxel_size: float, lower: Matrix, upper: Matrix,
                    support_z: float = float('nan'), min_points: int = 3, fill: bool = True) -> Matrix:
    """Return the centres (N, 3) of occupied voxels; the grid's planes are multiples of the voxel size.

    A camera sees fronts and tops only. With ``fill`` every column of voxels is occupied from its highest point down to
    the support, so that things are solid and their hidden backs are where their tops are.

    Args:
        points: (M, 3) in the planning frame, metres; points that are not finite are left out.
        voxel_size: Edge, metres.
        lower: (3,) least corner of the workspace; points outside are left out.
        upper: (3,) greatest corner.
        support_z: Height of the table; voxels whose centre is below it are left out. NaN: none, and nothing is filled.
        min_points: Points that a voxel needs, against noise.
        fill: Fill the columns.

    Raises:
        InvalidParameterError: the voxel size is not positive, or far too small to fill the workspace.
    """
    low, high = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    if not (np.isfinite(voxel_size) and voxel_size > 0 and np.all(high > low)):
        raise InvalidParameterError(f'voxel size {voxel_size} m, workspace {low.tolist()} .. {high.tolist()}: '
                                    'both must be positive', voxel_size=voxel_size)
    first = np.floor(low / voxel_size).astype(np.int64)
    shape = np.ceil(high / voxel_size).astype(np.int64) - first
    filled = fill and np.isfinite(support_z)
    if filled and np.prod(shape) > _MAX_CELLS:
        raise InvalidParameterError(f'voxel size {voxel_size} m gives {np.prod(shape)} voxels in the workspace: '
                                    f'must be at most {_MAX_CELLS}', voxel_size=voxel_size)
    p = np.asarray(points)
    index = np.floor(p[within(p, low, high)] / voxel_size).astype(np.int64) - first
    np.clip(index, 0, shape - 1, out=index)
    flat = (index[:, 0] * shape[1] + index[:, 1]) * shape[2] + index[:, 2]
    cells, counts = np.unique(flat, return_counts=True)
    cells = cells[counts >= min_points]
    bottom = 0
    if np.isfinite(support_z):
        bottom = int(np.clip(np.ceil(support_z / voxel_size - 0.5) - first[2], 0, shape[2]))
    if filled:
        # Sorted, the last cell of each column is its highest.
        column, height = np.divmod(cells, shape[2])
        top = np.ones(len(column), bool)
        top[:-1] = column[1:] != column[:-1]
        counts = np.maximum(height[top] + 1 - bottom, 0)
        before = np.cumsum(counts) - counts
        level = bottom + np.arange(counts.sum()) - np.repeat(before, counts)
        cells = np.repeat(column[top] * shape[2], counts) + level
    occupied = np.stack(np.unravel_index(cells, tuple(shape)), axis=1)
    occupied = occupied[occupied[:, 2] >= bottom]
    return np.asarray((occupied + first + 0.5) * voxel_size, dtype=np.float64)
