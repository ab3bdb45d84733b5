# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Time the solved strokes, check the result independently, measure it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import PlanningError
from robotracer_ros.planning.base import Grip, Motion, Phase, TimedPlan
from robotracer_ros.planning.checker import CLEARANCE_LEVELS, Checker
from robotracer_ros.planning.correct import CorrectedTrace
from robotracer_ros.planning.follow import Solved, Tools
from robotracer_ros.planning.timing import time_path
from robotracer_ros.planning.verify import recheck, verify

Matrix = NDArray[np.float64]

#: samples of a motion at which clearance is measured: about this far apart, metres of tool travel
CLEARANCE_STEP = 0.03
#: phases whose clearance counts; in the others contact is intended
_FREE = (Phase.REACH, Phase.CARRY)


def timed_motion(tools: Tools, solved: Solved, max_tcp_speed: float) -> Motion:
    """Time one stroke. Raises TimingFailedError."""
    p = tools.config.planner
    t = time_path(
        tools.arm, solved.path, tools.arm.limits, max_tcp_speed, p.sample_s, p.jerk_filter_s
    )
    marks = solved.stroke.waypoints
    at = np.clip(np.ceil(t.fraction - 1e-9).astype(int), 0, len(marks) - 1)
    return Motion(
        solved.stroke.phase,
        t.times,
        t.positions,
        t.velocities,
        t.accelerations,
        t.tool,
        marks[at],
        solved.stroke.carrying,
    )


def every(motion: Motion, step: float) -> NDArray[np.int64]:
    """Return indices of samples about ``step`` metres of tool travel (or as many tenths of a rad)
    apart, both ends included.
    """
    travel = np.maximum(
        np.linalg.norm(np.diff(motion.tool[:, :3, 3], axis=0), axis=1),
        0.1 * np.abs(np.diff(motion.positions, axis=0)).max(axis=1),
    )
    marks = np.floor(np.concatenate([[0.0], np.cumsum(travel)]) / step)
    return np.union1d(np.flatnonzero(np.diff(marks, prepend=-1.0) > 0), [len(motion.times) - 1])


def deviation(path: Matrix, corners: Matrix) -> float:
    """Return the largest distance of points (K, 3) to the polyline through (M, 3)."""
    if len(path) == 0:
        return 0.0
    a, d = corners[:-1], np.diff(corners, axis=0)
    length = np.maximum((d * d).sum(axis=1), 1e-12)
    t = np.clip(((path[:, None] - a) * d).sum(axis=2) / length, 0.0, 1.0)
    return float(np.linalg.norm(path[:, None] - (a + t[..., None] * d), axis=2).min(axis=1).max())


def assemble(
    tools: Tools,
    steps: Sequence[Solved | Grip],
    checks: Sequence[Checker],
    trace: CorrectedTrace,
    tcp_from_centre: Matrix | None,
    corners: Matrix,
    start: Matrix,
    max_tcp_speed: float,
    failed: PlanningError | None,
) -> TimedPlan:
    """Make the timed, checked plan.

    Args:
        tools: Robot, parameters, clocks.
        steps: Solved strokes and jaw moves in order.
        checks: One checker per stroke, made for the final check.
        trace: Corrected trace.
        tcp_from_centre: (3,) object's centre in the tool's frame, or None for a free tool.
        corners: (M, 3) polyline that the carry has to follow, for the deviation.
        start: (J,) where the arm is.
        max_tcp_speed: m/s.
        failed: Why a partial plan ends early, or None.

    Raises:
        TimingFailedError, LimitsViolatedError, PathInCollisionError: naming the phase.
    """
    solved = [s for s in steps if isinstance(s, Solved)]
    with tools.clock('timing'):
        motions = [timed_motion(tools, s, max_tcp_speed) for s in solved]
    with tools.clock('verify'):
        fastest = verify(motions, start, tools.arm.limits, tools.arm, max_tcp_speed)
        recheck(motions, checks)
    with tools.clock('clearance'):
        clearance = min(
            (
                s.checker.clearance(m.positions[every(m, CLEARANCE_STEP)])
                for s, m in zip(solved, motions, strict=True)
                if m.phase in _FREE
            ),
            default=CLEARANCE_LEVELS[0],
        )
    moved = []
    for m in motions:
        tool = m.tool[every(m, 0.01)]
        if m.phase == Phase.CARRY and tcp_from_centre is None:
            moved.append(tool[:, :3, 3])
        elif m.carrying and tcp_from_centre is not None:
            moved.append(tool[:, :3, :3] @ tcp_from_centre + tool[:, :3, 3])
    followed = [
        c
        for c, m in zip(
            moved,
            (
                m
                for m in motions
                if m.carrying or (tcp_from_centre is None and m.phase == Phase.CARRY)
            ),
            strict=True,
        )
        if m.phase == Phase.CARRY
    ]
    queue = iter(motions)
    ordered = tuple(s if isinstance(s, Grip) else next(queue) for s in steps)
    return TimedPlan(
        joint_names=tools.arm.names,
        steps=ordered,
        corrections=trace.corrections,
        corrected=trace.points,
        object_path=np.concatenate(moved) if moved else np.zeros((0, 3)),
        min_clearance_m=clearance,
        max_tcp_speed=fastest,
        trace_deviation_m=max((deviation(c, corners) for c in followed), default=0.0),
        failed_waypoint=failed.waypoint if failed else -1,
        partial_reason=f'{failed.name} ({failed.code}): {failed}' if failed else '',
        stage_times_s=dict(tools.times),
    )
