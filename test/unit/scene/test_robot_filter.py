# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of robotracer_ros.scene.robot_filter."""

import numpy as np
import pytest

from robotracer_ros.geometry.transforms import invert, make_transform, rotation_about
from robotracer_ros.scene.robot_filter import Hull, HullFilter


def test_points_in_and_near_a_turned_box():
    pose = make_transform(rotation_about((1, 2, 3), 0.7), (0.3, -0.1, 0.5))
    box = HullFilter([Hull.of_box(np.array([0.2, 0.1, 0.06]))], margin=0.01)
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (5000, 3)) + pose[:3, 3]
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    beyond = np.max(np.abs(local) - [0.1, 0.05, 0.03], axis=1)
    mask = box.mask(points, [pose])
    # Beside a corner the faces' planes reach a little further than the margin; never less far.
    assert mask[beyond <= 0.01].all()
    assert not mask[beyond > 0.01].any()
    assert mask.any()


def test_a_hull_around_points_holds_them_and_not_more():
    rng = np.random.default_rng(1)
    vertices = rng.normal(size=(200, 3))
    vertices *= 0.1 / np.linalg.norm(vertices, axis=1, keepdims=True)
    ball = HullFilter([Hull.around(vertices)], margin=0.0)
    assert ball.mask(vertices * 0.9999, [np.eye(4)]).all()
    assert not ball.mask(vertices * 1.05, [np.eye(4)]).any()
    assert ball.at([np.eye(4)])(np.zeros((1, 3))).tolist() == [True]


def test_each_body_has_its_pose():
    boxes = HullFilter([Hull.of_box(np.full(3, 0.1))] * 2, margin=0.0)
    poses = [make_transform(translation=(0, 0, 0)), make_transform(translation=(1, 0, 0))]
    points = np.array([[0, 0, 0], [1, 0, 0], [0.5, 0, 0]])
    assert boxes.mask(points, poses).tolist() == [True, True, False]
    with pytest.raises(ValueError):
        boxes.mask(points, poses[:1])


def test_the_rendered_robot_is_found_by_its_own_hulls():
    """Hulls of the very meshes that are drawn take every pixel of the robot and none of the objects."""
    from robotracer_ros.scene.cloud import cloud_in_base
    from robotracer_ros.sim.render import Renderer
    from robotracer_ros.sim.robot_mesh import RobotMesh
    from robotracer_ros.sim.scenes import generate_scene
    from robotracer_ros.sim.spec import SEG_ROBOT
    scene = generate_scene(6)
    out = Renderer().render(scene, gripper_opening=0.05)
    points = cloud_in_base(out.depth, scene.camera, scene.world_from_camera)
    robot = RobotMesh()
    model, data, geometry = robot._model, robot._data, robot._geometry_data
    robot.at(scene.robot_q, 0.05)
    assert model.nq and data is not None
    hulls = HullFilter([Hull.around(m.vertices.astype(float)) for m in robot._meshes], margin=0.005)
    mask = hulls.at([invert(np.eye(4)) @ p.homogeneous for p in geometry.oMg])
    assert mask(points[out.segmentation == SEG_ROBOT]).all()
    assert not mask(points[out.segmentation >= 0]).any()
