# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What stands around, from one depth image: a truncated signed distance field, its surface, and voxels on it.

The field is built as Open3D's ``ScalableTSDFVolume`` does from one view (blocks of 16 voxels around what is seen, one
distance per voxel, surface points where the sign changes between neighbours), because the official evaluation uses
that; here in NumPy. doc/evaluation.md has the comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.files import Array

#: edge of a voxel and distance at which the field is cut off, metres
VOXEL_M, CUT_M = 0.02, 0.08
#: depth (m) from which on nothing is seen
MAX_DEPTH_M = 5.0
_BLOCK, _STRIDE = 16, 4
#: beyond this share of the cut-off a voxel says nothing about the surface
_SATURATED = 0.98
_CHUNK = 128


@dataclass(frozen=True)
class Occupancy:
    """Voxels that hold surface.

    Attributes:
        origin: (3,) corner of the grid, camera frame, metres.
        voxels: (X, Y, Z) bool.
    """

    origin: Array
    voxels: NDArray[np.bool_]

    def indices(self, points: Array, toward_zero: bool = False) -> NDArray[np.int64]:
        """Return the voxels (..., 3) in which points (..., 3) lie.

        Args:
            points: Camera frame, metres.
            toward_zero: Cut fractions off as the official code does, which takes points up to one voxel below the grid
                for points in its first layer.
        """
        where = (points - self.origin) / VOXEL_M
        return (where if toward_zero else np.floor(where)).astype(np.int64)

    def at(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell for voxels (..., 3) whether they hold surface; outside of the grid none does."""
        shape = np.array(self.voxels.shape)
        inside = np.asarray(((indices >= 0) & (indices < shape)).all(axis=-1))
        safe = np.where(inside[..., None], indices, 0)
        found = self.voxels[safe[..., 0], safe[..., 1], safe[..., 2]]
        return np.asarray(inside & found)


def occupancy(depth: NDArray[np.floating], intrinsics: Array) -> Occupancy | None:
    """Return the voxels that hold the surface which a depth image shows; None when it shows none.

    Args:
        depth: (H, W) metres, 0 invalid (the moved object removed).
        intrinsics: (3, 3) pixels.
    """
    surface = surface_points(depth, intrinsics)
    if not len(surface):
        return None
    origin = surface.min(axis=0) - VOXEL_M / 2
    cells = np.floor((surface - origin) / VOXEL_M).astype(np.int64)
    voxels = np.zeros(cells.max(axis=0) + 1, dtype=bool)
    voxels[cells[:, 0], cells[:, 1], cells[:, 2]] = True
    return Occupancy(origin, voxels)


def surface_points(depth: NDArray[np.floating], intrinsics: Array) -> Array:
    """Return points (N, 3) on the surface that a depth image (H, W) in metres shows, N may be 0."""
    # Whole millimetres, divided in single precision as Open3D does: see _field for why the last bit matters.
    with np.errstate(invalid='ignore'):
        metres = np.rint(depth.astype(np.float32) * 1000) / np.float32(1000)
    valid = np.isfinite(metres) & (metres > 0) & (metres < MAX_DEPTH_M)
    seen = np.where(valid, metres, 0).astype(np.float32)
    blocks = _touched_blocks(seen, intrinsics)
    if not len(blocks):
        return np.zeros((0, 3))
    field = np.concatenate(
        [_field(blocks[i : i + _CHUNK], seen, intrinsics) for i in range(0, len(blocks), _CHUNK)]
    )
    number = {tuple(b): i for i, b in enumerate(blocks.tolist())}
    found: list[Array] = []
    for axis in range(3):
        step = np.eye(3, dtype=np.int64)[axis]
        beside = np.array([number.get(tuple(b), -1) for b in (blocks + step).tolist()])
        first = np.take(field, [0], axis=axis + 1)
        joint = np.where((beside >= 0)[:, None, None, None], first[beside], np.nan)
        following = np.concatenate(
            [np.take(field, np.arange(1, _BLOCK), axis=axis + 1), joint], axis=axis + 1
        )
        found.append(_crossings(blocks, field, following, axis))
    return np.concatenate(found)


def _touched_blocks(depth: NDArray[np.float32], intrinsics: Array) -> NDArray[np.int64]:
    """Return the blocks (B, 3) that come within the cut-off of every fourth pixel's point."""
    rows, columns = np.nonzero(depth[::_STRIDE, ::_STRIDE] > 0)
    rows, columns = rows * _STRIDE, columns * _STRIDE
    z = depth[rows, columns].astype(float)
    x = (columns - intrinsics[0, 2]) * z / intrinsics[0, 0]
    y = (rows - intrinsics[1, 2]) * z / intrinsics[1, 1]
    points = np.stack([x, y, z], axis=1)
    edge = _BLOCK * VOXEL_M
    # Twice the cut-off is less than a block, so the corners of the cube around a point name all blocks that it meets.
    signs = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)])
    touched = np.floor((points[:, None] + CUT_M * signs) / edge).astype(np.int64)
    if not touched.size:
        return np.zeros((0, 3), dtype=np.int64)
    return np.unique(touched.reshape(-1, 3), axis=0)


