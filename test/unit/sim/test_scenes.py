# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of robotracer_ros.sim.scenes."""

from itertools import combinations

import numpy as np
import pytest

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.transforms import apply, invert
from robotracer_ros.sim.catalog import KINDS, bounds
from robotracer_ros.sim.scenes import SceneConfig, footprint_distance, generate_scene

SEEDS = range(60)
CORNERS = np.array([[x, y, z] for x in (-.5, .5) for y in (-.5, .5) for z in (-.5, .5)])


def bottom(o):
    return o.pose[2, 3] - o.extents[2] / 2


def test_a_seed_is_a_scene():
    for seed in (0, 7, 123):
        a, b = generate_scene(seed), generate_scene(seed)
        assert [o.id for o in a.objects] == [o.id for o in b.objects]
        for p, q in zip(a.objects, b.objects, strict=True):
            np.testing.assert_array_equal(p.pose, q.pose)
            assert p.rgb == q.rgb
        np.testing.assert_array_equal(a.world_from_camera, b.world_from_camera)
    assert [o.id for o in generate_scene(1).objects] != [o.id for o in generate_scene(2).objects]


def test_things_rest_on_the_table_or_on_a_support_inside_the_area():
    config = SceneConfig()
    stacked = 0
    for seed in SEEDS:
        scene = generate_scene(seed)
        assert config.min_objects <= len(scene.objects) <= config.max_objects
        assert len({o.id for o in scene.objects}) == len(scene.objects)
        for o in scene.objects:
            assert config.x_range[0] <= o.pose[0, 3] <= config.x_range[1]
            assert config.y_range[0] <= o.pose[1, 3] <= config.y_range[1]
            assert np.hypot(*o.pose[:2, 3]) <= config.max_reach
            np.testing.assert_allclose(o.pose[2, :3], [0, 0, 1], atol=1e-12)
            if abs(bottom(o)) > 1e-9:
                below = [s for s in scene.objects if s is not o and s.support
                         and abs(bottom(s) + s.support_height - bottom(o)) < 1e-9
                         and np.allclose(s.pose[:2, 3], o.pose[:2, 3])]
                assert below, f'{seed}: {o.id} hangs in the air'
                assert o.footprint_radius <= min(below[0].support_size)
                stacked += 1
    assert stacked > 0


def test_nothing_overlaps_and_jaws_have_room():
    config = SceneConfig()
    for seed in SEEDS:
        scene = generate_scene(seed)
        for a, b in combinations(scene.objects, 2):
            if abs(bottom(a)) > 1e-9 or abs(bottom(b)) > 1e-9:
                continue
            need = config.gap if a.graspable or b.graspable else config.loose_gap
            assert footprint_distance(a, b) >= need - 1e-9, f'{seed}: {a.id} {b.id}'


def test_footprint_distance_is_a_lower_bound_of_the_true_one():
    scene = generate_scene(4)
    for a, b in combinations(scene.objects, 2):
        pa, pb = (apply(o.pose, CORNERS * o.extents)[:, :2] for o in (a, b))
        true = np.linalg.norm(pa[:, None] - pb[None], axis=-1).min()
        assert footprint_distance(a, b) <= true + 1e-9


def test_every_scene_can_be_worked_with():
    walls = repeats = twins = 0
    for seed in SEEDS:
        objects = generate_scene(seed).objects
        assert any(a.graspable and (b.support or b.container)
                   for a in objects for b in objects if a is not b)
        walls += any(o.fixed for o in objects)
        kinds = [o.kind for o in objects]
        repeats += len(set(kinds)) < len(kinds)
        looks = [(o.kind, o.color) for o in objects]
        twins += len(set(looks)) < len(looks)
    assert 5 < walls < 55
    assert repeats > 10
    assert twins > 2


def test_the_camera_sees_everything_large_enough():
    for seed in SEEDS:
        scene = generate_scene(seed)
        camera = scene.camera
        camera_from_world = invert(scene.world_from_camera)
        for o in scene.objects:
            uv = camera.project(apply(camera_from_world @ o.pose, CORNERS * o.extents))
            assert np.all((uv[:, :2] > 0) & (uv[:, :2] < 1000)), f'{seed}: {o.id}'
        middle = apply(camera_from_world, np.array([0.5, 0.0, 0.03]))
        assert 0.06 * camera.fx / middle[2] >= 17


def test_all_kinds_appear():
    seen = {o.kind for seed in range(150) for o in generate_scene(seed).objects}
    assert seen == set(KINDS)


def test_configuration_restricts_and_refuses():
    scene = generate_scene(3, SceneConfig(kinds=('mug', 'plate'), max_objects=5, width=640, height=480))
    assert {o.kind for o in scene.objects} <= {'mug', 'plate'}
    assert (scene.camera.width, scene.camera.height) == (640, 480)
    with pytest.raises(InvalidParameterError, match='dragon'):
        SceneConfig(kinds=('dragon',))
    with pytest.raises(InvalidParameterError, match='1'):
        SceneConfig(min_objects=1)
    with pytest.raises(InvalidParameterError, match='graspable'):
        generate_scene(0, SceneConfig(kinds=('plate', 'book')))
    with pytest.raises(InvalidParameterError, match='do not fit'):
        generate_scene(0, SceneConfig(min_objects=14, max_objects=14, gap=0.5, loose_gap=0.5))


def test_parts_stay_inside_the_extents():
    for o in generate_scene(11).objects:
        low, high = bounds(o.parts)
        assert np.all(high <= o.extents / 2 + 1e-9)
        assert np.all(low >= -o.extents / 2 - 1e-9)
