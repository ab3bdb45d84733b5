# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the simulation node. No ROS in here: documentation and tests read it too."""

from __future__ import annotations

from robotracer_ros.nodes.parameters import ParameterSpec, ParameterType, qos_specs
from robotracer_ros.robot_description import BASE_FRAME
from robotracer_ros.sim.noise import DepthNoise
from robotracer_ros.sim.physics import PhysicsConfig
from robotracer_ros.sim.scenes import SceneConfig

NODE_NAME = 'sim'

_SCENES, _NOISE, _PHYSICS = SceneConfig(), DepthNoise(), PhysicsConfig()

WORLD: tuple[ParameterSpec, ...] = (
    ParameterSpec('seed', 0, 'Scene to make at start; after a change ~/reset makes the new one.',
                  minimum=0, maximum=2**31 - 1),
    ParameterSpec('real_time_factor', 1.0, 'Simulated seconds per second; 0 is as fast as '
                  'possible.', minimum=0.0, maximum=100.0),
    ParameterSpec('base_frame', BASE_FRAME, "The robot's base, origin of the world.",
                  read_only=True),
    ParameterSpec('scene.min_objects', _SCENES.min_objects, 'Fewest things on the table.',
                  minimum=2, maximum=14, read_only=True),
    ParameterSpec('scene.max_objects', _SCENES.max_objects, 'Most things on the table.',
                  minimum=2, maximum=14, read_only=True),
)

ROBOT: tuple[ParameterSpec, ...] = (
    ParameterSpec('joint_states.topic', 'joint_states', 'Measured joint states of arm and jaws.',
                  read_only=True),
    ParameterSpec('joint_states.rate_hz', 125.0, "Their rate; 125 Hz is that of UR's CB series.",
                  minimum=1.0, maximum=500.0, read_only=True),
    ParameterSpec('arm.topic', 'scaled_joint_trajectory_controller/joint_trajectory',
                  "Command topic of the arm's trajectory controller.", read_only=True),
    ParameterSpec('gripper.topic', 'gripper_controller/joint_trajectory', 'Command topic of the '
                  'jaws: one joint, half the opening in metres; its effort is the force limit in '
                  'newtons.', read_only=True),
    ParameterSpec('gripper.force_n', _PHYSICS.gripper_force, 'Force limit per jaw of commands '
                  'without effort.', minimum=1.0, maximum=_PHYSICS.max_gripper_force,
                  read_only=True),
    ParameterSpec('tf.publish', True, 'Publish /tf, /tf_static (needs tf2_msgs) and '
                  'robot_description; turn it off beside a robot_state_publisher.', read_only=True),
    ParameterSpec('tf.rate_hz', 30.0, "Rate of the arm's transforms.", minimum=1.0, maximum=500.0,
                  read_only=True),
    ParameterSpec('clock.publish', True, 'Publish /clock, for nodes with use_sim_time.',
                  read_only=True),
    ParameterSpec('clock.rate_hz', 100.0, 'Rate of /clock in simulated time.', minimum=1.0,
                  maximum=500.0, read_only=True),
)

CAMERA: tuple[ParameterSpec, ...] = (
    ParameterSpec('camera.rate_hz', 10.0, 'Images per simulated second; frames that cannot be '
                  'rendered in time are dropped.', minimum=0.1, maximum=60.0, read_only=True),
    ParameterSpec('camera.width', _SCENES.width, 'Image width in pixels.', minimum=32,
                  maximum=1920, read_only=True),
    ParameterSpec('camera.height', _SCENES.height, 'Image height in pixels.', minimum=24,
                  maximum=1200, read_only=True),
    ParameterSpec('camera.lazy', True, 'Render only while somebody subscribes to an image.'),
    ParameterSpec('camera.frame', 'camera_color_optical_frame', 'Optical frame (z forward) of '
                  'colour and depth.', read_only=True),
    ParameterSpec('camera.link_frame', 'camera_link', 'Body frame (x forward) of the camera.',
                  read_only=True),
    ParameterSpec('color.topic', 'camera/color/image_raw', 'Colour image.', read_only=True),
    ParameterSpec('color.encoding', 'rgb8', 'Its encoding.', choices=('rgb8', 'bgr8', 'rgba8',
                  'bgra8', 'mono8'), read_only=True),
    *qos_specs('color', 'reliable'),
    ParameterSpec('depth.topic', 'camera/aligned_depth_to_color/image_raw', 'Depth on the pixel '
                  'grid of the colour image.', read_only=True),
    ParameterSpec('depth.encoding', '16UC1', '16UC1 is millimetres, 32FC1 metres; 0 is invalid.',
                  choices=('16UC1', '32FC1'), read_only=True),
    *qos_specs('depth', 'reliable'),
    ParameterSpec('camera_info.topic', 'camera/color/camera_info', 'Intrinsics of the colour '
                  'image.', read_only=True),
    ParameterSpec('camera_info.depth_topic', 'camera/aligned_depth_to_color/camera_info',
                  'The same for depth.', read_only=True),
    *qos_specs('camera_info', 'reliable'),
    ParameterSpec('depth_noise.sigma', _NOISE.sigma, 'Standard deviation of depth at 1 m in '
                  'metres; it grows with the square of the distance.', minimum=0.0, maximum=1.0),
    ParameterSpec('depth_noise.edge_jump', _NOISE.edge_jump, 'Neighbouring depths that differ by '
                  'more than this (m) make holes; 0 is off.', minimum=0.0, maximum=1.0),
    ParameterSpec('depth_noise.edge_probability', _NOISE.edge_probability, 'Chance that a pixel at '
                  'such a jump is a hole.', minimum=0.0, maximum=1.0),
    ParameterSpec('depth_noise.flying', _NOISE.flying, 'Chance that a pixel at a jump lies between '
                  'both depths.', minimum=0.0, maximum=1.0),
    ParameterSpec('depth_noise.dropout', _NOISE.dropout, 'Chance that any pixel is missing.',
                  minimum=0.0, maximum=1.0),
    ParameterSpec('depth_noise.quantum', _NOISE.quantum, 'Depth is rounded to multiples of this '
                  '(m); 0 is off.', minimum=0.0, maximum=1.0),
)

TRUTH: tuple[ParameterSpec, ...] = (
    ParameterSpec('ground_truth.rate_hz', 10.0, 'Rate of ~/ground_truth and ~/ground_truth_poses, '
                  'for benches only.', minimum=0.1, maximum=125.0, read_only=True),
    ParameterSpec('watch.moved', '', 'Object that may be handled; setting watch.* restarts the '
                  'record of unintended contacts.'),
    ParameterSpec('watch.goal', [], "Objects (or 'table') that it may be put on or into; empty is "
                  'the table.', type=ParameterType.STRINGS),
    ParameterSpec('diagnostics.period_s', 1.0, 'Seconds between diagnostics.', minimum=0.05,
                  maximum=60.0, read_only=True),
)

PARAMETERS = (*WORLD, *ROBOT, *CAMERA, *TRUTH)
