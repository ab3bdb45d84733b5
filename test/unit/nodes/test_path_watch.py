# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The watch on the remaining path, with a clock, images and a clearance that the test sets."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from robotracer_ros.errors import NoDepthError, PathBlockedError, StaleInputError
from robotracer_ros.nodes.path_watch import PathWatch, RecheckFigures, RecheckRules
from robotracer_ros.planning.base import Phase


class World:
    """Everything that the watch asks: clock, newest image, running plan, planner."""

    plan, phase, waypoint = object(), Phase.CARRY, 2

    def __init__(self):
        self.now, self.stamp, self.seen = 100.0, 1, []
        self.free, self.error = 0.05, None
        self.stopped = threading.Event()
        self.why = None
        self.figures = RecheckFigures()

    def view(self):
        if self.error is not None:
            raise self.error
        return SimpleNamespace(depth=None, camera=None, base_from_camera=None,
                               stamp_ns=self.stamp)

    def position_at(self, now_s):
        return 3, now_s

    def clearance(self, plan, step, time_s, depth, camera, base_from_camera):
        assert plan is self.plan and step == 3
        self.seen.append(round(time_s * 1e9))
        return self.free

    def stop(self, error):
        self.why = self.why or error
        self.stopped.set()

    def image(self, seconds):
        """Let time pass and a new image come; wait until it is checked."""
        self.now += seconds
        before, self.stamp = self.figures.duration_s.count, self.stamp + 1
        self.checked(before + 1)

    def checked(self, count):
        end = time.monotonic() + 30
        while self.figures.duration_s.count < count:  # the last that is noted of a check
            assert time.monotonic() < end, 'no check came'
            time.sleep(0.001)


def watch(world, confirmations=1):
    rules = RecheckRules(period_s=0.0, max_gap_s=0.4, min_clearance_m=0.002,
                         confirmations=confirmations)
    return PathWatch(world, world, world, rules, world.figures, lambda: world.now)


def test_every_new_image_is_checked_once_and_the_figures_count_the_robots_clock():
    world = World()
    w = watch(world)
    assert np.isnan(w.clearance) and np.isnan(w.rate_hz)
    with w:
        world.checked(1)
        for gap in (0.1, 0.2, 0.35, 0.1):
            world.image(gap)
            w.check_alive()
        time.sleep(0.05)  # no new image: nothing to check
        world.now += 0.25
    assert world.seen == [1, 2, 3, 4, 5] and not world.stopped.is_set()
    assert w.rate_hz == pytest.approx(5 / 1.0) and w.max_gap_s == pytest.approx(0.35)
    assert world.figures.clearance == w.clearance == 0.05


def test_too_long_without_a_check_stops_the_robot():
    world = World()
    w = watch(world)
    with w:
        world.checked(1)
        world.now += 0.39
        w.check_alive()
        assert not world.stopped.is_set()
        world.now += 0.02
        w.check_alive()
    assert isinstance(world.why, StaleInputError)
    assert str(world.why) == (
        'the remaining path was last checked against fresh depth 0.41 s ago, limit 0.40 s')
    assert w.max_gap_s == pytest.approx(0.41)


def test_a_path_is_blocked_when_as_many_checks_as_wanted_say_so():
    world = World()
    w = watch(world, confirmations=2)
    with w:
        world.checked(1)
        world.free = 0.001
        world.image(0.1)
        world.free = 0.05
        world.image(0.1)
        world.free = 0.0012
        world.image(0.1)
        assert not world.stopped.is_set()
        world.image(0.1)
        assert world.stopped.wait(30.0)
    assert isinstance(world.why, PathBlockedError)
    assert str(world.why) == ('an obstacle is 1.2 mm from the remaining path in phase CARRY (next '
                              'waypoint 2), limit 2.0 mm')


def test_depth_that_fails_stops_the_robot_with_its_own_reason():
    world = World()
    world.error = NoDepthError('no depth')
    w = watch(world)
    with w:
        assert world.stopped.wait(30.0)
    assert world.why is world.error
