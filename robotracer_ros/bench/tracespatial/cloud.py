# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The visible surface of the moved object as a cleaned cloud of points.

The steps are those of the official evaluation, which runs them in Open3D; here they are NumPy and SciPy, so that
nobody needs half a gigabyte of packages for them. doc/evaluation.md has the comparison.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from robotracer_ros.data.files import Array

#: neighbours (the point itself included) and standard deviations of the outlier filter
NEIGHBOURS, DEVIATIONS = 10, 1.2
#: radius (m) and neighbours of a core point, and the size below which a largest cluster is not believed
RADIUS_M, CORE, SMALLEST = 0.02, 10, 5
#: depth (m) from which on a pixel does not count
MAX_DEPTH_M = 15.0


def object_cloud(
    depth: NDArray[np.floating], mask: NDArray[np.uint8], intrinsics: Array
) -> Array:
    """Return the cleaned cloud (N, 3) of the object, camera frame, metres; N is 0 when none of it has depth.

    Args:
        depth: (H, W) metres, 0 invalid.
        mask: Of any size, above 0 where the object is; stretched to the depth image's grid.
        intrinsics: (3, 3) pixels of the depth image.
    """
    mask = fitted(mask, (depth.shape[0], depth.shape[1]))
    rows, columns = np.nonzero((mask > 0) & (depth > 0) & (depth < MAX_DEPTH_M))
    # Depth images hold whole millimetres; the grid below is sensitive to the rounding of single precision.
    z = np.rint(depth[rows, columns].astype(float) * 1000) / 1000
    x = (columns - intrinsics[0, 2]) * z / intrinsics[0, 0]
    y = (rows - intrinsics[1, 2]) * z / intrinsics[1, 1]
    points = np.stack([x, y, z], axis=1)
    if not len(points):
        return points
    scale = 3.0 * float(np.linalg.norm(points.std(axis=0))) + 1e-6
    return largest_cluster(thinned(without_outliers(points), max(0.01, scale / 40)))


def fitted(mask: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a mask (H, W) of another shape by taking the nearest value; the same mask when it fits."""
    if mask.shape == shape:
        return mask
    rows, columns = (
        (np.arange(new) * old / new).astype(int)
        for new, old in zip(shape, mask.shape, strict=True)
    )
    return mask[rows[:, None], columns]


def without_outliers(points: Array) -> Array:
    """Return the points (N, 3) whose mean distance to their neighbours is not far above the usual.

    A point whose neighbours all lie in the same place is left out, too, as in Open3D.
    """
    found = min(NEIGHBOURS, len(points))
    nearest, _ = cKDTree(points).query(points, k=found)
    mean = np.reshape(nearest, (len(points), found)).mean(axis=1)
    above = mean > 0
    middle = mean[above].sum() / len(points)
    spread = ((mean[above] - middle) ** 2).sum()
    limit = middle + DEVIATIONS * np.sqrt(spread / max(len(points) - 1, 1))
    return points[above & (mean < limit)]


def thinned(points: Array, size: float) -> Array:
    """Return the means (M, 3) of the points (N, 3) in each cube of a grid of a size in metres."""
    if not len(points):
        return points
    cells = np.floor((points - (points.min(axis=0) - size / 2)) / size).astype(np.int64)
    _, index, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    index = index.reshape(-1)
    sums = np.stack([np.bincount(index, weights=points[:, a]) for a in range(3)], axis=1)
    return np.asarray(sums / counts[:, None])


def largest_cluster(points: Array) -> Array:
    """Return the largest cluster (DBSCAN) of points (N, 3); all points when there is none, or hardly one."""
    if not len(points):
        return points
    pairs = cKDTree(points).query_pairs(RADIUS_M, output_type='ndarray')
    n = len(points)
    near = np.bincount(pairs.ravel(), minlength=n) + 1  # the point itself counts
    core = near >= CORE
    joined = pairs[core[pairs].all(axis=1)]
    graph = coo_matrix((np.ones(len(joined)), (joined[:, 0], joined[:, 1])), shape=(n, n))
    _, labels = connected_components(graph, directed=False)
    labels = labels.astype(np.int64)
    labels[~core] = -1
    # What is not dense itself belongs to the first cluster that reaches it.
    both = np.concatenate([pairs, pairs[:, ::-1]])
    edges = both[core[both[:, 0]] & ~core[both[:, 1]]]
    reached = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(reached, edges[:, 1], labels[edges[:, 0]])
    border = ~core & (reached < np.iinfo(np.int64).max)
    labels[border] = reached[border]
    if (labels < 0).all():
        return points
    sizes = np.bincount(labels[labels >= 0])
    best = int(sizes.argmax())
    return points if sizes[best] < SMALLEST else points[labels == best]
