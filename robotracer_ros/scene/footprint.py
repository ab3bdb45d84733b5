# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Plane geometry of what an object covers on its support: hull, least rectangle, hidden back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Rectangle:
    """Centre (2,), full sides (2,) in metres and yaw of the first side in rad."""

    centre: Matrix
    sides: Matrix
    yaw: float


#: directions whose extremes span the polygon within which no corner of a hull can be
_ANGLES = np.arange(32) * (2 * np.pi / 32)
_DIRECTIONS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)])
#: sorting out fewer points than this takes longer than the hull itself
_FEW = 40


def hull_of(points: Matrix) -> Matrix:
    """Return the convex hull (K, 2) of points (N, 2), counter-clockwise (Andrew's monotone chain)."""
    p = _outer(np.asarray(points, dtype=float))
    if len(p) > 1:
        p = p[np.lexsort((p[:, 1], p[:, 0]))]
        p = p[np.concatenate([[True], (p[1:] != p[:-1]).any(axis=1)])]
    if len(p) < 3:
        return p

    def chain(ordered: list[list[float]]) -> list[list[float]]:
        out: list[list[float]] = []
        for q in ordered:
            while len(out) >= 2 and ((out[-1][0] - out[-2][0]) * (q[1] - out[-2][1])
                                     - (out[-1][1] - out[-2][1]) * (q[0] - out[-2][0])) <= 0:
                out.pop()
            out.append(q)
        return out[:-1]

    listed = p.tolist()
    return np.array(chain(listed) + chain(listed[::-1]))


def _outer(points: Matrix) -> Matrix:
    """Leave out points (N, 2) within the polygon of the outermost ones: most of them, but no corner of the hull."""
    if len(points) < _FEW:
        return points
    corners = points[np.argmax(points @ _DIRECTIONS, axis=0)]
    edge = np.roll(corners, -1, axis=0) - corners
    real = np.abs(edge).max(axis=1) > 0
    corners, edge = corners[real], edge[real]
    if len(corners) < 3:
        return points
    # Distances to the edges, times their lengths: inside of every edge by more than rounding errors.
    across = edge[:, 0, None] * points[:, 1] - edge[:, 1, None] * points[:, 0]
    at = edge[:, 0] * corners[:, 1] - edge[:, 1] * corners[:, 0]
    size = max(float(np.abs(points).max()), 1e-12)
    return points[(across - at[:, None]).min(axis=0) <= 1e-12 * size * size]


def thin(points: Matrix, cell: float = 0.002) -> Matrix:
    """Keep one of the points (N, 2) per cell row and column extreme: the hull stays, the work shrinks."""
    if len(points) < 200:
        return points
    keep: list[NDArray[np.int64]] = []
    for a in (0, 1):
        line = np.floor(points[:, a] / cell).astype(np.int64)
        line -= line.min()
        across = np.ascontiguousarray(points[:, 1 - a])
        # Sorting takes ten times as long as looking for both extremes.
        low, high = np.full(line.max() + 1, np.inf), np.full(line.max() + 1, -np.inf)
        np.minimum.at(low, line, across)
        np.maximum.at(high, line, across)
        for found in (np.flatnonzero(across == low[line]), np.flatnonzero(across == high[line])[::-1]):
            keep.append(found[np.unique(line[found], return_index=True)[1]])
    return points[np.unique(np.concatenate(keep))]


def inside(points: Matrix, hull: Matrix, margin: float = 0.0) -> NDArray[np.bool_]:
    """Tell which points (N, 2) lie within a counter-clockwise hull (K, 2) widened by a margin in metres."""
    if len(hull) < 3:
        return np.zeros(len(points), bool)
    edge = np.roll(hull, -1, axis=0) - hull
    normal = np.stack([edge[:, 1], -edge[:, 0]], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return np.all(points @ normal.T - np.sum(hull * normal, axis=1) <= margin, axis=1)


def area_of(hull: Matrix) -> float:
    """Return the area (m^2) of a polygon (K, 2)."""
    if len(hull) < 3:
        return 0.0
    x, y = hull[:, 0], hull[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def least_rectangle(hull: Matrix) -> Rectangle:
    """Return the rectangle of least area around a hull (K, 2), its first side the longer one."""
    if len(hull) < 3:
        low, high = hull.min(axis=0), hull.max(axis=0)
        return Rectangle((low + high) / 2, np.maximum(high - low, 1e-4), 0.0)
    edge = np.roll(hull, -1, axis=0) - hull
    # Edges shorter than the noise of the points say nothing about the direction.
    long = np.linalg.norm(edge, axis=1) > 0.15 * np.ptp(hull, axis=0).max()
    angles = np.arctan2(edge[:, 1], edge[:, 0])[long] % (np.pi / 2) if long.any() else np.array([0.0])
    angles = np.concatenate([angles, np.deg2rad(np.arange(0, 90, 7.5))])
    c, s = np.cos(angles), np.sin(angles)
    u = hull @ np.stack([c, s])
    v = hull @ np.stack([-s, c])
    sides = np.stack([np.ptp(u, axis=0), np.ptp(v, axis=0)], axis=1)
    k = int(np.argmin(sides[:, 0] * sides[:, 1]))
    middle = ((u[:, k].max() + u[:, k].min()) / 2, (v[:, k].max() + v[:, k].min()) / 2)
    centre = np.array([c[k] * middle[0] - s[k] * middle[1], s[k] * middle[0] + c[k] * middle[1]])
    yaw = float(angles[k])
    if sides[k, 0] >= sides[k, 1]:
        return Rectangle(centre, np.maximum(sides[k], 1e-4), yaw)
    return Rectangle(centre, np.maximum(sides[k, ::-1], 1e-4), yaw + np.pi / 2)


def principal_direction(hull: Matrix) -> float:
    """Return the angle (rad) of the longer axis of inertia of a polygon (K, 2)."""
    a, b = hull, np.roll(hull, -1, axis=0)
    cross = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    total = cross.sum() / 2
    centre = ((a + b) * cross[:, None]).sum(axis=0) / (6 * total)
    a, b = a - centre, b - centre
    cross = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    xx = np.sum(cross * (a[:, 0] ** 2 + a[:, 0] * b[:, 0] + b[:, 0] ** 2))
    yy = np.sum(cross * (a[:, 1] ** 2 + a[:, 1] * b[:, 1] + b[:, 1] ** 2))
    xy = np.sum(cross * (2 * a[:, 0] * a[:, 1] + a[:, 0] * b[:, 1] + b[:, 0] * a[:, 1] + 2 * b[:, 0] * b[:, 1])) / 2
    return float(np.arctan2(2 * xy, xx - yy) / 2)


def width_across(points: Matrix, yaw: float) -> tuple[float, float]:
    """Return the lowest and highest coordinate (m) of points (N, 2) along the direction ``yaw``."""
    along = points @ np.array([np.cos(yaw), np.sin(yaw)])
    return float(along.min()), float(along.max())
