# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A joint trajectory controller that behaves as the one of ros2_control, without ROS.

Semantics. Joints are named, in any order, all of them. Point times count from the start: ``now``
when no start is given, else that time; a start in the past means that the robot is to be where the
trajectory is by now. Between points the motion is linear when one of them has positions only, cubic
with velocities, quintic with accelerations too. A new trajectory replaces the old one at once and
begins at the commanded state, not the measured one. At its end the last position is held. A
trajectory without points stops the motion within the joints' deceleration. What cannot be executed
is refused with the reason, and what ran before goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import ControllerRefusedError, InvalidParameterError

Array = NDArray[np.float64]
#: velocity (rad/s or m/s) at the last point above which a trajectory does not end at rest
_REST = 1e-4
#: samples per segment when limits are checked between points
_CHECKS = 6


@dataclass(frozen=True)
class JointBounds:
    """What the controller may command, per joint in the order of ``names``; rad or m, and s.

    Attributes:
        names: The controller's joints.
        lower, upper: Position range.
        velocity: Largest speed; a trajectory that is faster anywhere is refused.
        deceleration: Used to stop on an empty trajectory.
        jump: Largest distance of a trajectory's present place from the commanded position.
    """

    names: tuple[str, ...]
    lower: Array
    upper: Array
    velocity: Array
    deceleration: Array
    jump: Array

    def __post_init__(self) -> None:
        for name in ('lower', 'upper', 'velocity', 'deceleration', 'jump'):
            value = np.asarray(getattr(self, name), dtype=float)
            if value.shape != (len(self.names),):
                raise InvalidParameterError(f'joint bounds: {name} has shape {value.shape}, must '
                                            f'be ({len(self.names)},)')
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class TrajectoryPoint:
    """One point of a command: seconds from the start and values per joint of the command."""

    time: float
    positions: Sequence[float]
    velocities: Sequence[float] = ()
    accelerations: Sequence[float] = ()


@dataclass(frozen=True)
class TrajectoryCommand:
    """A joint trajectory as a client sends it.

    Attributes:
        names: Joints in the order of the points' values.
        points: In time order; empty means stop.
        start: Time (s) that the points' times count from; None means on arrival.
    """

    names: tuple[str, ...]
    points: tuple[TrajectoryPoint, ...]
    start: float | None = None


@dataclass
class _Spline:
    """Piecewise polynomials: knot times (K,), coefficients (K - 1, 6, J) of seconds since a knot.

    ``end`` (J,) is held after the last knot.
    """

    knots: Array
    coefficients: Array
    end: Array

    def at(self, t: float) -> tuple[Array, Array, Array]:
        """Return position, velocity, acceleration (J,) at a time; at rest beyond the end."""
        if t >= self.knots[-1] or not len(self.coefficients):
            zero = np.zeros_like(self.end)
            return self.end, zero, zero
        i = max(int(np.searchsorted(self.knots, t, side='right')) - 1, 0)
        s = max(t - float(self.knots[i]), 0.0)
        c = self.coefficients[i]
        q = c[0] + s * (c[1] + s * (c[2] + s * (c[3] + s * (c[4] + s * c[5]))))
        v = c[1] + s * (2 * c[2] + s * (3 * c[3] + s * (4 * c[4] + s * 5 * c[5])))
        a = 2 * c[2] + s * (6 * c[3] + s * (12 * c[4] + s * 20 * c[5]))
        return q, v, a

    def sampled(self, after: float) -> tuple[Array, Array, Array]:
        """Return times (N,), positions and velocities (N, J) on a grid of every segment left."""
        i = max(int(np.searchsorted(self.knots, after, side='right')) - 1, 0)
        c = self.coefficients[i:][:, :, None, :]
        spans = np.diff(self.knots)[i:]
        s = spans[:, None] * np.linspace(0, 1, _CHECKS + 1)
        x = s[:, :, None]
        q = c[:, 0] + x * (c[:, 1] + x * (c[:, 2] + x * (c[:, 3] + x * (c[:, 4] + x * c[:, 5]))))
        v = c[:, 1] + x * (2 * c[:, 2] + x * (3 * c[:, 3] + x * (4 * c[:, 4] + x * 5 * c[:, 5])))
        t = self.knots[i:-1, None] + s
        joints = self.end.size
        return t.reshape(-1), q.reshape(-1, joints), v.reshape(-1, joints)


