# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Sampling-based detours (OMPL RRTConnect): of the arm in joint space, of a carried object in its
own space.

A carried object is planned for in (x, y, z, turn about the vertical), each state solved by inverse
kinematics in one branch: it stays upright by construction, which rejection in joint space would
have to be lucky for.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from ompl import base as ob
from ompl import geometric as og
from ompl import util as ou

from robotracer_ros.planning.checker import Checker
from robotracer_ros.planning.ik import InverseKinematics
from robotracer_ros.planning.segments import TURN_SCALE, moved_poses

Matrix = NDArray[np.float64]

ou.setLogLevel(ou.LogLevel.LOG_NONE)


def search(
    start: Matrix,
    goal: Matrix,
    lower: Matrix,
    upper: Matrix,
    valid: Callable[[Matrix], bool],
    resolution: float,
    time_s: float,
    simplify_s: float,
    seed: int,
    cancelled: Callable[[], bool] = lambda: False,
) -> Matrix | None:
    """Connect two vectors by RRTConnect.

    Args:
        start: (D,).
        goal: (D,).
        lower: (D,) bounds; widened where start or goal lie outside.
        upper: (D,) bounds; widened where start or goal lie outside.
        valid: Tells whether a vector is allowed.
        resolution: Largest distance between checked vectors on an edge.
        time_s: Search time.
        simplify_s: Time to shorten the result.
        seed: Of the sampler.
        cancelled: Ends the search when it says yes.

    Returns:
        Corners (M, D) of a path from start to goal, or None when none was found in time.
    """
    dim = len(start)
    low, high = (
        np.minimum(lower, np.minimum(start, goal)),
        np.maximum(upper, np.maximum(start, goal)),
    )
    space = ob.RealVectorStateSpace(dim)
    bounds = ob.RealVectorBounds(dim)
    for i in range(dim):
        bounds.setLow(i, float(low[i]) - 1e-6)
        bounds.setHigh(i, float(high[i]) + 1e-6)
    space.setBounds(bounds)
    # The fraction refers to the extent of the space, the diagonal of its bounds.
    space.setLongestValidSegmentFraction(min(0.5, resolution / float(np.linalg.norm(high - low))))
    setup = og.SimpleSetup(space)
    setup.setStateValidityChecker(lambda s: valid(np.array(s[0:dim])))
    ou.RNG.setSeed(seed)
    planner = og.RRTConnect(setup.getSpaceInformation())
    planner.setRange(float(np.linalg.norm(high - low)) / 4)
    setup.setPlanner(planner)
    begin, end = space.allocState(), space.allocState()
    for i in range(dim):
        begin[i], end[i] = float(start[i]), float(goal[i])
    setup.setStartAndGoalStates(begin, end)
    setup.solve(
        ob.plannerOrTerminationCondition(
            ob.timedPlannerTerminationCondition(float(time_s)),
            ob.PlannerTerminationCondition(cancelled),
        )
    )
    if not setup.haveExactSolutionPath():  # a timeout leaves an approximate path behind
        return None
    if simplify_s > 0 and not cancelled():
        setup.simplifySolution(float(simplify_s))
    states = setup.getSolutionPath().getStates()
    return np.array([np.array(s[0:dim]) for s in states])


def joint_detour(
    checker: Checker,
    start: Matrix,
    goal: Matrix,
    lower: Matrix,
    upper: Matrix,
    step: float,
    time_s: float,
    simplify_s: float,
    seed: int,
    cancelled: Callable[[], bool] = lambda: False,
) -> Matrix | None:
    """Connect two configurations (J,) without collision; corners (M, J) or None."""
    # More than half a turn beyond both ends only unwinds the arm.
    low = np.maximum(lower, np.minimum(start, goal) - np.pi / 2)
    high = np.minimum(upper, np.maximum(start, goal) + np.pi / 2)
    return search(
        start,
        goal,
        low,
        high,
        lambda q: not checker.hit(q),
        step,
        time_s,
        simplify_s,
        seed,
        cancelled,
    )


def carried_detour(
    ik: InverseKinematics,
    checker: Checker,
    pick_centre: Matrix,
    grasp: Matrix,
    near: Matrix,
    start: Matrix,
    goal: Matrix,
    workspace: Matrix,
    step: float,
    time_s: float,
    simplify_s: float,
    seed: int,
    cancelled: Callable[[], bool] = lambda: False,
) -> Matrix | None:
    """Find a way for a carried object, upright, in the arm branch of ``near``.

    Args:
        ik: Inverse kinematics.
        checker: With the object attached.
        pick_centre: Centre (3,) and base_from_tcp (4, 4) at the pick.
        grasp: Centre (3,) and base_from_tcp (4, 4) at the pick.
        near: (J,) configuration at the start; gives the branch.
        start: (4,) centre and scaled turn (rad times ``TURN_SCALE``).
        goal: (4,) centre and scaled turn (rad times ``TURN_SCALE``).
        workspace: (2, 3) corners for the object's centre.
        step: As in :func:`search`.
        time_s: As in :func:`search`.
        simplify_s: As in :func:`search`.
        seed: As in :func:`search`.
        cancelled: As in :func:`search`.

    Returns:
        Corners (M, 4), or None.
    """
    branch = ik.branch(near)

    def valid(x: Matrix) -> bool:
        pose = moved_poses(x[None, :3], x[3:4] / TURN_SCALE, pick_centre, grasp)[0]
        q = ik.in_branch(pose, branch, near)
        return q is not None and not checker.hit(q)

    # A way close to the trace is preferred: half the time goes into a narrow search.
    for room in (0.2, 0.6):
        low = np.array(
            [*np.maximum(workspace[0], np.minimum(start, goal)[:3] - room), -np.pi * TURN_SCALE]
        )
        high = np.array(
            [*np.minimum(workspace[1], np.maximum(start, goal)[:3] + room), np.pi * TURN_SCALE]
        )
        if abs(start[3]) < 1e-9 and abs(goal[3]) < 1e-9:
            # Nothing turns on this way; three dimensions are searched faster than four.
            found = search(
                start[:3],
                goal[:3],
                low[:3],
                high[:3],
                lambda x: valid(np.append(x, 0.0)),
                step,
                time_s / 2,
                simplify_s,
                seed,
                cancelled,
            )
            found = None if found is None else np.column_stack([found, np.zeros(len(found))])
        else:
            found = search(
                start, goal, low, high, valid, step, time_s / 2, simplify_s, seed, cancelled
            )
        if found is not None:
            return found
    return None
