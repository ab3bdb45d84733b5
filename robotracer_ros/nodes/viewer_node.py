# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The browser viewer as a node: shows topics, sends what a person types to the planner node."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, JointState
from visualization_msgs.msg import Marker, MarkerArray

from robotracer_msgs.msg import Trace as TraceMsg
from robotracer_ros.errors import InputError, RobotracerError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import Trace
from robotracer_ros.geometry.transforms import apply
from robotracer_ros.nodes.conversions import trace_from_msg
from robotracer_ros.nodes.images import image_to_depth, image_to_rgb, info_to_camera
from robotracer_ros.nodes.instruction_client import InstructionClient, Progress
from robotracer_ros.nodes.parameters import NodeParameters, ParameterSpec, tf_specs
from robotracer_ros.nodes.qos import make_qos
from robotracer_ros.nodes.runner import run_node
from robotracer_ros.nodes.transforms import TransformListener, TransformTree, parse_extrinsics
from robotracer_ros.viz.robot import RobotMeshes
from robotracer_ros.viz.viewer import Viewer

M = TypeVar('M')
V = TypeVar('V')

#: how long the picture of a trace stays, seconds
OVERLAY_S = 20.0

PARAMETERS = (
    ParameterSpec(
        'host',
        '127.0.0.1',
        'Interface the web page is served on; 0.0.0.0 opens it to the network.',
        read_only=True,
    ),
    ParameterSpec(
        'port',
        8080,
        'Port of the web page; the next free one is taken when it is in use.',
        minimum=1,
        maximum=65535,
        read_only=True,
    ),
    ParameterSpec('base_frame', 'base_link', 'Frame everything is shown in.', read_only=True),
    ParameterSpec(
        'robot_rate_hz',
        15.0,
        'How often the robot is redrawn.',
        minimum=0.1,
        maximum=60.0,
        read_only=True,
    ),
    ParameterSpec(
        'cloud_rate_hz',
        1.0,
        'How often image and point cloud are redrawn.',
        minimum=0.05,
        maximum=30.0,
        read_only=True,
    ),
    ParameterSpec('color_topic', 'camera/color/image_raw', 'Colour image.', read_only=True),
    ParameterSpec(
        'depth_topic',
        'camera/aligned_depth_to_color/image_raw',
        'Depth on the grid of the colour image.',
        read_only=True,
    ),
    ParameterSpec('info_topic', 'camera/color/camera_info', 'Intrinsics of both.', read_only=True),
    ParameterSpec('trace_topic', 'perception/trace', 'Traces to show.', read_only=True),
    ParameterSpec(
        'overlay_topic',
        'perception/overlay',
        'Picture of a trace on its own image, shown in place of the camera for a while.',
        read_only=True,
    ),
    ParameterSpec('plan_topic', 'planner/markers', 'Markers of the plan to show.', read_only=True),
    ParameterSpec(
        'action',
        'planner/execute_instruction',
        'Action that carries out what is typed.',
        read_only=True,
    ),
    *tf_specs(waits=False),
)


