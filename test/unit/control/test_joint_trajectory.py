# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

from robotracer_ros.control.joint_trajectory import JointTrajectoryController
from robotracer_ros.errors import (
    BusyError,
    CancelledError,
    ControllerLostError,
    ControllerRefusedError,
    InvalidParameterError,
    TrackingError,
)

SWING = np.array([0.5, 0.3, -0.4, 0.2, 0.1, -0.5])


@pytest.fixture
def controller(robot):
    c = JointTrajectoryController()
    c.connect(robot)
    yield c
    robot.frozen = robot.clock_stands = False
    c.close()


def swing(tools, seconds=1.6, wiggle=0.05, **options):
    return tools.motion(tools.home, tools.home + SWING, seconds, wiggle=wiggle, **options)


def test_follows_a_motion_to_its_goal(tools, robot, controller):
    motion = swing(tools)
    run = controller.execute(tools.names, motion)
    assert run.wait(20.0)
    run.result()
    assert np.abs(robot.q - motion.positions[-1]).max() < controller.goal_tolerance
    # first-order lag: error about velocity times lag
    assert 0.001 < run.tracking.rms < 0.03 and run.tracking.maximum < 0.06
    assert run.tracking.samples > 30 and run.tracking.rate == 1.0
    # the arm's controller was always on the path
    dense = motion.positions
    commanded = np.array([h for _, _, _, h in robot.history])
    gaps = np.array([np.linalg.norm(dense - p, axis=1).min() for p in commanded[::5]])
    assert gaps.max() < 0.01


def test_silence_of_the_sender_means_rest_on_the_path(tools, robot, controller):
    """The dead-man rule: nothing arrives any more in the middle of the motion, as when the process was killed."""
    motion = swing(tools)
    controller.execute(tools.names, motion)
    robot.wait_until(lambda: robot.now > robot.messages[0][0] + 0.7)
    assert np.abs(robot.v).max() > 0.2
    robot.deaf, silence = True, robot.now
    robot.wait_until(lambda: robot.now > silence + 1.0)
    assert robot.rest_after(silence) < 0.5
    gap = np.linalg.norm(motion.positions - robot.hold, axis=1).min()
    assert gap < 0.01
    assert np.abs(robot.hold - motion.positions[-1]).max() > 0.05  # it did not simply finish


def test_cancel_rests_within_a_third_of_a_second_on_the_path(tools, robot, controller):
    motion = swing(tools)
    run = controller.execute(tools.names, motion)
    robot.wait_until(lambda: robot.now > robot.messages[0][0] + 0.8)
    assert np.abs(robot.v).max() > 0.2
    asked = robot.now
    run.cancel()
    assert run.wait(10.0)
    robot.wait_until(lambda: robot.now > asked + 0.6)
    assert robot.rest_after(asked) < 0.3
    assert np.linalg.norm(motion.positions - robot.hold, axis=1).min() < 0.01
    with pytest.raises(CancelledError, match=r'the CARRY motion was cancelled at 0\.\d\d s of 1\.60 s'):
        run.result()
    assert 0.7 < run.time_s < 1.2


def test_goes_on_after_a_cancel(tools, robot, controller):
    run = controller.execute(tools.names, swing(tools))
    robot.wait_until(lambda: robot.now > robot.messages[0][0] + 0.5)
    run.cancel()
    assert run.wait(10.0)
    back = tools.motion(robot.q.copy(), tools.home, 1.0)
    run = controller.execute(tools.names, back)
    assert run.wait(20.0)
    run.result()


def test_late_messages_stall_the_arm_but_not_the_motion(tools, robot, controller):
    """A sender that hangs for 0.5 s: the arm brakes, then goes on to the goal along the path."""
    run = controller.execute(tools.names, swing(tools))
    robot.wait_until(lambda: robot.now > robot.messages[0][0] + 0.6)
    hang = threading.Event()
    sleep = robot.sleep
    hung_at = robot.now

    def hanging(seconds):
        if not hang.is_set():
            hang.set()
            robot.wait_until(lambda: robot.now > hung_at + 0.5)
        sleep(seconds)

    robot.sleep = hanging
    assert run.wait(20.0)
    run.result()
    assert run.tracking.stalls >= 1