class TrajectoryController:
    """Follows joint trajectories.

    Args:
        bounds: Joints and limits.
        positions: (J,) where the joints are at the start, held until a trajectory arrives.
    """

    def __init__(self, bounds: JointBounds, positions: Array) -> None:
        self.bounds = bounds
        self.names = bounds.names
        self.reset(positions)

    def reset(self, positions: Array) -> None:
        """Hold these positions (J,) and forget any trajectory."""
        q = np.array(positions, dtype=float)
        self._spline = _hold(q, 0.0)
        self.active = False

    def sample(self, now: float) -> tuple[Array, Array, Array]:
        """Return the commanded positions, velocities and accelerations, (J,) each, at a time."""
        if self.active and now >= self._spline.knots[-1]:
            self.active = False
        q, v, a = self._spline.at(now)
        return np.clip(q, self.bounds.lower, self.bounds.upper), v, a

    @property
    def end_time(self) -> float:
        """When the present trajectory ends, seconds."""
        return float(self._spline.knots[-1])

    def stop(self, now: float) -> None:
        """Brake on the present way and hold where that ends."""
        q, v, _ = self.sample(now)
        time = float(np.max(np.abs(v) / self.bounds.deceleration, initial=0.0))
        if time < 1e-4:
            self.reset(q)
            return
        # Constant deceleration of all joints together: they stay on the tangent of the way.
        end = q + v * time / 2
        coefficients = np.zeros((1, 6, q.size))
        coefficients[0, :3] = q, v, -v / (2 * time)
        self._spline = _Spline(np.array([now, now + time]), coefficients, end)
        self.active = True

    def accept(self, command: TrajectoryCommand, now: float) -> None:
        """Replace the present trajectory.

        Args:
            command: The new one.
            now: The controller's time, seconds.

        Raises:
            ControllerRefusedError: it cannot be executed; the present one goes on.
        """
        if not command.points:
            self._check_names(command.names, allow_none=True)
            self.stop(now)
            return
        order = self._check_names(command.names)
        times, q, v, a = self._check_points(command, order)
        start = now if command.start is None else command.start
        knots = start + times
        if knots[-1] < now:
            raise ControllerRefusedError(f'trajectory ends at {knots[-1]:.3f} s, '
                                         f'{now - knots[-1]:.3f} s ago: must end in the future')
        spline = self._join(knots, q, v, a, now)
        self._check_limits(spline, now)
        self._spline = spline
        self.active = True

    def _check_names(self, names: tuple[str, ...], allow_none: bool = False) -> list[int]:
        if allow_none and not names:
            return []
        unknown = [n for n in names if n not in self.names]
        missing = [n for n in self.names if n not in names]
        if unknown or missing or len(names) != len(self.names):
            raise ControllerRefusedError(
                f'trajectory is for joints {", ".join(names) or "(none)"}: must name each of '
                f'{", ".join(self.names)} once')
        return [names.index(n) for n in self.names]

    def _check_points(self, command: TrajectoryCommand, order: list[int]
                      ) -> tuple[Array, Array, Array, Array]:
        """Return times (T,) and positions, velocities, accelerations (T, J); NaN where not given."""
        count, joints = len(command.points), len(self.names)
        times = np.array([p.time for p in command.points], dtype=float)
        values = np.full((3, count, joints), np.nan)
        for i, p in enumerate(command.points):
            for k, (what, row) in enumerate((('positions', p.positions),
                                             ('velocities', p.velocities),
                                             ('accelerations', p.accelerations))):
                if len(row) == joints:
                    values[k, i] = np.asarray(row, dtype=float)[order]
                    if not np.isfinite(values[k, i]).all():
                        raise ControllerRefusedError(f'trajectory point {i}: {what} '
                                                     f'{list(map(float, row))} must be finite')
                elif len(row) or k == 0:
                    raise ControllerRefusedError(f'trajectory point {i} has {len(row)} {what}: '
                                                 f'must have {joints}')
        if not np.isfinite(times).all() or times[0] < 0:
            raise ControllerRefusedError(f'trajectory times start with {times[0]} s: must be '
                                         'finite and >= 0')
        gaps = np.diff(times)
        if count > 1 and gaps.min() <= 0:
            i = int(np.argmin(gaps))
            raise ControllerRefusedError(f'trajectory points {i} and {i + 1} are at {times[i]} s '
                                         f'and {times[i + 1]} s: times must increase')
        last = np.nan_to_num(values[1, -1])
        if np.abs(last).max() > _REST:
            i = int(np.argmax(np.abs(last)))
            raise ControllerRefusedError(f"trajectory ends with '{self.names[i]}' at {last[i]:.4f} "
                                         'rad/s (m/s): must end at rest')
        return times, values[0], values[1], values[2]

    def _join(self, knots: Array, q: Array, v: Array, a: Array, now: float) -> _Spline:
        """Make the spline, led there from the commanded state when it begins later."""
        q0, v0, a0 = self.sample(now)
        if knots[0] > now:
            knots = np.concatenate([[now], knots])
            q, v, a = (np.concatenate([[x0], x]) for x0, x in ((q0, q), (v0, v), (a0, a)))
        if len(knots) == 1:
            return _hold(q[0], float(knots[0]))
        return _Spline(knots, _coefficients(np.diff(knots), q, v, a), q[-1])

    def _check_limits(self, spline: _Spline, now: float) -> None:
        b = self.bounds
        jump = np.abs(spline.at(now)[0] - self.sample(now)[0])
        if (jump > b.jump).any():
            i = int(np.argmax(jump / b.jump))
            raise ControllerRefusedError(
                f"trajectory has '{self.names[i]}' {jump[i]:.4f} rad (m) away from the commanded "
                f'position now: must be within {b.jump[i]:.4f}')
        if len(spline.knots) == 1:
            times, q, v = spline.knots, spline.end[None], np.zeros((1, len(self.names)))
        else:
            times, q, v = spline.sampled(now)
        outside = (q < b.lower - 1e-6) | (q > b.upper + 1e-6)
        if outside.any():
            n, i = np.argwhere(outside)[0]
            raise ControllerRefusedError(
                f"trajectory has '{self.names[i]}' at {q[n, i]:.4f} rad (m) at "
                f'{times[n] - now:.3f} s from now: must be in {b.lower[i]:.4f}..{b.upper[i]:.4f}')
        fast = np.abs(v) > b.velocity * 1.001
        if fast.any():
            n, i = np.argwhere(fast)[0]
            raise ControllerRefusedError(
                f"trajectory has '{self.names[i]}' at {v[n, i]:.3f} rad/s (m/s) at "
                f'{times[n] - now:.3f} s from now: limit is {b.velocity[i]:.3f}')


