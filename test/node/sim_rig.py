# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A simulation node and a client that talks to it through real DDS."""

import json
import threading
import time

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robotracer_ros.nodes.conversions import (
    s_to_duration,
)
from robotracer_ros.nodes.qos import make_qos
from robotracer_ros.nodes.sim_node import SimNode
from robotracer_ros.nodes.stamps import ns_to_stamp
from robotracer_ros.nodes.transforms import TransformListener, TransformTree
from robotracer_ros.robot_description import ARM_JOINTS

SEED = 7
PATIENCE_S = 60.0
TCP_LENGTH = 0.165  # tool0 to finger tips, metres
REST = [0.0] * 6
TOPICS = {
    'color': (Image, '/camera/color/image_raw'),
    'depth': (Image, '/camera/aligned_depth_to_color/image_raw'),
    'info': (CameraInfo, '/camera/color/camera_info'),
    'depth_info': (CameraInfo, '/camera/aligned_depth_to_color/camera_info'),
    'joints': (JointState, '/joint_states'), 'clock': (Clock, '/clock'),
    'truth': (String, '/sim/ground_truth'), 'poses': (PoseArray, '/sim/ground_truth_poses'),
    'diagnostics': (DiagnosticArray, '/diagnostics')}


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f'gave up waiting for {what}'
        time.sleep(0.005)
    return value


class Rig:
    """The node and a client, each with an executor in a thread of its own."""

    def __init__(self, **parameters):
        defaults = {'seed': SEED, 'diagnostics.period_s': 0.1}
        overrides = [Parameter(k, value=v) for k, v in {**defaults, **parameters}.items()]
        self.node = SimNode(parameter_overrides=overrides)
        self.client = Node('client')
        self.newest, self.count = {}, dict.fromkeys(TOPICS, 0)
        for name, (kind, topic) in TOPICS.items():
            self.client.create_subscription(kind, topic, self._keep(name),
                                            make_qos('reliable', depth=5))
        self.tree = TransformTree()
        self.listener = TransformListener(self.client, self.tree)
        qos = make_qos('reliable', depth=1)
        publish = self.client.create_publisher
        self.arm = publish(JointTrajectory, '/scaled_joint_trajectory_controller/joint_trajectory',
                           qos)
        self.gripper = publish(JointTrajectory, '/gripper_controller/joint_trajectory', qos)
        self.reset = self.client.create_client(Trigger, '/sim/reset')
        self.parameters = AsyncParameterClient(self.client, '/sim')
        self._stop = False
        self._threads = []
        for node in (self.node, self.client):
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            self._threads.append(threading.Thread(target=self._spin, args=(executor,)))
            self._threads[-1].start()
        for publisher in (self.arm, self.gripper):
            wait_for(publisher.get_subscription_count, 'controllers')
        assert self.reset.wait_for_service(PATIENCE_S)
        self.get('joints')

    def _keep(self, name):
        def keep(msg):
            self.newest[name] = msg
            self.count[name] += 1
        return keep

    def _spin(self, executor):
        while not self._stop:
            executor.spin_once(timeout_sec=0.05)

    def get(self, name, newer=True):
        """Return a message that was published after this call."""
        count = self.count[name] + 1 if newer else 0
        wait_for(lambda: self.count[name] > count or (not newer and self.count[name]), name)
        return self.newest[name]

    def result(self, future):
        wait_for(future.done, 'an answer')
        return future.result()

    def set(self, **values):
        request = [Parameter(k.replace('__', '.'), value=v) for k, v in values.items()]
        assert self.parameters.wait_for_services(PATIENCE_S)
        return self.result(self.parameters.set_parameters(request)).results

    def positions(self, newer=True):
        msg = self.get('joints', newer)
        index = {n: i for i, n in enumerate(msg.name)}
        return np.array([msg.position[index[n]] for n in ARM_JOINTS])

    def speed(self):
        return float(np.abs(np.array(self.get('joints').velocity)[:6]).max())

    def truth(self):
        return json.loads(self.get('truth').data)

    def status(self):
        def find():
            for s in self.get('diagnostics').status:
                if s.name == 'sim: workcell':
                    return {v.key: v.value for v in s.values} | {'message': s.message}
            return None
        return wait_for(find, 'diagnostics')

    def send(self, points, names=ARM_JOINTS, publisher=None, stamp_ns=0):
        """Publish a trajectory of (time, positions[, velocities[, accelerations]])."""
        msg = JointTrajectory(joint_names=list(names))
        msg.header.stamp = ns_to_stamp(stamp_ns)
        for t, *values in points:
            point = JointTrajectoryPoint(time_from_start=s_to_duration(t))
            for field, value in zip(('positions', 'velocities', 'accelerations'), values,
                                    strict=False):
                setattr(point, field, [float(x) for x in value])
            msg.points.append(point)
        (publisher or self.arm).publish(msg)

    def close(self):
        self._stop = True
        for thread in self._threads:
            thread.join()
        self.node.close()
        self.node.destroy_node()
        self.client.destroy_node()
