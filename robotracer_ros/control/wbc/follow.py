# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Roll the controller out along a trace: a whole-body motion, or one error that says why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robotracer_ros.control.wbc.controller import Policy, Tick, WholeBodyController
from robotracer_ros.control.wbc.failures import BY_REASON
from robotracer_ros.control.wbc.path import HandPath, hand_path
from robotracer_ros.errors import CancelledError, InvalidParameterError, InvalidTraceError
from robotracer_ros.g1_description import SIDES
from robotracer_ros.planning.ranges import check_ranges

Matrix = NDArray[np.float64]
Hand = Literal['left', 'right', 'nearer', 'both']

#: a group of constraints has to cost this much speed to be the reason for not arriving, m/s
_COUNTS = 0.01
#: slowest that the target moves on while the hand follows, m/s
_CREEP = 0.02


@dataclass(frozen=True)
class FollowOptions:
    """How a trace is followed.

    Attributes:
        hand: Which one; ``nearer`` to the trace's first point; ``both`` carry one thing between
            them: the right one follows the trace, the left one keeps its place relative to it.
        policy: What the hands' orientation does.
        approach: First go straight from where the hand is to the first point.
        max_speed: m/s along the trace.
        max_acceleration: m/s^2.
        corner_m: Within which corners are rounded, metres.
        tolerance_m: Further off than this the hand does not follow; it is waited for, and given up
            after ``patience_s``.
        patience_s: Seconds.
        settle_s: Time at the end to come to rest.
    """

    hand: Hand = 'nearer'
    policy: Policy = 'level'
    approach: bool = True
    max_speed: float = 0.25
    max_acceleration: float = 0.8
    corner_m: float = 0.02
    tolerance_m: float = 0.005
    patience_s: float = 1.0
    settle_s: float = 0.4

    #: lower and upper limit of each number
    RANGES = {  # noqa: RUF012  (a constant, not a field: it has no annotation)
        'max_speed': (0.01, 1.0),
        'max_acceleration': (0.05, 5.0),
        'corner_m': (0.0, 0.15),
        'tolerance_m': (0.001, 0.05),
        'patience_s': (0.05, 30.0),
        'settle_s': (0.0, 10.0),
    }

    def __post_init__(self) -> None:
        check_ranges(self, self.RANGES, 'follow option')


@dataclass(frozen=True)
class WholeBodyMotion:
    """A motion of the whole body, one sample per tick.

    Attributes:
        hand: Which hand followed.
        period_s: Seconds between samples.
        q: (T, 36) configurations.
        v: (T, 35) velocity from each sample to the next; the last one is zero.
        wanted: (T, 3) where the hand should have been, world.
        reached: (T, 3) where it was.
        waypoints: (T,) index of the trace point headed for, -1 on the approach.
        separation_m: Smallest distance between proxies, and to the scene.
        balance_m: Smallest distance of the centre of mass to the edge of the support polygon.
        feet_error: Largest drift of a sole, m or rad.
        relaxed: The most that a tick had to give up, as in ``Tick.relaxed``.
        iterations: (T - 1,) of the solver.
    """

    hand: str
    period_s: float
    q: Matrix
    v: Matrix
    wanted: Matrix
    reached: Matrix
    waypoints: NDArray[np.int64]
    separation_m: float
    scene_separation_m: float
    balance_m: float
    feet_error: float
    relaxed: int
    iterations: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def duration_s(self) -> float:
        """Seconds."""
        return self.period_s * (len(self.q) - 1)

    def error_rms(self, trace_only: bool = True) -> float:
        """Return the hand's error as root mean square, metres; of the trace alone by default."""
        error = np.linalg.norm(self.wanted - self.reached, axis=1)
        if trace_only and (self.waypoints >= 0).any():
            error = error[self.waypoints >= 0]
        return float(np.sqrt(np.mean(error**2)))