def _hold(q: Array, at: float) -> _Spline:
    return _Spline(np.array([at]), np.zeros((0, 6, q.size)), q)


def _coefficients(spans: Array, q: Array, v: Array, a: Array) -> Array:
    """Return (S, 6, J) polynomials between the rows of q; NaN velocities or accelerations: none."""
    h = spans[:, None]
    q0, q1, v0, v1, a0, a1 = q[:-1], q[1:], v[:-1], v[1:], a[:-1], a[1:]
    c = np.zeros((len(spans), 6, q.shape[1]))
    d = q1 - q0
    c[:, 0] = q0
    c[:, 1] = d / h
    with_v = ~np.isnan(v0 + v1).any(axis=1)
    with_a = with_v & ~np.isnan(a0 + a1).any(axis=1)
    k = np.flatnonzero(with_v & ~with_a)
    h1, d1, u0, u1 = h[k], d[k], v0[k], v1[k]
    c[k, 1] = u0
    c[k, 2] = (3 * d1 / h1 - 2 * u0 - u1) / h1
    c[k, 3] = (-2 * d1 / h1 + u0 + u1) / h1 ** 2
    k = np.flatnonzero(with_a)
    h1, d1, u0, u1, b0, b1 = h[k], d[k], v0[k], v1[k], a0[k], a1[k]
    c[k, 1], c[k, 2] = u0, b0 / 2
    c[k, 3] = (20 * d1 - (8 * u1 + 12 * u0) * h1 - (3 * b0 - b1) * h1 ** 2) / (2 * h1 ** 3)
    c[k, 4] = (-30 * d1 + (14 * u1 + 16 * u0) * h1 + (3 * b0 - 2 * b1) * h1 ** 2) / (2 * h1 ** 4)
    c[k, 5] = (12 * d1 - 6 * (u1 + u0) * h1 - (b0 - b1) * h1 ** 2) / (2 * h1 ** 5)
    return c
