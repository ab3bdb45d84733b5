# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The robot's URDF, compiled once and shared by planning, physics, renderer and viewer.

The arm comes from the ``example-robot-data`` wheel (pip mode) or from the ``ur_description``
package of a ROS installation; the gripper is ours. ``base_link`` is the world origin on the table
top; UR's own frame ``base`` is ``base_link`` turned by pi about z. Metres and radians.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Literal

from robotracer_ros.errors import InvalidParameterError, MissingPackageError
from robotracer_ros.resources import resource

ArmSource = Literal['auto', 'example-robot-data', 'ur_description']

#: the arm's joints from the base on, as UR's driver names them
ARM_JOINTS = ('shoulder_pan_joint', 'shoulder_lift_joint', 'elbow_joint', 'wrist_1_joint',
              'wrist_2_joint', 'wrist_3_joint')
#: the jaw joint that is commanded: half the opening, 0 (closed) .. 0.05 m; the other one mimics it
GRIPPER_JOINT = 'gripper_left_finger_joint'
GRIPPER_MIMIC_JOINT = 'gripper_right_finger_joint'
#: full opening between the pads, metres
MAX_OPENING = 0.10

BASE_FRAME = 'base_link'
TOOL_FRAME = 'tool0'
TCP_FRAME = 'gripper_tcp'
#: links of the gripper that may touch the object that it holds
GRIPPER_CONTACT_LINKS = ('gripper_left_pad_link', 'gripper_right_pad_link',
                         'gripper_left_finger_link', 'gripper_right_finger_link')

_XACRO = 'urdf/ur5_workcell.urdf.xacro'
_SRDF = 'urdf/ur5_workcell.srdf'
_PACKAGE_URI = re.compile(r'package://([^/"\']+)/')


def _share_folders() -> list[Path]:
    """List the folders whose sub-folders are packages, best first."""
    folders = []
    try:
        wheel = importlib.metadata.distribution('example-robot-data')
        folders.append(Path(str(wheel.locate_file('cmeel.prefix/share'))).resolve())
    except importlib.metadata.PackageNotFoundError:
        pass  # a ROS installation brings the arm as ur_description
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    folders += [Path(p) / 'share' for p in prefixes if p]
    return [f for f in folders if f.is_dir()]


def package_folder(package: str) -> Path:
    """Return the share folder of a robot model package.

    Raises:
        MissingPackageError: nothing on this machine brings it; the text lists the folders tried.
    """
    folders = _share_folders()
    for folder in folders:
        if (folder / package).is_dir():
            return folder / package
    raise MissingPackageError(
        f"robot model package '{package}' is in none of "
        f'{", ".join(map(str, folders)) or "(no folders)"}: pip install example-robot-data, '
        'or apt install ros-$ROS_DISTRO-ur-description', package=package)


def mesh_dirs() -> list[str]:
    """Return the folders that hold the packages of ``package://`` URIs (package_dirs)."""
    return [str(f) for f in _share_folders()]


def arm_source(arm: ArmSource = 'auto') -> ArmSource:
    """Choose the arm's package: ``ur_description`` when ROS has it, else ``example-robot-data``."""
    if arm != 'auto':
        return arm
    sourced = any((f / 'ur_description').is_dir() for f in _share_folders())
    return 'ur_description' if sourced else 'example-robot-data'


@functools.lru_cache(maxsize=8)
def load_urdf(arm: ArmSource = 'auto', *, resolve: bool = True) -> str:
    """Compile the workcell's xacro to URDF text.

    Args:
        arm: Where the arm's model comes from.
        resolve: Replace ``package://`` URIs by absolute paths. RViz and robot_state_publisher
            prefer them unresolved.

    Returns:
        URDF of UR5 and gripper, root link ``world``.

    Raises:
        MissingPackageError: neither arm package, or no xacro, is installed.
        InvalidParameterError: ``arm`` is unknown.
    """
    try:
        import xacro
    except ImportError as e:
        raise MissingPackageError('the robot description needs xacro: pip install xacro, or apt '
                                  'install ros-$ROS_DISTRO-xacro', package='xacro') from e
    mappings = {}
    source = arm_source(arm)
    if source == 'example-robot-data':
        mappings['arm_urdf'] = str(package_folder('example-robot-data')
                                   / 'robots/ur_description/urdf/ur5_robot.urdf')
    elif source == 'ur_description':
        package_folder('ur_description')
    else:
        raise InvalidParameterError(f"robot arm source '{arm}': must be auto, example-robot-data "
                                    'or ur_description')
    text: str = xacro.process_file(str(resource(_XACRO)), mappings=mappings).toxml()
    return resolve_packages(text) if resolve else text


def resolve_packages(urdf: str) -> str:
    """Replace every ``package://name/`` in a URDF by the absolute path of that package.

    Raises:
        MissingPackageError: a package is not on this machine.
    """
    return _PACKAGE_URI.sub(lambda m: f'{package_folder(m.group(1))}/', urdf)


@functools.lru_cache(maxsize=1)
def load_srdf() -> str:
    """Return the SRDF text: groups, end effector, link pairs without self-collision check."""
    return resource(_SRDF).read_text(encoding='utf-8')


@functools.lru_cache(maxsize=1)
def disabled_pairs() -> tuple[tuple[str, str], ...]:
    """Return the link pairs without collision check: adjacent ones and those that never meet."""
    elements = ET.fromstring(load_srdf()).iter('disable_collisions')
    return tuple((e.attrib['link1'], e.attrib['link2']) for e in elements)


def joint_speeds(names: tuple[str, ...], arm: ArmSource = 'auto') -> tuple[float, ...]:
    """Return the velocity limits (rad/s, m/s) of joints by name. Raises KeyError naming one."""
    speeds = {}
    for joint in ET.fromstring(load_urdf(arm)).iter('joint'):
        limit = joint.find('limit')
        if limit is not None:
            speeds[joint.attrib['name']] = float(limit.attrib['velocity'])
    return tuple(speeds[n] for n in names)
