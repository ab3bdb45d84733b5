# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the planner node sees: the camera it plans with is read as perception reads it."""

import array
import time

import numpy as np
import pytest
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from robotracer_ros.errors import NoIntrinsicsError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.nodes.images import camera_to_info, depth_to_image
from robotracer_ros.nodes.parameters import NodeParameters
from robotracer_ros.nodes.perception_parameters import PARAMETERS as PERCEPTION
from robotracer_ros.nodes.planner_parameters import PARAMETERS
from robotracer_ros.nodes.scene_input import SceneInput

FRAME = 'camera_color_optical_frame'
CAMERA = CameraModel(64, 48, 60.0, 60.0, 31.5, 23.5)
#: as its driver would calibrate the picture after removing the lens distortion
RECTIFIED = CameraModel(64, 48, 50.0, 50.0, 31.5, 23.5)
PATIENCE_S = 30.0


@pytest.fixture
def view_with(ros):
    """Return what a planner node with some parameters sees through a lens with coefficients k1."""
    made = []

    def look(k1, **parameters):
        overrides = [Parameter('tf.extrinsics', value=[f'base_link {FRAME} 0 0 1 0 0 0 1'])]
        overrides += [Parameter(f'camera_info.{n}', value=v) for n, v in parameters.items()]
        node = Node('planner', parameter_overrides=overrides)
        scene = SceneInput(node, NodeParameters(node, PARAMETERS))
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        made.append((executor, scene, node))
        depths = node.create_publisher(Image, 'camera/aligned_depth_to_color/image_raw', 1)
        infos = node.create_publisher(CameraInfo, 'camera/color/camera_info', 1)
        deadline = time.monotonic() + PATIENCE_S
        while not (scene.depth_rate.count and scene.info_rate.count):
            assert time.monotonic() < deadline
            now = node.get_clock().now().nanoseconds
            info = camera_to_info(RECTIFIED, FRAME, now)
            info.k, info.d = CAMERA.matrix.ravel(), array.array('d', [k1, 0.0, 0.0, 0.0, 0.0])
            infos.publish(info)
            depths.publish(depth_to_image(np.full((48, 64), 0.8, np.float32), '16UC1', FRAME, now))
            executor.spin_once(timeout_sec=0.05)
        return scene.view()

    yield look
    for executor, scene, node in made:
        executor.shutdown()
        scene.close()
        node.destroy_node()


def test_a_lens_that_bends_the_picture_is_refused(view_with):
    """Planned with, it would put obstacles centimetres from where they are, without a word."""
    with pytest.raises(NoIntrinsicsError, match=r'moves pixels by up to \d+\.\d px, more than 2 px'):
        view_with(0.5)


def test_a_slight_distortion_and_one_that_is_allowed_are_ignored(view_with):
    assert view_with(0.01).camera == CAMERA
    assert view_with(0.5, max_distortion_px=100.0).camera == CAMERA


def test_a_rectified_picture_is_read_through_its_projection_matrix(view_with):
    assert view_with(0.5, rectified=True).camera == RECTIFIED


def test_planner_and_perception_read_the_lens_by_the_same_parameters():
    names = {'camera_info.rectified', 'camera_info.max_distortion_px'}
    planner = {s.name: s for s in PARAMETERS if s.name in names}
    assert planner.keys() == names
    assert planner == {s.name: s for s in PERCEPTION if s.name in names}
