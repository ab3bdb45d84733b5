# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The viewer node beside a camera that sends nonsense; test/browser looks at the page itself."""

import time

import numpy as np
from rcl_interfaces.msg import Log
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image, JointState

from robotracer_msgs.msg import Trace as TraceMsg
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import Trace
from robotracer_ros.nodes.conversions import trace_to_msg
from robotracer_ros.nodes.images import rgb_to_image
from robotracer_ros.nodes.viewer_node import ViewerNode

FRAME = 'camera_color_optical_frame'
CAMERA = CameraModel(32, 24, 30.0, 30.0, 15.5, 11.5)
PATIENCE_S = 60.0


def test_the_picture_of_a_trace_is_the_one_of_its_own_image(ros):
    """The newest camera image may show the arm, or things moved, where the trace saw none."""
    viewer = ViewerNode(parameter_overrides=[
        Parameter('port', value=8796), Parameter('cloud_rate_hz', value=20.0)])
    peer = Node('robot')
    camera = peer.create_publisher(Image, '/camera/color/image_raw', 5)
    overlay = peer.create_publisher(Image, '/perception/overlay', 5)
    executor = SingleThreadedExecutor()
    executor.add_node(viewer)
    executor.add_node(peer)
    colour = {'camera': 90, 'overlay': 200}

    def picture(what):
        return rgb_to_image(np.full((24, 32, 3), colour[what], np.uint8), FRAME)

    def shows(what):
        return np.all(viewer._viewer._image.image == colour[what])

    def wait_until(done, send):
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline
            send()
            executor.spin_once(timeout_sec=0.05)

    try:
        wait_until(lambda: shows('camera'), lambda: camera.publish(picture('camera')))
        wait_until(lambda: shows('overlay'), lambda: overlay.publish(picture('overlay')))
        end = time.monotonic() + 1.0  # the camera goes on
        wait_until(lambda: time.monotonic() > end, lambda: camera.publish(picture('camera')))
        assert shows('overlay')
    finally:
        executor.shutdown()
        viewer.close()
        viewer.destroy_node()
        peer.destroy_node()


def test_what_cannot_be_read_is_told_and_ends_nothing(ros):
    """An exception in a callback would end the process, and the launch file all nodes with it."""
    extrinsic = f'base_link {FRAME} 0 0 1 0 0 0 1'
    viewer = ViewerNode(parameter_overrides=[
        Parameter('port', value=8795), Parameter('tf.extrinsics', value=[extrinsic])])
    peer = Node('robot')
    told = []
    peer.create_subscription(Log, '/rosout', lambda m: told.append(m.msg), 50)
    bad = {
        'colour image': (Image, '/camera/color/image_raw', Image(encoding='yuv422')),
        'depth image': (Image, '/camera/aligned_depth_to_color/image_raw', Image(encoding='64FC1')),
        'camera_info': (CameraInfo, '/camera/color/camera_info', CameraInfo()),
        'trace': (TraceMsg, '/perception/trace', TraceMsg()),
        'overlay': (Image, '/perception/overlay', Image(encoding='yuv422')),
    }
    publishers = {what: peer.create_publisher(kind, topic, 5)
                  for what, (kind, topic, _) in bad.items()}
    joints = peer.create_publisher(JointState, '/joint_states', 5)
    executor = SingleThreadedExecutor()
    executor.add_node(viewer)
    executor.add_node(peer)

    def repeat_until(done, send):
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline, told
            send()
            executor.spin_once(timeout_sec=0.05)

    def send_bad():
        joints.publish(JointState(name=['elbow_joint']))
        for what, (_, _, message) in bad.items():
            publishers[what].publish(message)

    try:
        repeat_until(
            lambda: all(any(f'{what} not shown: ' in t for t in told) for what in bad), send_bad)
        assert viewer.latest_trace is None
        assert sum('camera_info not shown' in t for t in told) == 1  # once, not at every frame
        good = Trace(np.array([[500, 500, 0.8], [400, 400, 0.7]]), CAMERA, frame_id=FRAME)
        repeat_until(lambda: viewer.latest_trace is not None,
                     lambda: publishers['trace'].publish(trace_to_msg(good)))
    finally:
        executor.shutdown()
        viewer.close()
        viewer.destroy_node()
        peer.destroy_node()
