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
    monitor.check(0.0, 0.0)  # nothing held, nothing to lose
    with pytest.raises(GraspFailedError, match=r'closed to 2\.0 mm, below the 3\.0 mm'):
        monitor.closed(-0.01, 0.002)
    with pytest.raises(GraspFailedError, match=r'stopped at 84\.8 mm, above the 73\.0 mm .* the 58\.0 mm'):
        monitor.closed(0.018, 0.0848, 0.058)
    assert not monitor.holding
    monitor.closed(0.03, 0.04, 0.03)
    monitor.check(0.037, 1.0)
    with pytest.raises(ObjectDroppedError, match=r'from 40\.0 mm to 32\.0 mm while carrying, limit 33\.0 mm'):
        monitor.check(0.032, 1.02)
    with pytest.raises(ObjectDroppedError, match='report no opening'):
        monitor.check(None, 1.04)
    monitor.released()
    monitor.check(0.0, 1.06)
    assert not monitor.holding


def watch(openings, period_s=0.02):
    """Take openings (mm), one every period, of something 52 mm wide that is pressed with the jaws sent to 12 mm."""
    monitor = GraspMonitor(0.003, 0.004)
    monitor.closed(0.012, 0.052, 0.052)
    for i, opening in enumerate(openings):
        monitor.check(opening * 1e-3, 5.0 + i * period_s)
    return monitor


def test_what_turns_between_the_jaws_is_still_held():
    turning = [51.7, *np.linspace(51.7, 47.0, 6), *np.linspace(47.0, 46.6, 20), *[46.6] * 30]
    assert watch(turning).opening == pytest.approx(0.052)
    # It may turn once more, from where it came to rest.
    assert watch([*turning, *np.linspace(46.6, 42.0, 8), *[42.0] * 30]).holding


def test_jaws_that_go_on_closing_have_lost_it():
    slow = np.linspace(52.0, 30.0, 110)  # 10 mm/s: something slips out
    with pytest.raises(ObjectDroppedError, match=r'from 52\.0 mm to 4\d\.\d mm while carrying, limit 48\.0 mm'):
        watch(slow)


@pytest.mark.parametrize('end', [25.0, 14.0, 12.0])
def test_jaws_that_close_to_nothing_have_lost_it_at_once(end):
    with pytest.raises(ObjectDroppedError, match=r'limit 26\.0 mm'):
        watch([52.0, 40.0, end])


def test_an_old_opening_is_no_rest():
    monitor = watch([52.0])
    for _ in range(50):
        monitor.check(0.046, 6.0)  # the same measurement again and again
    monitor.check(0.041, 6.2)
    with pytest.raises(ObjectDroppedError, match=r'to 36\.0 mm while carrying, limit 48\.0 mm'):
        monitor.check(0.036, 6.4)