def commanded_jump(robot):
    """Largest step of what the arm's controller commands, rad; at 4 ms a motion of the tests takes 0.005."""
    commanded = np.array([h for t, _, _, h in robot.history if t >= robot.messages[0][0]])
    return float(np.abs(np.diff(commanded, axis=0)).max())


@pytest.mark.parametrize('begin', [0.02, 0.5, 1.0], ids=['first', 'middle', 'last'])
def test_an_arm_that_misses_messages_is_not_jerked(tools, robot, controller, begin):
    """It brakes by itself, and the motion goes on from there: no message begins where the arm is not."""
    run = controller.execute(tools.names, swing(tools))
    robot.wait_until(lambda: robot.now > robot.messages[0][0] + begin)
    robot.deaf, since = True, robot.now
    robot.wait_until(lambda: robot.now > since + 0.6)
    robot.deaf = False
    assert run.wait(20.0)
    run.result()
    assert run.tracking.stalls >= 1
    assert commanded_jump(robot) < 0.05
    assert np.abs(robot.q - tools.home - SWING).max() < controller.goal_tolerance


def test_an_arm_that_misses_messages_is_not_jerked_by_the_brake(tools, robot, controller):
    """The cancel comes when the newest messages, all missed, are well ahead of the arm."""
    run = controller.execute(tools.names, swing(tools))
    robot.wait_until(lambda: robot.now > robot.messages[0][0] + 0.5)
    robot.deaf, since = True, robot.now

    def ahead():
        start, times, positions = robot.messages[-1][:3]
        newest = [np.interp(robot.now - start, times, p) for p in positions.T]
        return np.abs(newest - robot.hold).max()

    robot.wait_until(lambda: robot.now > since + 0.4 and ahead() > 0.04)
    robot.deaf = False
    run.cancel()
    assert run.wait(20.0)
    with pytest.raises(CancelledError):
        run.result()
    assert commanded_jump(robot) < 0.035
    assert np.abs(robot.v).max() < 0.02


def test_nothing_is_sent_on_an_old_joint_state(tools, robot, controller):
    run = controller.execute(tools.names, swing(tools))
    robot.wait_until(lambda: robot.now > robot.messages[0][0] + 0.6)
    robot.frozen, since = True, robot.state.stamp_ns * 1e-9
    robot.wait_until(lambda: robot.now > since + 0.4)
    robot.frozen = False
    sent = [m[0] for m in robot.messages if since + controller.send_max_age_s < m[0] <= since + 0.4]
    assert sent == []
    assert run.wait(20.0)
    run.result()
    assert run.tracking.stalls == 1


def test_joint_states_that_are_always_old_are_an_error(tools, robot):
    controller = JointTrajectoryController(send_max_age_s=0.02, max_silence_s=0.3)
    controller.connect(robot)
    newest = robot.joint_state
    robot.joint_state = lambda: dataclasses.replace(newest(), stamp_ns=newest().stamp_ns - 50_000_000)
    with pytest.raises(ControllerLostError, match=r'nothing could be sent for 0\.\d+ s: the newest joint state is '
                                                  r'0\.\d+ s old, limit 0\.020 s'):
        controller.execute(tools.names, swing(tools))
    assert robot.messages == []


def test_refuses_an_arm_that_moves(tools, robot):
    controller = JointTrajectoryController(max_silence_s=0.2, start_tolerance=1.0)
    controller.connect(robot)
    t = np.linspace(0, 2, 21)
    ramp = robot.q + np.outer(t, np.full(6, 0.3))
    robot.send_trajectory(tools.names, robot.now, t, ramp, np.full((21, 6), 0.3), np.zeros((21, 6)))
    robot.wait_until(lambda: np.abs(robot.v).max() > 0.25)
    with pytest.raises(ControllerRefusedError, match=r'the arm still moves at 0\.[23]\d+ rad/s after 0\.2\d s, '
                                                     r'limit 0\.1 rad/s'):
        controller.execute(tools.names, swing(tools))
    assert len(robot.messages) == 1


