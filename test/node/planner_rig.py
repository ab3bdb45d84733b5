# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A robot and a camera on real topics, the planner node as a process of its own, and a client.

The arm is the simulator's joint trajectory controller over a first-order lag; its clock is the wall
clock. Tests read what the arm did from ``robot.history``, stamped by the robot itself and as dense
on a starved machine as on an idle one: what a process does not get to compute in time it computes
later.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import rclpy
from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image, JointState
from trajectory_msgs.msg import JointTrajectory

from robotracer_msgs.action import ExecuteInstruction, FollowTrace
from robotracer_msgs.msg import Trace as TraceMsg
from robotracer_msgs.srv import PredictTrace
from robotracer_ros.errors import ControllerRefusedError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import Trace
from robotracer_ros.nodes.conversions import trace_to_msg
from robotracer_ros.nodes.images import camera_to_info, depth_to_image
from robotracer_ros.nodes.qos import make_qos
from robotracer_ros.nodes.stamps import duration_to_s, stamp_to_ns
from robotracer_ros.robot_description import ARM_JOINTS, GRIPPER_JOINT
from robotracer_ros.sim.trajectory_controller import (
    JointBounds,
    TrajectoryCommand,
    TrajectoryController,
    TrajectoryPoint,
)

HOME = np.array([0.0, -1.9, 1.7, -1.4, -1.57, 0.0])
CAMERA = CameraModel(32, 24, 30.0, 30.0, 15.5, 11.5)
FRAME = 'camera_color_optical_frame'
REST = 0.02
#: a message that needed longer than this counts as late: the controller promises nothing for it
LATE_S = 0.1
#: for tests that do not depend on them: the machine may be busy with other things
PATIENT = {'controller.joint_trajectory.max_state_age_s': 5.0, 'robot.max_state_age_s': 5.0,
           'depth.max_age_s': 5.0, 'recheck.max_gap_s': 8.0}
PLUGINS = Path(__file__).parent / 'planner_plugins'


