# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms from the ways in which recordings write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from robotracer_ros.data.files import Array, DatasetFileError
from robotracer_ros.geometry.transforms import make_transform


def pose_from_euler(xyz_rpy: Array) -> Array:
    """Return (..., 4, 4) transforms of (..., 6) numbers: metres, then rotations about fixed x, y, z, rad."""
    flat = np.asarray(xyz_rpy, dtype=float).reshape(-1, 6)
    rotations = Rotation.from_euler('xyz', flat[:, 3:]).as_matrix()
    poses = np.stack([make_transform(r, t) for r, t in zip(rotations, flat[:, :3], strict=True)])
    return poses.reshape(*np.shape(xyz_rpy)[:-1], 4, 4)


def pose_from_quaternion(xyz_xyzw: Array, path: Path, field: str) -> Array:
    """Return (..., 4, 4) transforms of (..., 7) numbers: metres, then a quaternion x, y, z, w.

    Raises:
        DatasetFileError: a quaternion has no length near 1.
    """
    flat = np.asarray(xyz_xyzw, dtype=float).reshape(-1, 7)
    length = np.linalg.norm(flat[:, 3:], axis=1)
    wrong = np.flatnonzero(np.abs(length - 1) > 0.05)
    if len(wrong):
        i = int(wrong[0])
        raise DatasetFileError(
            path, field, f'row {i} is a quaternion of length {length[i]:.3g}: must be 1'
        )
    rotations = Rotation.from_quat(flat[:, 3:]).as_matrix()
    poses = np.stack([make_transform(r, t) for r, t in zip(rotations, flat[:, :3], strict=True)])
    return poses.reshape(*np.shape(xyz_xyzw)[:-1], 4, 4)
