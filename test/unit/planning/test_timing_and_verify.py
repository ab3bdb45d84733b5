# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robotracer_ros.errors import LimitsViolatedError, PathInCollisionError, TimingFailedError
from robotracer_ros.planning.base import Motion, Phase
from robotracer_ros.planning.checker import Rules
from robotracer_ros.planning.collision_scene import CollisionScene
from robotracer_ros.planning.timing import time_path
from robotracer_ros.planning.verify import recheck, verify


def motion_of(arm, path, speed=0.25):
    t = time_path(arm, path, arm.limits, speed)
    return Motion(
        Phase.CARRY,
        t.times,
        t.positions,
        t.velocities,
        t.accelerations,
        t.tool,
        np.full(len(t.times), 1),
    )


def smooth_path(home, seed, n):
    """Return a random path (n, 6) at most 1.1 rad away from home, well within the position limits."""
    rng = np.random.default_rng(seed)
    s = np.linspace(0, 1, n)[:, None]
    waves = sum(rng.normal(0, 0.25, 6) * np.sin(np.pi * k * s) for k in (1, 2, 3))
    away = waves + s * rng.normal(0, 0.3, 6)
    return home + away * min(1.0, 1.1 / np.abs(away).max())


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 90), speed=st.sampled_from([0.05, 0.25, 0.8]))
def test_limits_hold_on_random_paths(arm, planner, seed, n, speed):
    path = smooth_path(planner.config.home, seed, n)
    m = motion_of(arm, path, speed)
    fastest = verify([m], path[0], arm.limits, arm, speed)
    assert fastest <= speed * 1.002
    np.testing.assert_allclose(m.positions[[0, -1]], path[[0, -1]], atol=1e-9)


@pytest.mark.parametrize('seed', range(5))
def test_path_is_followed_exactly(arm, planner, seed):
    """Every timed sample lies on the polyline of the path, up to the spline's curvature between
    close points.
    """
    path = smooth_path(planner.config.home, seed, 80)
    q = motion_of(arm, path).positions[::10]
    a, d = path[:-1], np.diff(path, axis=0)
    t = np.clip(((q[:, None] - a) * d).sum(-1) / (d * d).sum(-1), 0, 1)
    assert np.linalg.norm(q[:, None] - a - t[..., None] * d, axis=-1).min(1).max() < 2e-3


def test_slower_tcp_takes_longer_and_limits_are_used(arm, planner):
    path = smooth_path(planner.config.home, 1, 60)
    fast, slow = (motion_of(arm, path, v).times[-1] for v in (0.25, 0.1))
    assert slow > 1.5 * fast
    m = motion_of(arm, path, 5.0)
    use = (
        np.abs(np.diff(m.velocities, axis=0) / np.diff(m.times)[:, None]).max(0)
        / arm.limits.acceleration
    )
    assert use.max() > 0.5


def test_path_without_length_fails(arm, planner):
    for step in (0.0, 1e-6):
        path = planner.config.home + step * np.arange(3)[:, None]
        with pytest.raises(TimingFailedError, match=r'a length of .* rad: must be at least 1e-05 rad'):
            time_path(arm, path, arm.limits, 0.25)


def test_repeated_points_do_not_matter(arm, planner):
    path = smooth_path(planner.config.home, 2, 30)
    twice = np.repeat(path, 2, axis=0)
    assert motion_of(arm, twice).times[-1] == pytest.approx(
        motion_of(arm, path).times[-1], rel=0.05
    )


@pytest.fixture
def good(arm, planner):
    return motion_of(arm, smooth_path(planner.config.home, 3, 60))


def retimed(m, factor):
    return dataclasses.replace(m, times=m.times * factor, velocities=m.velocities / factor)


def test_the_good_motion_passes(arm, good):
    assert 0.1 < verify([good], good.positions[0], arm.limits, arm, 0.25) <= 0.2505


@pytest.mark.parametrize(
    ('scale', 'word'), [('velocity', 'rad/s'), ('acceleration', 'rad/s^2'), ('jerk', 'rad/s^3')]
)
def test_each_limit_is_enforced_and_named(arm, good, scale, word):
    tight = dataclasses.replace(arm.limits, **{scale: getattr(arm.limits, scale) * 0.05})
    with pytest.raises(LimitsViolatedError) as e:
        verify([good], good.positions[0], tight, arm, 0.25)
    assert (
        e.value.details['joint'] in arm.names
        and e.value.details['value'] > e.value.details['limit']
    )
    assert e.value.details['joint'] in str(e.value)
    if scale != 'velocity':  # a tight velocity limit is reported as such, whichever rule finds it
        assert word in str(e.value)


def broken(m, change):
    arrays = {
        k: getattr(m, k).copy()
        for k in ('times', 'positions', 'velocities', 'accelerations', 'tool')
    }
    change(arrays)
    return dataclasses.replace(m, **arrays)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda a: a['positions'].__setitem__((50, 2), np.nan), ['finite']),
        (lambda a: a['times'].__setitem__(10, a['times'][9]), ['times', 'increase']),
        (lambda a: a['velocities'].__setitem__((-1, 1), 0.1), ['shoulder_lift_joint', 'at rest']),
        (lambda a: a['velocities'].__imul__(1.6), ['declares a velocity']),
        (
            lambda a: a['positions'].__setitem__((60, 4), a['positions'][60, 4] + 0.05),
            ['wrist_2_joint'],
        ),
        (lambda a: a['tool'].__setitem__((5, 0, 3), 0.0), ['forward kinematics']),
    ],
)
def test_each_fault_of_a_trajectory_is_found(arm, good, change, words):
    with pytest.raises(LimitsViolatedError) as e:
        verify([broken(good, change)], good.positions[0], arm.limits, arm, 0.25)
    assert all(w in str(e.value) for w in words), str(e.value)


def test_position_limit_start_gap_and_tcp_speed(arm, good):
    low = dataclasses.replace(arm.limits, upper=good.positions.max(0) - [0, 0, 0.01, 0, 0, 0])
    with pytest.raises(LimitsViolatedError, match='elbow_joint is above'):
        verify([good], good.positions[0], low, arm, 0.25)
    with pytest.raises(LimitsViolatedError, match='starts away'):
        verify([good], good.positions[0] + 0.01, arm.limits, arm, 0.25)
    with pytest.raises(LimitsViolatedError, match='starts away'):
        verify([good, good], good.positions[0], arm.limits, arm, 0.25)
    with pytest.raises(LimitsViolatedError, match=r'0\.1000 m/s'):
        verify([good], good.positions[0], arm.limits, arm, 0.1)


def test_faster_playback_is_found(arm, good):
    with pytest.raises(LimitsViolatedError):
        verify([retimed(good, 0.7)], good.positions[0], arm.limits, arm, 0.25)


def test_recheck_finds_what_stands_on_the_way(arm, planner, good):
    mid = good.tool[len(good.times) // 2, :3, 3]
    free = CollisionScene(planner.robot, np.zeros((0, 3)), 0.01, float('nan')).checker(
        Rules(0.005, 0.001, 0.0), 0.1
    )
    recheck([good], [free])
    blocked = CollisionScene(planner.robot, mid[None], 0.01, float('nan')).checker(
        Rules(0.005, 0.001, 0.0), 0.1
    )
    with pytest.raises(PathInCollisionError) as e:
        recheck([good], [blocked])
    assert (
        e.value.waypoint == 1 and 'obstacles' in e.value.details['pair'] and 'CARRY' in str(e.value)
    )
