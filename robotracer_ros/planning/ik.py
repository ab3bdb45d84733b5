# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics: all branches of a UR in closed form, damped least squares for other arms."""

from __future__ import annotations

import abc
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.geometry.transforms import invert
from robotracer_ros.planning.robot import ArmModel
from robotracer_ros.planning.ur_kinematics import UrKinematics

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
        raw_at = self._along(base_from_tcp)
        for i in range(1, len(base_from_tcp)):
            found = raw_at(i, q)
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

    def _along(self, base_from_tcp: Matrix) -> Callable[[int, Matrix], Matrix]:
        """Return :meth:`raw` as a function of the index into poses (T, 4, 4) and of ``near``."""
        return lambda i, near: self.raw(base_from_tcp[i], near)


class UrAnalyticIk(InverseKinematics):
    """Closed-form solutions of a Universal Robots arm (up to eight), see ``ur_kinematics``.

    Args:
        arm: Kinematic model; the lengths are read off it.
        robot: Name of the arm that the model must be: ``ur5``, ``ur5e`` ...
        ur_base: Name of UR's own base frame in the URDF (``base``).

    Raises:
        InvalidParameterError: the model is not that of a UR, or of another one.
    """

    def __init__(self, arm: ArmModel, robot: str = 'ur5', ur_base: str = 'base') -> None:
        super().__init__(arm)
        self._ur = UrKinematics.from_model(arm.model, arm.names, ur_base, arm.tcp_frame)
        self._ur.demand_model(robot)
        self._ur_from_base = invert(arm.frame_in_base(ur_base))

    def raw(self, base_from_tcp: Matrix, near: Matrix) -> Matrix:
        """Return all branches (S, 6). Where the wrist is aligned the last joint stays at ``near``'s."""
        found = self._ur.inverse((self._ur_from_base @ base_from_tcp)[None], near[5])[0]
        return found[np.isfinite(found[:, 0])]

    def branch(self, q: Matrix) -> tuple[int, ...]:
        """Return the signs of shoulder (reaching forward or over), elbow and wrist."""
        return self._ur.branch(q)

    def _along(self, base_from_tcp: Matrix) -> Callable[[int, Matrix], Matrix]:
        # All poses at once cost little more than one.
        found = self._ur.inverse(self._ur_from_base @ base_from_tcp)
        exists = np.isfinite(found[..., 0])
        free = np.any(exists & self._ur.aligned(found), axis=1)

        def at(i: int, near: Matrix) -> Matrix:
            return self.raw(base_from_tcp[i], near) if free[i] else found[i][exists[i]]

        return at


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
