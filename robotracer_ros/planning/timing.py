# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Time-parameterise a joint path: TOPP-RA for velocity, acceleration and TCP speed, a filter on
s-dot for jerk.

TOPP-RA is time-optimal with unbounded jerk. Filtering the path speed s-dot(t) twice with a box
keeps the robot exactly on the path, starts and ends at rest, and bounds jerk; as it shifts speed
along the path it may exceed a limit a little, so the whole motion is stretched uniformly afterwards
until every limit holds.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass

import numpy as np
import toppra
import toppra.algorithm
import toppra.constraint
from numpy.typing import NDArray
from toppra.constraint.linear_constraint import LinearConstraint

from robotracer_ros.errors import TimingFailedError
from robotracer_ros.planning.base import JointLimits
from robotracer_ros.planning.robot import ArmModel

Matrix = NDArray[np.float64]

# It logs every infeasible problem as an error; ours are typed exceptions.
logging.getLogger('toppra').setLevel(logging.CRITICAL)
# It looks through the import path for other solvers each time a problem is made; what is installed
# does not change.
toppra.solverwrapper.available_solvers = functools.cache(toppra.solverwrapper.available_solvers)

#: share of each limit that the parameterisation may use; the rest is for what lies between its grid
#: points
HEADROOM = 0.95
#: and of each limit after the stretch, so that finite differences of sampled positions stay within
FINAL = 0.99
#: a shorter path, rad, is no motion: its time would come out as 0 / 0
MIN_LENGTH = 1e-5


@dataclass(frozen=True)
class TimedPath:
    """A joint path over time, at rest at both ends.

    Attributes:
        times: (T,) seconds, first 0.
        positions, velocities, accelerations: (T, J).
        fraction: (T,) position along the path, in units of path points (linear between them).
        tool: (T, 4, 4) poses of the tool centre point.
    """

    times: Matrix
    positions: Matrix
    velocities: Matrix
    accelerations: Matrix
    fraction: Matrix
    tool: Matrix


class _PathSpeed(LinearConstraint):
    """An upper bound on s-dot at given places of the path."""

    def __init__(self, dof: int, places: Matrix, bound: Matrix) -> None:
        super().__init__()
        self.dof = dof
        self._places, self._bound = places, bound

    def compute_constraint_params(
        self, path: object, gridpoints: Matrix, *_: object, **__: object
    ) -> tuple:
        bound = np.interp(gridpoints, self._places, self._bound)
        xbound = np.stack([np.zeros_like(bound), bound**2], axis=1)
        return None, None, None, None, None, None, xbound


@functools.lru_cache(maxsize=8)
def _joint_constraints(velocity: bytes, acceleration: bytes) -> tuple[LinearConstraint, ...]:
    v, a = (HEADROOM * np.frombuffer(x) for x in (velocity, acceleration))
    return (
        toppra.constraint.JointVelocityConstraint(np.stack([-v, v], axis=1)),
        toppra.constraint.JointAccelerationConstraint(np.stack([-a, a], axis=1)),
    )


def time_path(
    arm: ArmModel,
    path: Matrix,
    limits: JointLimits,
    max_tcp_speed: float,
    period: float = 0.008,
    filter_s: float = 0.12,
) -> TimedPath:
    """Time a path through configurations (N, J), N >= 2, at rest at both ends.

    Args:
        arm: For the speed of the tool centre point.
        path: Configurations; a cubic spline runs through them.
        limits: Velocity, acceleration and jerk per joint.
        max_tcp_speed: Metres per second.
        period: Wanted sample period, seconds; the real one is at most a third longer.
        filter_s: Width of the filter, seconds.

    Raises:
        TimingFailedError: the path has no length, or no parameterisation exists.
    """
    q = np.asarray(path, dtype=float)
    steps = np.linalg.norm(np.diff(q, axis=0), axis=1)
    keep = np.concatenate([[True], steps > 1e-7])
    index = np.flatnonzero(keep).astype(float)
    q, s = q[keep], np.concatenate([[0.0], np.cumsum(steps[keep[1:]])])
    length = float(s[-1])
    if length < MIN_LENGTH:
        raise TimingFailedError(
            f'the path has {len(path)} points and a length of {length:.1e} rad: must be at least '
            f'{MIN_LENGTH:.0e} rad to be timed',
            length=length,
        )
    spline = (
        toppra.SplineInterpolator(s, q)
        if len(q) > 2
        else toppra.SplineInterpolator(np.array([0.0, length]), q)
    )
    grid = np.linspace(0.0, length, int(np.clip(1.25 * len(q), 30, 140)))
    # Differences are as good as Jacobians here: what they miss, the stretch takes care of.
    tool = arm.tcp_path(np.asarray(spline(grid)))[:, :3, 3]
    speed = np.linalg.norm(np.gradient(tool, grid, axis=0), axis=1)
    cap = HEADROOM * max_tcp_speed / np.maximum(speed, 1e-9)
    problem = toppra.algorithm.TOPPRA(
        [
            *_joint_constraints(limits.velocity.tobytes(), limits.acceleration.tobytes()),
            _PathSpeed(arm.dof, grid, cap),
        ],
        spline,
        gridpoints=grid,
        solver_wrapper='seidel',
    )
    _, rate, _ = problem.compute_parameterization(0.0, 0.0)
    if rate is None or not np.isfinite(rate).all():
        worst = int(np.argmin(np.where(np.isfinite(cap), cap, np.inf)))
        raise TimingFailedError(
            f'no timing within the limits exists for a path of {length:.3f} rad with {len(q)} points '
            f'(slowest place: {grid[worst]:.3f} rad)',
            length=length,
        )
    return _smooth(
        arm, spline, grid, np.asarray(rate), index, s, limits, max_tcp_speed, period, filter_s
    )


