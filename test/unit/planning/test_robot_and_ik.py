# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.transforms import make_transform
from robotracer_ros.planning.ik import NumericIk, UrAnalyticIk
from robotracer_ros.planning.robot import ArmModel


@pytest.fixture(scope='module')
def ik(arm):
    return UrAnalyticIk(arm)


def random_q(arm, n, seed=0):
    return np.random.default_rng(seed).uniform(
        np.maximum(arm.limits.lower, -3), np.minimum(arm.limits.upper, 3), (n, 6)
    )


def test_home_points_the_tool_down_over_the_table(planner):
    tcp = planner.arm.tcp(planner.config.home)
    np.testing.assert_allclose(tcp[:3, 2], [0, 0, -1], atol=1e-3)
    assert 0.2 < tcp[0, 3] < 0.6 and 0.2 < tcp[2, 3] < 0.6


def test_jacobian_is_the_derivative_of_the_pose(arm):
    for q in random_q(arm, 10):
        j = arm.jacobian(q)
        for k in range(6):
            d = np.zeros(6)
            d[k] = 1e-6
            a, b = arm.tcp(q - d), arm.tcp(q + d)
            np.testing.assert_allclose((b[:3, 3] - a[:3, 3]) / 2e-6, j[:3, k], atol=1e-6)
            w = (b[:3, :3] - a[:3, :3]) / 2e-6 @ arm.tcp(q)[:3, :3].T
            np.testing.assert_allclose([w[2, 1], w[0, 2], w[1, 0]], j[3:, k], atol=1e-6)


def test_many_poses_at_once_are_those_of_one_after_the_other(arm):
    q = random_q(arm, 200)
    np.testing.assert_allclose(arm.tcp_path(q), [arm.tcp(x) for x in q], atol=1e-12)


def test_limits_are_the_narrower_of_file_and_urdf(arm, planner):
    assert (arm.limits.velocity <= planner.config.limits.velocity).all()
    assert (arm.limits.lower >= planner.config.limits.lower).all()


def test_unknown_frame_and_joint_are_named(arm, planner):
    with pytest.raises(InvalidParameterError, match='no_frame'):
        ArmModel(arm.urdf, planner.config.limits, 'base_link', 'tool0', 'no_frame', ())
    with pytest.raises(InvalidParameterError, match='no_jaw'):
        ArmModel(arm.urdf, planner.config.limits, 'base_link', 'tool0', 'gripper_tcp', ('no_jaw',))


def test_every_solution_reaches_the_pose_within_the_limits(arm, ik):
    for q in random_q(arm, 100):
        pose = arm.tcp(q)
        found = ik.solutions(pose, q)
        assert len(found) and np.abs(found[0] - q).max() < 1e-5
        for s in found:
            np.testing.assert_allclose(arm.tcp(s), pose, atol=1e-6)
            assert (s >= arm.limits.lower).all() and (s <= arm.limits.upper).all()


def test_branches_name_solutions_uniquely(arm, ik):
    for q in random_q(arm, 100, 1):
        found = ik.raw(arm.tcp(q), q)
        names = [ik.branch(s) for s in found]
        assert len(set(names)) == len(names)
        assert np.abs(ik.in_branch(arm.tcp(q), ik.branch(q), q) - q).max() < 1e-5


def test_turns_are_taken_next_to_the_reference(arm, ik, planner):
    home = planner.config.home.copy()
    home[5] += 2 * np.pi - 0.5
    assert np.abs(ik.solutions(arm.tcp(home), home)[0] - home).max() < 1e-5


def test_nothing_is_out_of_reach(ik, planner):
    assert len(ik.solutions(make_transform(None, (3.0, 0, 0)), planner.config.home)) == 0


def test_follow_is_continuous_and_says_where_it_ends(arm, ik, planner):
    home = planner.config.home
    poses = np.repeat(arm.tcp(home)[None], 100, axis=0)
    poses[:, 0, 3] += np.linspace(0, 1.0, 100)
    path, reached = ik.follow(poses, home)
    assert 20 < reached < 100 and len(path) == reached
    assert np.abs(np.diff(path, axis=0)).max() < 0.35
    np.testing.assert_allclose(arm.tcp_path(path), poses[:reached], atol=1e-6)


def test_numeric_agrees_with_the_closed_form(arm, ik, planner):
    numeric = NumericIk(arm)
    for q in random_q(arm, 10, 2) * 0.3 + planner.config.home:
        pose = arm.tcp(np.clip(q, arm.limits.lower, arm.limits.upper))
        found = numeric.solutions(pose, planner.config.home)
        assert len(found) == 1
        np.testing.assert_allclose(arm.tcp(found[0]), pose, atol=1e-4)


def test_numeric_gives_up_out_of_reach(arm, planner):
    numeric = NumericIk(arm, iterations=20, restarts=1)
    assert len(numeric.solutions(make_transform(None, (3.0, 0, 0)), planner.config.home)) == 0


def test_unknown_robot_is_named(arm):
    with pytest.raises(InvalidParameterError, match='ur99'):
        UrAnalyticIk(arm, 'ur99')
