# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Independent check of finished motions, from their sampled positions alone.

Nothing of the search or the timing is reused: velocities, accelerations and jerks are finite
differences, tool speeds come from forward kinematics, collisions from checkers made for this
purpose.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import LimitsViolatedError, PathInCollisionError
from robotracer_ros.planning.base import JointLimits, Motion
from robotracer_ros.planning.checker import Checker
from robotracer_ros.planning.robot import ArmModel

Matrix = NDArray[np.float64]

#: finite differences and floating point may exceed a limit by this share
TOLERANCE = 2e-3
#: largest gap (rad) between the end of a motion and the start of the next, and of the first to the
#: robot
CONTINUITY = 1e-4
#: largest difference of declared and differenced velocity, as a share of the velocity limit
CONSISTENCY = 0.1
#: a motion has to begin and end slower than this share of the velocity limit
REST = 1e-6


def verify(
    motions: Sequence[Motion],
    start: Matrix,
    limits: JointLimits,
    arm: ArmModel,
    max_tcp_speed: float,
) -> float:
    """Check motions against limits, rest at the ends, and continuity.

    Args:
        motions: In order of execution.
        start: (J,) where the robot is.
        limits: Per joint.
        arm: For the tool's speed.
        max_tcp_speed: m/s.

    Returns:
        Largest speed of the tool centre point, m/s.

    Raises:
        LimitsViolatedError: names phase, joint, value and limit.
    """
    at, fastest = np.asarray(start, dtype=float), 0.0
    for m in motions:
        name = m.phase.name
        shapes = {a.shape for a in (m.positions, m.velocities, m.accelerations)}
        if (
            shapes != {(len(m.times), len(limits.names))}
            or len(m.tool) != len(m.times)
            or len(m.times) < 2
        ):
            raise LimitsViolatedError(
                f'{name}: arrays of {shapes} for {len(m.times)} samples and {len(limits.names)} joints'
            )
        for what, array in (
            ('times', m.times),
            ('positions', m.positions),
            ('velocities', m.velocities),
            ('accelerations', m.accelerations),
        ):
            if not np.isfinite(array).all():
                raise LimitsViolatedError(
                    f'{name}: {what} hold a value that is not finite', phase=name
                )
        h = np.diff(m.times)
        if m.times[0] != 0.0 or (h <= 0).any():
            raise LimitsViolatedError(
                f'{name}: times must start at 0 and increase; first {m.times[0]:g} s, '
                f'smallest step {h.min():g} s',
                phase=name,
            )
        gap = np.abs(m.positions[0] - at)
        _demand(
            gap,
            np.full_like(gap, CONTINUITY),
            name,
            'starts away from where the robot is, by',
            'rad',
            limits.names,
        )
        at = m.positions[-1]
        _demand(
            -(m.positions - limits.lower).min(axis=0),
            np.zeros(len(at)),
            name,
            'is below its lower limit by',
            'rad',
            limits.names,
        )
        _demand(
            (m.positions - limits.upper).max(axis=0),
            np.zeros(len(at)),
            name,
            'is above its upper limit by',
            'rad',
            limits.names,
        )
        velocity = np.diff(m.positions, axis=0) / h[:, None]
        middle = 0.5 * (h[1:] + h[:-1])
        # The robot rests before and after: a jump to speed at either end is an acceleration too.
        still = np.zeros((1, velocity.shape[1]))
        wide = np.concatenate([[h[0]], middle, [h[-1]]])
        acceleration = np.diff(np.concatenate([still, velocity, still]), axis=0) / wide[:, None]
        jerk = np.diff(acceleration, axis=0) / h[:, None]
        for array, limit, what, unit in (
            (velocity, limits.velocity, 'moves with', 'rad/s'),
            (acceleration, limits.acceleration, 'accelerates with', 'rad/s^2'),
            (jerk, limits.jerk, 'jerks with', 'rad/s^3'),
        ):
            if len(array):
                _demand(
                    np.abs(array).max(axis=0),
                    limit * (1 + TOLERANCE),
                    name,
                    what,
                    unit,
                    limits.names,
                )
        _demand(
            np.abs(m.velocities).max(axis=0),
            limits.velocity * (1 + TOLERANCE),
            name,
            'declares',
            'rad/s',
            limits.names,
        )
        _demand(
            np.abs(m.velocities[[0, -1]]).max(axis=0),
            limits.velocity * REST,
            name,
            'is not at rest at an end:',
            'rad/s',
            limits.names,
        )
        declared = 0.5 * (m.velocities[1:] + m.velocities[:-1])
        _demand(
            np.abs(declared - velocity).max(axis=0),
            limits.velocity * CONSISTENCY,
            name,
            'declares a velocity that differs from its positions by',
            'rad/s',
            limits.names,
        )
        tcp = arm.tcp_path(m.positions)
        if np.abs(tcp - m.tool).max() > 1e-6:
            raise LimitsViolatedError(
                f'{name}: declared tool poses differ from forward kinematics by '
                f'{np.abs(tcp - m.tool).max():g} m',
                phase=name,
            )
        speed = float((np.linalg.norm(np.diff(tcp[:, :3, 3], axis=0), axis=1) / h).max())
        if speed > max_tcp_speed * (1 + TOLERANCE):
            raise LimitsViolatedError(
                f'{name}: the tool centre point moves with {speed:.4f} m/s: at most '
                f'{max_tcp_speed:.4f} m/s is allowed',
                phase=name,
                value=speed,
                limit=max_tcp_speed,
            )
        fastest = max(fastest, speed)
    return fastest


def recheck(
    motions: Sequence[Motion],
    checkers: Sequence[Checker],
    stride_m: float = 0.008,
    stride_rad: float = 0.03,
) -> None:
    """Check motions for collision, densely in space.

    Args:
        motions: In order of execution.
        checkers: One per motion.
        stride_m: Checked samples are at most this far apart (tool, joints), as far as
        stride_rad: Checked samples are at most this far apart (tool, joints), as far as
            the samples allow.

    Raises:
        PathInCollisionError: names phase, time, trace point, link pair and distance.
    """
    for m, checker in zip(motions, checkers, strict=True):
        travel = np.maximum(
            np.linalg.norm(np.diff(m.tool[:, :3, 3], axis=0), axis=1) / stride_m,
            np.abs(np.diff(m.positions, axis=0)).max(axis=1) / stride_rad,
        )
        reached = np.concatenate([[0.0], np.cumsum(travel)])
        marks = np.floor(reached)
        take = np.flatnonzero(np.concatenate([[True], np.diff(marks) > 0]))
        take = np.union1d(take, [len(reached) - 1])
        hit = checker.first_hit(m.positions[take])
        if hit is not None:
            i = int(take[hit])
            contact = checker.contact(m.positions[i])
            raise PathInCollisionError(
                f'final check: {m.phase.name} at {m.times[i]:.2f} s: {contact or "margin violated"}',
                waypoint=int(m.waypoints[i]),
                phase=m.phase.name,
                pair=[contact.first, contact.second] if contact else [],
                distance=contact.distance if contact else 0.0,
            )


def _demand(
    values: Matrix, bounds: Matrix, phase: str, what: str, unit: str, names: tuple[str, ...]
) -> None:
    over = values - bounds
    if (over > 0).any():
        j = int(np.argmax(over / np.maximum(bounds, 1e-9)))
        raise LimitsViolatedError(
            f'{phase}: {names[j]} {what} {values[j]:.4g} {unit}: limit {bounds[j]:.4g} {unit}',
            phase=phase,
            joint=names[j],
            value=float(values[j]),
            limit=float(bounds[j]),
        )
