# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from robotracer_ros.control.executor import PlanExecutor
from robotracer_ros.control.joint_trajectory import JointTrajectoryController
from robotracer_ros.errors import (
    CancelledError,
    ControllerRefusedError,
    GraspFailedError,
    ObjectDroppedError,
    PathBlockedError,
)
from robotracer_ros.planning.base import Motion, Phase

A, B, C = (np.array([0.0, -1.9, 1.7, -1.4, -1.57, 0.0]) + d for d in (0.0, 0.25, -0.2))


@pytest.fixture
def controller(robot):
    c = JointTrajectoryController()
    c.connect(robot)
    yield c
    c.close()


@pytest.fixture
def plan(tools):
    return tools.plan([
        tools.grip(Phase.REACH, 0.08, 40.0, False),
        tools.motion(A, B, 0.8, Phase.REACH),
        tools.grip(Phase.GRASP, 0.03, 40.0, True),
        tools.motion(B, A, 0.8, Phase.LIFT, carrying=True),
        tools.motion(A, C, 0.8, Phase.CARRY, carrying=True),
        tools.grip(Phase.RELEASE, 0.08, 40.0, False),
        tools.motion(C, A, 0.8, Phase.RETREAT),
    ])


def in_thread(executor):
    outcome = []

    def run():
        try:
            outcome.append(executor.run())
        except Exception as e:
            outcome.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_runs_all_steps(robot, controller, plan):
    robot.holding = True
    seen = []
    executor = PlanExecutor(controller, robot, plan, on_progress=seen.append)
    figures = executor.run()
    order = list(dict.fromkeys(p.phase for p in seen))
    assert order == [Phase.REACH, Phase.GRASP, Phase.LIFT, Phase.CARRY, Phase.RELEASE, Phase.RETREAT]
    assert seen[-1].progress == pytest.approx(1.0) and seen[0].progress == 0.0
    assert all(b.progress >= a.progress - 1e-6 for a, b in itertools.pairwise(seen))
    assert len(figures.step_times_s) == 7
    assert figures.execution_time_s == pytest.approx(sum(figures.step_times_s), abs=0.3)
    assert 0.0 < figures.tracking_rms < figures.tracking_max < 0.1
    assert figures.grasp_opening == pytest.approx(robot.object_width, abs=1e-3)
    assert np.abs(robot.q - A).max() < 0.02


def test_closing_on_nothing_fails_and_stays(robot, controller, plan):
    executor = PlanExecutor(controller, robot, plan)
    with pytest.raises(GraspFailedError, match=r'the jaws closed to 30\.0 mm, below the 33\.0 mm'):
        executor.run()
    assert np.abs(robot.q - B).max() < 0.02
    assert executor.phase == Phase.GRASP
    assert len(executor.figures.step_times_s) == 2 and executor.figures.tracking_max > 0


@pytest.mark.parametrize(('width', 'reason'), [
    (None, r'the jaws closed to 0\.0 mm, below the 3\.0 mm'),
    (0.06, r'the jaws stopped at 60\.0 mm, above the 45\.0 mm'),
])
def test_a_failed_grasp_lets_go_and_goes_back_the_way_it_came(robot, controller, tools, width, reason):
    robot.holding, robot.object_width = width is not None, width or 0.0
    executor = PlanExecutor(controller, robot, tools.plan([
        tools.grip(Phase.REACH, 0.07, 40.0, False),
        tools.motion(A, B, 0.8, Phase.REACH),
        tools.motion(B, C, 0.8, Phase.GRASP),
        tools.grip(Phase.GRASP, 0.0, 40.0, True, 0.03),
        tools.motion(C, B, 0.8, Phase.LIFT, carrying=True),
    ]))
    with pytest.raises(GraspFailedError, match=reason):
        executor.run()
    assert np.abs(robot.q - B).max() < 0.02  # where the approach began
    assert robot.opening == pytest.approx(0.07, abs=1e-3)
    assert executor.phase == Phase.GRASP


def test_a_stop_while_backing_off_ends_with_the_reason_of_the_stop(robot, controller, tools):
    executor = PlanExecutor(controller, robot, tools.plan([
        tools.grip(Phase.REACH, 0.07, 40.0, False),
        tools.motion(A, C, 1.5, Phase.GRASP),
        tools.grip(Phase.GRASP, 0.0, 40.0, True),
    ]))
    thread, outcome = in_thread(executor)
    robot.wait_until(lambda: robot.opening < 0.01)
    robot.wait_until(lambda: np.abs(robot.v).max() > 0.1)
    executor.cancel()
    thread.join(20)
    assert isinstance(outcome[0], CancelledError)
    assert np.abs(robot.v).max() < 0.02
    assert np.abs(robot.q - A).max() > 0.02 and np.abs(robot.q - C).max() > 0.02


