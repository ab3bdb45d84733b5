# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the planner node. No ROS in here: documentation and tests read it too."""

from __future__ import annotations

from robotracer_ros.control.monitor import MAX_CLOSING_M, MIN_OBJECT_M
from robotracer_ros.errors import ConfigurationError
from robotracer_ros.nodes.parameters import ParameterSpec, lens_specs, qos_specs, tf_specs
from robotracer_ros.nodes.plugins import Role, known_plugins, option_specs
from robotracer_ros.robot_description import ARM_JOINTS, BASE_FRAME, GRIPPER_JOINT

NODE_NAME = 'planner'

ROBOT: tuple[ParameterSpec, ...] = (
    ParameterSpec('robot.joint_states_topic', 'joint_states', 'Measured joint states.',
                  read_only=True),
    ParameterSpec('robot.trajectory_topic',
                  'scaled_joint_trajectory_controller/joint_trajectory',
                  "Command topic of the arm's joint trajectory controller; this node must be its "
                  'only writer.', read_only=True),
    ParameterSpec('robot.gripper_topic', 'gripper_controller/joint_trajectory',
                  "Command topic of the gripper's joint trajectory controller.", read_only=True),
    ParameterSpec('robot.joints', list(ARM_JOINTS), 'Joints of the arm, base first.',
                  read_only=True),
    ParameterSpec('robot.gripper_joint', GRIPPER_JOINT, 'Joint that is commanded to move the jaws.',
                  read_only=True),
    ParameterSpec('robot.opening_per_position', 2.0,
                  'Full jaw opening (m) per unit of the gripper joint: 2 where the joint is one '
                  'jaw of two.', minimum=1e-3, maximum=100.0, read_only=True),
    ParameterSpec('robot.max_state_age_s', 0.5, 'Oldest joint state that a plan may start from.',
                  minimum=0.01, maximum=10.0),
)

SCENE: tuple[ParameterSpec, ...] = (
    ParameterSpec('base_frame', BASE_FRAME, 'Planning frame: base of the arm.', read_only=True),
    ParameterSpec('depth.topic', 'camera/aligned_depth_to_color/image_raw',
                  'Depth image (16UC1 millimetres or 32FC1 metres).', read_only=True),
    *qos_specs('depth', depth=1),
    ParameterSpec('depth.max_age_s', 1.0,
                  'Oldest depth image that counts, for planning and while moving.',
                  minimum=0.01, maximum=60.0),
    ParameterSpec('depth.min_valid_fraction', 0.05, 'Share of pixels that must hold valid depth.',
                  minimum=0.0, maximum=1.0),
    ParameterSpec('depth.max_camera_motion_m', 0.005,
                  "Largest move of the camera between the trace's image and the depth image that "
                  'is planned with.', minimum=0.0, maximum=0.1),
    ParameterSpec('camera_info.topic', 'camera/color/camera_info',
                  'Intrinsics of the depth image.', read_only=True),
    *qos_specs('camera_info', depth=1),
    *lens_specs(),
    *tf_specs(),
)

GOALS: tuple[ParameterSpec, ...] = (
    ParameterSpec('autostart', False, 'Configure and activate at start, without a lifecycle '
                  'manager.', read_only=True),
    ParameterSpec('planner.plugin', 'ompl', 'Planner plugin by name. May be changed while nothing '
                  'moves; the old one is kept when the new one does not load.'),
    ParameterSpec('controller.plugin', 'joint_trajectory', 'Controller plugin by name. May be '
                  'changed while nothing moves.'),
    ParameterSpec('preempt', False, 'A new goal stops the running one and starts from rest, '
                  'instead of being refused as BUSY.'),
    ParameterSpec('follow_topic', False, 'Follow every trace on ~/trace, not only action goals.',
                  read_only=True),
    ParameterSpec('predict_trace_service', 'perception/predict_trace',
                  'Service that turns an instruction into a trace.', read_only=True),
    ParameterSpec('trace_timeout_s', 30.0, 'Deadline for that service.', minimum=0.1,
                  maximum=3600.0),
    ParameterSpec('max_trace_age_s', 60.0, "Oldest trace (by its image's stamp) that is followed.",
                  minimum=0.1, maximum=3600.0),
    ParameterSpec('max_tcp_speed', 0.25, 'Cap of the tool speed in m/s; a goal may ask for less.',
                  minimum=0.001, maximum=1.0),
    ParameterSpec('feedback_period_s', 0.1, 'Seconds between feedback messages within one phase.',
                  minimum=0.0, maximum=10.0),
)

RECHECK: tuple[ParameterSpec, ...] = (
    ParameterSpec('recheck.rate_hz', 8.0, 'How often the remaining path is checked against fresh '
                  'depth while moving.', minimum=5.0, maximum=50.0),
    ParameterSpec('recheck.max_gap_s', 0.4, "Longest time of the robot's clock without a finished "
                  'check; then the motion is stopped. 0.2 s is what 5 Hz mean, twice that lets one '
                  'image be lost.', minimum=0.2, maximum=10.0),
    ParameterSpec('recheck.min_clearance_m', 0.002, 'The motion is stopped when an obstacle is '
                  'closer than this to the remaining path.', minimum=-0.05, maximum=0.2),
    ParameterSpec('recheck.confirmations', 1, 'Checks in a row that must find it blocked: more '
                  'than 1 tolerates noisy depth and reacts later.', minimum=1, maximum=5),
)

GRASP: tuple[ParameterSpec, ...] = (
    ParameterSpec('grasp.min_object_m', MIN_OBJECT_M, 'Jaws that stop at least this far above the '
                  'commanded opening hold something.', minimum=0.0, maximum=0.05),
    ParameterSpec('grasp.max_closing_m', MAX_CLOSING_M, 'Jaws that close this much further while carrying, '
                  'and do not rest again, have lost the object.', minimum=0.0005, maximum=0.05),
    ParameterSpec('grasp.timeout_s', 4.0, 'Time for one move of the jaws.', minimum=0.1,
                  maximum=60.0),
)

DIAGNOSTICS: tuple[ParameterSpec, ...] = (
    ParameterSpec('diagnostics.period_s', 1.0, 'Seconds between reports on /diagnostics.',
                  minimum=0.05, maximum=60.0, read_only=True),
)

PARAMETERS: tuple[ParameterSpec, ...] = (*GOALS, *RECHECK, *GRASP, *ROBOT, *SCENE, *DIAGNOSTICS)


def plugin_option_specs() -> tuple[tuple[ParameterSpec, ...], dict[str, str]]:
    """Return the options of all planners and controllers, and why some cannot be imported."""
    specs: list[ParameterSpec] = []
    unavailable: dict[str, str] = {}
    for role in (Role.PLANNER, Role.CONTROLLER):
        for name in known_plugins(role):
            try:
                specs += option_specs(role, name)
            except ConfigurationError as e:
                unavailable[f'{role.value}.{name}'] = f'{e.name} ({e.code}): {e}'
    return tuple(specs), unavailable
