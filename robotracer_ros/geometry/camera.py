# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pinhole camera in the optical frame (x right, y down, z forward) and the paper's (u, v, d) coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robotracer_ros.errors import NoIntrinsicsError

#: u and v of a trace point run from 0 to this value across the image, whatever its size.
UV_RANGE = 1000.0


@dataclass(frozen=True)
class CameraModel:
    """Intrinsics of a rectified pinhole camera.

    Attributes:
        width, height: Image size in pixels.
        fx, fy, cx, cy: Focal lengths and principal point in pixels; integer pixel coordinates are pixel centres
            of the grid that starts at 0 (the convention of ``sensor_msgs/CameraInfo``).
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        values = (self.fx, self.fy, self.cx, self.cy)
        if not all(np.isfinite(values)) or self.fx <= 0 or self.fy <= 0:
            raise NoIntrinsicsError(
                f'camera intrinsics fx={self.fx}, fy={self.fy}, cx={self.cx}, cy={self.cy}: '
                'focal lengths must be finite and > 0 px'
            )
        if self.width < 1 or self.height < 1:
            raise NoIntrinsicsError(
                f'camera image size {self.width}x{self.height}: must be at least 1x1 px'
            )

    @classmethod
    def from_matrix(cls, k: ArrayLike, width: int, height: int) -> CameraModel:
        """Make a camera from a 3x3 (or 4x4) intrinsic matrix in pixels."""
        m = np.asarray(k, dtype=float)
        if m.shape not in ((3, 3), (4, 4)):
            raise NoIntrinsicsError(
                f'intrinsic matrix has shape {m.shape}: must be (3, 3) or (4, 4)'
            )
        return cls(width, height, float(m[0, 0]), float(m[1, 1]), float(m[0, 2]), float(m[1, 2]))

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Intrinsic matrix (3, 3) in pixels."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def resized(self, width: int, height: int) -> CameraModel:
        """Return the camera of the same view sampled at another size."""
        sx, sy = width / self.width, height / self.height
        return CameraModel(width, height, self.fx * sx, self.fy * sy, self.cx * sx, self.cy * sy)

    def uv_to_pixels(self, uv: ArrayLike) -> NDArray[np.float64]:
        """Convert normalised (..., 2) coordinates in 0..1000 to pixels."""
        return np.asarray(uv, dtype=float) * (self.width / UV_RANGE, self.height / UV_RANGE)

    def pixels_to_uv(self, pixels: ArrayLike) -> NDArray[np.float64]:
        """Convert pixels (..., 2) to normalised coordinates in 0..1000."""
        return np.asarray(pixels, dtype=float) * (UV_RANGE / self.width, UV_RANGE / self.height)

    def lift(self, uvd: ArrayLike) -> NDArray[np.float64]:
        """Lift (..., 3) points (u, v in 0..1000, d in metres along the optical axis) to xyz in the optical frame."""
        p = np.asarray(uvd, dtype=float)
        px = self.uv_to_pixels(p[..., :2])
        return self.lift_pixels(px, p[..., 2])

    def lift_pixels(self, pixels: ArrayLike, depth: ArrayLike) -> NDArray[np.float64]:
        """Lift pixels (..., 2) with depths (...) in metres to xyz (..., 3) in the optical frame."""
        px, d = np.asarray(pixels, dtype=float), np.asarray(depth, dtype=float)
        x = (px[..., 0] - self.cx) * d / self.fx
        y = (px[..., 1] - self.cy) * d / self.fy
        return np.stack([x, y, d], axis=-1)

    def project(self, xyz: ArrayLike) -> NDArray[np.float64]:
        """Project (..., 3) points of the optical frame to (u, v, d); points at or behind the camera give NaN u, v."""
        p = np.asarray(xyz, dtype=float)
        z = np.where(p[..., 2] > 1e-9, p[..., 2], np.nan)
        px = np.stack(
            [p[..., 0] / z * self.fx + self.cx, p[..., 1] / z * self.fy + self.cy], axis=-1
        )
        return np.concatenate([self.pixels_to_uv(px), p[..., 2:3]], axis=-1)

    def rays(self) -> NDArray[np.float32]:
        """Return unit viewing rays (H, W, 3) in the optical frame, one per pixel."""
        u, v = np.meshgrid(np.arange(self.width), np.arange(self.height))
        r = np.stack([(u - self.cx) / self.fx, (v - self.cy) / self.fy, np.ones(u.shape)], axis=-1)
        return (r / np.linalg.norm(r, axis=-1, keepdims=True)).astype(np.float32)

    def depth_to_points(self, depth: NDArray[np.floating]) -> NDArray[np.float32]:
        """Back-project a depth image (H, W) in metres to xyz (H, W, 3); invalid depth (0, NaN) gives NaN."""
        d = np.where((depth > 0) & np.isfinite(depth), depth, np.nan).astype(np.float32)
        x = ((np.arange(self.width, dtype=np.float32) - self.cx) / self.fx)[None, :] * d
        y = ((np.arange(self.height, dtype=np.float32) - self.cy) / self.fy)[:, None] * d
        return np.stack([x, y, d], axis=-1)
