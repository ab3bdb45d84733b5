# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Follow an end-effector-centric trace: the tool centre point goes along it, nothing is grasped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import (
    PathInCollisionError,
    PlanningError,
    PlanningTimeoutError,
    UnreachableError,
)
from robotracer_ros.geometry.transforms import make_transform, rotation_about
from robotracer_ros.planning.base import Phase
from robotracer_ros.planning.bypass import ROUNDINGS, Bypass
from robotracer_ros.planning.checker import Checker
from robotracer_ros.planning.correct import CorrectedTrace
from robotracer_ros.planning.follow import (
    BRANCHES,
    Solved,
    Tools,
    demand_free,
    explained,
    follow,
    reach,
    seeds,
)
from robotracer_ros.planning.segments import Stroke, carry_stroke, with_turn

Matrix = NDArray[np.float64]


def orientation(tools: Tools, start: Matrix) -> Matrix:
    """Return the tool orientation (3, 3) for a free trace: approach straight down, closing
    direction as near to now as can be.
    """
    now = tools.arm.tcp(start)[:3, :3]
    y = np.array([*now[:2, 1], 0.0])
    y = np.array([0.0, 1.0, 0.0]) if np.linalg.norm(y) < 1e-3 else y / np.linalg.norm(y)
    z = np.array([0.0, 0.0, -1.0])
    return np.stack([np.cross(y, z), y, z], axis=1)


def solve(
    tools: Tools,
    checker: Checker,
    trace: CorrectedTrace,
    start: Matrix,
    opening: float,
    allow_partial: bool,
) -> tuple[tuple[Solved, ...], PlanningError | None]:
    """Return reach and trace, and with ``allow_partial`` the reason why the trace was cut short, or
    None.

    Args:
        tools: Robot, parameters, clocks.
        checker: For the arm with jaws at ``opening``.
        trace: Corrected trace.
        start: (J,) where the arm is.
        opening: Of the jaws, metres; it stays as it is.
        allow_partial: Accept a path up to the last reachable sample.

    Raises:
        UnreachableError, PathInCollisionError: the trace cannot be followed; names the trace point.
        PlanningTimeoutError: the time is over.
    """
    p = tools.config.planner
    first: PlanningError | None = None
    cut: tuple[Solved, ...] | None = None
    base = orientation(tools, start)
    marks = np.arange(len(trace.points))
    for detour in (False, True):
        for angle in p.yaw_options_deg:
            pose = make_transform(
                rotation_about((0, 0, 1), float(np.deg2rad(angle))) @ base, trace.points[0]
            )
            nodes = with_turn(trace.points, 0.0)
            stroke = carry_stroke(nodes, marks, pose, trace.points[0], opening, p, carrying=False)
            starts = list(seeds(tools.ik, stroke.poses[0], start))[:BRANCHES]
            if not starts:
                x, y, z = trace.points[0]
                first = first or UnreachableError(
                    f'CARRY: the first point ({x:.3f}, {y:.3f}, {z:.3f}) m is out of reach',
                    waypoint=0,
                )
            for q in starts:
                try:
                    return _from(tools, checker, stroke, q, start, opening), None
                except (UnreachableError, PathInCollisionError) as e:
                    first = first or e
                    if detour and e.details.get('phase') == Phase.CARRY.name:
                        try:
                            corners = Bypass(tools, checker, trace.points[0], pose, q).corners(
                                nodes, marks, e
                            )
                            return _rounded(
                                tools, checker, corners, pose, trace.points[0], q, start, opening
                            ), None
                        except (UnreachableError, PathInCollisionError) as again:
                            first = first or again
                    if allow_partial and cut is None:
                        cut = _cut(tools, checker, stroke, q, start, opening)
                try:
                    tools.check_time(first)
                except PlanningTimeoutError:
                    if cut is None:
                        raise
                    return cut, explained(first) if first else first
    assert first is not None  # every round above either returned or failed
    if cut is not None:
        return cut, explained(first)
    raise explained(first)


def _rounded(
    tools: Tools,
    checker: Checker,
    corners: tuple[Matrix, NDArray[np.int64]],
    pose: Matrix,
    point: Matrix,
    q: Matrix,
    start: Matrix,
    opening: float,
) -> tuple[Solved, ...]:
    """Follow a detour with its corners rounded as far as there is room."""
    for i, rounding in enumerate(ROUNDINGS):
        stroke = carry_stroke(
            *corners, pose, point, opening, tools.config.planner, carrying=False, rounding=rounding
        )
        try:
            return _from(tools, checker.eased(), stroke, q, start, opening)
        except PathInCollisionError:
            if i == len(ROUNDINGS) - 1:
                raise
    raise AssertionError('unreachable')


def _from(
    tools: Tools, checker: Checker, stroke: Stroke, q: Matrix, start: Matrix, opening: float
) -> tuple[Solved, ...]:
    path = follow(tools, (stroke,), q)[0]
    solved = demand_free(tools, stroke, path, checker)
    way = reach(tools, start, path[0], checker)
    return Solved(
        Stroke(Phase.REACH, tools.arm.tcp_path(way), np.full(len(way), -1), opening), way, checker
    ), solved


def _cut(
    tools: Tools, checker: Checker, stroke: Stroke, q: Matrix, start: Matrix, opening: float
) -> tuple[Solved, ...] | None:
    """Return reach and the trace up to a few samples before the trouble, or None when nothing of it
    is left.
    """
    path, reached = tools.ik.follow(stroke.poses, q)
    hit = checker.first_hit(path)
    end = (reached if hit is None else min(reached, hit)) - 3
    if end < 3:
        return None
    try:
        return _from(
            tools,
            checker,
            replace(stroke, poses=stroke.poses[:end], waypoints=stroke.waypoints[:end]),
            q,
            start,
            opening,
        )
    except (UnreachableError, PathInCollisionError):
        return None
