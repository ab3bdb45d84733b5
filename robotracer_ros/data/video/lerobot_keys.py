# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which features of a LeRobot data set hold what: the layout itself does not say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PoseFormat = Literal['xyz_rpy', 'xyz_xyzw', 'matrix']


@dataclass(frozen=True)
class ArmKeys:
    """Which features tell what an arm does.

    Attributes:
        name: ``left``, ``right``, or empty for the only arm.
        pose: Feature with base_from_flange.
        pose_columns: Which of its numbers, all when empty.
        pose_format: Metres and radians about fixed axes, metres and quaternion, or 4x4 row by row.
        gripper: Feature with the gripper's position.
        gripper_column: Which of its numbers.
        gripper_open, gripper_closed: Its values when open and when closed.
        grip_offset: Where the fingers meet in the frame of the flange, metres.
    """

    name: str = ''
    pose: str = 'observation.state.cartesian_position'
    pose_columns: tuple[int, ...] = ()
    pose_format: PoseFormat = 'xyz_rpy'
    gripper: str = 'observation.state.gripper_position'
    gripper_column: int = 0
    gripper_open: float = 0.0
    gripper_closed: float = 1.0
    grip_offset: tuple[float, ...] = (0.0, 0.0, 0.15)


@dataclass(frozen=True)
class LeRobotKeys:
    """Which features hold what. The defaults are those of the port of DROID (``lerobot/droid_1.0.1``).

    Attributes:
        camera: Feature with the colour frames.
        depth: Feature of dtype ``image`` with 16-bit depth aligned to them, or empty.
        depth_unit: Metres per step of it.
        intrinsics: fx, fy, cx, cy in pixels; the layout has no place for them.
        intrinsics_size: Width and height of the images that these belong to; those of the frames when empty.
        extrinsics: Feature with base_from_camera at every frame, or empty.
        base_from_camera: The same as numbers when the camera stands still and no feature tells.
        extrinsics_format: Of either.
        arms: One or two.
        instructions: Features with further wordings of the task.
    """

    camera: str = 'observation.images.exterior_1_left'
    depth: str = ''
    depth_unit: float = 1e-3
    intrinsics: tuple[float, ...] = ()
    intrinsics_size: tuple[int, ...] = ()
    extrinsics: str = 'camera_extrinsics.exterior_1_left'
    base_from_camera: tuple[float, ...] = ()
    extrinsics_format: PoseFormat = 'xyz_rpy'
    arms: tuple[ArmKeys, ...] = (ArmKeys(),)
    instructions: tuple[str, ...] = ()
