# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The robot behind topics: ros2_control's trajectory topics out, joint states in, ROS time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robotracer_ros.errors import ControllerLostError, ControllerRefusedError
from robotracer_ros.nodes.diagnostics import Meter
from robotracer_ros.nodes.parameters import NodeParameters
from robotracer_ros.nodes.qos import make_qos
from robotracer_ros.nodes.stamps import ns_to_stamp, s_to_duration, stamp_to_ns
from robotracer_ros.planning.base import RobotState

if TYPE_CHECKING:
    from rclpy.node import Node

Array = NDArray[np.float64]

#: longest wait (wall time) for ROS time to go on, so that a paused clock hangs nobody
_PATIENCE_S = 0.25


class TopicRobotPort:
    """A :class:`~robotracer_ros.control.base.RobotPort` over topics; the one writer of them.

    Commands carry a stamp, which ros2_control's controllers obey: a message that arrives late is
    joined where the robot is to be by then. Both machines therefore need one clock.

    Args:
        node: Node that carries publishers and subscription.
        parameters: Of the planner node.
    """

    def __init__(self, node: Node, parameters: NodeParameters) -> None:
        self._node = node
        text = parameters.string
        self._joints = tuple(parameters.strings('robot.joints'))
        self._gripper_joint = text('robot.gripper_joint')
        self._per_position = parameters.number('robot.opening_per_position')
        self._state: RobotState | None = None
        self._opening: float | None = None
        self._opening_s = float('-inf')
        self._closed = threading.Event()
        self.rate = Meter()
        self.bad = 0
        self.sent = 0
        self._arm = node.create_publisher(
            JointTrajectory, text('robot.trajectory_topic'), make_qos('reliable', depth=1))
        self._gripper = node.create_publisher(
            JointTrajectory, text('robot.gripper_topic'), make_qos('reliable', depth=1))
        self._subscription = node.create_subscription(
            JointState, text('robot.joint_states_topic'), self._on_state,
            make_qos('best_effort', depth=1), callback_group=MutuallyExclusiveCallbackGroup())

    # -- RobotPort --------------------------------------------------------------------------------

    def now_s(self) -> float:
        """Return ROS time in seconds."""
        return float(self._node.get_clock().now().nanoseconds) * 1e-9

    def sleep(self, seconds: float) -> None:
        """Wait for that much ROS time; earlier when time stands still or the node shuts down."""
        until = self.now_s() + seconds
        patience = time.monotonic() + seconds + _PATIENCE_S
        while not self._closed.is_set():
            left = until - self.now_s()
            if left <= 0.0 or time.monotonic() > patience:
                return
            # Simulated time may run slower or faster than the wall clock: look again and again.
            self._closed.wait(min(left, 0.01))

    def joint_state(self) -> RobotState | None:
        """Return the newest joint state that holds the whole arm, or None before the first."""
        return self._state

    def send_trajectory(self, names: tuple[str, ...], start_s: float, times: Array,
                        positions: Array, velocities: Array, accelerations: Array) -> None:
        """Publish a trajectory for the arm, stamped with its start."""
        msg = JointTrajectory(joint_names=list(names))
        msg.header.stamp = ns_to_stamp(round(start_s * 1e9))
        msg.points = [
            JointTrajectoryPoint(positions=q, velocities=v, accelerations=a,
                                 time_from_start=s_to_duration(t))
            for t, q, v, a in zip(times.tolist(), positions.tolist(), velocities.tolist(),
                                  accelerations.tolist(), strict=True)]
        self._arm.publish(msg)
        self.sent += 1

    def send_gripper(self, opening: float, force: float) -> None:
        """Publish a jaw command: one point, the force limit as its effort."""
        msg = JointTrajectory(joint_names=[self._gripper_joint])
        msg.points = [JointTrajectoryPoint(
            positions=[max(0.0, float(opening)) / self._per_position], effort=[float(force)],
            time_from_start=s_to_duration(0.0))]
        self._gripper.publish(msg)

    def gripper_opening(self) -> float | None:
        """Return the measured full opening in metres, or None before the first."""
        return self._opening

    def gripper_measured_s(self) -> float:
        """Return the stamp of that measurement in ROS time, seconds."""
        return self._opening_s

    # -- for the node -----------------------------------------------------------------------------

    def check_commands(self) -> None:
        """Check that the command topics have one writer and a listener.

        Raises:
            ControllerLostError: nobody listens.
            ControllerRefusedError: another node commands arm or jaws as well.
        """
        for publisher in (self._arm, self._gripper):
            if publisher.get_subscription_count() == 0:
                raise ControllerLostError(
                    f"no controller listens on '{publisher.topic_name}': is it loaded and active?",
                    topic=publisher.topic_name)
        # A killed predecessor of this very node stays in the graph until its lease ends.
        me = (self._node.get_namespace(), self._node.get_name())
        for publisher in (self._arm, self._gripper):
            topic = publisher.topic_name
            others = sorted({
                f'{i.node_namespace.rstrip("/")}/{i.node_name}'
                for i in self._node.get_publishers_info_by_topic(topic)
                if (i.node_namespace, i.node_name) != me and not i.node_name.startswith('_')})
            if others:
                raise ControllerRefusedError(
                    f"'{topic}' is commanded by {', '.join(others)} as well: exactly one node may",
                    topic=topic)

    @property
    def state_age_s(self) -> float:
        """Age of the newest joint state in ROS time; infinite before the first."""
        state = self._state
        return float('inf') if state is None else self.now_s() - state.stamp_ns * 1e-9

    def close(self) -> None:
        """Wake sleepers and drop publishers and subscription; may be called twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_publisher(self._arm)
        self._node.destroy_publisher(self._gripper)

    def _on_state(self, msg: JointState) -> None:
        index = {name: i for i, name in enumerate(msg.name)}
        position = np.asarray(msg.position, dtype=float)
        if len(position) != len(msg.name) or not np.isfinite(position).all():
            self.bad += 1  # seen in diagnostics; if it goes on, the state grows too old to move
            return
        if self._gripper_joint in index:
            self._opening = float(position[index[self._gripper_joint]]) * self._per_position
            self._opening_s = stamp_to_ns(msg.header.stamp) * 1e-9
        if not all(name in index for name in self._joints):
            return  # drivers may report the gripper in messages of its own
        velocity = np.asarray(msg.velocity, dtype=float)
        usable = len(velocity) == len(msg.name) and bool(np.isfinite(velocity).all())
        self._state = RobotState(tuple(msg.name), position, velocity if usable else None,
                                 stamp_to_ns(msg.header.stamp))
        self.rate.tick()
