# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The real parts together, each in a process of its own: physics, rendering, OMPL planner, planner node.

The trace is the ground truth of the scene; everything else goes over topics and actions, in simulated time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from planner_rig import Goal, wait_for
from rclpy.action import ActionClient
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from robotracer_msgs.action import FollowTrace
from robotracer_msgs.msg import ErrorCode
from robotracer_ros.bench.closed_loop import oracle
from robotracer_ros.data.tasks import sample_task
from robotracer_ros.nodes.conversions import trace_to_msg
from robotracer_ros.nodes.qos import make_qos
from robotracer_ros.nodes.stamps import stamp_to_ns
from robotracer_ros.planning.base import Phase
from robotracer_ros.robot_description import ARM_JOINTS
from robotracer_ros.sim.workcell import Workcell

SEED = 3


class Client(Node):
    """Watches joints and ground truth, sends goals."""

    def __init__(self):
        super().__init__('client', parameter_overrides=[Parameter('use_sim_time', value=True)])
        self.history, self.truth = [], {}
        self.create_subscription(JointState, 'joint_states', self.on_joints, make_qos('best_effort', depth=50))
        self.create_subscription(String, 'sim/ground_truth', self.on_truth, 5)
        self.follow = ActionClient(self, FollowTrace, 'planner/follow_trace', callback_group=ReentrantCallbackGroup())

    def on_joints(self, msg):
        index = [msg.name.index(n) for n in ARM_JOINTS]
        self.history.append((stamp_to_ns(msg.header.stamp) * 1e-9, np.array(msg.position)[index],
                             np.array(msg.velocity)[index]))

    def on_truth(self, msg):
        self.truth = json.loads(msg.data)

    def now(self):
        return self.history[-1][0]

    def speed(self):
        return float(np.abs(self.history[-1][2]).max()) if self.history else 0.0

    def rest_after(self, t):
        moving = [s for s, _, v in list(self.history) if np.abs(v).max() > 0.02]
        return max(0.0, max(moving, default=t) - t)


def start(module, log, *parameters):
    arguments = [a for p in parameters for a in ('-p', p)]
    with log.open('w') as out:
        return subprocess.Popen([sys.executable, '-m', f'robotracer_ros.nodes.{module}', '--ros-args', *arguments],
                                env=dict(os.environ), stdout=out, stderr=out)


@pytest.fixture(scope='module')
def task():
    """The task of the simulated scene, as its ground truth gives it."""
    cell = Workcell(SEED)
    scene = cell.view().scene
    found = sample_task(scene, np.random.default_rng(SEED))
    assert found is not None
    return scene, found


@pytest.fixture(scope='module')
def cell(ros, tmp_path_factory):
    folder = tmp_path_factory.mktemp('cell')
    processes = [start('sim_node', folder / 'sim.log', f'seed:={SEED}')]
    client = Client()
    executor = SingleThreadedExecutor()
    executor.add_node(client)
    thread = threading.Thread(target=executor.spin)
    thread.start()

    def planner():
        processes.append(start('planner_node', folder / f'planner{len(processes)}.log', 'use_sim_time:=true',
                               'autostart:=true', 'recheck.max_gap_s:=3.0', 'depth.max_age_s:=2.0'))
        return processes[-1]

    client.start_planner = planner
    wait_for(lambda: client.history, 60.0, 'joint states')
    yield client
    for process in processes:
        process.kill()
        process.wait()
    executor.shutdown()
    thread.join()
    client.destroy_node()


def send(cell, task, **options):
    scene, found = task
    trace = trace_to_msg(oracle(scene, None, found))
    trace.header.frame_id = 'camera_color_optical_frame'
    trace.header.stamp = cell.get_clock().now().to_msg()
    return Goal(cell.follow, FollowTrace.Goal(trace=trace, **options))


def wait_ready(cell, task):
    assert cell.follow.wait_for_server(60.0)

    def ready():
        goal = send(cell, task, plan_only=True)
        return goal.ends(8.0) and goal.response.result.error_code == ErrorCode.NONE
    wait_for(ready, 90.0, 'a plan')


@pytest.mark.slow
def test_kill_cancel_and_place(cell, task):
    planner = cell.start_planner()
    wait_ready(cell, task)

    # killed in the middle of the way to the object: at rest within half a second
    send(cell, task)
    wait_for(lambda: cell.speed() > 0.25, 60.0, 'motion')
    planner.kill()
    killed = cell.now()
    planner.wait()
    wait_for(lambda: cell.now() > killed + 1.5, 60.0)
    after_kill = cell.rest_after(killed)
    assert 0.0 < after_kill < 0.5

    # a new planner node takes up from there; cancelled, it rests within 0.3 s
    cell.start_planner()
    wait_ready(cell, task)
    goal = send(cell, task)
    wait_for(lambda: cell.speed() > 0.2, 60.0, 'motion')
    asked = cell.now()
    goal.cancel()
    assert goal.wait(60.0).error_code == ErrorCode.CANCELLED
    wait_for(lambda: cell.now() > asked + 1.0, 60.0)
    after_cancel = cell.rest_after(asked)
    assert after_cancel < 0.3

    # and then does the whole task
    goal = send(cell, task)
    result = goal.wait(120.0)
    assert (result.error_code, result.error_msg) == (ErrorCode.NONE, '')
    assert {Phase.REACH, Phase.GRASP, Phase.LIFT, Phase.CARRY, Phase.PLACE, Phase.RELEASE} <= {
        Phase(p) for p in goal.phases()}
    assert result.figures.tracking_error_max < 0.1
    before = task[0].object(task[1].moved).position
    truth = cell.truth
    wait_for(lambda: cell.truth is not truth, 30.0)
    after = next(o for o in cell.truth['objects'] if o['id'] == task[1].moved)['position']
    # carried to the end of its trace, give or take the planner's corrections
    assert np.linalg.norm(np.array(after) - before) > 0.05
    figures = result.figures
    print({'rest_after_kill_s': after_kill, 'rest_after_cancel_s': after_cancel,
           'tracking_error_rms': figures.tracking_error_rms, 'tracking_error_max': figures.tracking_error_max,
           'duration_s': figures.duration_s, 'execution_time_s': figures.execution_time_s,
           'planning_time_s': figures.planning_time_s})
