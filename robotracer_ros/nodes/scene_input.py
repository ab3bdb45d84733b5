# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the planner node sees: the newest depth image, its camera, and where that camera is."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from sensor_msgs.msg import CameraInfo, Image

from robotracer_ros.errors import (
    InvalidDepthError,
    NoDepthError,
    NoIntrinsicsError,
    ResolutionMismatchError,
    StaleInputError,
    StaleTransformError,
)
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import invert
from robotracer_ros.nodes.diagnostics import Meter
from robotracer_ros.nodes.images import image_to_depth, info_to_camera
from robotracer_ros.nodes.parameters import NodeParameters
from robotracer_ros.nodes.qos import make_qos
from robotracer_ros.nodes.stamps import stamp_to_ns
from robotracer_ros.nodes.transforms import TransformListener, TransformTree, parse_extrinsics

if TYPE_CHECKING:
    from rclpy.node import Node


@dataclass(frozen=True)
class DepthView:
    """A depth image ready to be planned with.

    Attributes:
        depth: (H, W) metres, 0 invalid.
        camera: Its intrinsics.
        base_from_camera: (4, 4) pose of the camera in the planning frame at the image's stamp.
        stamp_ns: Time of the image.
    """

    depth: NDArray[np.float32]
    camera: CameraModel
    base_from_camera: NDArray[np.float64]
    stamp_ns: int


class SceneInput:
    """Keep the newest depth image, camera_info and transforms; decode only when asked.

    Args:
        node: Node that gets the subscriptions.
        parameters: Of the planner node.
    """

    def __init__(self, node: Node, parameters: NodeParameters) -> None:
        self._node, self._parameters = node, parameters
        self._depth: Image | None = None
        self._info: CameraInfo | None = None
        self._decoded: tuple[Image, NDArray[np.float32]] | None = None
        self._lock = threading.Lock()
        self.depth_rate, self.info_rate = Meter(), Meter()
        number = parameters.number
        self.tree = TransformTree(number('tf.cache_s'), number('tf.max_gap_s'),
                                  number('tf.max_extrapolation_s'))
        for parent, child, pose in parse_extrinsics(parameters.strings('tf.extrinsics')):
            self.tree.set_static(parent, child, pose)
        self._listener = TransformListener(node, self.tree, MutuallyExclusiveCallbackGroup())
        text = parameters.string

        def qos(name: str) -> object:
            return make_qos(text(f'{name}.qos.reliability'), text(f'{name}.qos.durability'),
                            parameters.integer(f'{name}.qos.depth'))
        self._subscriptions = [
            node.create_subscription(Image, text('depth.topic'), self._on_depth, qos('depth'),
                                     callback_group=MutuallyExclusiveCallbackGroup()),
            node.create_subscription(CameraInfo, text('camera_info.topic'), self._on_info, qos('camera_info'),
                                     callback_group=MutuallyExclusiveCallbackGroup())]

    def close(self) -> None:
        """Drop all subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        self._listener.destroy()

    def newest_stamp_ns(self) -> int:
        """Return the stamp of the newest depth image, 0 before the first."""
        depth = self._depth
        return stamp_to_ns(depth.header.stamp) if depth is not None else 0

    @property
    def depth_age_s(self) -> float:
        """Age of the newest depth image in ROS time; infinite before the first."""
        if self._depth is None:
            return float('inf')
        return (int(self._node.get_clock().now().nanoseconds) - self.newest_stamp_ns()) * 1e-9

    def view(self) -> DepthView:
        """Return the newest depth image with camera and pose. Waits for TF, so call from a worker.

        Raises:
            NoDepthError, NoIntrinsicsError, ResolutionMismatchError, StaleInputError,
            UnsupportedEncodingError, InvalidDepthError, NoTransformError, StaleTransformError.
        """
        p = self._parameters
        msg, info = self._depth, self._info
        if msg is None:
            raise NoDepthError(f"no depth image received on '{p.string('depth.topic')}'")
        if info is None:
            raise NoIntrinsicsError(f"no camera_info received on '{p.string('camera_info.topic')}'")
        age, limit = self.depth_age_s, p.number('depth.max_age_s')
        if age > limit:
            raise StaleInputError(f"the newest depth image on '{p.string('depth.topic')}' is "
                                  f'{age:.2f} s old, limit {limit:.2f} s', age_s=age)
        camera = info_to_camera(info, rectified=p.flag('camera_info.rectified'),
                                max_distortion_px=p.number('camera_info.max_distortion_px'))
        if (camera.width, camera.height) != (msg.width, msg.height):
            raise ResolutionMismatchError(
                f'depth is {msg.width}x{msg.height} px, its camera_info says '
                f'{camera.width}x{camera.height} px')
        with self._lock:
            if self._decoded is None or self._decoded[0] is not msg:
                self._decoded = (msg, image_to_depth(msg))
            depth = self._decoded[1]
        share = float(np.count_nonzero(depth)) / max(1, depth.size)
        if share < p.number('depth.min_valid_fraction'):
            raise InvalidDepthError(
                f'only {100 * share:.1f} % of the depth image is valid, limit '
                f"{100 * p.number('depth.min_valid_fraction'):.1f} %", share=share)
        stamp_ns = stamp_to_ns(msg.header.stamp)
        return DepthView(depth, camera, self.base_from(msg.header.frame_id, stamp_ns), stamp_ns)

    def base_from(self, frame: str, stamp_ns: int) -> NDArray[np.float64]:
        """Return base_from_frame (4, 4) at a stamp. Raises NoTransformError, StaleTransformError."""
        return self.tree.lookup(self._parameters.string('base_frame'), frame, stamp_ns,
                                self._parameters.number('tf.timeout_s'))

    def check_same_camera(self, base_from_trace: NDArray[np.float64], view: DepthView) -> None:
        """Check that the camera is where it was when the trace's image was taken.

        Raises:
            StaleTransformError: it moved by more than ``depth.max_camera_motion_m`` (seen at 1 m).
        """
        moved = invert(base_from_trace) @ view.base_from_camera
        angle = float(np.arccos(np.clip((np.trace(moved[:3, :3]) - 1) / 2, -1.0, 1.0)))
        distance = float(np.linalg.norm(moved[:3, 3])) + angle
        limit = self._parameters.number('depth.max_camera_motion_m')
        # arccos is no better than 1e-8 near 0
        if distance > limit + 1e-6:
            raise StaleTransformError(
                f"the camera moved by {distance:.4f} m since the trace's image, limit "
                f'{limit:.4f} m: the trace and the scene do not fit together', distance=distance)

    def _on_depth(self, msg: Image) -> None:
        self._depth = msg
        self.depth_rate.tick()

    def _on_info(self, msg: CameraInfo) -> None:
        self._info = msg
        self.info_rate.tick()
