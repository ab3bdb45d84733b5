# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
from table_scenes import VOXEL, axis_box, voxels

from robotracer_ros.planning.checker import Rules
from robotracer_ros.planning.collision_scene import CollisionScene
from robotracer_ros.planning.detour import joint_detour, search
from robotracer_ros.planning.follow import densify


def blocked(x):
    return abs(x[0] - 0.5) < 0.1 and abs(x[1]) < 0.5


def test_search_goes_round_and_is_repeatable():
    args = (
        np.zeros(2),
        np.array([1.0, 0.0]),
        -np.ones(2),
        np.ones(2),
        lambda x: not blocked(x),
        0.02,
        1.0,
        0.0,
        3,
    )
    path = search(*args)
    np.testing.assert_allclose(path[[0, -1]], [[0, 0], [1, 0]], atol=1e-6)
    assert not any(blocked(x) for x in densify(path, 0.02))
    np.testing.assert_allclose(search(*args), path)


def test_search_gives_up_instead_of_returning_half_a_way():
    valid = lambda x: not abs(x[0] - 0.5) < 0.1  # noqa: E731
    assert (
        search(np.zeros(2), np.array([1.0, 0.0]), -np.ones(2), np.ones(2), valid, 0.02, 0.1, 0.0, 1)
        is None
    )


def test_search_ends_when_it_is_cancelled():
    """There is no way, and an hour to look for it."""
    valid = lambda x: not abs(x[0] - 0.5) < 0.1  # noqa: E731
    asked = []

    def cancelled():
        asked.append(0)
        return len(asked) > 50

    ends = (np.zeros(2), np.array([1.0, 0.0]), -np.ones(2), np.ones(2))
    assert search(*ends, valid, 0.02, 3600.0, 0.0, 1, cancelled) is None
    assert 50 < len(asked) < 100


def test_arm_goes_round_a_post(planner):
    home = planner.config.home
    start, goal = home.copy(), home.copy()
    start[0] -= 0.7
    goal[0] += 0.7
    tcp = planner.arm.tcp(home)[:3, 3]
    post = axis_box(tcp[0], tcp[1], (0.05, 0.05, 0.45))
    checker = CollisionScene(planner.robot, voxels([post]), VOXEL, 0.0).checker(
        Rules(0.01, 0.001, 0.003), 0.1
    )
    assert checker.first_hit(densify(np.stack([start, goal]), 0.03)) is not None
    limits = planner.arm.limits
    path = joint_detour(checker, start, goal, limits.lower, limits.upper, 0.03, 2.0, 0.05, 1)
    assert checker.first_hit(densify(path, 0.03)) is None
    np.testing.assert_allclose(path[[0, -1]], [start, goal], atol=1e-5)
