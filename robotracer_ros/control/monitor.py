# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Watch a moving robot: is it heard, does it follow, does it arrive, does it still hold the object."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import (
    ControllerLostError,
    GraspFailedError,
    ObjectDroppedError,
    TrackingError,
)
from robotracer_ros.planning.base import RobotState

Array = NDArray[np.float64]

#: defaults of every executor, whatever moves the robot: largest joint error while moving, and at
#: the end of a motion, rad
MAX_TRACKING_ERROR, GOAL_TOLERANCE = 0.15, 0.02
#: jaws that stop at least this far above what was commanded hold something; jaws that close by this
#: much more have lost it, metres
MIN_OBJECT_M, MAX_CLOSING_M = 0.003, 0.004


class FeedbackMonitor:
    """Judge the age of joint states, in the robot's time and in ours.

    Args:
        max_age_s: Oldest joint state that counts, seconds of robot time.
        max_silence_s: Longest wall time without a new one; catches a clock that stands still.
        wall: Monotonic seconds; a test passes its own.
    """

    def __init__(self, max_age_s: float, max_silence_s: float, wall: Callable[[], float] = time.monotonic) -> None:
        self._max_age_s, self._max_silence_s = max_age_s, max_silence_s
        self._wall = wall
        self._newest_ns = -1
        self._heard = wall()

    def check(self, state: RobotState | None, now_s: float) -> RobotState:
        """Return the state when it is fresh. Raises ControllerLostError naming age and limit."""
        wall = self._wall()
        if state is None:
            raise ControllerLostError('no joint state has been received')
        if state.stamp_ns != self._newest_ns:
            self._newest_ns, self._heard = state.stamp_ns, wall
        age = now_s - state.stamp_ns * 1e-9
        if age > self._max_age_s:
            raise ControllerLostError(f'the newest joint state is {age:.3f} s old, limit {self._max_age_s:.3f} s',
                                      age_s=age)
        if wall - self._heard > self._max_silence_s:
            raise ControllerLostError(f'no new joint state for {wall - self._heard:.2f} s of wall time, limit '
                                      f'{self._max_silence_s:.2f} s (does the clock run?)', age_s=wall - self._heard)
        return state


class TrackingMonitor:
    """Compare where the robot is with where it should be, sample by sample.

    Args:
        names: Joints, in the order of all arrays.
        max_error: Largest joint error while moving, rad.
    """

    def __init__(self, names: tuple[str, ...], max_error: float) -> None:
        self._names, self._max_error = names, max_error
        self._squares, self._count = 0.0, 0
        self.now = 0.0
        self.maximum = 0.0

    @property
    def rms(self) -> float:
        """Root mean square of the largest joint error per sample, rad; NaN before the first."""
        return math.sqrt(self._squares / self._count) if self._count else math.nan

    @property
    def count(self) -> int:
        """Samples seen."""
        return self._count

    def check(self, measured: Array, desired: Array) -> None:
        """Take one sample of positions (J,). Raises TrackingError naming joint, value and limit."""
        error = np.abs(measured - desired)
        worst = int(np.argmax(error))
        self.now = float(error[worst])
        self.maximum = max(self.maximum, self.now)
        self._squares += self.now**2
        self._count += 1
        if self.now > self._max_error:
            raise TrackingError(f"joint '{self._names[worst]}' is {self.now:.4f} rad off the path, limit "
                                f'{self._max_error:.4f} rad', joint=self._names[worst], error=self.now)


def worst_joint(names: tuple[str, ...], measured: Array, wanted: Array) -> tuple[str, float]:
    """Return the joint with the largest difference, and that difference in rad."""
    error = np.abs(measured - wanted)
    worst = int(np.argmax(error))
    return names[worst], float(error[worst])


#: jaws that closed further have to rest again within this time of the measurements, seconds, ...
SETTLE_S = 0.3
#: ... which they do when they close by less than this, metres, within that time, seconds
STILL_M, STILL_S = 0.0004, 0.08
#: no thing that turns between the jaws becomes narrower than this share of what it was
LEAST_SHARE = 0.5


