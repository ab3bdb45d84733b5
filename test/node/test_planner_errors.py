# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Every error an action can end with: provoked from outside, with its number, its text, and a robot at rest."""

from __future__ import annotations

import contextlib
import threading
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from lifecycle_msgs.msg import Transition
from planner_rig import CAMERA, FRAME, PlannerProcess, Rig, make_trace, refused, wait_for
from rclpy.node import Node
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory

from robotracer_msgs.msg import ErrorCode
from robotracer_ros.nodes.conversions import ns_to_stamp
from robotracer_ros.nodes.images import camera_to_info, depth_to_image
from robotracer_ros.nodes.qos import make_qos

PLANNING_CODES = [c for n, c in vars(ErrorCode).items() if n.isupper() and isinstance(c, int) and 300 <= c < 400]


@pytest.fixture(scope='module')
def rig(ros):
    r = Rig()
    yield r
    r.close()


@pytest.fixture(scope='module')
def planner(rig, tmp_path_factory):
    p = PlannerProcess(tmp_path_factory.mktemp('planner'), {
        'follow_topic': True, 'depth.max_age_s': 2.0, 'recheck.max_gap_s': 2.5,
        'controller.joint_trajectory.goal_timeout_s': 0.5, 'controller.joint_trajectory.connect_timeout_s': 1.0})
    rig.wait_ready()
    yield p
    assert p.close() == 0, p.text()


@pytest.fixture(autouse=True)
def clean(rig, planner):
    rig.perception.error, rig.perception.delay_s = (0, ''), 0.0
    rig.home()
    yield
    assert rig.robot.unfit() == []


def stopped(rig, goal, code, since, *texts, limit=1.0):
    """The goal ended with the code and texts, and the robot came to rest on its way."""
    result = goal.wait()
    assert result.error_code == code, result.error_msg
    for text in texts:
        assert text in result.error_msg
    end = rig.robot.now()
    wait_for(lambda: rig.robot.now() > end + 0.3)
    assert rig.robot.rest_after(since) < limit
    return result


def moving(rig, goal=None):
    """Return when the robot moves; a goal that ends before it does is told with its error."""
    wait_for(lambda: rig.robot.speed() > 0.2 or (goal and goal.ends(0)), what='motion')
    assert goal is None or not goal.ends(0), goal.wait().error_msg
    return rig.robot.now()


# --- before anything moves -----------------------------------------------------------------------

@pytest.mark.parametrize('code', PLANNING_CODES)
def test_planner_errors(rig, code):
    assert rig.set(planner__failing__code=code)[0]
    result = refused(rig, rig.follow(planner='failing'), code, f'provoked {code} at 12 mm, limit 5 mm')
    assert result.failed_waypoint == 1
    assert len(result.trajectory.points) == 0


def test_a_bug_in_a_planner_is_internal(rig):
    assert rig.set(planner__failing__code=-1)[0]
    refused(rig, rig.follow(planner='failing'), ErrorCode.INTERNAL, 'ZeroDivisionError: a bug in a planner')


def test_unknown_planner(rig):
    refused(rig, rig.follow(planner='nonsense'), ErrorCode.UNKNOWN_PLUGIN, "'nonsense' is unknown", 'ompl')


def test_missing_package(rig):
    refused(rig, rig.follow(planner='absent'), ErrorCode.MISSING_PACKAGE, 'swing_planner_absent')


def test_unloadable_planner(rig):
    refused(rig, rig.follow(planner='broken'), ErrorCode.CHECKPOINT, 'no such file')


def test_invalid_traces(rig):
    trace = rig.trace()
    trace.points = trace.points[:1]
    refused(rig, rig.follow(trace), ErrorCode.INVALID_TRACE, 'shape (1, 3)')
    trace = rig.trace()
    trace.points[1].d = float('nan')
    result = refused(rig, rig.follow(trace), ErrorCode.INVALID_TRACE, 'trace point 1 is not finite')
    assert result.failed_waypoint == 1
    trace = rig.trace()
    trace.camera_info.k[0] = 0.0
    refused(rig, rig.follow(trace), ErrorCode.NO_INTRINSICS, 'focal lengths')


def test_stale_trace(rig):
    old = make_trace(rig.robot.get_clock().now().nanoseconds - 90 * 10**9)
    refused(rig, rig.follow(old), ErrorCode.STALE_TRACE, "trace's image is 90.", 'limit 60.00 s')


def test_unknown_frame(rig):
    refused(rig, rig.follow(rig.trace(frame='nowhere')), ErrorCode.NO_TRANSFORM, "'nowhere' unknown", FRAME)