def test_refuses_a_robot_elsewhere(tools, robot, controller):
    motion = tools.motion(tools.home + np.array([0, 0, 0.2, 0, 0, 0]), tools.home, 1.0)
    with pytest.raises(ControllerRefusedError, match=r"joint 'joint_2' is at 1\.7000 rad, 0\.2000 rad from the start "
                                                     r'at 1\.9000 rad, limit 0\.0300 rad'):
        controller.execute(tools.names, motion)
    assert robot.messages == []


def test_a_small_start_offset_is_blended_in(tools, robot, controller):
    start = tools.home + 0.02
    motion = tools.motion(start, start + SWING, 1.2)
    run = controller.execute(tools.names, motion)
    assert run.wait(20.0)
    run.result()
    np.testing.assert_allclose(robot.messages[0][2][0], tools.home, atol=1e-3)
    commanded = np.array([h for t, _, _, h in robot.history if t >= robot.messages[0][0]])
    assert np.abs(np.diff(commanded, axis=0)).max() < 0.015  # no jump of 0.02


def test_refuses_unknown_joints_and_second_motions(tools, robot, controller):
    with pytest.raises(ControllerRefusedError, match="lack joint 'elbow'"):
        controller.execute(('elbow', *tools.names[1:]), swing(tools))
    run = controller.execute(tools.names, swing(tools))
    with pytest.raises(BusyError, match='a CARRY motion is running'):
        controller.execute(tools.names, swing(tools))
    with pytest.raises(BusyError, match='has not ended'):
        run.result()
    controller.stop()
    assert run.wait(0.0)


def test_stuck_joint_is_a_tracking_error_and_stops_the_arm(tools, robot, controller):
    run = controller.execute(tools.names, swing(tools))
    robot.wait_until(lambda: robot.now > robot.messages[0][0] + 0.4)
    robot.stuck = 2
    assert run.wait(20.0)
    with pytest.raises(TrackingError, match=r"joint 'joint_2' is 0\.1\d\d\d rad off the path, limit 0\.1500 rad"):
        run.result()
    assert np.abs(robot.v).max() < 0.02


def test_goal_not_reached_is_a_tracking_error(tools, robot):
    controller = JointTrajectoryController(goal_timeout_s=0.4, max_tracking_error=1.0)
    controller.connect(robot)
    robot.stuck = 0
    run = controller.execute(tools.names, swing(tools, seconds=1.0))
    assert run.wait(20.0)
    with pytest.raises(TrackingError, match=r"joint 'joint_0' is 0\.5000 rad from the goal of the CARRY motion "
                                            r'after 0\.40 s'):
        run.result()


def test_lost_feedback_stops_the_arm(tools, robot, controller):
    run = controller.execute(tools.names, swing(tools))
    robot.wait_until(lambda: robot.now > robot.messages[0][0] + 0.6)
    robot.frozen, lost = True, robot.now
    assert run.wait(20.0)
    with pytest.raises(ControllerLostError, match=r'joint state is 0\.5\d\d s old, limit 0\.500 s'):
        run.result()
    assert run.wait(0.0)
    robot.wait_until(lambda: robot.now > lost + 1.2)
    assert np.abs(robot.v).max() < 1e-3
    # the state that is left says 'moving': a stop must not brake from where the arm was then
    assert np.abs(robot.state.velocities).max() > 0.02
    sent = len(robot.messages)
    controller.stop()
    assert len(robot.messages) == sent


