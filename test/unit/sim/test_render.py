# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the renderer: depth against geometry, masks against depth, colours against light."""

from dataclasses import replace

import numpy as np
import pytest

from robotracer_ros.geometry.transforms import apply, invert, make_transform
from robotracer_ros.sim.catalog import make_object
from robotracer_ros.sim.render import Renderer
from robotracer_ros.sim.scenes import generate_scene, standing_pose
from robotracer_ros.sim.spec import (
    HOME_Q,
    SEG_BACKGROUND,
    SEG_ROBOT,
    SEG_TABLE,
    TABLE_EDGES,
    Primitive,
    Scene,
    SceneObject,
)


@pytest.fixture(scope='module')
def renderer() -> Renderer:
    return Renderer()


@pytest.fixture(scope='module')
def bare() -> Renderer:
    return Renderer(robot=False, sensor_noise=0)


def world_points(scene: Scene, depth: np.ndarray) -> np.ndarray:
    return apply(scene.world_from_camera, scene.camera.depth_to_points(depth).astype(float))


def single(o: SceneObject, seed: int = 0) -> Scene:
    return replace(generate_scene(seed), objects=(o,))


def test_the_same_scene_gives_the_same_image(renderer):
    a, b = renderer.render(generate_scene(5)), Renderer().render(generate_scene(5))
    for name in ('rgb', 'depth', 'segmentation'):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.rgb.dtype == np.uint8
    assert a.depth.dtype == np.float32
    assert a.segmentation.dtype == np.int16
    assert a.rgb.shape == (240, 320, 3)


def test_depth_of_the_table_is_that_of_its_plane(renderer):
    scene = generate_scene(8)
    out = renderer.render(scene)
    table = out.segmentation == SEG_TABLE
    assert table.sum() > 20000
    rays = scene.camera.rays().astype(float)
    rays = rays / rays[..., 2:]
    direction = rays @ scene.world_from_camera[:3, :3].T
    exact = -scene.world_from_camera[2, 3] / direction[..., 2]
    points = world_points(scene, out.depth)
    top = table & (points[..., 2] > -0.01)
    np.testing.assert_allclose(out.depth[top], exact[top], rtol=2e-5)
    assert np.all(points[table][:, 0] <= TABLE_EDGES[2] + 1e-3)


def test_depth_of_a_ball_is_that_of_the_sphere(bare):
    radius, centre = 0.05, np.array([0.5, 0.05, 0.05])
    ball = replace(make_object('ball', 'red'), parts=(Primitive('sphere', (radius,), np.eye(4)),),
                   extents=np.full(3, 2 * radius), pose=make_transform(translation=centre))
    scene = single(ball)
    out = bare.render(scene)
    rays = scene.camera.rays().astype(float)
    rays = rays / rays[..., 2:]
    d = rays @ scene.world_from_camera[:3, :3].T
    o = scene.world_from_camera[:3, 3] - centre
    a, b, c = np.sum(d * d, -1), d @ o, o @ o - radius ** 2
    disc = b * b - a * c
    hit = disc > 0
    exact = (-b - np.sqrt(np.maximum(disc, 0))) / a
    mask = out.segmentation == 0
    # Only the outermost ring of pixels may differ: a polygon stands for the circle.
    assert np.sum(mask ^ hit) < 0.04 * hit.sum()
    inner = mask & (disc > 0.15 * disc.max())
    assert np.abs(out.depth - exact)[inner].max() < 1.5e-3


def test_masks_lie_inside_the_boxes_of_their_objects(renderer):
    for seed in (1, 2, 9):
        scene = generate_scene(seed)
        out = renderer.render(scene)
        points = world_points(scene, out.depth)
        for i, o in enumerate(scene.objects):
            local = apply(invert(o.pose), points[out.segmentation == i])
            assert len(local) > 0 or o.kind != 'wall', o.id
            assert np.all(np.abs(local) <= o.extents / 2 + 1e-4), o.id


def test_poses_joints_and_jaws_are_those_asked_for(renderer):
    scene = generate_scene(4)
    o = next(o for o in scene.objects if not o.fixed)
    index = scene.objects.index(o)
    moved = scene.with_poses({o.id: make_transform(translation=(0, 0, 0.15)) @ o.pose})
    z = [world_points(s, r.depth)[r.segmentation == index][:, 2].max()
         for s in (scene, moved) for r in [renderer.render(s)]]
    assert z[1] - z[0] == pytest.approx(0.15, abs=0.01)

    reach = np.array([0.0, -1.57, 1.57, -1.57, -1.57, 0.0])
    masks = [renderer.render(scene, q, opening).segmentation == SEG_ROBOT
             for q, opening in ((reach, 0.0), (reach, 0.1), (np.array(HOME_Q), 0.1))]
    assert masks[0].sum() > 1000
    assert (masks[0] ^ masks[1]).sum() > 100
    assert (masks[1] ^ masks[2]).sum() > 300


def test_the_waiting_arm_hides_nothing():
    """Objects have the same masks with and without the robot."""
    with_robot, without = Renderer(), Renderer(robot=False)
    for seed in range(0, 60, 5):
        scene = generate_scene(seed)
        a, b = with_robot.render(scene).segmentation, without.render(scene).segmentation
        np.testing.assert_array_equal(np.where(a >= 0, a, -1), np.where(b >= 0, b, -1))


def test_objects_show_their_colour_and_cast_shadows(bare):
    for color, channel in (('red', 0), ('green', 1), ('blue', 2)):
        block = make_object('block', color, 'large')
        block = replace(block, pose=standing_pose(block, 0.5, 0.0, 0.3))
        out = bare.render(single(block))
        mean = out.rgb[out.segmentation == 0].mean(axis=0)
        assert np.argmax(mean) == channel
    scene = replace(single(block), light_direction=np.array([0.3, 0.9, -0.8]))
    shadow = bare.render(scene).rgb.astype(int)
    plain = Renderer(robot=False, shadows=False, sensor_noise=0).render(scene).rgb.astype(int)
    darker = (plain - shadow).sum(axis=-1) > 60
    assert 100 < darker.sum() < 5000
    assert (shadow - plain).max() <= 1


def test_surfaces_are_not_flat(renderer):
    out = renderer.render(generate_scene(0))
    table = out.segmentation == SEG_TABLE
    assert out.rgb[table].astype(float).std(axis=0).min() > 2
    assert (out.segmentation == SEG_BACKGROUND).any()


def test_other_image_sizes(renderer):
    scene = generate_scene(3)
    small = replace(scene, camera=scene.camera.resized(96, 72))
    out = renderer.render(small)
    assert out.depth.shape == (72, 96)
    assert set(np.unique(out.segmentation)) <= {-3, -2, -1, *range(len(scene.objects))}