def test_no_fresh_depth(rig):
    rig.robot.depth_on = False
    time.sleep(2.2)
    refused(rig, rig.follow(), ErrorCode.STALE_INPUT, 'newest depth image', 'limit 2.00 s')


def test_depth_without_values(rig):
    rig.robot.depth_m = 0.0
    time.sleep(0.3)
    refused(rig, rig.follow(), ErrorCode.INVALID_DEPTH, 'only 0.0 % of the depth image is valid')


@contextlib.contextmanager
def other_depth(rig, spoil):
    """Publish depth images and camera_infos that ``spoil`` has changed instead of good ones."""
    rig.robot.depth_on, end = False, threading.Event()

    def publish():
        while not end.wait(0.05):
            stamp = rig.robot.get_clock().now().nanoseconds
            image = depth_to_image(np.ones((CAMERA.height, CAMERA.width), np.float32), '32FC1', FRAME, stamp)
            info = camera_to_info(CAMERA, FRAME, stamp)
            spoil(image, info)
            rig.robot.depth.publish(image)
            rig.robot.info.publish(info)
    thread = threading.Thread(target=publish)
    thread.start()
    try:
        time.sleep(0.5)
        yield
    finally:
        end.set()
        thread.join()


def rgb_as_depth(image, info):
    image.encoding = 'rgb8'


def half_the_resolution(image, info):
    info.width, info.height = 16, 12


def no_focal_length(image, info):
    info.k[0] = 0.0


@pytest.mark.parametrize(('spoil', 'code', 'text'), [
    (rgb_as_depth, ErrorCode.UNSUPPORTED_ENCODING, "'rgb8'"),
    (half_the_resolution, ErrorCode.RESOLUTION_MISMATCH, 'depth is 32x24 px, its camera_info says 16x12 px'),
    (no_focal_length, ErrorCode.NO_INTRINSICS, 'focal length'),
])
def test_depth_that_cannot_be_used(rig, spoil, code, text):
    with other_depth(rig, spoil):
        refused(rig, rig.follow(), code, text)


def send_transform(rig, child, stamp_ns, x=0.5):
    link = TransformStamped(child_frame_id=child)
    link.header.frame_id, link.header.stamp = 'base_link', ns_to_stamp(stamp_ns)
    link.transform.translation.x, link.transform.translation.z = x, 1.0
    link.transform.rotation.y, link.transform.rotation.w = 1.0, 0.0
    publisher = rig.robot.create_publisher(TFMessage, '/tf', 10)
    wait_for(publisher.get_subscription_count)
    publisher.publish(TFMessage(transforms=[link]))
    time.sleep(0.3)
    rig.robot.destroy_publisher(publisher)


def test_transform_of_another_moment(rig):
    stamp = rig.robot.get_clock().now().nanoseconds
    send_transform(rig, 'wrist_camera', stamp - 5 * 10**9)
    refused(rig, rig.follow(make_trace(stamp, frame='wrist_camera')), ErrorCode.STALE_TRANSFORM,
            "link 'base_link' <- 'wrist_camera'", '5.000 s earlier')


def test_camera_that_moved_since_the_trace(rig):
    stamp = rig.robot.get_clock().now().nanoseconds
    send_transform(rig, 'moved_camera', stamp, x=0.8)
    refused(rig, rig.follow(make_trace(stamp, frame='moved_camera')), ErrorCode.STALE_TRANSFORM,
            "the camera moved by 0.3000 m since the trace's image", 'do not fit together')


def test_no_fresh_joint_state(rig):
    rig.robot.joint_states_on = False
    time.sleep(2.2)
    refused(rig, rig.follow(), ErrorCode.NO_JOINT_STATE, 'joint state is', 'limit 2.00 s')


def test_robot_that_moved_away_is_refused(rig):
    """It is elsewhere when planning ends: the plan's start does not fit any more."""
    assert rig.set(planner__swing__planning_s=1.5)[0]
    try:
        goal = rig.follow()
        wait_for(lambda: goal.phase == 1)
        with rig.robot.lock:
            away = rig.robot.q.copy()
            away[2] += 0.2
            rig.robot.controller.reset(away)
            rig.robot.q = away
        jumped = time.time() + 0.05
        result = goal.wait()
    finally:
        rig.set(planner__swing__planning_s=0.0)
    assert result.error_code == ErrorCode.CONTROLLER_REFUSED
    assert "joint 'elbow_joint' is at 1.9000 rad, 0.2000 rad from the start" in result.error_msg
    assert rig.robot.moved_since(jumped) < 1e-6