def _smooth(
    arm: ArmModel,
    spline: toppra.SplineInterpolator,
    grid: Matrix,
    rate: Matrix,
    index: Matrix,
    knots: Matrix,
    limits: JointLimits,
    max_tcp_speed: float,
    period: float,
    filter_s: float,
) -> TimedPath:
    """Turn s-dot at grid points into filtered samples within all limits."""
    length = float(grid[-1])
    # s-double-dot is constant between grid points, so each takes 2 ds / (sum of the rates at its
    # ends).
    durations = 2 * np.diff(grid) / np.maximum(rate[1:] + rate[:-1], 1e-9)
    at = np.concatenate([[0.0], np.cumsum(durations)])
    dt = period / 2
    fine = np.arange(0.0, at[-1] + dt, dt)
    sdot = np.interp(fine, at, rate, right=0.0)
    width = max(3, 2 * round(filter_s / dt / 2) + 1)
    kernel = np.convolve(np.full(width, 1.0 / width), np.full(width, 1.0 / width))
    sdot = np.concatenate([[0.0], np.convolve(sdot, kernel), [0.0]])
    # The trapezoidal sum makes s exact for the piecewise linear s-dot; the last millionth is scaled
    # away.
    travelled = np.concatenate([[0.0], np.cumsum((sdot[1:] + sdot[:-1]) * (dt / 2))])
    sdot *= length / travelled[-1]
    travelled *= length / travelled[-1]
    travelled = np.minimum(travelled, length)
    sddot = np.gradient(sdot, dt)
    sddot[[0, -1]] = 0.0
    q = np.asarray(spline(travelled))
    q1, q2 = np.asarray(spline(travelled, 1)), np.asarray(spline(travelled, 2))
    qd = q1 * sdot[:, None]
    qdd = q2 * (sdot**2)[:, None] + q1 * sddot[:, None]
    jerk = np.abs(np.diff(qdd, axis=0)).max(axis=0) / dt
    # Every second sample is what is kept, unless the motion is stretched a lot; the last one
    # belongs to it in any case.
    half = np.arange(0, len(q), 2) if len(q) % 2 else np.append(np.arange(0, len(q), 2), len(q) - 1)
    tool = arm.tcp_path(q[half])
    tcp_speed = (
        np.linalg.norm(np.diff(tool[:, :3, 3], axis=0), axis=1) / (np.diff(half) * dt)
    ).max()
    # Uniform stretch by k divides velocity by k, acceleration by k^2, jerk by k^3.
    stretch = max(
        1.0,
        float((np.abs(qd).max(axis=0) / limits.velocity).max()) / FINAL,
        float(np.sqrt((np.abs(qdd).max(axis=0) / limits.acceleration).max() / FINAL)),
        float(np.cbrt((jerk / limits.jerk).max() / FINAL)),
        float(tcp_speed / max_tcp_speed) / FINAL,
    )
    take = half if round(2 / stretch) >= 2 else np.arange(len(q))
    return TimedPath(
        times=np.asarray(take * (dt * stretch), dtype=np.float64),
        positions=q[take],
        velocities=qd[take] / stretch,
        accelerations=qdd[take] / stretch**2,
        fraction=np.interp(travelled[take], knots, index),
        tool=tool if take is half else arm.tcp_path(q),
    )
