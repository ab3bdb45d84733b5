# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Arm positions along strokes: branches, continuity, dense collision checks, detours."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import (
    CancelledError,
    PathInCollisionError,
    PlanningError,
    PlanningTimeoutError,
    UnreachableError,
)
from robotracer_ros.planning.checker import Checker
from robotracer_ros.planning.config import RobotConfig
from robotracer_ros.planning.detour import joint_detour
from robotracer_ros.planning.ik import TURN, InverseKinematics
from robotracer_ros.planning.robot import ArmModel
from robotracer_ros.planning.segments import Stroke, polyline

Matrix = NDArray[np.float64]

#: arm branches that are tried per grasp or orientation
BRANCHES = 4
#: corners of a joint path are rounded within this distance, rad
JOINT_CORNER = 0.20


@dataclass
class Tools:
    """What every stage of one plan uses.

    Attributes:
        arm, ik, config: The robot.
        deadline: ``time.perf_counter`` after which planning gives up.
        times: Seconds per stage, filled on the way.
        detours: Number of sampling searches made.
        cancelled: Says whether planning is to end; asked before every stage and within searches.
    """

    arm: ArmModel
    ik: InverseKinematics
    config: RobotConfig
    deadline: float = float('inf')
    times: dict[str, float] = field(default_factory=dict)
    detours: int = 0
    cancelled: Callable[[], bool] = lambda: False

    def check_time(self, last: PlanningError | None = None) -> None:
        """Raise PlanningTimeoutError, with the last failure as a hint, when the deadline has
        passed, and CancelledError when nobody waits for the plan any more.
        """
        self.check_cancelled()
        if time.perf_counter() > self.deadline:
            last = explained(last) if last else None
            hint = f'; last obstacle: {last}' if last else ''
            raise PlanningTimeoutError(
                f'planning took longer than {self.config.planner.timeout_s:g} s{hint}',
                waypoint=last.waypoint if last else -1,
                limit=self.config.planner.timeout_s,
            ) from last

    def check_cancelled(self) -> None:
        """Raise CancelledError when planning was cancelled."""
        if self.cancelled():
            raise CancelledError('cancelled while planning')

    def clock(self, stage: str) -> _Clock:
        """Return a context manager that adds its duration to a stage; raises CancelledError as
        :meth:`check_cancelled`.
        """
        self.check_cancelled()
        return _Clock(self.times, stage)


class _Clock:
    def __init__(self, times: dict[str, float], stage: str) -> None:
        self._times, self._stage = times, stage

    def __enter__(self) -> None:
        self._begin = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._times[self._stage] = (
            self._times.get(self._stage, 0.0) + time.perf_counter() - self._begin
        )


@dataclass(frozen=True)
class Solved:
    """A stroke with arm positions (K, J) for its poses and the checker it was found free with."""

    stroke: Stroke
    path: Matrix
    checker: Checker


def densify(path: Matrix, step: float) -> Matrix:
    """Insert configurations so that no joint moves more than ``step`` rad between neighbours of (N,
    J).
    """
    gaps = np.abs(np.diff(path, axis=0)).max(axis=1)
    parts = [path[:1]]
    for a, b, gap in zip(path[:-1], path[1:], gaps, strict=True):
        n = max(1, int(np.ceil(gap / step)))
        parts.append(a + (b - a) * (np.arange(1, n + 1) / n)[:, None])
    return np.concatenate(parts)


def seeds(ik: InverseKinematics, pose: Matrix, near: Matrix) -> Iterator[Matrix]:
    """Yield solutions (J,) of a pose (4, 4), nearest to ``near`` first, then the same with the last
    joint a turn away.
    """
    found = ik.solutions(pose, near)
    yield from found
    lower, upper = ik.arm.limits.lower[-1], ik.arm.limits.upper[-1]
    for q in found:
        for turn in (-TURN, TURN):
            if lower <= q[-1] + turn <= upper:
                other = q.copy()
                other[-1] += turn
                yield other