class ViewerNode(Node):
    """Feeds a :class:`Viewer` from topics."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__('viewer', **node_options)
        self._settings = NodeParameters(self, PARAMETERS)
        text, number = self._settings.string, self._settings.number
        self._base_frame = text('base_frame')
        self._lock = threading.Lock()
        self._rgb: NDArray[np.uint8] | None = None
        self._depth: NDArray[np.float32] | None = None
        self._camera: CameraModel | None = None
        self._frame, self._joints, self._overlay_until = '', dict[str, float](), 0.0
        self.latest_trace: Trace | None = None
        self._told: dict[str, str] = {}
        self._tree = TransformTree(
            number('tf.cache_s'), number('tf.max_gap_s'), number('tf.max_extrapolation_s')
        )
        for parent, child, pose in parse_extrinsics(self._settings.strings('tf.extrinsics')):
            self._tree.set_static(parent, child, pose)
        self._listener = TransformListener(self, self._tree)
        self._client = InstructionClient(self, text('action'), self._show_progress)
        self._viewer = Viewer(
            text('host'), self._settings.integer('port'), self.execute, self._client.cancel
        )
        self._meshes = RobotMeshes()
        self._viewer.set_robot(self._meshes.meshes)
        newest = make_qos('best_effort', depth=1)
        group = MutuallyExclusiveCallbackGroup()
        self.create_subscription(Image, text('color_topic'), self._on_color, newest)
        self.create_subscription(Image, text('depth_topic'), self._on_depth, newest)
        self.create_subscription(CameraInfo, text('info_topic'), self._on_info, newest)
        self.create_subscription(JointState, 'joint_states', self._on_joints, newest)
        self.create_subscription(
            TraceMsg, text('trace_topic'), self._on_trace, 1, callback_group=group
        )
        self.create_subscription(
            Image, text('overlay_topic'), self._on_overlay, 1, callback_group=group
        )
        self.create_subscription(
            MarkerArray, text('plan_topic'), self._on_plan, 1, callback_group=group
        )
        self.create_timer(1.0 / number('robot_rate_hz'), self._draw_robot, callback_group=group)
        self.create_timer(1.0 / number('cloud_rate_hz'), self._draw_camera, callback_group=group)
        self.get_logger().info(f'viewer at {self.url}')

    @property
    def url(self) -> str:
        """Address of the web page."""
        return self._viewer.url

    @property
    def client(self) -> InstructionClient:
        """What sends instructions."""
        return self._client

    def close(self) -> None:
        """Stop serving the page."""
        self._viewer.close()

    def execute(self, instruction: str) -> None:
        """Send an instruction, unless it is empty, and show how it ends."""
        if not instruction.strip():
            self._viewer.set_status('_Type an instruction first._', 0.0)
            return
        if not self._client.wait_for_server(0.5):
            self._viewer.set_status(
                '_The planner node does not answer: is it running and active?_', 0.0
            )
            return
        self._viewer.set_instruction(instruction)
        self._client.send(instruction)
        threading.Thread(target=self._report_end, name='viewer-report', daemon=True).start()

    def _report_end(self) -> None:
        while not self._client.wait(0.5):
            if not rclpy.ok(context=self.context):
                return
        if self._client.rejected:
            self._viewer.set_status('**Rejected**: the planner node is busy or not active.', 0.0)
        elif (result := self._client.result) is not None and not self._client.succeeded:
            self._viewer.set_status(f'**Failed** ({result.error_code}): {result.error_msg}', 0.0)
        else:
            self._viewer.set_status('**Done.**', 1.0)

    def _show_progress(self, progress: Progress) -> None:
        self._viewer.set_status(f'**{progress.phase.name.title()}**', progress.progress)

    def _on_color(self, message: Image) -> None:
        if (rgb := self._read('colour image', image_to_rgb, message)) is None:
            return
        with self._lock:
            self._rgb, self._frame = rgb.copy(), message.header.frame_id

    def _on_depth(self, message: Image) -> None:
        depth = self._read('depth image', image_to_depth, message)
        with self._lock:
            self._depth = depth

    def _on_info(self, message: CameraInfo) -> None:
        camera = self._read('camera_info', info_to_camera, message)
        with self._lock:
            self._camera = camera

    def _on_joints(self, message: JointState) -> None:
        with self._lock:
            # Drivers may leave out positions that they do not measure.
            self._joints.update(zip(message.name, message.position, strict=False))

    def _on_trace(self, message: TraceMsg) -> None:
        if (trace := self._read('trace', trace_from_msg, message)) is None:
            return
        pose = self._camera_pose(trace.frame_id)
        if pose is None:
            return
        self.latest_trace = trace
        self._viewer.set_trace(trace, pose)

    def _on_overlay(self, message: Image) -> None:
        if (rgb := self._read('overlay', image_to_rgb, message)) is None:
            return
        with self._lock:
            self._overlay_until = time.monotonic() + OVERLAY_S
        self._viewer.set_image(rgb)

    def _read(self, what: str, read: Callable[[M], V], message: M) -> V | None:
        """Return what a message says, or None and a warning: a bad picture must not end a robot."""
        try:
            return read(message)
        except RobotracerError as error:
            text = f'{what} not shown: {error.name} ({error.code}): {error}'
            if self._told.get(what) != text:  # a camera sends the same fault again and again
                self._told[what] = text
                self.get_logger().warning(text)
            return None

    def _on_plan(self, message: MarkerArray) -> None:
        layers = {
            m.ns: np.array([(p.x, p.y, p.z) for p in m.points])
            for m in message.markers
            if m.action == Marker.ADD and m.header.frame_id == self._base_frame and m.points
        }
        empty = np.zeros((0, 3))
        self._viewer.set_plan(
            layers.get('plan/tool', empty),
            layers.get('plan/corrected', empty),
            layers.get('plan/object', empty),
            layers.get('plan/obstacles', empty),
        )

    def _draw_robot(self) -> None:
        with self._lock:
            joints = dict(self._joints)
        if joints:
            self._viewer.move_robot(self._meshes.poses(joints))

    def _draw_camera(self) -> None:
        with self._lock:
            rgb, depth, camera, frame, hold = (
                self._rgb,
                self._depth,
                self._camera,
                self._frame,
                self._overlay_until,
            )
        if rgb is None:
            return
        if time.monotonic() > hold:
            self._viewer.set_image(rgb)
        pose = self._camera_pose(frame)
        if depth is None or camera is None or pose is None or depth.shape != rgb.shape[:2]:
            return
        points = (
            camera.resized(depth.shape[1], depth.shape[0]).depth_to_points(depth).reshape(-1, 3)
        )
        keep = np.isfinite(points[:, 2])
        self._viewer.set_cloud(apply(pose, points[keep]), rgb.reshape(-1, 3)[keep])

    def _camera_pose(self, frame: str) -> NDArray[np.float64] | None:
        """Return base_from_camera, or None while it is unknown; a viewer may use the latest."""
        try:
            return self._tree.lookup(self._base_frame, frame, None)
        except InputError as error:
            self.get_logger().warning(
                f'cannot place the camera: {error}', throttle_duration_sec=10.0
            )
            return None


def main(args: Sequence[str] | None = None) -> int:
    """Run the viewer node as a process."""
    return run_node(ViewerNode, args, lambda: MultiThreadedExecutor(3))


if __name__ == '__main__':
    sys.exit(main())
