# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import coal
import numpy as np
import pytest
from table_scenes import axis_box

from robotracer_ros.geometry.transforms import apply, invert
from robotracer_ros.planning.self_filter import SelfFilter, vertices
from robotracer_ros.planning.shape import object_shape
from robotracer_ros.planning.solids import octree, separation
from robotracer_ros.scene.base import ObjectSegment
from robotracer_ros.sim.render import Renderer
from robotracer_ros.sim.scenes import generate_scene
from robotracer_ros.sim.spec import SEG_ROBOT


def cylinder_segment(radius=0.03, height=0.1):
    """Return the half of a standing cylinder that a camera in front sees."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 40)
    ring = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    layers = [
        np.column_stack([ring, np.full(len(ring), z)]) for z in np.linspace(0.002, height, 20)
    ]
    box = axis_box(0.5, 0.1, (2 * radius, 2 * radius, height), yaw=0.5)
    points = np.concatenate(layers) - [0, 0, height / 2]
    return ObjectSegment(apply(box.pose, points), box)


def distance_at(segment, offset, shrink=0.0):
    """Return the distance of the shape to a tiny voxel at an offset (3,) from its centre."""
    voxel = octree(np.array([[0.0005, 0.0005, 0.0005]]), 0.001)
    pose = np.eye(4)
    pose[:3, 3] = 0.0005 - np.asarray(offset)
    return separation(object_shape(segment, shrink), pose, voxel)


def test_round_thing_gets_a_round_shape_with_its_hidden_back():
    s = cylinder_segment()
    for angle in np.arange(0, 2 * np.pi, 0.4):
        at = 0.05 * np.array([np.cos(angle), np.sin(angle), 0.0])
        assert distance_at(s, at) == pytest.approx(0.02, abs=0.002)
    # The corner of its box is outside.
    assert distance_at(s, [0.028, 0.028, 0.0]) > 0.005
    assert distance_at(s, [0, 0, 0]) < 0


def test_shape_reaches_down_to_the_support_and_can_be_slimmed():
    s = cylinder_segment()
    assert distance_at(s, [0, 0, -0.055]) == pytest.approx(0.005, abs=0.001)
    assert distance_at(s, [0.05, 0, 0], shrink=0.003) == pytest.approx(0.023, abs=0.002)


def test_few_points_give_the_box():
    s = cylinder_segment()
    few = ObjectSegment(s.points[:5], s.box)
    assert isinstance(object_shape(few), coal.Box)


@pytest.mark.parametrize('seed', [0, 1])
def test_every_robot_pixel_is_recognised_and_few_others(planner, seed):
    scene = generate_scene(seed)
    image = Renderer().render(scene, scene.robot_q, 0.10)
    cloud = apply(scene.world_from_camera, scene.camera.depth_to_points(image.depth).astype(float))
    seen = np.isfinite(cloud).all(axis=-1)
    robot = image.segmentation[seen] == SEG_ROBOT
    mask = SelfFilter(planner.robot).at(scene.robot_q, 0.10)(cloud[seen])
    assert robot.sum() > 500 and mask[robot].mean() > 0.999
    things = image.segmentation[seen] >= 0
    assert mask[things].mean() < 0.02


def test_carried_object_is_recognised(planner):
    home = planner.config.home
    box = axis_box(0, 0, (0.06, 0.06, 0.3))
    tcp = planner.arm.tcp(home)
    tip = (tcp @ np.array([0.02, 0, 0.12, 1]))[:3]
    own = SelfFilter(planner.robot)
    carried = (invert(tcp) @ tcp @ np.diag([1.0, 1, 1, 1]), box.extents)
    assert not own.at(home, 0.05)(tip[None])[0]
    assert own.at(home, 0.05, carried)(tip[None])[0]


def test_vertices_of_a_cylinder_hold_it():
    v = vertices(coal.Cylinder(0.05, 0.2))
    assert np.hypot(v[:, 0], v[:, 1]).min() >= 0.05 and np.abs(v[:, 2]).max() == pytest.approx(0.1)
