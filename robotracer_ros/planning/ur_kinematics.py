# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
r"""Closed-form kinematics of the Universal Robots family, read off the loaded robot model.

**Geometry.** Axes 2, 3 and 4 are parallel; axes 1 and 2, 4 and 5, 5 and 6 meet at right angles. In
Denavit-Hartenberg form, :math:`A_i = R_z(q_i + o_i) T_z(d_i) T_x(a_i) R_x(\alpha_i)` with

====  ======  =====  ==============
 i     a       d      alpha
====  ======  =====  ==============
 1     0       d1     +pi/2
 2     a2 < 0  0      0
 3     a3 < 0  0      0
 4     0       d4     +pi/2
 5     0       d5     -pi/2
 6     0       0      0
====  ======  =====  ==============

The lengths and the offsets :math:`o_i` (zero for UR's own descriptions) are computed from the six
joint axes of the model. What UR calls d6 is part of the constant transform from frame 6, which sits
where axes 5 and 6 meet, to the tool.

**Inverse.** Let n, o, a, p be the columns of dh0_from_dh6 and :math:`\theta_i = q_i + o_i`.

1. The wrist p stays at the distance d4 beside the arm's vertical plane: with k its coordinate along
   that plane, :math:`R_z(\theta_1)(k, -d_4) = (p_x, p_y)`, so :math:`k = \pm\sqrt{p_x^2 + p_y^2 -
   d_4^2}` and :math:`\theta_1 = atan2(p_y k + p_x d_4, p_x k - p_y d_4)`. Two shoulders.
2. The common direction of axes 2..4, :math:`z_1 = (s_1, -c_1, 0)`, seen from frame 6 is
   :math:`(s_5 c_6, -s_5 s_6, c_5) = (n, o, a) \cdot z_1`: two wrists, by the sign of :math:`s_5`.
   No arc cosine, hence no loss of digits and no argument beyond 1 where the wrist is aligned.
3. The fifth axis is :math:`z_4 = -s_6 n - c_6 o`; it gives :math:`\theta_2 + \theta_3 + \theta_4`,
   and :math:`p - d_5 z_4` is where a planar arm with the links a2 and a3 has to reach. Two elbows;
   the sine comes from the triangle's area, which is exact where the elbow is stretched.

**Singularities.** At the edge of reach, values beyond it by rounding (``REACH_M``) count as on it
and the two branches that meet there coincide. With the wrist aligned (:math:`s_5 = 0`) the last
joint is free and is put where the caller says.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pinocchio as pin
from numpy.typing import ArrayLike, NDArray

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.transforms import invert

Matrix = NDArray[np.float64]
TURN = 2 * np.pi

#: Signs of shoulder (+ reaches ahead, - reaches back over itself), elbow and wrist, one per row of
#: :meth:`UrKinematics.inverse`.
BRANCHES: tuple[tuple[int, int, int], ...] = tuple(itertools.product((1, -1), (1, -1), (1, -1)))

#: Lengths that UR publishes (d1, a2, a3, d4, d5), metres: they only tell models apart.
MODELS: dict[str, tuple[float, float, float, float, float]] = {
    'ur3': (0.1519, -0.24365, -0.21325, 0.11235, 0.08535),
    'ur3e': (0.15185, -0.24355, -0.2132, 0.13105, 0.08535),
    'ur5': (0.089159, -0.425, -0.39225, 0.10915, 0.09465),
    'ur5e': (0.1625, -0.425, -0.3922, 0.1333, 0.0997),
    'ur7e': (0.1625, -0.425, -0.3922, 0.1333, 0.0997),
    'ur8long': (0.2186, -0.8989, -0.7149, 0.1824, 0.1361),
    'ur10': (0.1273, -0.612, -0.5723, 0.163941, 0.1157),
    'ur10e': (0.1807, -0.6127, -0.57155, 0.17415, 0.11985),
    'ur12e': (0.1807, -0.6127, -0.57155, 0.17415, 0.11985),
    'ur15': (0.2186, -0.6475, -0.5164, 0.1824, 0.1361),
    'ur16e': (0.1807, -0.4784, -0.36, 0.17415, 0.11985),
    'ur18': (0.2186, -0.475, -0.3389, 0.1824, 0.1361),
    'ur20': (0.2363, -0.862, -0.7287, 0.201, 0.1593),
    'ur30': (0.2363, -0.637, -0.5037, 0.201, 0.1593),
}
MODEL_TOLERANCE_M = 0.002

#: Poses further out of reach than this have no solution; it is also the error of those on the edge.
REACH_M = 1e-10
#: Sine of the fifth joint below which the last joint's angle is free.
ALIGNED = 1e-10
#: Largest deviation of a model's axes (m, rad) from the geometry above.
GEOMETRY_TOLERANCE = 1e-6

_SHOULDER = np.array([1.0, -1.0]).reshape(1, 2, 1, 1)
_ELBOW = np.array([1.0, -1.0]).reshape(1, 1, 2, 1)
_WRIST = np.array([1.0, -1.0]).reshape(1, 1, 1, 2)


@dataclass(frozen=True)
class UrKinematics:
    """Forward and inverse kinematics of one arm.

    Attributes:
        d1, a2, a3, d4, d5: Denavit-Hartenberg lengths, metres.
        offset: (6,) what is added to joint positions, rad.
        base_from_dh0: (4, 4) frame 0, on the first axis, in the base frame.
        dh6_from_tool: (4, 4).
    """

    d1: float
    a2: float
    a3: float
    d4: float
    d5: float
    offset: Matrix
    base_from_dh0: Matrix
    dh6_from_tool: Matrix

    @classmethod
    def from_model(
        cls, model: pin.Model, joints: Sequence[str], base: str, tool: str
    ) -> UrKinematics:
        """Read the geometry off a model.

        Args:
            model: Pinocchio model; its other joints rest at their neutral position.
            joints: The six joints from base to tool.
            base: Frame that poses refer to; UR's own is ``base``, which ``base_link`` is turned
                against by pi about z.
            tool: Frame whose poses are solved for, fixed to the last joint.

        Raises:
            InvalidParameterError: a frame or joint is missing, or the geometry is none of UR's.
        """
        for frame in (base, tool):
            if not model.existFrame(frame):
                raise InvalidParameterError(
                    f"the robot description has no frame '{frame}'", frame=frame
                )
        for joint in joints:
            if not model.existJointName(joint):
                raise InvalidParameterError(
                    f"the robot description has no joint '{joint}'", joint=joint
                )
        if len(joints) != 6:
            raise _not_ur(f'{len(joints)} joints instead of 6')
        points, axes, base_from_tool = _screws(model, joints, base, tool)
        ur = _from_axes(points, axes, base_from_tool)
        # Whatever the axes alone do not tell (order of the joints, others in between) shows here.
        for q in np.random.default_rng(0).uniform(-3, 3, (3, 6)):
            away = np.abs(ur.forward(q) - _screws(model, joints, base, tool, q)[2]).max()
            if away > GEOMETRY_TOLERANCE:
                raise _not_ur(
                    f"'{tool}' is {away:.2g} m away from where joints {', '.join(joints)} move it"
                )
        return ur

    def demand_model(self, name: str) -> None:
        """Raise InvalidParameterError unless the lengths are those of the UR model ``name``."""
        if name not in MODELS:
            raise InvalidParameterError(
                f"unknown UR model '{name}'; known: {', '.join(MODELS)}", robot=name
            )
        own = np.array([self.d1, self.a2, self.a3, self.d4, self.d5])
        if np.abs(own - MODELS[name]).max() > MODEL_TOLERANCE_M:
            raise InvalidParameterError(
                f"the robot description is not that of a '{name}': its lengths d1, a2, a3, d4, d5 are "
                f'{own.round(5).tolist()} m instead of {list(MODELS[name])} m',
                robot=name,
            )

    def forward(self, q: ArrayLike) -> Matrix:
        """Return base_from_tool (..., 4, 4) at joint positions (..., 6)."""
        theta = np.asarray(q, dtype=float) + self.offset
        s1, s2, _, _, s5, s6 = np.moveaxis(np.sin(theta), -1, 0)
        c1, c2, _, _, c5, c6 = np.moveaxis(np.cos(theta), -1, 0)
        t23 = theta[..., 1] + theta[..., 2]
        s, c = np.sin(t23 + theta[..., 3]), np.cos(t23 + theta[..., 3])
        u = self.a2 * c2 + self.a3 * np.cos(t23) + self.d5 * s
        v = self.a2 * s2 + self.a3 * np.sin(t23) - self.d5 * c
        # Columns of frame 6 in frame 1, whose axes are x along the arm, y up, z along axis 2.
        zero = np.zeros_like(u)
        inner = np.stack(
            [
                np.stack([c * c5 * c6 - s * s6, -c * c5 * s6 - s * c6, -c * s5, u], axis=-1),
                np.stack([s * c5 * c6 + c * s6, -s * c5 * s6 + c * c6, -s * s5, v], axis=-1),
                np.stack([s5 * c6, -s5 * s6, c5, zero + self.d4], axis=-1),
                np.stack([zero, zero, zero, zero + 1.0], axis=-1),
            ],
            axis=-2,
        )
        outer = np.stack(
            [
                np.stack([c1, zero, s1, zero], axis=-1),
                np.stack([s1, zero, -c1, zero], axis=-1),
                np.stack([zero, zero + 1.0, zero, zero + self.d1], axis=-1),
                np.stack([zero, zero, zero, zero + 1.0], axis=-1),
            ],
            axis=-2,
        )
        return np.asarray(self.base_from_dh0 @ outer @ inner @ self.dh6_from_tool)

    def branch(self, q: ArrayLike) -> tuple[int, int, int]:
        """Return which of ``BRANCHES`` joint positions (6,) belong to."""
        _, t2, t3, t4, t5, _ = np.asarray(q, dtype=float) + self.offset
        reach = self.a2 * np.cos(t2) + self.a3 * np.cos(t2 + t3) + self.d5 * np.sin(t2 + t3 + t4)
        return (
            1 if reach <= 0 else -1,
            1 if np.sin(t3) >= 0 else -1,
            1 if np.sin(t5) >= 0 else -1,
        )

    def aligned(self, q: ArrayLike) -> NDArray[np.bool_]:
        """Say (...) whether joint positions (..., 6) have the wrist aligned, so that the last joint
        is free.
        """
        fifth = np.asarray(q, dtype=float)[..., 4] + self.offset[4]
        return np.asarray(np.abs(np.sin(fifth)) < ALIGNED)

    def inverse(self, base_from_tool: ArrayLike, last: ArrayLike = 0.0) -> Matrix:
        """Return all solutions of poses.

        Args:
            base_from_tool: (N, 4, 4).
            last: Position of the last joint where the wrist is aligned, rad; a number or (N,).

        Returns:
            Joint positions (N, 8, 6) in -pi..pi, a row per entry of ``BRANCHES``; NaN where the
            branch does not reach the pose.
        """
        pose = invert(self.base_from_dh0) @ np.asarray(base_from_tool, dtype=float)
        pose = (pose @ invert(self.dh6_from_tool))[:, None, None, None]
        (nx, ox, ax, x), (ny, oy, ay, y), (nz, oz, _, z) = (
            np.moveaxis(pose[..., i, :], -1, 0) for i in range(3)
        )
        d4, d5, a2, a3 = self.d4, self.d5, self.a2, self.a3
        # Shoulder.
        r2 = x * x + y * y
        ok = np.sqrt(r2) >= abs(d4) - REACH_M
        k = -_SHOULDER * np.sqrt(np.maximum(r2 - d4 * d4, 0.0))
        theta1 = np.arctan2(y * k + x * d4, x * k - y * d4)
        s1, c1 = np.sin(theta1), np.cos(theta1)
        # Wrist.
        n1, o1, c5 = nx * s1 - ny * c1, ox * s1 - oy * c1, ax * s1 - ay * c1
        s5 = np.sqrt(n1 * n1 + o1 * o1)
        free = s5 < ALIGNED
        theta5 = np.arctan2(_WRIST * s5, c5)
        rest = (np.asarray(last, dtype=float) + self.offset[5]).reshape(-1, 1, 1, 1)
        theta6 = np.where(free, rest, np.arctan2(-_WRIST * o1, _WRIST * n1))
        s6, c6 = np.sin(theta6), np.cos(theta6)
        # The arm's plane: the fifth axis and the target of the two links.
        fx, fy, fz = -s6 * nx - c6 * ox, -s6 * ny - c6 * oy, -s6 * nz - c6 * oz
        along = c1 * fx + s1 * fy
        theta234 = np.arctan2(along, -fz)
        u, v = k - d5 * along, z - self.d1 - d5 * fz
        # Elbow.
        rho2 = u * u + v * v
        rho, longest, shortest = np.sqrt(rho2), abs(a2) + abs(a3), abs(abs(a2) - abs(a3))
        ok = ok & (rho <= longest + REACH_M) & (rho >= shortest - REACH_M)
        area = np.maximum((longest - rho) * (longest + rho) * (rho - shortest) * (rho + shortest), 0)
        c3 = (rho2 - a2 * a2 - a3 * a3) / (2 * a2 * a3)
        s3 = _ELBOW * (np.sqrt(area) / (2 * a2 * a3))
        near, side = a2 + a3 * c3, a3 * s3
        theta2 = np.arctan2(v * near - u * side, u * near + v * side)
        theta3 = np.arctan2(s3, c3)
        q = np.empty((len(pose), 2, 2, 2, 6))
        for i, t in enumerate((theta1, theta2, theta3, theta234 - theta2 - theta3, theta5, theta6)):
            q[..., i] = t
        q -= self.offset
        q -= TURN * np.round(q / TURN)
        q[~np.broadcast_to(ok, q.shape[:-1])] = np.nan
        return q.reshape(-1, 8, 6)


def _not_ur(why: str) -> InvalidParameterError:
    return InvalidParameterError(
        f'the robot description is not that of a Universal Robots arm: {why}; '
        "choose the inverse kinematics 'numeric'"
    )


def _screws(
    model: pin.Model, joints: Sequence[str], base: str, tool: str, q: Matrix | None = None
) -> tuple[Matrix, Matrix, Matrix]:
    """Return in the base frame, at joint positions (6,) or zero, a point on each axis (6, 3), the
    axes' directions (6, 3), and base_from_tool (4, 4).
    """
    data, full = model.createData(), pin.neutral(model)
    for i, joint in enumerate(joints):
        j = model.joints[model.getJointId(joint)]
        if j.nq != 1 or j.nv != 1:
            raise _not_ur(f"joint '{joint}' is not an ordinary revolute one")
        full[j.idx_q] = 0.0 if q is None else q[i]
    pin.computeJointJacobians(model, data, full)
    pin.updateFramePlacements(model, data)
    base_from_world = data.oMf[model.getFrameId(base)].inverse()
    points, axes = np.empty((6, 3)), np.empty((6, 3))
    for i, joint in enumerate(joints):
        k = model.getJointId(joint)
        column = pin.getJointJacobian(model, data, k, pin.ReferenceFrame.WORLD)[
            :, model.joints[k].idx_v
        ]
        linear, angular = column[:3], column[3:]
        if abs(np.linalg.norm(angular) - 1.0) > GEOMETRY_TOLERANCE:
            raise _not_ur(f"joint '{joint}' is not revolute")
        axes[i] = base_from_world.rotation @ angular
        # The point moves with linear + angular x point; the axis is where that has no part across.
        points[i] = base_from_world.act(np.cross(angular, linear))
    return points, axes, (base_from_world * data.oMf[model.getFrameId(tool)]).homogeneous


def _from_axes(points: Matrix, axes: Matrix, base_from_tool: Matrix) -> UrKinematics:
    """Derive lengths and offsets from the axes at zero; see :func:`_screws`."""
    for i, j in ((1, 2), (2, 3)):
        if np.linalg.norm(axes[i] - axes[j]) > GEOMETRY_TOLERANCE:
            raise _not_ur(f'axes {i + 1} and {j + 1} are not parallel')
    for i, j in ((0, 1), (3, 4), (4, 5)):
        if abs(axes[i] @ axes[j]) > GEOMETRY_TOLERANCE:
            raise _not_ur(f'axes {i + 1} and {j + 1} are not at right angles')
        gap = abs(np.cross(axes[i], axes[j]) @ (points[j] - points[i]))
        if gap > GEOMETRY_TOLERANCE:
            raise _not_ur(f'axes {i + 1} and {j + 1} pass each other at {gap:.6f} m')

    def meet(i: int, j: int) -> Matrix:
        """Return the point (3,) of axis i where axis j crosses at a right angle."""
        return np.asarray(points[i] + axes[i] * ((points[j] - points[i]) @ axes[i]))

    z = axes
    shoulder, fourth, wrist = meet(0, 1), meet(3, 4), meet(4, 5)
    d4 = float((fourth - shoulder) @ z[1])
    elbow = points[2] + z[1] * ((shoulder - points[2]) @ z[1])
    upper, lower = elbow - shoulder, fourth - d4 * z[1] - elbow
    a2, a3 = -float(np.linalg.norm(upper)), -float(np.linalg.norm(lower))
    if max(a2, a3) > -1e-3:
        raise _not_ur(f'its links are {-a2:.4f} m and {-a3:.4f} m long')
    root = points[0] - z[0] * (points[0] @ z[0])  # the point of axis 1 nearest to the base
    x0 = np.eye(3)[0] if abs(z[0][0]) < 0.9 else np.eye(3)[1]
    x0 = x0 - z[0] * (x0 @ z[0])
    x = [x0 / np.linalg.norm(x0), np.cross(z[0], z[1]), upper / a2, lower / a3,
         np.cross(z[3], z[4]), np.cross(z[5], z[4])]  # fmt: skip
    offset = np.array(
        [np.arctan2(np.cross(x[i], x[i + 1]) @ z[i], x[i] @ x[i + 1]) for i in range(5)] + [0.0]
    )
    base_from_dh0 = np.eye(4)
    base_from_dh0[:3] = np.column_stack([x[0], np.cross(z[0], x[0]), z[0], root])
    d1, d5 = float((shoulder - root) @ z[0]), float((wrist - fourth) @ z[4])
    bare = UrKinematics(d1, a2, a3, d4, d5, offset, base_from_dh0, np.eye(4))
    dh6_from_tool = invert(bare.forward(np.zeros(6))) @ base_from_tool
    return UrKinematics(d1, a2, a3, d4, d5, offset, base_from_dh0, dh6_from_tool)
