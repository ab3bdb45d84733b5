# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From an observation to the model's packed input in numpy: resize to the model grid, intrinsics follow.

Nothing of torch in here: a node that runs the exported graphs starts without it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robotracer_ros.geometry.camera import CameraModel

#: RGB in -1..1 (3), unit rays (3), depth in metres (1), pose as 8 constant planes
PACKED_CHANNELS = 15


def quaternion_xyzw(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit quaternion (4,) with w >= 0 of a rotation matrix (3, 3)."""
    m = rotation
    # The largest eigenvector of Bar-Itzhack's matrix: stable for every rotation.
    k = (
        np.array(
            [
                [m[0, 0] - m[1, 1] - m[2, 2], 0, 0, 0],
                [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], 0, 0],
                [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], 0],
                [
                    m[2, 1] - m[1, 2],
                    m[0, 2] - m[2, 0],
                    m[1, 0] - m[0, 1],
                    m[0, 0] + m[1, 1] + m[2, 2],
                ],
            ]
        )
        / 3
    )
    q = np.linalg.eigh(k)[1][:, -1]
    return q if q[3] >= 0 else -q


def pose_vector(gravity_from_camera: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return (8,): quaternion xyzw, unit translation, log of its length (0 when there is none)."""
    t = gravity_from_camera[:3, 3]
    length = float(np.linalg.norm(t))
    direction = t / length if length > 1e-9 else np.zeros(3)
    return np.concatenate(
        [
            quaternion_xyzw(gravity_from_camera[:3, :3]),
            direction,
            [np.log(length) if length > 1e-9 else 0.0],
        ]
    ).astype(np.float32)


def pack_pixels(
    rgb: NDArray[np.uint8],
    depth: NDArray[np.floating] | None = None,
    camera: CameraModel | None = None,
    gravity_from_camera: NDArray[np.float64] | None = None,
    *,
    width: int = 320,
    height: int = 240,
) -> NDArray[np.float32]:
    """Return packed pixels (15, height, width) of one image; absent inputs are zero planes.

    Args:
        rgb: (H, W, 3).
        depth: (H', W') metres on the same view, 0 or NaN where invalid. Sampled, never blended
            across edges.
        camera: Intrinsics at any size of the same view.
        gravity_from_camera: (4, 4).
        width: Of the model grid.
        height: Of the model grid.
    """
    planes = np.zeros((PACKED_CHANNELS, height, width), np.float32)
    if rgb.shape[:2] != (height, width):
        rgb = np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))
    planes[:3] = rgb.transpose(2, 0, 1)
    planes[:3] /= 127.5
    planes[:3] -= 1
    if camera is not None:
        planes[3:6] = camera.resized(width, height).rays().transpose(2, 0, 1)
    if depth is not None:
        d = np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)
        if d.shape != (height, width):
            rows = ((np.arange(height) + 0.5) * d.shape[0] / height).astype(int)
            cols = ((np.arange(width) + 0.5) * d.shape[1] / width).astype(int)
            d = d[rows][:, cols]
        planes[6] = d
    if gravity_from_camera is not None:
        planes[7:] = pose_vector(gravity_from_camera)[:, None, None]
    return planes
