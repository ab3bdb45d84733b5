# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How far two ways are apart: discrete Frechet and Hausdorff distance, RMSE and MAE, for many pairs at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robotracer_ros.data.files import Array

#: points of a way after resampling
POINTS = 100


@dataclass(frozen=True)
class PathErrors:
    """Distances of B pairs of ways, each (B,): see :func:`path_errors`."""

    dfd: Array
    hd: Array
    rmse: Array
    mae: Array


def resample(points: Array, count: int = POINTS) -> Array:
    """Return points (count, D) at equal distances along a polyline (N, D); one point is repeated."""
    if len(points) == 1:
        return np.repeat(points, count, axis=0)
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    if along[-1] <= 1e-12:
        return np.repeat(points[:1], count, axis=0)
    targets = np.linspace(0.0, along[-1], count)
    # A repeated point is a piece without length, on which interpolation is undefined.
    keep = np.concatenate([[True], lengths > 0])
    return np.stack([np.interp(targets, along[keep], p[keep]) for p in points.T], axis=1)


def path_errors(first: Array, second: Array) -> PathErrors:
    """Compare ways point by point.

    Args:
        first: (B, N, D).
        second: The same.

    Returns:
        Discrete Frechet distance, Hausdorff distance (the larger of both directions), root of the mean squared distance
        of points with the same index, and mean absolute difference over points and coordinates.
    """
    difference = first - second
    return PathErrors(
        discrete_frechet(first, second),
        hausdorff(first, second),
        np.sqrt((difference**2).sum(axis=2).mean(axis=1)),
        np.abs(difference).mean(axis=(1, 2)),
    )


def distances(first: Array, second: Array) -> Array:
    """Return the distances (B, N, M) of all points of ways (B, N, D) and (B, M, D)."""
    squared = np.zeros((len(first), first.shape[1], second.shape[1]))
    for axis in range(first.shape[2]):
        squared += (first[:, :, None, axis] - second[:, None, :, axis]) ** 2
    return np.asarray(np.sqrt(squared))


def discrete_frechet(first: Array, second: Array) -> Array:
    """Return the discrete Frechet distances (B,) of ways (B, N, D) and (B, M, D).

    The table of the usual recursion is filled along its anti-diagonals, whose cells do not depend on each other.
    """
    table = distances(first, second)
    n, m = table.shape[1:]
    for diagonal in range(1, n + m - 1):
        i = np.arange(max(0, diagonal - m + 1), min(diagonal, n - 1) + 1)
        j = diagonal - i
        # Outside of the table there is no way in; index -1 is read and thrown away.
        up = np.where(i > 0, table[:, i - 1, j], np.inf)
        left = np.where(j > 0, table[:, i, j - 1], np.inf)
        both = np.where((i > 0) & (j > 0), table[:, i - 1, j - 1], np.inf)
        reach = np.minimum(np.minimum(up, left), both)
        table[:, i, j] = np.maximum(table[:, i, j], reach)
    return np.asarray(table[:, -1, -1])


def hausdorff(first: Array, second: Array) -> Array:
    """Return the Hausdorff distances (B,) of ways (B, N, D) and (B, M, D) taken as sets of points."""
    table = distances(first, second)
    there, back = table.min(axis=2).max(axis=1), table.min(axis=1).max(axis=1)
    return np.asarray(np.maximum(there, back))
