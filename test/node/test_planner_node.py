# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The planner node through its actions: phases, cancel, preemption, results."""

from __future__ import annotations

import re

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from planner_rig import HOME, PATIENT, PlannerProcess, Rig, wait_for

from robotracer_msgs.msg import ErrorCode
from robotracer_ros.planning.base import Phase

ORDER = [Phase.TRACING, Phase.PLANNING, Phase.REACH, Phase.GRASP, Phase.LIFT, Phase.CARRY, Phase.PLACE,
         Phase.RELEASE, Phase.RETREAT]


@pytest.fixture(scope='module')
def rig(ros):
    r = Rig()
    yield r
    r.close()


@pytest.fixture(scope='module')
def planner(rig, tmp_path_factory):
    p = PlannerProcess(tmp_path_factory.mktemp('planner'), PATIENT)
    rig.wait_ready()
    yield p
    assert p.close() == 0, p.text()


@pytest.fixture(autouse=True)
def clean(rig, planner):
    rig.home()
    yield
    assert rig.robot.unfit() == []


def test_instruction_runs_through_all_phases(rig):
    goal = rig.instruct('put the mug there')
    result = goal.wait()
    assert (result.error_code, result.error_msg) == (ErrorCode.NONE, '')
    assert goal.status == GoalStatus.STATUS_SUCCEEDED
    assert [Phase(p).name for p in goal.phases()] == [
        'TRACING', 'PLANNING', 'REACH', 'GRASP', 'LIFT', 'CARRY', 'PLACE', 'RELEASE', 'RETREAT']
    assert rig.perception.asked[-1] == 'put the mug there'
    assert result.trace.instruction == 'put the mug there' and len(result.trace.points) == 3
    assert np.abs(rig.robot.q - HOME).max() < 0.02
    # the result is complete
    trajectory = result.trajectory
    assert len(trajectory.points) == len(result.phases) == len(result.tool_path.poses) > 100
    assert result.tool_path.header.frame_id == trajectory.header.frame_id == 'base_link'
    assert sorted(set(result.phases)) == [2, 4, 5, 6, 8]
    assert result.corrections[0].reason == 'measured' and result.failed_waypoint == -1
    figures = result.figures
    assert figures.duration_s == pytest.approx(5 * 0.9)
    assert figures.execution_time_s > 4.5 and figures.min_clearance_m == pytest.approx(0.03)
    assert 0.0 < figures.tracking_error_rms < figures.tracking_error_max < 0.1
    assert figures.max_tcp_speed == pytest.approx(0.25)
    # No gap is longer than the whole, and none shorter than the mean.
    gap, span = figures.recheck_max_gap, figures.execution_time_s + 0.1
    assert 1.0 / (figures.recheck_rate + 1.0 / figures.execution_time_s) < gap + 0.1 < span
    last = goal.feedback[-1]
    assert last.progress > 0.95 and last.clearance == pytest.approx(0.5, abs=1e-3)


def test_plan_only_moves_nothing(rig):
    goal = rig.follow(plan_only=True, max_tcp_speed=0.1, allow_partial=True)
    result = goal.wait()
    assert result.error_code == 0 and len(result.trajectory.points) > 100
    assert result.figures.max_tcp_speed == pytest.approx(0.1)
    assert np.isnan(result.figures.execution_time_s) and np.isnan(result.figures.recheck_rate)
    assert result.failed_waypoint == 2  # a partial plan says where it ends, and why
    assert result.error_msg == (
        'partial: the plan ends before trace point 2: UNREACHABLE (305): 31 mm')
    assert goal.phases() == [Phase.PLANNING]
    assert rig.robot.moved_since(goal.sent) == 0.0


def test_speed_is_capped(rig):
    assert rig.follow(plan_only=True, max_tcp_speed=3.0).wait().figures.max_tcp_speed == 0.25
    result = rig.follow(plan_only=True, max_tcp_speed=-1.0).wait()
    assert result.error_code == ErrorCode.INVALID_PARAMETER
    assert 'max_tcp_speed = -1.0 m/s' in result.error_msg


@pytest.mark.parametrize('phase', ORDER, ids=lambda p: p.name)
def test_cancel_in_every_phase(rig, phase):
    for _ in range(5):
        if cancel_in(rig, phase):
            return
        rig.home()
    pytest.fail('no brake was sent in 5 attempts')


