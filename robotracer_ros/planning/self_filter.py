# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which points of a depth image are the robot itself, or what it carries."""

from __future__ import annotations

import coal
import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from robotracer_ros.planning.robot_geometry import RobotGeometry
from robotracer_ros.scene.robot_filter import Hull, RobotMask

Matrix = NDArray[np.float64]


#: 13 axes, both ways: face, edge and corner directions of a cube
_AXES = np.array(
    [
        [x, y, z]
        for x in (-1, 0, 1)
        for y in (-1, 0, 1)
        for z in (-1, 0, 1)
        if (x, y, z) != (0, 0, 0)
    ],
    float,
)
_AXES /= np.linalg.norm(_AXES, axis=1, keepdims=True)


def wrapped(points: Matrix) -> Hull:
    """Return a convex body of 26 faces that holds points (V, 3): a convex hull has hundreds, which
    takes too long here.
    """
    return Hull(_AXES, (points @ _AXES.T).max(axis=0), float(np.linalg.norm(points, axis=1).max()))


class SelfFilter:
    """Recognises the robot by its collision geometry at measured joint positions.

    Args:
        robot: Collision geometry.
        margin: Distance (m) up to which points count as the robot's: calibration, depth noise,
            joint state delay.
    """

    def __init__(self, robot: RobotGeometry, margin: float = 0.02) -> None:
        self._robot, self._margin = robot, margin
        self._hulls = [wrapped(vertices(o.geometry)) for o in robot.geom.geometryObjects]
        self._data = robot.geom.createData()

    def at(
        self, q: Matrix, opening: float, carried: tuple[Matrix, Matrix] | None = None
    ) -> RobotMask:
        """Return the mask function for arm positions (J,) and a jaw opening in metres.

        Args:
            q: Arm positions.
            opening: Of the jaws.
            carried: ``(tcp_from_box (4, 4), extents (3,))`` of an object in the gripper.
        """
        arm = self._robot.arm
        pin.updateGeometryPlacements(
            arm.model, arm.data, self._robot.geom, self._data, arm.full(q, opening)
        )
        base = arm.base_from_world
        poses = [base @ placement.homogeneous for placement in self._data.oMg]
        hulls = list(self._hulls)
        if carried is not None:
            hulls.append(Hull.of_box(carried[1]))
            poses.append(arm.tcp(q) @ carried[0])
        margin = self._margin
        # Boxes around the posed bodies, parallel to the axes: cheap to test, and most points are in
        # none of them.
        reach = [
            np.abs(p[:3, :3]) @ _half_sides(h) + margin for h, p in zip(hulls, poses, strict=True)
        ]
        lows = np.array([p[:3, 3] - r for p, r in zip(poses, reach, strict=True)], dtype=np.float32)
        highs = np.array(
            [p[:3, 3] + r for p, r in zip(poses, reach, strict=True)], dtype=np.float32
        )

        def mask(points: NDArray[np.floating]) -> NDArray[np.bool_]:
            found = np.zeros(len(points), dtype=bool)
            with np.errstate(invalid='ignore'):
                near = np.flatnonzero(
                    ((points >= lows.min(axis=0)) & (points <= highs.max(axis=0))).all(axis=1)
                )
                if len(near) == 0:
                    return found
                x, y, z = (np.ascontiguousarray(points[near, k]) for k in range(3))
                for low, high, hull, pose in zip(lows, highs, hulls, poses, strict=True):
                    i = np.flatnonzero(
                        (z >= low[2])
                        & (z <= high[2])
                        & (x >= low[0])
                        & (x <= high[0])
                        & (y >= low[1])
                        & (y <= high[1])
                    )
                    local = (points[near[i]] - pose[:3, 3]) @ pose[:3, :3]
                    found[near[i]] |= (local @ hull.normals.T <= hull.offsets + margin).all(axis=1)
            return found

        return mask


def _half_sides(hull: Hull) -> Matrix:
    """Return the half sides (3,) of an axis-parallel box around the origin of a body that holds it."""
    return np.array(
        [
            max(
                float(o)
                for n, o in zip(hull.normals, hull.offsets, strict=True)
                if abs(n[k]) > 0.999
            )
            for k in range(3)
        ]
    )


def vertices(shape: coal.CollisionGeometry) -> Matrix:
    """Return points (V, 3) whose convex hull holds a shape, in the shape's frame."""
    if isinstance(shape, coal.Box):
        half = np.asarray(shape.halfSide)
        return np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * half
    if isinstance(shape, coal.Cylinder):
        # A polygon around the circle, not within it.
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        r = shape.radius / np.cos(np.pi / 24)
        ring = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
        return np.concatenate(
            [np.column_stack([ring, np.full(24, s * shape.halfLength)]) for s in (-1, 1)]
        )
    if isinstance(shape, coal.ConvexBase):
        return np.array([shape.point(i) for i in range(shape.num_points)])
    raise TypeError(f'no hull for a collision shape of type {type(shape).__name__}')
