# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of robotracer_ros.scene.build: one depth image to a planning scene."""

import numpy as np
import pytest

from robotracer_ros.errors import InvalidDepthError, InvalidParameterError, ResolutionMismatchError
from robotracer_ros.geometry.transforms import apply, invert
from robotracer_ros.scene.build import SceneParameters, build_scene
from robotracer_ros.sim.noise import TYPICAL, add_noise
from robotracer_ros.sim.render import Renderer
from robotracer_ros.sim.scenes import generate_scene
from robotracer_ros.sim.spec import SEG_ROBOT


def built(shot, uv=None, **kwargs):
    return build_scene(shot.image.depth, shot.scene.camera, shot.scene.world_from_camera, uv, **kwargs)


def near_box(o, points, margin):
    local = apply(invert(o.pose), points)
    return np.all(np.abs(local) <= o.extents / 2 + margin, axis=1)


def test_obstacles_are_the_objects_and_nothing_else(shoot_seed):
    for seed in (5, 9, 21):
        shot = shoot_seed(seed)
        scene = built(shot, stamp_ns=42)
        assert scene.stamp_ns == 42
        assert scene.moved is None
        assert scene.support_z == pytest.approx(0.0, abs=1e-4)
        reach = scene.voxel_size * np.sqrt(3)
        explained = np.zeros(len(scene.obstacles), bool)
        for o in shot.scene.objects:
            explained |= near_box(o, scene.obstacles, reach)
        assert explained.all()
        for i, o in enumerate(shot.scene.objects):
            visible = (shot.image.segmentation == i).sum()
            if o.extents[2] > 0.03 and visible > 150:
                assert near_box(o, scene.obstacles, reach).sum() >= 4, o.id


def test_every_visible_point_of_an_object_is_covered(shoot):
    shot = shoot(('carton', 0.5, 0.1, 0.3), ('bowl', 0.45, -0.15))
    scene = built(shot)
    points = apply(shot.scene.world_from_camera, shot.scene.camera.depth_to_points(shot.image.depth).astype(float))
    seen = points[(shot.image.segmentation >= 0) & (points[..., 2] > 0.016)][::7]
    gap = np.array([np.abs(scene.obstacles - p).max(axis=1).min() for p in seen])
    # Single points at outlines make no voxel of their own.
    assert np.mean(gap <= scene.voxel_size / 2 + 1e-6) > 0.97
    assert gap.max() < 1.6 * scene.voxel_size


def test_things_are_solid(shoot):
    """The hidden inside and back of a carton are occupied, since its top is seen."""
    shot = shoot(('carton', 0.5, 0.0, 0.0, 0.0, 'carton'))
    o = shot.scene.objects[0]
    grid = np.stack(np.meshgrid(*[np.linspace(-0.35, 0.35, 5) * e for e in o.extents]), -1).reshape(-1, 3)
    inside = apply(o.pose, grid)
    inside = inside[inside[:, 2] > 0.02]
    solid, hollow = (built(shot, parameters=SceneParameters(fill=f)) for f in (True, False))

    def covered(s):
        return np.mean([np.abs(s.obstacles - p).max(axis=1).min() <= s.voxel_size / 2 + 1e-6 for p in inside])

    assert covered(solid) == 1.0
    assert covered(hollow) < 0.6


def test_the_moved_object_is_no_obstacle_and_the_others_stay(shoot):
    shot = shoot(('mug', 0.5, 0.0, 0.4, 0.0, 'mug'), ('can', 0.5, 0.14, 0.0, 0.0, 'can'), ('plate', 0.45, -0.2))
    with_it, without = built(shot), built(shot, shot.uv('mug'))
    mug, can = shot.scene.objects[:2]
    assert near_box(mug, with_it.obstacles, 0.0).sum() > 10
    assert not near_box(mug, without.obstacles, 0.0).any()
    # No crumbs of it beside its outline either.
    assert near_box(mug, without.obstacles, 0.02).sum() == 0
    assert near_box(can, without.obstacles, 0.01).sum() == near_box(can, with_it.obstacles, 0.01).sum()
    assert without.moved is not None
    assert set(without.stage_times_s) == {'cloud', 'support', 'robot', 'segment', 'voxels'}


def test_the_robot_is_taken_out():
    scene = generate_scene(12)
    q = np.array([0.0, -1.4, 1.6, -1.77, -1.57, 0.0])
    image = Renderer(sensor_noise=0).render(scene, q)
    own = image.segmentation == SEG_ROBOT
    assert own.sum() > 800
    points = apply(scene.world_from_camera, scene.camera.depth_to_points(image.depth).astype(float))
    keys = {tuple(p) for p in np.round(points[own] * 1e3).astype(int)}

    def mask(p):
        return np.array([tuple(k) in keys for k in np.round(np.asarray(p, float) * 1e3).astype(int)])

    args = (image.depth, scene.camera, scene.world_from_camera)
    bare, clean = build_scene(*args), build_scene(*args, robot_mask=mask)
    assert len(clean.obstacles) < len(bare.obstacles)
    reach = clean.voxel_size * np.sqrt(3)
    explained = np.zeros(len(clean.obstacles), bool)
    for o in scene.objects:
        explained |= near_box(o, clean.obstacles, reach)
    assert explained.all()


def test_noise_makes_few_phantoms(shoot_seed):
    shot = shoot_seed(14)
    depth = add_noise(shot.image.depth, TYPICAL, np.random.default_rng(0))
    scene = build_scene(depth, shot.scene.camera, shot.scene.world_from_camera)
    explained = np.zeros(len(scene.obstacles), bool)
    for o in shot.scene.objects:
        explained |= near_box(o, scene.obstacles, 0.03)
    assert explained.mean() > 0.98
    assert scene.support_z == pytest.approx(0.0, abs=0.002)


def test_bad_input_is_named(shoot):
    shot = shoot(('block', 0.5, 0.0))
    camera, pose = shot.scene.camera, shot.scene.world_from_camera
    with pytest.raises(InvalidDepthError, match='no valid value'):
        build_scene(np.zeros((240, 320), np.float32), camera, pose)
    with pytest.raises(ResolutionMismatchError, match='160x120'):
        build_scene(np.ones((120, 160), np.float32), camera, pose)
    far = SceneParameters(lower=(5, 5, 5), upper=(6, 6, 6))
    with pytest.raises(InvalidDepthError, match='lies in the workspace'):
        build_scene(shot.image.depth, camera, pose, parameters=far)
    with pytest.raises(InvalidParameterError, match='voxel size'):
        SceneParameters(voxel_size=0.0)
    with pytest.raises(InvalidParameterError, match='workspace'):
        SceneParameters(lower=(1, 0, 0), upper=(0, 1, 1))