def cancel_in(rig, phase):
    """Cancel a goal in that phase; return whether it went as on a machine that is not starved."""
    robot = rig.robot
    if phase == Phase.TRACING:
        rig.perception.delay_s = 2.0
    if phase == Phase.PLANNING:
        assert rig.set(planner__swing__planning_s=1.5)[0]
    robot.jaw_speed = 0.05
    jaws = phase in (Phase.GRASP, Phase.RELEASE)
    moves = not jaws and phase not in (Phase.TRACING, Phase.PLANNING)
    try:
        goal = rig.instruct()
        later = ORDER[ORDER.index(phase) + 1:]
        wait_for(lambda: goal.phase in later or goal.ends(0) or (goal.phase == phase and (
            not (jaws or moves) or (jaws and robot.opening < 0.075) or robot.speed() > 0.15)),
            what=phase.name)
        asked = robot.now()
        goal.cancel()
        result = goal.wait()
    finally:
        rig.perception.delay_s = 0.0
        if phase == Phase.PLANNING:
            assert rig.set(planner__swing__planning_s=0.0)[0]
    assert result.error_code == ErrorCode.CANCELLED, result.error_msg
    assert goal.status == GoalStatus.STATUS_CANCELED
    end = robot.now()
    wait_for(lambda: robot.now() > end + 0.4)
    if not re.match(rf'cancelled by the client in phase {phase.name}\b', result.error_msg):
        return False  # the phase was over when the cancel arrived
    if not moves:
        if not jaws:
            assert robot.moved_since(goal.sent) == 0.0
        return True
    return robot.check_stop(asked)


def test_cancelling_twice_is_the_same_as_once(rig):
    goal = rig.follow()
    wait_for(lambda: rig.robot.speed() > 0.2)
    goal.cancel()
    goal.cancel()
    assert goal.wait().error_code == ErrorCode.CANCELLED


def test_second_goal_is_busy_and_disturbs_nothing(rig):
    first = rig.follow()
    wait_for(lambda: rig.robot.speed() > 0.2)
    second = rig.instruct()
    result = second.wait()
    assert result.error_code == ErrorCode.BUSY
    assert second.status == GoalStatus.STATUS_ABORTED
    assert re.fullmatch(r'another goal is running, in phase [A-Z]+; set preempt to replace it', result.error_msg)
    assert not first.ends(0)
    wait_for(lambda: Phase.CARRY in first.phases(), what='the first goal going on')
    first.cancel()
    assert first.wait().error_code == ErrorCode.CANCELLED


def test_preemption_starts_from_rest(rig):
    assert rig.set(preempt=True)[0]
    try:
        first = rig.follow()
        wait_for(lambda: rig.robot.speed() > 0.2)
        asked = rig.robot.now()
        second = rig.follow()
        result = first.wait()
        assert result.error_code == ErrorCode.PREEMPTED
        assert re.fullmatch(r'a newer goal replaced this one in phase [A-Z]+', result.error_msg)
        assert first.status == GoalStatus.STATUS_ABORTED
        rest = rig.robot.now()  # the first goal ends when the robot rests, and only then the next begins
        wait_for(lambda: Phase.GRASP in second.phases())
        with rig.robot.lock:
            between = [np.abs(v).max() for t, _, v in rig.robot.history if asked < t < rest + 0.3]
        assert min(between) < 0.02
        second.cancel()
        assert second.wait().error_code == ErrorCode.CANCELLED
    finally:
        rig.set(preempt=False)


def test_plugins_are_swapped_at_rest_and_refused_while_moving(rig):
    goal = rig.follow()
    wait_for(lambda: rig.robot.speed() > 0.2)
    for change in ({'planner__plugin': 'failing'}, {'controller__plugin': 'careful'},
                   {'planner__swing__seconds': 2.0}):
        ok, reason = rig.set(**change)
        assert not ok
        assert reason.startswith('REFUSED_WHILE_MOVING (503): ')
        assert 'cannot change while a goal is running (phase ' in reason
    goal.cancel()
    assert goal.wait().error_code == ErrorCode.CANCELLED
    assert rig.set(controller__plugin='careful') == (True, '')
    assert rig.set(planner__plugin='failing') == (True, '')
    result = rig.follow().wait()
    assert result.error_code == ErrorCode.PATH_IN_COLLISION
    assert rig.set(planner__plugin='swing') == (True, '')
    goal = rig.follow()
    wait_for(lambda: Phase.GRASP in goal.phases())  # the other controller has moved the arm
    goal.cancel()
    assert goal.wait().error_code == ErrorCode.CANCELLED
    assert rig.set(controller__plugin='joint_trajectory') == (True, '')


def test_bad_plugins_are_refused_and_the_old_one_stays(rig):
    ok, reason = rig.set(planner__plugin='nonsense')
    assert not ok
    assert reason.startswith("UNKNOWN_PLUGIN (501): planner plugin 'nonsense' is unknown: known are")
    assert 'ompl' in reason and 'swing' in reason
    ok, reason = rig.set(planner__plugin='broken')
    assert (ok, reason) == (False, 'CHECKPOINT (206): no such file')
    ok, reason = rig.set(planner__plugin='absent')
    assert not ok and reason.startswith('MISSING_PACKAGE (504)')
    assert 'swing_planner_absent' in reason
    assert rig.follow(plan_only=True).wait().error_code == 0