@pytest.mark.parametrize('topic', ['scaled_joint_trajectory_controller/joint_trajectory',
                                   'gripper_controller/joint_trajectory'])
def test_a_second_writer_is_refused(rig, topic):
    other = Node('someone_else')
    publisher = other.create_publisher(JointTrajectory, topic, make_qos('reliable'))
    try:
        wait_for(lambda: publisher.get_subscription_count() == 1)
        time.sleep(0.3)
        refused(rig, rig.follow(), ErrorCode.CONTROLLER_REFUSED, f"'/{topic}' is commanded by /someone_else as well")
    finally:
        other.destroy_node()
    time.sleep(0.3)


def test_no_depth_ever(rig):
    """A node that has just been configured, beside a camera that sends nothing."""
    rig.robot.depth_on = False
    for step in ('DEACTIVATE', 'CLEANUP', 'CONFIGURE', 'ACTIVATE'):
        assert rig.transition(getattr(Transition, f'TRANSITION_{step}'))
    wait_for(lambda: rig.follow(plan_only=True).wait().error_code == ErrorCode.NO_DEPTH, what='joint states')
    refused(rig, rig.follow(), ErrorCode.NO_DEPTH,
            "no depth image received on 'camera/aligned_depth_to_color/image_raw'")


# --- the tracer ----------------------------------------------------------------------------------

def test_tracer_errors_are_passed_on(rig):
    for code, text in ((ErrorCode.TRACE_PARSE, 'no answer block'), (ErrorCode.STALE_INPUT, 'image is 3 s old'),
                       (ErrorCode.NO_IMAGE, 'no image')):
        rig.perception.error = (code, text)
        refused(rig, rig.instruct(), code, text)


def test_empty_instruction(rig):
    refused(rig, rig.instruct('  '), ErrorCode.INVALID_INSTRUCTION, 'the instruction is empty')


def test_tracer_deadline(rig):
    assert rig.set(trace_timeout_s=0.1)[0]
    rig.perception.delay_s = 3.0
    try:
        refused(rig, rig.instruct(), ErrorCode.TRACER_TIMEOUT, 'perception/predict_trace')
    finally:
        rig.set(trace_timeout_s=10.0)


# --- while moving --------------------------------------------------------------------------------

def test_blocked_path(rig):
    goal = rig.follow()
    wait_for(lambda: (goal.phase == 5 and rig.robot.speed() > 0.2) or goal.ends(0))
    assert not goal.ends(0), goal.wait().error_msg
    asked = rig.robot.now()
    rig.robot.depth_m = 0.501  # the planner's clearance is what is beyond half a metre
    result = stopped(rig, goal, ErrorCode.PATH_BLOCKED, asked,
                     'an obstacle is 1.0 mm from the remaining path in phase CARRY (next waypoint 1), limit 2.0 mm')
    assert result.failed_waypoint == 1


def test_camera_that_stops(rig):
    goal = rig.follow()
    asked = moving(rig, goal)
    rig.robot.depth_on = False
    stopped(rig, goal, ErrorCode.STALE_INPUT, asked, ' s old, limit 2.00 s', limit=3.2)


def test_slow_recheck(rig):
    assert rig.set(planner__swing__recheck_s=5.0)[0]
    try:
        goal = rig.follow()
        asked = moving(rig, goal)
        stopped(rig, goal, ErrorCode.STALE_INPUT, asked, 'was last checked against fresh depth', 'limit 2.50 s',
                limit=3.5)
    finally:
        rig.set(planner__swing__recheck_s=0.0)


def test_feedback_that_stops(rig):
    goal = rig.follow()
    asked = moving(rig, goal)
    rig.robot.joint_states_on = False
    stopped(rig, goal, ErrorCode.CONTROLLER_LOST, asked, 'the newest joint state is 2.', 'limit 2.000 s', limit=2.8)


def test_stuck_joint(rig):
    goal = rig.follow()
    asked = moving(rig, goal)
    rig.robot.stuck = 0
    stopped(rig, goal, ErrorCode.TRACKING_ERROR, asked, "joint 'shoulder_pan_joint' is 0.",
            'off the path, limit 0.1500 rad')


def test_empty_grasp(rig):
    rig.robot.holding = False
    goal = rig.follow()
    result = goal.wait()
    assert result.error_code == ErrorCode.GRASP_FAILED
    assert 'the jaws closed to 30.0 mm, below the 33.0 mm' in result.error_msg
    assert rig.robot.speed() < 0.02


