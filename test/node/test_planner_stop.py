# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The planner node is killed or told to end while the arm moves: the arm comes to rest, a new node works."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest
from planner_rig import HOME, PATIENT, PlannerProcess, Rig, wait_for

from robotracer_msgs.msg import ErrorCode


@pytest.fixture(scope='module')
def rig(ros):
    r = Rig()
    yield r
    r.close()


#: attempts to see a brake message; a starved machine may let the arm brake by itself
ATTEMPTS = 5


@pytest.fixture
def start(rig, tmp_path):
    rig.robot.reset()
    started = []

    def make(**parameters):
        started.append(PlannerProcess(tmp_path, {**PATIENT, **parameters}))
        rig.wait_ready()
        return started[-1]

    yield make
    for process in started:
        process.close(signal.SIGKILL)
    assert rig.robot.unfit() == []


def on_the_way(rig):
    """Largest distance of the arm from the straight line of the test planner's swings."""
    direction = np.array([0.5, 0.25, -0.3, 0.2, 0.1, -0.4])
    away = rig.robot.q - HOME
    return float(np.abs(away - direction * (away @ direction) / (direction @ direction)).max())


def test_killed_while_moving(rig, start):
    process = start()
    rig.follow()
    wait_for(lambda: rig.robot.speed() > 0.3)
    process.process.kill()
    process.process.wait()
    killed = rig.robot.now()
    wait_for(lambda: rig.robot.now() > killed + 1.2)
    assert rig.robot.rest_after(killed) < 0.5
    assert on_the_way(rig) < 0.01
    assert np.abs(rig.robot.q - HOME).max() > 0.05

    start()
    goal = rig.follow()
    result = goal.wait()
    assert (result.error_code, result.error_msg) == (ErrorCode.NONE, '')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_told_to_end_while_moving(rig, start, number):
    for _ in range(ATTEMPTS):
        rig.robot.reset()
        process = start()
        goal = rig.follow()
        wait_for(lambda: rig.robot.speed() > 0.3)
        asked = rig.robot.now()
        process.process.send_signal(number)
        time.sleep(0.05)
        process.process.send_signal(number)  # a launcher repeats what the terminal has sent already
        assert process.process.wait(60.0) == 0, process.text()
        wait_for(lambda asked=asked: rig.robot.now() > asked + 1.0)
        braked = rig.robot.check_stop(asked)
        assert on_the_way(rig) < 0.01
        result = goal.wait()  # the client is told, too
        assert result.error_code == ErrorCode.CANCELLED
        assert result.error_msg == 'cancelled: the planner node shuts down'
        assert 'Traceback' not in process.text()
        if braked:
            return
    pytest.fail(f'no brake was sent in {ATTEMPTS} attempts')


def test_no_tracer_is_a_typed_error(rig, start):
    start(predict_trace_service='nobody/predict_trace')
    goal = rig.instruct()
    result = goal.wait()
    assert result.error_code == ErrorCode.TRACER_BACKEND
    assert 'no perception node answers on service' in result.error_msg and 'nobody/predict_trace' in result.error_msg
    assert rig.robot.moved_since(goal.sent) < 1e-6


def test_wrong_parameters_end_the_process_with_a_reason(tmp_path):
    process = PlannerProcess(tmp_path, {'max_tcp_speed': 9.0})
    assert process.process.wait(90.0) == 1
    assert 'INVALID_PARAMETER (502)' in process.text() and 'max_tcp_speed' in process.text()
