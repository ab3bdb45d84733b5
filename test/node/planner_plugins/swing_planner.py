# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Planner plugins of the node tests: one that swings the arm, some that fail in exactly one way."""

from __future__ import annotations

import time

import numpy as np

from robotracer_ros.control.joint_trajectory import JointTrajectoryController
from robotracer_ros.errors import CheckpointError, PlanningError, RobotracerError, error_from_code
from robotracer_ros.planning.base import (
    Correction,
    CorrectionKind,
    Grip,
    Motion,
    Phase,
    Planner,
    TimedPlan,
)
from robotracer_ros.robot_description import ARM_JOINTS

SWING = np.array([0.5, 0.25, -0.3, 0.2, 0.1, -0.4])


def motion(start, goal, seconds, phase, waypoint=-1, carrying=False):
    t = np.linspace(0.0, seconds, round(seconds / 0.02) + 1)
    x = t[:, None] / seconds
    d = (goal - start)[None, :]
    n = len(t)
    return Motion(phase, t, start + d * x**3 * (10 - 15 * x + 6 * x**2),
                  d * 30 * x**2 * (1 - x) ** 2 / seconds,
                  d * 60 * x * (1 - x) * (1 - 2 * x) / seconds**2,
                  np.tile(np.eye(4), (n, 1, 1)), np.full(n, waypoint), carrying)


class SwingPlanner(Planner):
    """Swings away, grasps, swings back, releases. Its clearance is what the depth image says.

    Args:
        seconds: Duration of each motion.
        planning_s: How long planning takes.
        recheck_s: How long one recheck takes.
    """

    def __init__(self, seconds: float = 0.9, planning_s: float = 0.0,
                 recheck_s: float = 0.0) -> None:
        self.seconds, self.planning_s, self.recheck_s = seconds, planning_s, recheck_s
        self.loaded = False

    def load(self):
        self.loaded = True

    def close(self):
        self.loaded = False

    def plan(self, request):
        assert self.loaded
        time.sleep(self.planning_s)
        s = self.seconds
        a = request.state.ordered(ARM_JOINTS)
        b, c = a + SWING, a + 0.5 * SWING
        steps = (motion(a, b, s, Phase.REACH), Grip(Phase.GRASP, 0.03, 40.0, True),
                 motion(b, c, s, Phase.LIFT, 0, True), motion(c, b, s, Phase.CARRY, 1, True),
                 motion(b, c, s, Phase.PLACE, 2, True), Grip(Phase.RELEASE, 0.08, 40.0, False),
                 motion(c, a, s, Phase.RETREAT))
        correction = Correction(CorrectionKind.SENSOR_DEPTH, 0, np.array([0, 0, 0.01]), 'measured')
        return TimedPlan(ARM_JOINTS, steps, (correction,), request.trace.xyz, request.trace.xyz,
                         0.03, request.max_tcp_speed or 0.0, 0.004,
                         failed_waypoint=2 if request.allow_partial else -1,
                         partial_reason='UNREACHABLE (305): 31 mm' if request.allow_partial else '',
                         stage_times_s={'all': self.planning_s})

    def clearance(self, plan, step, time_s, depth, depth_camera, base_from_camera):
        time.sleep(self.recheck_s)
        return float(depth[depth > 0].min()) - 0.5


class FailingPlanner(SwingPlanner):
    """Fails with one error.

    Args:
        code: Its number; -1 raises something that is no error of ours.
        waypoint: Where, for planning errors.
    """

    def __init__(self, code: int = 307, waypoint: int = 1) -> None:
        super().__init__()
        self.code, self.waypoint = code, waypoint

    def plan(self, request):
        if self.code < 0:
            raise ZeroDivisionError('a bug in a planner')
        error = error_from_code(self.code, f'provoked {self.code} at 12 mm, limit 5 mm')
        assert isinstance(error, RobotracerError)
        if isinstance(error, PlanningError):
            error.waypoint = self.waypoint
        raise error


class BrokenPlanner(SwingPlanner):
    """Cannot be loaded."""

    def load(self):
        raise CheckpointError('no such file')


class CarefulController(JointTrajectoryController):
    """Another controller, to swap to.

    Args:
        start_tolerance: As of its base.
    """

    def __init__(self, start_tolerance: float = 0.03) -> None:
        super().__init__(start_tolerance=start_tolerance, max_state_age_s=5.0, max_silence_s=10.0)
