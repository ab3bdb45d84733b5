# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the perception node. No ROS in here: documentation and tests read it too."""

from __future__ import annotations

from robotracer_ros.errors import ConfigurationError
from robotracer_ros.nodes.parameters import ParameterSpec, lens_specs, qos_specs, tf_specs
from robotracer_ros.nodes.plugins import Role, known_plugins, option_specs

NODE_NAME = 'perception'


PARAMETERS: tuple[ParameterSpec, ...] = (
    ParameterSpec('autostart', False, 'Configure and activate at start, without a lifecycle '
                  'manager.', read_only=True),
    ParameterSpec('color.topic', 'camera/color/image_raw', 'Colour image (rgb8, bgr8, rgba8, bgra8 '
                  'or mono8).', read_only=True),
    *qos_specs('color'),
    ParameterSpec('depth.enabled', True, 'Use depth. When true, a request without matching depth '
                  'fails; when false, depth is not subscribed to.', read_only=True),
    ParameterSpec('depth.topic', 'camera/aligned_depth_to_color/image_raw', 'Depth on the pixel '
                  'grid of the colour image (16UC1 millimetres or 32FC1 metres).', read_only=True),
    *qos_specs('depth'),
    ParameterSpec('depth.min_valid_fraction', 0.05, 'Share of pixels that must hold valid depth.',
                  minimum=0.0, maximum=1.0),
    ParameterSpec('camera_info.topic', 'camera/color/camera_info', 'Intrinsics of the colour '
                  'image.', read_only=True),
    *qos_specs('camera_info'),
    ParameterSpec('camera_info.latched', False, 'The camera_info is sent once: use the last one '
                  'whatever its stamp.', read_only=True),
    *lens_specs(),
    ParameterSpec('slop_s', 0.02, 'Largest difference of stamps within one set of colour, depth '
                  'and camera_info.', minimum=0.0, maximum=1.0, read_only=True),
    ParameterSpec('max_age_s', 1.0, 'Oldest image (by its stamp) that is used.', minimum=0.01,
                  maximum=60.0),
    ParameterSpec('input_wait_s', 1.0, 'How long a request waits for a fresh set of images.',
                  minimum=0.0, maximum=60.0),
    ParameterSpec('check_frames', True, 'Refuse depth or camera_info whose frame differs from the '
                  "colour image's."),
    ParameterSpec('gravity_frame', '', 'Frame with z up; the camera pose in it, looked up at the '
                  "image's stamp, is given to the tracer. Empty: no pose is used."),
    *tf_specs(),
    ParameterSpec('tf.use_latest', False, "Take the newest camera pose instead of the one at the "
                  "image's stamp. Only for cameras that do not move."),
    ParameterSpec('tracer.plugin', 'local', 'Tracer plugin by name. May be changed while no '
                  'prediction runs; the old model is kept when the new one does not load.'),
    ParameterSpec('tracer.checkpoint', '', "Checkpoint given to the plugin; empty: the plugin's "
                  'own default.'),
    ParameterSpec('tracer.timeout_s', 20.0, 'Deadline of a request that names none.',
                  minimum=0.01, maximum=3600.0),
    ParameterSpec('tracer.kind', 1, 'Kind of trace asked for on ~/instruction: 1 object-centric, 2 '
                  'end-effector-centric.', minimum=1, maximum=2),
    ParameterSpec('diagnostics.period_s', 1.0, 'Seconds between reports on /diagnostics.',
                  minimum=0.05, maximum=60.0, read_only=True),
)


def tracer_option_specs() -> tuple[tuple[ParameterSpec, ...], dict[str, str]]:
    """Return the options of all tracer plugins, and why some could not be imported, by name."""
    specs: list[ParameterSpec] = []
    unavailable: dict[str, str] = {}
    for name in known_plugins(Role.TRACER):
        try:
            specs += option_specs(Role.TRACER, name)
        except ConfigurationError as e:
            unavailable[name] = f'{e.name} ({e.code}): {e}'
    return tuple(specs), unavailable
