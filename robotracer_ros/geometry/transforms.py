# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms as 4x4 matrices, named ``target_from_source``. Quaternions are (x, y, z, w) as in ROS."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]


def make_transform(
    rotation: ArrayLike | None = None, translation: ArrayLike | None = None
) -> Matrix:
    """Assemble a 4x4 transform from a rotation (3, 3) and a translation (3,) in metres."""
    t = np.eye(4)
    if rotation is not None:
        t[:3, :3] = rotation
    if translation is not None:
        t[:3, 3] = translation
    return t


def invert(transform: Matrix) -> Matrix:
    """Invert a rigid transform (4, 4)."""
    r = transform[:3, :3].T
    return make_transform(r, -r @ transform[:3, 3])


def apply(transform: Matrix, points: ArrayLike) -> Matrix:
    """Transform points (..., 3) from the source to the target frame."""
    p = np.asarray(points)
    if not np.issubdtype(p.dtype, np.floating):
        p = p.astype(float)  # else the transform itself would be cut to integers
    return p @ transform[:3, :3].T.astype(p.dtype, copy=False) + transform[:3, 3].astype(
        p.dtype, copy=False
    )


def quaternion_to_matrix(xyzw: ArrayLike) -> Matrix:
    """Convert a quaternion (x, y, z, w), normalised on the way, to a rotation matrix (3, 3).

    Raises:
        ValueError: the quaternion has (almost) zero length.
    """
    q = np.asarray(xyzw, dtype=float)
    n = float(np.linalg.norm(q))
    if n < 1e-9:
        raise ValueError(f'quaternion {q.tolist()} has length {n:g}: must be > 1e-9')
    x, y, z, w = q / n
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def matrix_to_quaternion(rotation: ArrayLike) -> Matrix:
    """Convert a rotation matrix (3, 3) to a unit quaternion (x, y, z, w) with w >= 0."""
    m = np.asarray(rotation, dtype=float)
    # The eigenvector of the largest eigenvalue of K (Bar-Itzhack 2000): no branches, robust to small errors.
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], m[1, 0] + m[0, 1], m[2, 0] + m[0, 2], m[2, 1] - m[1, 2]],
            [m[1, 0] + m[0, 1], m[1, 1] - m[0, 0] - m[2, 2], m[2, 1] + m[1, 2], m[0, 2] - m[2, 0]],
            [m[2, 0] + m[0, 2], m[2, 1] + m[1, 2], m[2, 2] - m[0, 0] - m[1, 1], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m[0, 0] + m[1, 1] + m[2, 2]],
        ]
    )
    q = np.linalg.eigh(k)[1][:, -1]
    return q if q[3] >= 0 else -q


def rotation_about(axis: ArrayLike, angle: float) -> Matrix:
    """Return the rotation (3, 3) by ``angle`` rad about ``axis`` (3,), which need not be normalised."""
    a = np.asarray(axis, dtype=float)
    a = a / np.linalg.norm(a)
    k = np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)


def look_at(eye: ArrayLike, target: ArrayLike, up: ArrayLike = (0.0, 0.0, 1.0)) -> Matrix:
    """Return world_from_camera (4, 4) of an optical frame (z forward, y down) at ``eye`` looking at ``target``."""
    e, t = np.asarray(eye, dtype=float), np.asarray(target, dtype=float)
    z = (t - e) / np.linalg.norm(t - e)
    x = np.cross(z, np.asarray(up, dtype=float))
    x = x / np.linalg.norm(x)
    return make_transform(np.stack([x, np.cross(z, x), z], axis=1), e)
