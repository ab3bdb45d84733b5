# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The embedded planner refuses through the action: real causes in a real depth image, a real reason.

A table with a few things on it, seen by a camera with exact depth; the node plans with ``ompl`` as
it does on a robot. Each case says what is wrong, and by how much, before anything moves.
"""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from planner_rig import FRAME, HOME, PATIENT, PlannerProcess, Rig, refused, wait_for
from table_scenes import BASE_FROM_CAMERA, axis_box, cast, pick_and_place

from robotracer_msgs.msg import ErrorCode
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import Trace, TraceKind
from robotracer_ros.geometry.transforms import apply, invert, matrix_to_quaternion
from robotracer_ros.nodes.conversions import trace_to_msg
from robotracer_ros.planning.config import RobotConfig
from robotracer_ros.planning.ompl import OmplPlanner
from robotracer_ros.resources import resource
from robotracer_ros.robot_description import BASE_FRAME

CAMERA = CameraModel(320, 240, 280.0, 280.0, 159.5, 119.5)
THING = axis_box(0.45, -0.2, (0.05, 0.06, 0.10), yaw=0.3)
SLAB = axis_box(0.30, -0.42, (0.26, 0.16, 0.05))
#: two blocks with a slot of 35 mm between them, too narrow for the thing
SLOT = [axis_box(0.55, y, (0.12, 0.12, 0.10)) for y in (0.34, 0.495)]
IN_SLOT = (0.55, 0.4175, 0.0)
BOXES = [THING, SLAB, *SLOT]
GOAL = (0.5, 0.1, 0.0)
#: a way of the free tool whose end is beyond the arm's reach
TOO_FAR = [[0.4, -0.2, 0.25], [0.5, 0.0, 0.3], [0.84, 0.2, 0.35]]


class TableRig(Rig):
    """The rig in front of the table; its plain goal is one that can be carried out."""

    def __init__(self):
        super().__init__()
        self.robot.camera, self.robot.picture = CAMERA, cast(BOXES, CAMERA)

    def trace(self, path=None, kind=TraceKind.OBJECT_CENTRIC, deeper=0.0):
        """Trace through points (N, 3) of the planning frame; its end lies ``deeper`` metres off."""
        path = pick_and_place(THING, GOAL) if path is None else np.asarray(path, float)
        uvd = CAMERA.project(apply(invert(BASE_FROM_CAMERA), path))
        uvd[-1, 2] += deeper
        return trace_to_msg(Trace(uvd, CAMERA, kind, 'move it', frame_id=FRAME, model='test',
                                  stamp_ns=self.robot.get_clock().now().nanoseconds))


@pytest.fixture(scope='module')
def rig(ros):
    r = TableRig()
    yield r
    r.close()


@pytest.fixture(scope='module')
def planner(rig, tmp_path_factory):
    at, turn = BASE_FROM_CAMERA[:3, 3], matrix_to_quaternion(BASE_FROM_CAMERA[:3, :3])
    pose = ' '.join(f'{v:.9f}' for v in (*at, *turn))
    p = PlannerProcess(tmp_path_factory.mktemp('planner'), {
        **PATIENT, 'planner.plugin': 'ompl', 'tf.extrinsics': [f'{BASE_FRAME} {FRAME} {pose}']})
    rig.wait_ready()
    yield p
    assert p.close() == 0, p.text()


@pytest.fixture(autouse=True)
def clean(rig, planner):
    rig.robot.picture = cast(BOXES, CAMERA)
    rig.home()


def test_object_not_found(rig):
    bare = pick_and_place(axis_box(0.62, -0.1, (0.05, 0.05, 0.002)), GOAL)
    result = refused(rig, rig.follow(rig.trace(bare)), ErrorCode.OBJECT_NOT_FOUND,
                     'nothing stands up from the support within', 'mm above it, must be more than 6 mm')
    assert result.failed_waypoint == 0


def test_correction_too_large(rig):
    result = refused(rig, rig.follow(rig.trace(deeper=0.5)), ErrorCode.CORRECTION_TOO_LARGE,
                     'trace point 3 would have to move 0.50', 'contact point takes sensor depth',
                     'at most 0.200 m is allowed')
    assert result.failed_waypoint == 3


def test_no_grasp(rig):
    result = refused(rig, rig.follow(rig.trace(pick_and_place(SLAB, GOAL))), ErrorCode.NO_GRASP,
                     'the thing at trace point 0 is 25', ' mm long (', 'up to 220 mm are grasped')
    assert result.failed_waypoint == 0


def test_unreachable(rig):
    trace = rig.trace(TOO_FAR, TraceKind.END_EFFECTOR_CENTRIC)
    result = refused(rig, rig.follow(trace), ErrorCode.UNREACHABLE,
                     'CARRY: the tool cannot go on to (0.7', ' poses reached)')
    assert result.failed_waypoint == 2


def test_a_partial_plan_says_why_it_ends_where(rig):
    trace = rig.trace(TOO_FAR, TraceKind.END_EFFECTOR_CENTRIC)
    result = rig.follow(trace, plan_only=True, allow_partial=True).wait()
    assert result.error_code == ErrorCode.NONE and result.failed_waypoint == 2
    assert result.error_msg.startswith('partial: the plan ends before trace point 2: UNREACHABLE '
                                       '(305): CARRY: the tool cannot go on to (0.7')
    assert result.error_msg.endswith(' poses reached)')
    assert result.figures.duration_s > 1.0  # it goes as far as it can
    whole = rig.follow(plan_only=True, allow_partial=True).wait()
    assert (whole.error_code, whole.error_msg, whole.failed_waypoint) == (0, '', -1)


def test_path_in_collision(rig):
    result = refused(rig, rig.follow(rig.trace(pick_and_place(THING, IN_SLOT))),
                     ErrorCode.PATH_IN_COLLISION, 'PLACE: at (', 'the object would ', ' mm deep in obstacles')
    assert result.failed_waypoint == 3


def standing_at(rig, joints, code, trace=None):
    """Put the arm there by hand, and wait until the node has heard of it."""
    with rig.robot.lock:
        rig.robot.controller.reset(joints)
        rig.robot.q = joints.copy()
    wait_for(lambda: rig.follow(trace, plan_only=True).wait().error_code == code,
             what='the arm standing there')


def test_start_in_collision(rig):
    low = HOME.copy()
    low[1] += 0.85  # the hand is in the table
    standing_at(rig, low, ErrorCode.START_IN_COLLISION)
    refused(rig, rig.follow(), ErrorCode.START_IN_COLLISION, 'before it moves, the robot touches something: ',
            'mm deep in support')


def test_limits_violated(rig):
    """Half a thousandth beyond a limit is no reason to stay, but the check of the plan is strict."""
    out = HOME.copy()
    out[5] = 6.2005
    standing_at(rig, out, ErrorCode.LIMITS_VIOLATED)
    refused(rig, rig.follow(), ErrorCode.LIMITS_VIOLATED,
            'REACH: wrist_3_joint is above its upper limit by 0.0005 rad')


def test_timing_failed(rig):
    """A free tool is told to go where it is."""
    upright = RobotConfig.load().home
    plugin = OmplPlanner()
    plugin.load()
    here = plugin.arm.tcp(upright)[:3, 3]
    trace = rig.trace([here, here], TraceKind.END_EFFECTOR_CENTRIC)
    standing_at(rig, upright, ErrorCode.TIMING_FAILED, trace)
    refused(rig, rig.follow(trace), ErrorCode.TIMING_FAILED, 'the path has ', ' rad: must be at least 1e-05 rad')


def test_planning_timeout(rig, tmp_path):
    """A wall between start and goal: the way round it is not found in a tenth of a second."""
    data = yaml.safe_load(resource('config/ur5.yaml').read_text(encoding='utf-8'))
    data['planner']['timeout_s'] = 0.1
    hurried = tmp_path / 'hurried.yaml'
    hurried.write_text(yaml.safe_dump(data), encoding='utf-8')
    assert rig.set(planner__ompl__config=str(hurried)) == (True, '')
    try:
        wall = axis_box(0.5, -0.05, (0.5, 0.04, 0.42))
        rig.robot.picture = cast([*BOXES, wall], CAMERA)
        before = rig.robot.images
        wait_for(lambda: rig.robot.images >= before + 3, what='images of the wall')
        refused(rig, rig.follow(), ErrorCode.PLANNING_TIMEOUT, 'planning took longer than 0.1 s')
    finally:
        assert rig.set(planner__ompl__config='config/ur5.yaml') == (True, '')