def _field(
    blocks: NDArray[np.int64], depth: NDArray[np.float32], intrinsics: Array
) -> NDArray[np.float32]:
    """Return the signed distances (B, 16, 16, 16) of voxels as shares of the cut-off, NaN where nothing is known."""
    height, width = depth.shape
    fx, fy = np.float32(intrinsics[0, 0]), np.float32(intrinsics[1, 1])
    cx, cy = np.float32(intrinsics[0, 2]), np.float32(intrinsics[1, 2])
    # In single precision and step by step along z, as Open3D does it: a surface in whole millimetres often goes right
    # through centres of voxels, and there the last bit decides the sign.
    corners = blocks * (_BLOCK * VOXEL_M)
    voxel = np.float32(VOXEL_M)
    steps = voxel / 2 + voxel * np.arange(_BLOCK, dtype=np.float32)
    x, y = ((corners[:, a, None] + steps).astype(np.float32) for a in (0, 1))
    z = np.full((len(blocks), _BLOCK), voxel)
    z[:, 0] = corners[:, 2] + float(voxel / 2)
    z = np.add.accumulate(z, axis=1, dtype=np.float32)
    x, y, z = x[:, :, None, None], y[:, None, :, None], z[:, None, None, :]
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        u = x * fx / z + cx + np.float32(0.5)
        v = y * fy / z + cy + np.float32(0.5)
        inside = (z > 0) & (u >= 1e-4) & (u < width - 1e-4) & (v >= 1e-4) & (v < height - 1e-4)
        column = np.where(inside, u, 0).astype(np.int64)
        row = np.where(inside, v, 0).astype(np.int64)
    seen = depth[row, column]
    # Distances count along the ray of the pixel, depths along the optical axis.
    slant = np.sqrt(1 + ((column - cx) / fx) ** 2 + ((row - cy) / fy) ** 2).astype(np.float32)
    distance = (seen - z) * slant
    known = inside & (seen > 0) & (distance > -CUT_M)
    share = np.minimum(np.float32(1), distance * (1 / np.float32(CUT_M)))
    return np.where(known, share, np.float32(np.nan)).astype(np.float32)


def _crossings(
    blocks: NDArray[np.int64],
    field: NDArray[np.float32],
    following: NDArray[np.float32],
    axis: int,
) -> Array:
    """Return where the field changes its sign between voxels and those that follow along an axis, (N, 3)."""
    with np.errstate(invalid='ignore'):
        crossing = (
            (np.abs(field) < _SATURATED)
            & (np.abs(following) < _SATURATED)
            & (field * following < 0)
        )
    block, i, j, k = np.nonzero(crossing)
    # In this order of sums as Open3D: most coordinates are whole voxels, and again the last bit decides in which one of
    # two a point falls.
    points = VOXEL_M / 2 + VOXEL_M * np.stack([i, j, k], axis=1) + blocks[block] * (VOXEL_M * _BLOCK)
    here = np.abs(field[crossing]).astype(float)
    there = np.abs(following[crossing]).astype(float)
    at = points[:, axis]
    points[:, axis] = (at * there + (at + VOXEL_M) * here) / (here + there)
    return np.asarray(points)