def test_losing_the_object_stops_the_arm(robot, controller, plan):
    robot.holding = True
    executor = PlanExecutor(controller, robot, plan)
    thread, outcome = in_thread(executor)
    robot.wait_until(lambda: executor.phase == Phase.CARRY and np.abs(robot.v).max() > 0.2)
    robot.holding = False
    thread.join(20.0)
    assert isinstance(outcome[0], ObjectDroppedError)
    assert 'the jaws closed from 40.0 mm to 3' in str(outcome[0])
    assert np.abs(robot.v).max() < 0.02
    assert np.abs(robot.q - C).max() > 0.02


@pytest.mark.parametrize('phase', [Phase.REACH, Phase.GRASP, Phase.LIFT, Phase.CARRY, Phase.RELEASE, Phase.RETREAT])
def test_cancel_in_every_phase(robot, controller, plan, phase):
    robot.holding = True
    robot.jaw_speed = 0.1
    executor = PlanExecutor(controller, robot, plan)
    thread, outcome = in_thread(executor)
    robot.wait_until(lambda: executor.phase == phase and (
        np.abs(robot.v).max() > 0.1 if phase not in (Phase.GRASP, Phase.RELEASE) else robot.opening < 0.07))
    asked = robot.now
    executor.cancel()
    executor.cancel()
    thread.join(20.0)
    assert isinstance(outcome[0], CancelledError)
    assert str(outcome[0]) == f'cancelled by the client in phase {phase.name}'
    opening = robot.opening
    robot.wait_until(lambda: robot.now > asked + 1.2)
    assert robot.rest_after(asked) < 0.3
    assert robot.opening == pytest.approx(opening, abs=2e-3)
    with pytest.raises(CancelledError):
        executor.run()


def test_obstacle_stops_with_the_first_error(robot, controller, plan):
    executor = PlanExecutor(controller, robot, plan)
    thread, outcome = in_thread(executor)
    robot.wait_until(lambda: np.abs(robot.v).max() > 0.2)
    step, time_s = executor.position
    assert step == 1 and 0.0 < time_s < 0.8
    assert executor.waypoint in range(4)
    begin = robot.messages[0][0]
    assert executor.position_at(begin - 5.0)[0] == 0  # before the start: the start, which is a move of the jaws
    middle = executor.position_at(robot.now - 0.1)
    assert middle[0] == 1 and middle[1] == pytest.approx(robot.now - 0.1 - begin, abs=0.06)
    executor.stop(PathBlockedError('an obstacle'))
    executor.cancel()
    thread.join(20.0)
    assert isinstance(outcome[0], PathBlockedError)


def test_a_failing_callback_stops_the_arm(robot, controller, plan):
    def boom(progress):
        if progress.time_s > 0.3:
            raise RuntimeError('a bug in a callback')

    with pytest.raises(RuntimeError, match='a bug'):
        PlanExecutor(controller, robot, plan, on_progress=boom).run()
    assert np.abs(robot.v).max() < 0.02
    assert np.abs(robot.q - B).max() > 0.02


def test_a_refused_first_motion_moves_nothing(robot, controller, tools):
    far = tools.plan([tools.motion(A + 0.5, B, 0.8)])
    with pytest.raises(ControllerRefusedError):
        PlanExecutor(controller, robot, far).run()
    assert robot.messages == []


def test_where_the_arm_was_is_known_between_remembered_moments(robot, controller, plan):
    """A busy machine remembers few moments; an image taken between two shows the arm between them."""
    executor = PlanExecutor(controller, robot, plan)
    moving = next(i for i, s in enumerate(plan.steps) if isinstance(s, Motion))
    end = float(plan.steps[moving].times[-1])
    assert end > 0.5
    executor._visited.extend([(10.0, moving, 0.0), (10.4, moving, 0.4)])
    assert executor.position_at(9.0) == (moving, 0.0)
    assert executor.position_at(10.1) == (moving, pytest.approx(0.1))
    assert executor.position_at(10.45) == (moving, pytest.approx(0.45))
    assert executor.position_at(99.0) == (moving, pytest.approx(end))


def test_a_motion_has_begun_before_its_first_remembered_moment(robot, controller, plan):
    """An image between the last moment of one step and the first of the next may show the next one."""
    executor = PlanExecutor(controller, robot, plan)
    moving = next(i for i, s in enumerate(plan.steps) if isinstance(s, Motion))
    executor._visited.extend([(10.0, moving - 1, 0.0), (10.5, moving, 0.3)])
    assert executor.position_at(10.1) == (moving - 1, 0.0)
    assert executor.position_at(10.4) == (moving, pytest.approx(0.2))
    assert executor.position_at(10.5) == (moving, pytest.approx(0.3))
