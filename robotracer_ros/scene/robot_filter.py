# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Find the robot's own points in a depth image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

#: points (M, 3) in the planning frame -> (M,) bool, True where they belong to the robot (or to what it carries)
RobotMask = Callable[[NDArray[np.floating]], NDArray[np.bool_]]


@dataclass(frozen=True)
class Hull:
    """A convex body as half spaces ``normals @ x <= offsets``.

    Attributes:
        normals: (K, 3) unit, pointing outward, in the body's frame.
        offsets: (K,) metres.
        radius: Of the sphere around the body's origin that holds it, metres.
    """

    normals: Matrix
    offsets: Matrix
    radius: float

    @classmethod
    def around(cls, vertices: Matrix) -> Hull:
        """Make the convex hull of points (V, 3)."""
        from scipy.spatial import ConvexHull
        hull = ConvexHull(vertices)
        # Coplanar triangles repeat their plane.
        planes = np.unique(np.round(hull.equations, 6), axis=0)
        return cls(planes[:, :3], -planes[:, 3], float(np.linalg.norm(vertices, axis=1).max()))

    @classmethod
    def of_box(cls, extents: Matrix) -> Hull:
        """Make a box of full sides (3,) around the origin."""
        half = np.asarray(extents, dtype=float) / 2
        return cls(np.vstack([np.eye(3), -np.eye(3)]), np.concatenate([half, half]), float(np.linalg.norm(half)))


class HullFilter:
    """Tell which points lie on or in convex bodies, links of a robot for instance.

    Args:
        hulls: The bodies.
        margin: Distance (m) up to which points outside count as the body's: calibration, noise, joint state delay.
    """

    def __init__(self, hulls: Sequence[Hull], margin: float = 0.02) -> None:
        self._hulls = tuple(hulls)
        self._margin = margin

    def mask(self, points: NDArray[np.floating], poses: Sequence[Matrix]) -> NDArray[np.bool_]:
        """Return (M,) bool for points (M, 3); ``poses`` are planning_from_body (4, 4), one per hull."""
        inside = np.zeros(len(points), bool)
        for hull, pose in zip(self._hulls, poses, strict=True):
            near = np.flatnonzero(np.sum((points - pose[:3, 3]) ** 2, axis=1) <= (hull.radius + self._margin) ** 2)
            near = near[~inside[near]]
            if len(near) == 0:
                continue
            local = (points[near] - pose[:3, 3]) @ pose[:3, :3]
            # A point is further than the margin from the body when it is beyond a face by more than that.
            inside[near] = np.max(local @ hull.normals.T - hull.offsets, axis=1) <= self._margin
        return inside

    def at(self, poses: Sequence[Matrix]) -> RobotMask:
        """Return the mask function for fixed poses."""
        return lambda points: self.mask(points, poses)