def test_a_standing_clock_is_lost_feedback(tools, robot):
    controller = JointTrajectoryController(max_silence_s=0.5)
    controller.connect(robot)
    run = controller.execute(tools.names, swing(tools))
    robot.wait_until(lambda: robot.now > robot.messages[0][0] + 0.4)
    robot.clock_stands = True
    # the arm's own clock stands as well, so nothing moves; the run must say so instead of hanging
    for _ in range(100):
        if run._error is not None:
            break
        run.wait(0.05)
    robot.clock_stands = False
    assert run.wait(20.0)
    with pytest.raises(ControllerLostError, match=r'no new joint state for 0\.\d+ s of wall time'):
        run.result()


def test_connect_needs_a_robot(robot):
    robot.frozen = True
    robot.wait_until(lambda: robot.now > robot.state.stamp_ns * 1e-9 + 0.6)
    controller = JointTrajectoryController(connect_timeout_s=0.2)
    with pytest.raises(ControllerLostError, match=r'no robot answers within 0\.2 s'):
        controller.connect(robot)
    with pytest.raises(ControllerRefusedError, match='not connected'):
        controller.stop()
    controller.close()


def test_stop_brakes_an_arm_that_moves_without_us(tools, robot, controller):
    run = controller.execute(tools.names, swing(tools, seconds=1.0))
    assert run.wait(20.0)
    t = np.linspace(0, 2, 21)
    ramp = robot.q + np.outer(t, np.full(6, 0.3))
    robot.send_trajectory(tools.names, robot.now, t, ramp, np.full((21, 6), 0.3), np.zeros((21, 6)))
    robot.wait_until(lambda: np.abs(robot.v).max() > 0.25)
    asked = robot.now
    controller.stop()
    robot.wait_until(lambda: robot.now > asked + 0.6)
    assert robot.rest_after(asked) < 0.4


def test_grip_waits_for_rest(robot, controller):
    assert controller.grip(0.0, 40.0, 3.0) == pytest.approx(0.0, abs=1e-3)
    assert controller.grip(0.08, 40.0, 3.0) == pytest.approx(0.08, abs=1e-3)
    robot.holding = True
    assert controller.grip(0.03, 40.0, 3.0) == pytest.approx(robot.object_width, abs=1e-3)
    assert controller.grip(0.03, 40.0, 3.0) == pytest.approx(robot.object_width, abs=1e-3)


def test_jaws_that_are_not_heard_of_are_not_taken_to_rest(robot, controller):
    robot.jaw_speed = 0.05
    frozen = threading.Event()

    def freeze_once():
        if not frozen.is_set() and robot.opening < 0.07:
            frozen.set()
            robot.frozen = True
            since = robot.now
            threading.Thread(target=lambda: (robot.wait_until(lambda: robot.now > since + 0.6),
                                             setattr(robot, 'frozen', False))).start()
        return False

    assert controller.grip(0.0, 40.0, 5.0, freeze_once) == pytest.approx(0.0, abs=1e-3)
    assert frozen.is_set()


def test_grip_can_be_cancelled_and_times_out(robot, controller):
    robot.jaw_speed = 0.05
    with pytest.raises(ControllerLostError, match=r'the jaws still move after 0\.3 s'):
        controller.grip(0.0, 40.0, 0.3)
    begin = robot.now
    with pytest.raises(CancelledError, match='cancelled while the jaws moved'):
        controller.grip(0.08, 40.0, 5.0, lambda: robot.now > begin + 0.2)
    held = robot.opening
    robot.wait_until(lambda: robot.now > begin + 0.5)
    assert robot.opening == pytest.approx(held, abs=2e-3)


@pytest.mark.parametrize('options', [{'period_s': 0.0}, {'brake_s': -1.0}, {'lead_s': 0.05}])
def test_bad_options(options):
    with pytest.raises(InvalidParameterError, match=next(iter(options))):
        JointTrajectoryController(**options)


def test_unstreamable_motion_is_refused(tools, robot, controller):
    motion = swing(tools)
    moving = dataclasses.replace(motion, velocities=motion.velocities + 0.1)
    with pytest.raises(ControllerRefusedError, match='first point moves'):
        controller.execute(tools.names, moving)
    assert robot.messages == []
