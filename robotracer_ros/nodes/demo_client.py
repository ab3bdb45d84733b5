# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The demo's own node: sends the instruction, watches, and keeps what pictures are made of."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from numpy.typing import NDArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.client import Client
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from robotracer_msgs.msg import Trace as TraceMsg
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import Trace
from robotracer_ros.geometry.transforms import make_transform, quaternion_to_matrix
from robotracer_ros.nodes.conversions import trace_from_msg
from robotracer_ros.nodes.images import image_to_depth, image_to_rgb, info_to_camera
from robotracer_ros.nodes.instruction_client import InstructionClient, Progress
from robotracer_ros.nodes.qos import make_qos
from robotracer_ros.nodes.stamps import stamp_to_ns

T = TypeVar('T')

#: lifecycle nodes the demo waits for
LIFECYCLE_NODES = ('perception', 'planner')
#: newest images that the one of a trace is looked for in: some seconds, tens of megabytes
KEPT_IMAGES = 24


def poses_of(truth: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Return world_from_object (4, 4) by id of a ground-truth message."""
    return {
        o['id']: make_transform(quaternion_to_matrix(o['orientation']), o['position'])
        for o in truth['objects']
    }


def _nearest(kept: Iterable[tuple[int, T]], stamp_ns: int) -> T | None:
    """Return what was stamped closest to a time; None when nothing is kept."""
    found = min(kept, key=lambda k: abs(k[0] - stamp_ns), default=None)
    return found[1] if found is not None else None


class DemoClient(Node):
    """Subscribes what the demo shows and records.

    Args:
        on_progress: Called with each feedback of the running instruction.
        frame_rate_hz: How many camera frames a second are kept for the animation.
    """

    def __init__(self, on_progress: Callable[[Progress], None], frame_rate_hz: float = 5.0) -> None:
        super().__init__('demo')
        self._group = ReentrantCallbackGroup()
        self.instructions = InstructionClient(self, on_progress=on_progress)
        self._states: dict[str, Client] = {
            name: self.create_client(GetState, f'/{name}/get_state', callback_group=self._group)
            for name in LIFECYCLE_NODES
        }
        self._lock = threading.Lock()
        self._period = 1.0 / frame_rate_hz
        self._last_frame = -np.inf
        self.recording = False
        self.frames: list[NDArray[np.uint8]] = []
        self.rgb: NDArray[np.uint8] | None = None
        self.depth: NDArray[np.float32] | None = None
        self.camera: CameraModel | None = None
        self.trace: Trace | None = None
        self.trace_image: NDArray[np.uint8] | None = None
        self.trace_depth: NDArray[np.float32] | None = None
        # The trace comes after its image, by as long as the model thinks.
        self._images: deque[tuple[int, NDArray[np.uint8]]] = deque(maxlen=KEPT_IMAGES)
        self._depths: deque[tuple[int, NDArray[np.float32]]] = deque(maxlen=KEPT_IMAGES)
        self.complaints: dict[str, str] = {}
        self._truth: dict[str, Any] | None = None
        self._truth_count = 0
        newest = make_qos('reliable', depth=1)
        self.create_subscription(Image, '/camera/color/image_raw', self._on_color, newest)
        self.create_subscription(
            Image, '/camera/aligned_depth_to_color/image_raw', self._on_depth, newest
        )
        self.create_subscription(CameraInfo, '/camera/color/camera_info', self._on_info, newest)
        self.create_subscription(TraceMsg, '/perception/trace', self._on_trace, 5)
        self.create_subscription(String, '/sim/ground_truth', self._on_truth, newest)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def missing(self) -> list[str]:
        """Return what is not there yet, in words; empty when the instruction can be sent."""
        waiting = []
        if self.rgb is None or self.depth is None or self.camera is None:
            waiting.append('camera images')
        waiting += [f'the {name} node' for name in LIFECYCLE_NODES if not self._active(name)]
        if not self.instructions.wait_for_server(0.0):
            waiting.append("the planner's action server")
        return waiting

    def fresh_truth(self, timeout_s: float) -> dict[str, Any]:
        """Wait for the simulator's next ground truth.

        Raises:
            TimeoutError: none came in that time.
        """
        count, deadline = self._truth_count, time.monotonic() + timeout_s
        while self._truth_count < count + 2 or self._truth is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f'no ground truth from /sim/ground_truth within {timeout_s:g} s')
            time.sleep(0.02)
        return self._truth

    def truth_poses(self) -> dict[str, NDArray[np.float64]]:
        """Return world_from_object (4, 4) by id as last heard from the simulator; may be empty."""
        return {} if self._truth is None else poses_of(self._truth)

    def _active(self, name: str) -> bool:
        client = self._states[name]
        if not client.service_is_ready():
            return False
        future = client.call_async(GetState.Request())
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        if not done.wait(1.0):
            return False
        return bool(future.result().current_state.id == State.PRIMARY_STATE_ACTIVE)

    def _on_color(self, message: Image) -> None:
        rgb = image_to_rgb(message).copy()
        now = time.monotonic()
        with self._lock:
            self.rgb = rgb
            self._images.append((stamp_to_ns(message.header.stamp), rgb))
            if self.recording and now - self._last_frame >= self._period:
                self._last_frame = now
                self.frames.append(rgb)

    def _on_depth(self, message: Image) -> None:
        depth = image_to_depth(message)
        with self._lock:
            self.depth = depth
            self._depths.append((stamp_to_ns(message.header.stamp), depth))

    def _on_info(self, message: CameraInfo) -> None:
        self.camera = info_to_camera(message)

    def _on_trace(self, message: TraceMsg) -> None:
        trace = trace_from_msg(message)
        with self._lock:
            self.trace = trace
            self.trace_image = _nearest(self._images, trace.stamp_ns)
            self.trace_depth = _nearest(self._depths, trace.stamp_ns)

    def _on_truth(self, message: String) -> None:
        self._truth = json.loads(message.data)
        self._truth_count += 1

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.level in (status.ERROR, status.WARN):
                self.complaints[status.name] = status.message
            else:
                self.complaints.pop(status.name, None)