class GraspMonitor:
    """Judge from the jaws whether something is between them.

    What is held by its corners may turn between the jaws, which then close by some millimetres and
    rest again: it is still held. What is lost lets them close to where nothing is between them, or
    they go on closing. Only positions and their times are judged; few grippers measure force.

    Args:
        min_object_m: Jaws that stop at least this far above the commanded opening hold something.
        max_closing_m: Jaws that close this much further than at the grasp, and do not rest again at
            once, have lost it.
        max_width_error_m: Jaws that stop this much wider than expected hold something else, or are jammed.
    """

    def __init__(self, min_object_m: float, max_closing_m: float, max_width_error_m: float = 0.015) -> None:
        self._min_object_m, self._max_closing_m = min_object_m, max_closing_m
        self._max_width_error_m = max_width_error_m
        self._grasped: float | None = None
        self._empty = 0.0
        # Where the jaws rested last, when they began to close further, and where they are since when.
        self._rested = 0.0
        self._closing_since: float | None = None
        self._last = (0.0, 0.0)

    @property
    def holding(self) -> bool:
        """Whether a grasp was confirmed and not released since."""
        return self._grasped is not None

    @property
    def opening(self) -> float | None:
        """Jaw opening (m) at the grasp, None when nothing is held."""
        return self._grasped

    def closed(self, commanded: float, reached: float, width: float = math.nan) -> None:
        """Take the jaws' rest after closing. Raises GraspFailedError naming opening and limit.

        Args:
            commanded: Opening that was asked for, metres.
            reached: Where they came to rest.
            width: What was expected between them, NaN when unknown.
        """
        limit = max(commanded, 0.0) + self._min_object_m
        if reached < limit:
            raise GraspFailedError(f'the jaws closed to {reached * 1e3:.1f} mm, below the {limit * 1e3:.1f} mm at '
                                   'which they would hold something', opening=reached, limit=limit)
        widest = width + self._max_width_error_m
        if reached > widest:
            raise GraspFailedError(f'the jaws stopped at {reached * 1e3:.1f} mm, above the {widest * 1e3:.1f} mm at '
                                   f'which they would hold the {width * 1e3:.1f} mm that were seen', opening=reached,
                                   limit=widest)
        self._grasped = self._rested = reached
        self._empty = max(limit, LEAST_SHARE * reached)
        self._closing_since = None

    def released(self) -> None:
        """Take note that the jaws were opened on purpose."""
        self._grasped = None

    def check(self, opening: float | None, measured_s: float) -> None:
        """Take the opening while carrying. Raises ObjectDroppedError naming opening and limit.

        Args:
            opening: Metres, None when the jaws report none.
            measured_s: When it was measured, seconds.
        """
        if self._grasped is None:
            return
        if opening is None:
            raise ObjectDroppedError('the jaws report no opening while carrying')
        if opening < self._empty:
            raise self._dropped(opening, self._empty)
        limit = self._rested - self._max_closing_m
        if opening >= limit:
            self._closing_since = None
            return
        if self._closing_since is None:
            self._closing_since, self._last = measured_s, (opening, measured_s)
        at, since = self._last
        if abs(opening - at) > STILL_M:
            self._last = (opening, measured_s)
        elif measured_s - since >= STILL_S:
            self._rested, self._closing_since = opening, None
            return
        if measured_s - self._closing_since > SETTLE_S:
            raise self._dropped(opening, limit)

    def _dropped(self, opening: float, limit: float) -> ObjectDroppedError:
        assert self._grasped is not None
        return ObjectDroppedError(f'the jaws closed from {self._grasped * 1e3:.1f} mm to {opening * 1e3:.1f} mm '
                                  f'while carrying, limit {limit * 1e3:.1f} mm', opening=opening, limit=limit)
