# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics: all branches of a UR in closed form, damped least squares for other arms."""

from __future__ import annotations

import abc
import importlib

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import InvalidParameterError, MissingPackageError
from robotracer_ros.geometry.transforms import invert
from robotracer_ros.planning.robot import ArmModel

Matrix = NDArray[np.float64]
TURN = 2 * np.pi


class InverseKinematics(abc.ABC):
    """Solves for the arm's positions at tool centre point poses in the planning frame.

    Args:
        arm: Kinematic model; its limits hold for every solution.
    """

    def __init__(self, arm: ArmModel) -> None:
        self.arm = arm

    @abc.abstractmethod
    def raw(self, base_from_tcp: Matrix, near: Matrix) -> Matrix:
        """Return solutions (S, J) in any turn; ``near`` (J,) is where to look first."""

    def branch(self, q: Matrix) -> tuple[int, ...]:
        """Return which branch of solutions arm positions (J,) belong to; empty when the arm has no
        named branches.
        """
        return ()

    def in_branch(
        self, base_from_tcp: Matrix, branch: tuple[int, ...], near: Matrix
    ) -> Matrix | None:
        """Return the solution (J,) of a pose in a branch, in the turn nearest to ``near`` (J,), or
        None.
        """
        for q in self.solutions(base_from_tcp, near):
            if self.branch(q) == branch:
                return np.asarray(q)
        return None

    def solutions(self, base_from_tcp: Matrix, near: Matrix) -> Matrix:
        """Return solutions (S, J) within the limits, each joint in the turn nearest to ``near``
        (J,), nearest first.
        """
        q = self.raw(base_from_tcp, near)
        if len(q) == 0:
            return q
        q = self.wrap(q, near)
        q = q[((q >= self.arm.limits.lower) & (q <= self.arm.limits.upper)).all(axis=1)]
        return q[np.argsort(np.abs(q - near).max(axis=1), kind='stable')]

    def wrap(self, q: Matrix, near: Matrix) -> Matrix:
        """Turn each joint of (S, J) by whole turns to be nearest to ``near`` (J,) within the
        limits.
        """
        lower, upper = self.arm.limits.lower, self.arm.limits.upper
        q = q - TURN * np.round((q - near) / TURN)
        q = np.where(q > upper, q - TURN, q)
        return np.where(q < lower, q + TURN, q)

    def follow(
        self, base_from_tcp: Matrix, start: Matrix, max_step: float = 0.35
    ) -> tuple[Matrix, int]:
        """Follow poses (T, 4, 4) continuously from ``start`` (J,), a solution of the first pose.

        Returns:
            Positions (T, J) and the number of poses reached: T when all were, else the index of the
            first that is out of reach, out of limits, or further than ``max_step`` rad from its
            predecessor.
        """
        out = np.empty((len(base_from_tcp), self.arm.dof))
        out[0] = q = np.asarray(start, dtype=float)
        lower, upper = self.arm.limits.lower, self.arm.limits.upper
        for i in range(1, len(base_from_tcp)):
            found = self.raw(base_from_tcp[i], q)
            if len(found) == 0:
                return out[:i], i
            delta = found - q
            delta -= TURN * np.round(delta / TURN)
            size = np.abs(delta).max(axis=1)
            k = int(size.argmin())
            q = q + delta[k]
            if size[k] > max_step or (q < lower).any() or (q > upper).any():
                return out[:i], i
            out[i] = q
        return out, len(out)