def test_lost_object(rig):
    goal = rig.follow()
    wait_for(lambda: (goal.phase == 5 and rig.robot.speed() > 0.2) or goal.ends(0))
    assert not goal.ends(0), goal.wait().error_msg
    asked = rig.robot.now()
    rig.robot.holding = False
    stopped(rig, goal, ErrorCode.OBJECT_DROPPED, asked, 'the jaws closed from 40.0 mm to', 'while carrying')


def test_what_a_stopped_goal_holds_is_not_dropped_by_the_next(rig):
    goal = rig.follow()
    wait_for(lambda: (goal.phase == 5 and rig.robot.speed() > 0.2) or goal.ends(0))
    assert not goal.ends(0), goal.wait().error_msg
    asked = rig.robot.now()
    rig.robot.depth_m = 0.501
    stopped(rig, goal, ErrorCode.PATH_BLOCKED, asked, 'the jaws hold on to what they carry, 40.0 mm wide')
    rig.robot.depth_m = 1.0
    refused(rig, rig.follow(), ErrorCode.START_IN_COLLISION, 'the jaws still hold something, 40.0 mm wide',
            'take it out, or open the jaws')
    assert rig.robot.opening == pytest.approx(0.04, abs=1e-4)
    planned = rig.follow(plan_only=True).wait()  # thinking about it does no harm
    assert planned.error_code == 0, planned.error_msg
    rig.robot.jaw_command = 0.08  # somebody opens them
    wait_for(lambda: rig.robot.opening > 0.075)
    since = rig.robot.now()
    result = rig.follow().wait()
    assert rig.robot.moved_since(since) > 0.01, result.error_msg


# --- the node ------------------------------------------------------------------------------------

def test_inactive_node_answers_and_stops(rig):
    goal = rig.follow()
    asked = moving(rig, goal)
    assert rig.transition(Transition.TRANSITION_DEACTIVATE)
    stopped(rig, goal, ErrorCode.CANCELLED, asked, 'the planner node was deactivated')
    again = rig.follow()
    refused_result = again.wait()
    assert refused_result.error_code == ErrorCode.NOT_ACTIVE
    assert 'not active' in refused_result.error_msg
    # Again and again: entities are dropped while the executor waits on them.
    for _ in range(8):
        assert rig.transition(Transition.TRANSITION_CLEANUP)
        assert rig.follow().wait().error_code == ErrorCode.NOT_ACTIVE
        assert rig.transition(Transition.TRANSITION_CONFIGURE)
    assert rig.transition(Transition.TRANSITION_ACTIVATE)
    wait_for(lambda: rig.follow(plan_only=True).wait().error_code == 0, what='depth and joint states again')


def test_traces_from_the_topic_are_followed(rig):
    wait_for(lambda: rig.traces.get_subscription_count() == 1)
    rig.traces.publish(rig.trace())
    asked = moving(rig)
    busy = rig.follow().wait()
    assert busy.error_code == ErrorCode.BUSY
    wait_for(lambda: rig.robot.now() > asked + 4 and rig.robot.speed() < 0.02)
    wait_for(lambda: rig.follow(plan_only=True).wait().error_code == 0)


def test_diagnostics_name_the_error(rig):
    seen = {}

    def take(msg):
        for status in msg.status:
            if status.name.startswith('planner: '):
                seen[status.name] = (status.level, status.message, {v.key: v.value for v in status.values})

    subscription = rig.client.create_subscription(DiagnosticArray, '/diagnostics', take, 10)
    try:
        assert rig.set(planner__failing__code=int(ErrorCode.UNREACHABLE))[0]
        rig.follow(planner='failing').wait()
        wait_for(lambda: seen.get('planner: goal', (b'',))[0] == b'\x02')
        _, message, values = seen['planner: goal']
        assert message.startswith('UNREACHABLE (305): provoked 305')
        assert values['error_code'] == '305' and values['planner.plugin'] == 'swing'
        wait_for(lambda: rig.follow(plan_only=True).wait().error_code == 0)
        wait_for(lambda: seen['planner: goal'][0] == b'\x00')
        assert float(seen['planner: inputs'][2]['joint_states_hz']) > 0  # how fast is the machine's
        assert seen['planner: inputs'][0] == b'\x00'
        assert int(seen['planner: recheck'][2]['count']) > 5
    finally:
        rig.client.destroy_subscription(subscription)


def test_parameters_out_of_range(rig):
    for values in ({'max_tcp_speed': 5.0}, {'recheck__rate_hz': 1.0}, {'preempt': 'yes'}):
        ok, reason = rig.set(**values)
        assert not ok
        assert next(iter(values)).replace('__', '.') in reason
    assert np.isfinite(rig.follow(plan_only=True).wait().figures.max_tcp_speed)