def follow(tools: Tools, strokes: Sequence[Stroke], start: Matrix) -> list[Matrix]:
    """Follow strokes without interruption from ``start`` (J,), which solves the first pose.

    Raises:
        UnreachableError: names the phase, the trace point and the place that cannot be reached
            continuously.
    """
    paths, q = [], start
    with tools.clock('ik'):
        for s in strokes:
            path, reached = tools.ik.follow(s.poses, q)
            if reached < len(s.poses):
                p = s.poses[reached, :3, 3]
                raise UnreachableError(
                    f'{s.phase.name}: the tool cannot go on to ({p[0]:.3f}, {p[1]:.3f}, {p[2]:.3f}) m '
                    f'({reached} of {len(s.poses)} poses reached)',
                    waypoint=int(s.waypoints[reached]),
                    phase=s.phase.name,
                    position=p.tolist(),
                    reached=reached,
                )
            paths.append(path)
            q = path[-1]
    return paths


def demand_free(tools: Tools, stroke: Stroke, path: Matrix, checker: Checker) -> Solved:
    """Return the solved stroke. Raises PathInCollisionError naming phase, trace point, link pair
    and distance.
    """
    with tools.clock('collision'):
        hit = checker.first_hit(densify(path, tools.config.planner.check_step_rad))
        if hit is None:
            return Solved(stroke, path, checker)
        dense = densify(path, tools.config.planner.check_step_rad)
        raise collision_error(stroke, path, dense[hit], checker)


def collision_error(
    stroke: Stroke, path: Matrix, q: Matrix, checker: Checker
) -> PathInCollisionError:
    """Describe a collision at ``q`` (J,) on a stroke; see :func:`explained` for the pair and the
    distance.
    """
    nearest = int(np.abs(path - q).max(axis=1).argmin())
    p = stroke.poses[nearest, :3, 3]
    where = f'{stroke.phase.name}: with the tool at ({p[0]:.3f}, {p[1]:.3f}, {p[2]:.3f}) m'
    waypoint, phase = int(stroke.waypoints[nearest]), stroke.phase.name

    def explain() -> PathInCollisionError:
        contact = checker.contact(q)
        return PathInCollisionError(
            f'{where}, {contact or "margin violated"}',
            waypoint=waypoint,
            phase=phase,
            pair=[contact.first, contact.second] if contact else [],
            distance=contact.distance if contact else 0.0,
        )

    return PathInCollisionError(
        f'{where}: collision', waypoint=waypoint, phase=phase, explain=explain
    )


def explained(error: PlanningError) -> PlanningError:
    """Return the error with link pair and distance. Finding them takes longer than a check, so only
    the reported error gets them.
    """
    explain = error.details.pop('explain', None)
    return explain() if explain is not None else error


def reach(tools: Tools, start: Matrix, goal: Matrix, checker: Checker) -> Matrix:
    """Return a free joint path (K, J) between configurations: straight when possible, else a
    sampled detour.

    Raises:
        PathInCollisionError: no path was found in the time of one search.
    """
    p = tools.config.planner
    if np.abs(goal - start).max() < 1e-6:
        return np.stack([start, goal])
    direct = densify(np.stack([start, goal]), p.check_step_rad)
    with tools.clock('collision'):
        hit = checker.first_hit(direct)
    if hit is None:
        return _line(start, goal)
    if hit == 0 or checker.hit(goal):
        q = start if hit == 0 else goal
        raise PathInCollisionError(
            f'REACH: {"start" if hit == 0 else "end"} of the way to the object: '
            f'{checker.contact(q) or "margin violated"}',
            phase='REACH',
        )
    with tools.clock('detour'):
        tools.detours += 1
        limits = tools.arm.limits
        corners = joint_detour(
            checker,
            start,
            goal,
            limits.lower,
            limits.upper,
            p.check_step_rad,
            p.detour_s,
            p.simplify_s,
            p.seed,
            tools.cancelled,
        )
        tools.check_cancelled()
        if corners is not None:
            eased = checker.eased()
            for radius in (JOINT_CORNER, JOINT_CORNER / 4, 0.0):
                path = polyline(corners, np.zeros(len(corners), np.int64), radius, 0.05)[0]
                if eased.first_hit(densify(path, p.check_step_rad)) is None:
                    return path
    contact = checker.contact(direct[hit])
    raise PathInCollisionError(
        f'REACH: the straight way is blocked ({contact or "margin violated"}) and no detour was found '
        f'in {p.detour_s:g} s',
        phase='REACH',
        pair=[contact.first, contact.second] if contact else [],
        distance=contact.distance if contact else 0.0,
    )


def _line(start: Matrix, goal: Matrix) -> Matrix:
    n = max(4, int(np.ceil(np.abs(goal - start).max() / 0.1)))
    return start + np.linspace(0.0, 1.0, n + 1)[:, None] * (goal - start)
