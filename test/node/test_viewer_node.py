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
from robotracer_ros.nodes.viewer_node import ViewerNode

FRAME = 'camera_color_optical_frame'
CAMERA = CameraModel(32, 24, 30.0, 30.0, 15.5, 11.5)
PATIENCE_S = 60.0


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