class UrAnalyticIk(InverseKinematics):
    """Closed-form solutions of a Universal Robots arm (up to eight).

    Args:
        arm: Kinematic model of the same arm.
        robot: Model name in ``ur_analytic_ik``: ``ur5``, ``ur5e`` ...
        ur_base: Name of UR's own base frame in the URDF (``base``), which is what the formulas
            refer to.
    """

    def __init__(self, arm: ArmModel, robot: str = 'ur5', ur_base: str = 'base') -> None:
        super().__init__(arm)
        try:
            self._solver = getattr(importlib.import_module('ur_analytic_ik'), robot)
        except ImportError as e:
            raise MissingPackageError(
                'inverse kinematics of a UR needs ur-analytic-ik: pip install ur-analytic-ik',
                package='ur-analytic-ik',
            ) from e
        except AttributeError as e:
            raise InvalidParameterError(
                f"ur_analytic_ik knows no robot '{robot}'", robot=robot
            ) from e
        self._ur_from_base = invert(arm.frame_in_base(ur_base))
        self._tcp_from_tool = invert(arm.tool_from_tcp)
        self._wrist = self._wrist_in_tcp()

    def raw(self, base_from_tcp: Matrix, near: Matrix) -> Matrix:
        """Return all branches (S, 6)."""
        ur_from_tool = np.ascontiguousarray(
            self._ur_from_base @ base_from_tcp @ self._tcp_from_tool
        )
        found = np.array(self._solver.inverse_kinematics(ur_from_tool)).reshape(-1, 6)
        return found[np.isfinite(found).all(axis=1)]

    def branch(self, q: Matrix) -> tuple[int, ...]:
        """Return the signs of shoulder (reaching forward or over), elbow and wrist."""
        return self._branch(q, self.arm.tcp(q))

    def in_branch(
        self, base_from_tcp: Matrix, branch: tuple[int, ...], near: Matrix
    ) -> Matrix | None:
        """Return the solution of a pose in a branch, in the turn nearest to ``near``, or None."""
        for q in self.solutions(base_from_tcp, near):
            if self._branch(q, base_from_tcp) == branch:
                return np.asarray(q)
        return None

    def _branch(self, q: Matrix, base_from_tcp: Matrix) -> tuple[int, ...]:
        wrist = base_from_tcp[:2, :3] @ self._wrist + base_from_tcp[:2, 3]
        # UR's base frame is turned by pi, in which the arm at pan 0 reaches along -x.
        ahead = -self._ur_from_base[:2, :2].T @ np.array([np.cos(q[0]), np.sin(q[0])])
        return (
            1 if wrist @ ahead >= 0 else -1,
            1 if np.sin(q[2]) >= 0 else -1,
            1 if np.sin(q[4]) >= 0 else -1,
        )

    def _wrist_in_tcp(self) -> Matrix:
        """Return where the axes of the last two joints meet, in the tool centre point's frame (3,)."""
        model, data = self.arm.model, self.arm.data
        q = 0.5 * (self.arm.limits.lower + self.arm.limits.upper) + 0.3
        tcp = self.arm.tcp(q)
        fifth = data.oMi[model.getJointId(self.arm.names[4])]
        sixth = data.oMi[model.getJointId(self.arm.names[5])]
        j = self.arm.jacobian(q)
        a, b = j[3:, 4], j[3:, 5]  # unit axes in the planning frame
        to_base = self.arm.base_from_world
        p, r = (to_base[:3, :3] @ m.translation + to_base[:3, 3] for m in (fifth, sixth))
        # The point of the sixth axis that is nearest to the fifth.
        t = np.linalg.lstsq(np.column_stack([b, -a]), p - r, rcond=None)[0][0]
        return np.asarray(tcp[:3, :3].T @ (r + t * b - tcp[:3, 3]))


class NumericIk(InverseKinematics):
    """Damped least squares (Levenberg-Marquardt) from a seed; one solution, for arms without closed
    form.

    Args:
        arm: Kinematic model.
        iterations: Per attempt.
        tolerance: Largest position (m) and orientation (rad) error of a solution.
        restarts: Further attempts from random configurations when the seed leads nowhere.
    """

    def __init__(
        self, arm: ArmModel, iterations: int = 60, tolerance: float = 1e-5, restarts: int = 12
    ) -> None:
        super().__init__(arm)
        self._iterations, self._tolerance, self._restarts = iterations, tolerance, restarts

    def raw(self, base_from_tcp: Matrix, near: Matrix) -> Matrix:
        """Return the solution (1, J) found first, or (0, J)."""
        rng = np.random.default_rng(0)
        lower, upper = self.arm.limits.lower, self.arm.limits.upper
        for attempt in range(self._restarts + 1):
            q = np.array(near, dtype=float) if attempt == 0 else rng.uniform(lower, upper)
            damping = 1e-2
            error = self._error(q, base_from_tcp)
            for _ in range(self._iterations):
                if np.abs(error).max() < self._tolerance:
                    return q[None]
                j = self.arm.jacobian(q)
                step = j.T @ np.linalg.solve(j @ j.T + damping * np.eye(6), error)
                trial = np.clip(q + np.clip(step, -0.5, 0.5), lower, upper)
                trial_error = self._error(trial, base_from_tcp)
                if trial_error @ trial_error < error @ error:
                    q, error, damping = trial, trial_error, max(damping * 0.2, 1e-9)
                else:
                    damping = min(damping * 5.0, 1e3)
        return np.empty((0, self.arm.dof))

    def _error(self, q: Matrix, target: Matrix) -> Matrix:
        """Return the position and rotation vector (6,) that lead from the pose at ``q`` to the
        target.
        """
        pose = self.arm.tcp(q)
        r = target[:3, :3] @ pose[:3, :3].T
        axis = 0.5 * np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
        sine, cosine = float(np.linalg.norm(axis)), 0.5 * (float(np.trace(r)) - 1.0)
        angle = np.arctan2(sine, cosine)
        if sine > 1e-9:
            axis = axis / sine * angle
        elif cosine < 0:  # half a turn: any axis orthogonal to the error's null direction will do
            axis = np.sqrt(np.maximum(np.diag(r) + 1.0, 0.0) / 2.0) * np.pi
        return np.concatenate([target[:3, 3] - pose[:3, 3], axis])
