# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from robotracer_ros.control.monitor import FeedbackMonitor, GraspMonitor, TrackingMonitor
from robotracer_ros.errors import (
    ControllerLostError,
    GraspFailedError,
    ObjectDroppedError,
    TrackingError,
)
from robotracer_ros.planning.base import RobotState


def state(stamp_s):
    return RobotState(('a', 'b'), np.zeros(2), stamp_ns=int(stamp_s * 1e9))


def test_feedback_age_and_silence():
    wall = [0.0]
    monitor = FeedbackMonitor(0.3, 1.0, lambda: wall[0])
    with pytest.raises(ControllerLostError, match='no joint state has been received'):
        monitor.check(None, 0.0)
    assert monitor.check(state(5.0), 5.2).stamp_ns == 5_000_000_000
    with pytest.raises(ControllerLostError, match=r'0\.400 s old, limit 0\.300 s'):
        monitor.check(state(5.0), 5.4)
    wall[0] = 1.5  # the robot's clock stands still at 5.2
    with pytest.raises(ControllerLostError, match=r'1\.50 s of wall time, limit 1\.00 s'):
        monitor.check(state(5.0), 5.2)
    monitor.check(state(5.1), 5.2)


def test_tracking_figures_and_limit():
    monitor = TrackingMonitor(('a', 'b'), 0.1)
    assert math.isnan(monitor.rms)
    monitor.check(np.array([0.0, 0.03]), np.zeros(2))
    monitor.check(np.array([-0.04, 0.0]), np.zeros(2))
    assert monitor.rms == pytest.approx(math.sqrt((0.03**2 + 0.04**2) / 2))
    assert (monitor.now, monitor.maximum, monitor.count) == (pytest.approx(0.04), pytest.approx(0.04), 2)
    with pytest.raises(TrackingError, match=r"joint 'b' is 0\.1100 rad off the path, limit 0\.1000 rad"):
        monitor.check(np.array([0.0, 0.11]), np.zeros(2))


def test_grasp_limits():
    monitor = GraspMonitor(0.003, 0.004)
    monitor.check(0.0)  # nothing held, nothing to lose
    with pytest.raises(GraspFailedError, match=r'closed to 2\.0 mm, below the 3\.0 mm'):
        monitor.closed(-0.01, 0.002)
    with pytest.raises(GraspFailedError, match=r'stopped at 84\.8 mm, above the 73\.0 mm .* the 58\.0 mm'):
        monitor.closed(0.018, 0.0848, 0.058)
    assert not monitor.holding
    monitor.closed(0.03, 0.04, 0.03)
    monitor.check(0.037)
    with pytest.raises(ObjectDroppedError, match=r'from 40\.0 mm to 35\.0 mm while carrying, limit 36\.0 mm'):
        monitor.check(0.035)
    with pytest.raises(ObjectDroppedError, match='report no opening'):
        monitor.check(None)
    monitor.released()
    monitor.check(0.0)
    assert not monitor.holding
