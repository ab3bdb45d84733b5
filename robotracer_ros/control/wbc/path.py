# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A trace as a smooth way for a hand, and how fast it may be walked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robotracer_ros.errors import InvalidTraceError

Matrix = NDArray[np.float64]

#: distance of samples along the way, m
STEP_M = 0.002
#: a longer way is a mistake of the tracer and not a motion, m
MAX_LENGTH_M = 30.0


@dataclass(frozen=True)
class HandPath:
    """A way through space, at rest at both ends.

    Attributes:
        points: (S, 3) equally spaced samples, world, metres.
        along: (S,) distance from the start, metres.
        speed: (S,) largest speed at each, m/s.
        waypoint: (S,) index of the trace point that each sample heads for.
    """

    points: Matrix
    along: Matrix
    speed: Matrix
    waypoint: NDArray[np.int64]

    @property
    def length(self) -> float:
        """Metres."""
        return float(self.along[-1])

    def at(self, s: float) -> tuple[Matrix, Matrix, float, int]:
        """Return place (3,), unit tangent (3,), allowed speed and waypoint at distance s."""
        x = min(max(s, 0.0), self.length) / STEP_M if self.length > 0 else 0.0
        i = min(int(x), len(self.points) - 2)
        share = min(x - i, 1.0)
        a, b = self.points[i], self.points[i + 1]
        way = b - a
        tangent = way / max(float(np.sqrt(way @ way)), 1e-12)
        speed = float(self.speed[i] + share * (self.speed[i + 1] - self.speed[i]))
        return a + share * way, tangent, speed, int(self.waypoint[min(i + 1, len(self.points) - 1)])


def hand_path(points: ArrayLike, max_speed: float, max_acceleration: float,
              corner_m: float = 0.02) -> HandPath:
    """Make a way through trace points.

    Corners are rounded by averaging over twice ``corner_m`` of the way, which cuts a corner by at
    most half of that and keeps both ends.

    Args:
        points: (N, 3) world, metres, N >= 2.
        max_speed: m/s.
        max_acceleration: m/s^2, along the way and across it.
        corner_m: Metres.

    Raises:
        InvalidTraceError: too few points, one that is not finite (named), or an absurd length.
    """
    trace = np.array(points, dtype=float)
    if trace.ndim != 2 or trace.shape[1] != 3 or len(trace) < 2:
        raise InvalidTraceError(f'trace has shape {trace.shape}: must be (N, 3) with N >= 2',
                                reason='input')
    for i, point in enumerate(trace):
        if not np.isfinite(point).all():
            raise InvalidTraceError(f'trace point {i} is not finite: {point.tolist()}', waypoint=i,
                                    reason='input')
    lengths = np.linalg.norm(np.diff(trace, axis=0), axis=1)
    total = float(lengths.sum())
    if not total <= MAX_LENGTH_M:
        raise InvalidTraceError(f'trace is {total:.1f} m long: must be at most {MAX_LENGTH_M:g} m',
                                reason='input', length=total)
    knots = np.concatenate([[0.0], np.cumsum(lengths)])
    if total < STEP_M:
        still = np.stack([trace[0], trace[-1]])
        return HandPath(still, np.array([0.0, STEP_M]), np.zeros(2), np.full(2, len(trace) - 1))
    # Equal knots (repeated points) would divide by zero in the interpolation.
    keep = np.concatenate([[True], np.diff(knots) > 1e-9])
    count = max(2, round(total / STEP_M) + 1)
    s = np.linspace(0.0, total, count)
    way = np.stack([np.interp(s, knots[keep], trace[keep, k]) for k in range(3)], axis=1)
    way = _rounded(way, min(round(corner_m / STEP_M), (count - 1) // 2))
    # Rounding shortens corners: samples are spaced anew.
    steps = np.linalg.norm(np.diff(way, axis=0), axis=1)
    travelled = np.concatenate([[0.0], np.cumsum(steps)])
    length = max(round(travelled[-1] / STEP_M), 1) * STEP_M
    along = np.linspace(0.0, length, round(length / STEP_M) + 1)
    place = along * (travelled[-1] / length)
    way = np.stack([np.interp(place, travelled, way[:, k]) for k in range(3)], axis=1)
    heads = np.searchsorted(knots, np.interp(place, travelled, s) - 1e-9)
    return HandPath(way, along, _speeds(way, along, max_speed, max_acceleration),
                    np.clip(heads, 0, len(trace) - 1))


def _rounded(way: Matrix, half: int) -> Matrix:
    """Average a way (S, 3) twice over 2 half + 1 samples; its ends stay."""
    if half < 1:
        return way
    kernel = np.full(half + 1, 1.0 / (half + 1))
    kernel = np.convolve(kernel, kernel)
    # Continued point-symmetrically, so that the average at an end is the end.
    start = 2 * way[0] - way[half:0:-1]
    end = 2 * way[-1] - way[-2 : -half - 2 : -1]
    long = np.concatenate([start, way, end])
    return np.stack([np.convolve(long[:, k], kernel, mode='valid') for k in range(3)], axis=1)


def _speeds(way: Matrix, along: Matrix, max_speed: float, max_acceleration: float) -> Matrix:
    """Return the largest speeds (S,) that keep all accelerations and rest at both ends."""
    tangent = np.gradient(way, along, axis=0)
    bend = np.linalg.norm(np.gradient(tangent, along, axis=0), axis=1)
    speed = np.minimum(max_speed, np.sqrt(max_acceleration / np.maximum(bend, 1e-6)))
    speed[0] = speed[-1] = 0.0
    gain = 2 * max_acceleration * np.diff(along)
    for i in range(len(speed) - 1):
        speed[i + 1] = min(speed[i + 1], np.sqrt(speed[i] ** 2 + gain[i]))
    for i in range(len(speed) - 1, 0, -1):
        speed[i - 1] = min(speed[i - 1], np.sqrt(speed[i] ** 2 + gain[i - 1]))
    return speed