def wait_for(condition, timeout=90.0, what='condition'):
    """Wait for something that must come; a limit only so that a failure ends."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f'{what} did not come within {timeout} s'
        time.sleep(0.005)


class RobotNode(Node):
    """Arm, jaws and depth camera."""

    def __init__(self):
        super().__init__('robot')
        n = len(ARM_JOINTS)
        bounds = JointBounds(ARM_JOINTS, np.full(n, -6.3), np.full(n, 6.3), np.full(n, 3.2),
                             np.full(n, 10.0), np.full(n, 0.1))
        self.controller = TrajectoryController(bounds, HOME)
        self.q, self.v = HOME.copy(), np.zeros(n)
        self.opening = self.jaw_command = 0.08
        self.object_width = 0.04
        self.jaw_speed = 0.25
        self.holding = True
        self.joint_states_on = self.depth_on = True
        self.drop_velocity = False
        self.stuck = None
        self.depth_m = 1.0
        self.camera = CAMERA
        self.picture = None  # (H, W) metres; None: a wall at depth_m
        self.images = 0
        self.history, self.refused, self.received = [], [], 0
        self.last_start = self.last_heard = self.last_duration = 0.0
        self.lock = threading.Lock()
        # Deep, so that late messages are seen to be late and not lost without a trace.
        reliable = make_qos('reliable', depth=20)
        sensor = make_qos('best_effort', depth=5)
        self.create_subscription(
            JointTrajectory, 'scaled_joint_trajectory_controller/joint_trajectory', self.on_arm,
            reliable, callback_group=MutuallyExclusiveCallbackGroup())
        self.create_subscription(
            JointTrajectory, 'gripper_controller/joint_trajectory', self.on_gripper, reliable)
        self.states = self.create_publisher(JointState, 'joint_states', sensor)
        self.depth = self.create_publisher(
            Image, 'camera/aligned_depth_to_color/image_raw', sensor)
        self.info = self.create_publisher(CameraInfo, 'camera/color/camera_info', sensor)
        self.last = self.now()
        self.create_timer(0.02, self.step, callback_group=MutuallyExclusiveCallbackGroup())
        self.create_timer(0.1, self.see)

    def now(self):
        return self.get_clock().now().nanoseconds * 1e-9

    def on_arm(self, msg):
        start = stamp_to_ns(msg.header.stamp) * 1e-9
        command = TrajectoryCommand(tuple(msg.joint_names), tuple(
            TrajectoryPoint(duration_to_s(p.time_from_start), p.positions, p.velocities,
                            p.accelerations) for p in msg.points), start or None)
        with self.lock:
            now = self.now()
            self.advance(now)
            self.received += 1
            self.last_start, self.last_heard = start, now
            self.last_duration = command.points[-1].time
            try:
                self.controller.accept(command, now)
            except ControllerRefusedError as e:
                self.refused.append((now - start, str(e)))

    def on_gripper(self, msg):
        assert msg.joint_names == [GRIPPER_JOINT]
        self.jaw_command = 2 * msg.points[-1].positions[0]

    def advance(self, now):
        """Move on to now in small steps, however long ago the last one was; the lock is held."""
        while (dt := min(now - self.last, 0.02)) > 1e-6:
            self.last += dt
            target, _, _ = self.controller.sample(self.last)
            before = self.q
            self.q = before + (target - before) * (1 - np.exp(-dt / 0.02))
            if self.stuck is not None:
                self.q[self.stuck] = before[self.stuck]
            self.v = (self.q - before) / dt
            jaw = self.jaw_command
            if self.holding and jaw < self.object_width <= self.opening:
                jaw = self.object_width
            self.opening += float(np.clip(jaw - self.opening, -self.jaw_speed * dt,
                                          self.jaw_speed * dt))
            self.history.append((self.last, self.q.copy(), self.v.copy()))

    def step(self):
        with self.lock:
            now = self.now()
            self.advance(now)
        if self.joint_states_on:
            msg = JointState(name=[*ARM_JOINTS, GRIPPER_JOINT])
            msg.header.stamp = rclpy.time.Time(nanoseconds=round(now * 1e9)).to_msg()
            msg.position = [*self.q.tolist(), self.opening / 2]
            msg.velocity = [*self.v.tolist(), 0.0]
            self.states.publish(msg)

    def see(self):
        if not self.depth_on:
            return
        stamp = self.get_clock().now().nanoseconds
        picture = self.picture
        if picture is None:
            picture = np.full((CAMERA.height, CAMERA.width), self.depth_m, np.float32)
        self.depth.publish(depth_to_image(picture, '32FC1', FRAME, stamp))
        self.info.publish(camera_to_info(self.camera, FRAME, stamp))
        self.images += 1

    # what tests ask

    def speed(self):
        return float(np.abs(self.v).max())

    def rest_after(self, t):
        """Seconds from t until the arm rests for good."""
        with self.lock:
            moving = [s for s, _, v in self.history if np.abs(v).max() > REST]
        return max(0.0, max(moving, default=t) - t)

    def stop_time(self, asked):
        """Seconds from hearing the newest message, the brake, until the arm rests.

        Counted from there and not from the request: how long requests and messages take to processes
        that a busy machine does not schedule says nothing about the brake.
        """
        return self.rest_after(max(asked, self.last_heard))

    def check_stop(self, asked):
        """Check how the arm came to rest; return whether that was by a brake message.

        A process that was not scheduled for a while comes to act when the arm brakes by itself, and
        then sends none: no fault, but nothing is measured and the test tries again.
        """
        assert self.rest_after(max(asked, self.last_start)) < 0.5
        if self.last_duration > 0.3:  # cruise and brake: not sent to stop the arm
            return False
        assert self.stop_time(asked) < 0.3
        return True

    def moved_since(self, t):
        """Largest joint travel since t, rad."""
        with self.lock:
            q = np.array([q for s, q, _ in self.history if s >= t])
        return float(np.ptp(q, axis=0).max()) if len(q) else 0.0

    def unfit(self):
        """Messages that came in time and did not fit; a starved machine delivers late ones, too."""
        return [text for delay, text in self.refused if delay < LATE_S]

    def reset(self):
        """Bring the arm home by hand and undo everything that a test has broken.

        What the last test set in motion, and what is still on its way, comes to its end first.
        """
        wait_for(lambda: not self.controller.active and self.now() > self.last_start + 0.5
                 and self.speed() < REST, what='an arm that nobody commands any more')
        with self.lock:
            self.controller.reset(HOME)
            self.refused.clear()
            self.q, self.v = HOME.copy(), np.zeros(len(HOME))
            self.opening = self.jaw_command = 0.08
            self.history.clear()
        self.holding = self.joint_states_on = self.depth_on = True
        self.stuck, self.depth_m, self.jaw_speed = None, 1.0, 0.25
        # Or the next goal meets the obstacle of the last test in the newest image.
        before = self.images
        wait_for(lambda: self.images >= before + 2, what='images of the free scene')


class PerceptionNode(Node):
    """Only the service: answers with a trace of now, an error, or late."""

    def __init__(self):
        super().__init__('perception')
        self.delay_s, self.error = 0.0, (0, '')
        self.asked = []
        self.service = self.create_service(
            PredictTrace, '~/predict_trace', self.answer, callback_group=ReentrantCallbackGroup())

    def answer(self, request, response):
        self.asked.append(request.instruction)
        time.sleep(self.delay_s)
        response.error_code, response.error_msg = self.error
        response.success = not response.error_code
        if response.success:
            response.trace = make_trace(self.get_clock().now().nanoseconds, request.instruction)
        return response


def make_trace(stamp_ns, instruction='move it', frame=FRAME):
    points = np.array([[300, 500, 1.0], [500, 400, 0.9], [700, 500, 1.0]], float)
    return trace_to_msg(Trace(points, CAMERA, instruction=instruction, frame_id=frame,
                              stamp_ns=stamp_ns, model='test'))


class PlannerProcess:
    """``planner_node`` as ``ros2 run`` starts it."""

    def __init__(self, folder, parameters=None):
        dist = folder / 'robotracer_test_plugins-1.0.dist-info'
        dist.mkdir(exist_ok=True)
        (dist / 'METADATA').write_text('Metadata-Version: 2.1\nName: robotracer-test-plugins\n'
                                       'Version: 1.0\n')
        (dist / 'entry_points.txt').write_text(
            '[robotracer_ros.planners]\n'
            'swing = swing_planner:SwingPlanner\nfailing = swing_planner:FailingPlanner\n'
            'broken = swing_planner:BrokenPlanner\nabsent = swing_planner_absent:Nothing\n'
            '[robotracer_ros.controllers]\ncareful = swing_planner:CarefulController\n')
        options = {
            'autostart': True, 'planner.plugin': 'swing', 'diagnostics.period_s': 0.2,
            'trace_timeout_s': 10.0,
            # The machine that runs this test may be busy with other things.
            'controller.joint_trajectory.max_state_age_s': 2.0, 'robot.max_state_age_s': 2.0,
            'controller.joint_trajectory.max_silence_s': 10.0,
            'depth.max_age_s': 1.5, 'recheck.max_gap_s': 2.0,
            'tf.extrinsics': [f'base_link {FRAME} 0.5 0 1 0 1 0 0'], **(parameters or {})}
        arguments = []
        for name, value in options.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            arguments += ['-p', f'{name}:={text}']
        path = os.pathsep.join([str(folder), str(PLUGINS), os.environ.get('PYTHONPATH', '')])
        self.log = folder / f'planner_{time.monotonic_ns()}.log'
        with self.log.open('w') as out:
            self.process = subprocess.Popen(
                [sys.executable, '-m', 'robotracer_ros.nodes.planner_node', '--ros-args',
                 *arguments],
                env={**os.environ, 'PYTHONPATH': path.rstrip(os.pathsep)}, stdout=out, stderr=out)

    def send(self, number):
        self.process.send_signal(number)

    def close(self, number=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(60.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def text(self):
        return self.log.read_text()


class Goal:
    """One action goal and what came back."""

    def __init__(self, client, goal):
        self.feedback, self.handle, self.response = [], None, None
        self.sent = time.time()
        self._done = threading.Event()
        self._future = client.send_goal_async(
            goal, feedback_callback=lambda m: self.feedback.append(m.feedback))
        self._future.add_done_callback(self._accepted)

    def _accepted(self, future):
        self.handle = future.result()
        assert self.handle.accepted
        self.handle.get_result_async().add_done_callback(self._ended)

    def _ended(self, future):
        self.response = future.result()
        self._done.set()

    def wait(self, timeout=90.0):
        assert self._done.wait(timeout), 'the goal did not end'
        return self.response.result

    def ends(self, timeout):
        return self._done.wait(timeout)

    @property
    def status(self):
        return self.response.status

    @property
    def phase(self):
        return self.feedback[-1].phase if self.feedback else 0

    def phases(self):
        return list(dict.fromkeys(f.phase for f in self.feedback))

    def cancel(self):
        wait_for(lambda: self.handle is not None, what='goal acceptance')
        return self.handle.cancel_goal_async()


class Rig:
    """Robot, perception service and client nodes in one executor."""

    def __init__(self):
        self.robot, self.perception = RobotNode(), PerceptionNode()
        self.client = Node('client')
        group = ReentrantCallbackGroup()
        self.follow_client = ActionClient(self.client, FollowTrace, 'planner/follow_trace',
                                          callback_group=group)
        self.instruct_client = ActionClient(
            self.client, ExecuteInstruction, 'planner/execute_instruction', callback_group=group)
        self.setter = self.client.create_client(SetParameters, 'planner/set_parameters',
                                                callback_group=group)
        self.changer = self.client.create_client(ChangeState, 'planner/change_state',
                                                 callback_group=group)
        self.traces = self.client.create_publisher(TraceMsg, 'planner/trace', 1)
        self.executor = MultiThreadedExecutor(num_threads=6)
        for node in (self.robot, self.perception, self.client):
            self.executor.add_node(node)
        self.thread = threading.Thread(target=self.executor.spin)
        self.thread.start()

    def close(self):
        self.executor.shutdown()
        self.thread.join()
        for node in (self.robot, self.perception, self.client):
            node.destroy_node()

    def wait_ready(self):
        """Wait until the planner node answers a plan-only goal: it is active and hears everything."""
        assert self.follow_client.wait_for_server(90.0)
        assert self.instruct_client.wait_for_server(90.0)
        patience = itertools.accumulate(itertools.repeat(2.0))

        def ready():
            # A killed predecessor stays in the graph for a while and takes goals to its grave; a
            # starved machine needs its time for each.
            goal = self.follow(plan_only=True)
            return goal.ends(next(patience)) and goal.response.result.error_code == 0
        wait_for(ready, what='a ready planner')

    def home(self):
        """Bring the arm home by hand and wait until the planner node plans from there."""
        self.robot.reset()

        def heard():
            result = self.follow(plan_only=True).wait()
            return result.error_code == 0 and np.allclose(
                result.trajectory.points[0].positions, HOME, atol=1e-3)
        wait_for(heard, what='a planner node that works and has heard of the jump home')
        self.robot.history.clear()

    def trace(self, **options):
        return make_trace(self.robot.get_clock().now().nanoseconds, **options)

    def follow(self, trace=None, **options):
        return Goal(self.follow_client,
                    FollowTrace.Goal(trace=trace or self.trace(), **options))

    def instruct(self, instruction='put it there', **options):
        return Goal(self.instruct_client,
                    ExecuteInstruction.Goal(instruction=instruction, **options))

    def set(self, **values):
        """Set parameters (dots written as double underscores); return (success, reason)."""
        request = SetParameters.Request(parameters=[
            Parameter(n.replace('__', '.'), value=v).to_parameter_msg() for n, v in values.items()])
        results = self.call(self.setter, request).results
        bad = [r.reason for r in results if not r.successful]
        return not bad, '; '.join(bad)

    def transition(self, number):
        return self.call(self.changer, ChangeState.Request(
            transition=Transition(id=number))).success

    def call(self, client, request, timeout=90.0):
        assert client.wait_for_service(timeout)
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        assert done.wait(timeout), 'the service did not answer'
        return future.result()


def refused(rig, goal, code, *texts):
    """The goal ended with the code and texts, and the robot did not move."""
    result = goal.wait()
    assert result.error_code == code, result.error_msg
    for text in texts:
        assert text in result.error_msg
    assert goal.status == GoalStatus.STATUS_ABORTED
    assert rig.robot.moved_since(goal.sent) < 1e-6
    return result