class TraceFollower:
    """Follows one trace tick by tick; :func:`follow` runs it to the end.

    Args:
        controller: Reset to where the motion begins. It is left where the motion ends.
        points: (N, 3) for the hand's tool centre point, world, metres.
        options: How.

    Raises:
        InvalidTraceError: too few points, or one that is not finite.
    """

    def __init__(self, controller: WholeBodyController, points: ArrayLike,
                 options: FollowOptions | None = None) -> None:
        self.controller, self.options = controller, options or FollowOptions()
        o = self.options
        trace = np.array(points, dtype=float)
        hand_path(trace, o.max_speed, o.max_acceleration)  # refuses before anything moves
        controller.model.update(controller.q)
        places = {s: controller.hand(s).translation.copy() for s in SIDES}
        self.side = self._choose(trace, places)
        self._offset = 1 if o.approach else 0
        way = np.vstack([places[self.side], trace]) if o.approach else trace
        self.path: HandPath = hand_path(way, o.max_speed, o.max_acceleration, o.corner_m)
        controller.track(self.side, o.policy)
        self._other: tuple[str, Matrix] | None = None
        if o.hand == 'both':
            # One thing between two hands: both keep their orientation, or it would be wrung.
            controller.track(self.side, 'keep')
            other = 'left' if self.side == 'right' else 'right'
            controller.track(other, 'keep')
            self._other = other, places[other] - places[self.side]
        self._s, self._speed = 0.0, 0.0
        self._waited_s, self._waited_at, self._rested_s = 0.0, 0.0, 0.0
        #: index of the trace point that is headed for, and whether that is the first one, from afar
        self.waypoint, self.approaching = 0, bool(o.approach)
        self.wanted = places[self.side]

    def _choose(self, trace: Matrix, places: dict[str, Matrix]) -> str:
        hand = self.options.hand
        if hand == 'both':
            return 'right'
        if hand in SIDES:
            return hand
        if hand != 'nearer':
            raise InvalidParameterError(f"hand '{hand}': must be left, right, nearer or both",
                                        parameter='hand')
        return min(SIDES, key=lambda s: float(np.linalg.norm(places[s] - trace[0])))

    @property
    def done(self) -> bool:
        """Whether the end is reached and the robot rests."""
        return self._rested_s >= self.options.settle_s

    def step(self) -> Tick:
        """Advance by a tick.

        Raises:
            PlanningError: the hand cannot follow; the class says why (``failures.BY_REASON``), the
                text what was in the way, ``waypoint`` where.
        """
        controller, o, dt = self.controller, self.options, self.controller.period
        place, tangent, _, head = self.path.at(self._s)
        self.waypoint = max(head - self._offset, 0)
        self.approaching = head <= self._offset
        self.wanted = place
        rate = tangent * self._speed
        controller.aim(self.side, place, rate)
        if self._other is not None:
            controller.aim(self._other[0], place + self._other[1], rate)
        tick = controller.step()
        error = max(tick.hand_error.values())
        self._advance(error, dt)
        if error > o.tolerance_m:
            self._waited_s += dt
            if self._s > self._waited_at + o.tolerance_m:
                # Slow joints are no reason to give up while the hand gets on.
                self._waited_s, self._waited_at = 0.0, self._s
            if self._waited_s > o.patience_s:
                self._give_up(error)
        else:
            self._waited_s, self._waited_at = 0.0, self._s
            if self._s >= self.path.length:
                self._rested_s += dt
        return tick

    def _advance(self, error: float, dt: float) -> None:
        """Move the target on; slower the further the hand is behind, and not at all beyond tolerance."""
        o = self.options
        # Both ends have speed zero, which nothing would ever leave or reach.
        allowed = max(self.path.at(self._s)[2], _CREEP)
        left = self.path.length - self._s
        allowed = min(allowed, float(np.sqrt(2 * o.max_acceleration * max(left, 0.0))))
        allowed *= min(max(1.5 - error / o.tolerance_m, 0.0), 1.0)
        change = o.max_acceleration * dt
        speed = min(max(allowed, self._speed - 2 * change), self._speed + change)
        self._s = min(self._s + 0.5 * (self._speed + speed) * dt, self.path.length)
        if left < 1e-4 or self._s >= self.path.length:
            self._s, speed = self.path.length, 0.0
        self._speed = speed

    def _give_up(self, error: float) -> None:
        controller = self.controller
        way = controller.in_the_way()
        costs = controller.obstacles(self.side)
        reason: str = max(costs, key=lambda k: costs[k])
        if costs[reason] < _COUNTS:  # type: ignore[index]
            reason = 'reach'
        text = {
            'reach': 'is out of its reach',
            'balance': 'would take the centre of mass off the feet',
            'limit': 'needs more than a joint has',
            'collision': 'would touch something',
        }[reason]
        target = np.round(self.wanted, 3).tolist()
        raise BY_REASON[reason](
            f'the {self.side} hand stays {error * 1e3:.0f} mm away from {target}, which {text}'
            + (f' ({"; ".join(way[:4])})' if way else ''),
            waypoint=self.waypoint, reason=reason, distance=error, in_the_way=way, costs=costs)


def follow(controller: WholeBodyController, points: ArrayLike,
           options: FollowOptions | None = None,
           cancelled: Callable[[], bool] = lambda: False) -> WholeBodyMotion:
    """Follow a trace to its end.

    Args:
        controller: Where the motion begins; left where it ends, or where it failed.
        points: (N, 3) for the hand's tool centre point, world, metres.
        options: How.
        cancelled: Asked every tick; when it says yes, CancelledError is raised.

    Raises:
        InvalidTraceError: malformed points.
        PlanningError: the hand cannot follow, with ``details['reason']``.
        CancelledError: asked to.
    """
    follower = TraceFollower(controller, points, options)
    record = _Record(controller, follower)
    while not follower.done:
        if cancelled():
            raise CancelledError('following the trace was cancelled')
        record.before()
        record.after(follower.step())
    return record.motion()


class _Record:
    """Collects a motion's samples."""

    def __init__(self, controller: WholeBodyController, follower: TraceFollower) -> None:
        self._c, self._f = controller, follower
        self._q: list[Matrix] = []
        self._wanted: list[Matrix] = []
        self._reached: list[Matrix] = []
        self._waypoints: list[int] = []
        self._ticks: list[Tick] = []

    def before(self) -> None:
        self._q.append(self._c.q)

    def after(self, tick: Tick) -> None:
        # The model still stands where the tick began, which is what the target was for.
        self._ticks.append(tick)
        self._wanted.append(self._f.wanted)
        self._reached.append(self._c.hand(self._f.side).translation.copy())
        self._waypoints.append(-1 if self._f.approaching else self._f.waypoint)

    def motion(self) -> WholeBodyMotion:
        c, ticks = self._c, self._ticks
        if not ticks:
            raise InvalidTraceError('the trace has no length', reason='input')
        c.model.update(c.q)
        self._q.append(c.q)
        self._wanted.append(self._f.wanted)
        self._reached.append(c.hand(self._f.side).translation.copy())
        self._waypoints.append(self._f.waypoint)
        v = np.array([*(t.v for t in ticks), np.zeros(c.model.nv)])
        return WholeBodyMotion(
            self._f.side, c.period, np.array(self._q), v, np.array(self._wanted),
            np.array(self._reached), np.array(self._waypoints, dtype=np.int64),
            min(t.separation for t in ticks), min(t.scene_separation for t in ticks),
            min(t.balance for t in ticks), max(t.feet_error for t in ticks),
            max(t.relaxed for t in ticks), np.array([t.iterations for t in ticks], dtype=np.int64))
