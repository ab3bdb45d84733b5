# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The Unitree G1's description: vendor's URDF, and what it lacks, shared by controller and physics.

The URDF with 29 joints and rubber hands comes from the ``example-robot-data`` wheel (BSD-3-Clause).
It has no shapes for hands, pelvis and waist to collide with, and no frames for hands, soles and
camera. Those stand in ``urdf/g1_parts.yaml``: capsules that contain each link replace every
collision shape of the vendor but the contact spheres under the feet.
Metres and radians; x forward, y left, z up (REP-103).
"""

from __future__ import annotations

import functools
import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from robotracer_ros.errors import InvalidParameterError, MissingPackageError
from robotracer_ros.resources import resource
from robotracer_ros.robot_description import package_folder, resolve_packages

SIDES = ('left', 'right')
_LEG = ('hip_pitch', 'hip_roll', 'hip_yaw', 'knee', 'ankle_pitch', 'ankle_roll')
_ARM = ('shoulder_pitch', 'shoulder_roll', 'shoulder_yaw', 'elbow', 'wrist_roll', 'wrist_pitch',
        'wrist_yaw')
#: joints by limb, from the body outwards
LEG_JOINTS = {side: tuple(f'{side}_{name}_joint' for name in _LEG) for side in SIDES}
WAIST_JOINTS = ('waist_yaw_joint', 'waist_roll_joint', 'waist_pitch_joint')
ARM_JOINTS = {side: tuple(f'{side}_{name}_joint' for name in _ARM) for side in SIDES}
#: all 29, in the order of Unitree's motors (and of the URDF)
JOINTS = (*LEG_JOINTS['left'], *LEG_JOINTS['right'], *WAIST_JOINTS, *ARM_JOINTS['left'],
          *ARM_JOINTS['right'])

#: root of the tree: the pelvis under its REP-105 name
BASE_FRAME = 'base_link'
TORSO_LINK = 'torso_link'
#: middle of the closed grip of each hand: x away from the wrist, z towards the thumb
HAND_FRAMES = {side: f'{side}_hand_tcp' for side in SIDES}
#: under each ankle on the ground: x towards the toes, z up
SOLE_FRAMES = {side: f'{side}_sole' for side in SIDES}
CAMERA_FRAME = 'head_camera_link'
OPTICAL_FRAME = 'head_camera_color_optical_frame'

_PACKAGE = 'example-robot-data'
_URDF = 'robots/g1_description/urdf/g1_29dof_rev_1_0.urdf'
_PARTS = 'urdf/g1_parts.yaml'

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Capsule:
    """All points within ``radius`` of a segment, fixed to a link; a sphere when its ends meet.

    Attributes:
        name: Unique, e.g. ``left_elbow_link/0``.
        link: URDF link whose frame the ends are given in.
        start, end: (3,) metres.
        radius: Metres.
    """

    name: str
    link: str
    start: Vector
    end: Vector
    radius: float


@dataclass(frozen=True)
class Frame:
    """A frame fixed to a link: parent_from_frame as translation (3,) m and fixed-axis rpy (3,) rad."""

    name: str
    parent: str
    xyz: tuple[float, float, float]
    rpy: tuple[float, float, float]


@dataclass(frozen=True)
class Parts:
    """What ``urdf/g1_parts.yaml`` says.

    Attributes:
        frames: Further frames.
        capsules: Collision proxies of all links.
        contacts: (4, 3) places of the contact points under a foot, in the sole's frame; the ground
            touches the robot there and nowhere else.
        groups: Names of links by group.
        pairs: Pairs of groups whose links must not touch each other.
    """

    frames: tuple[Frame, ...]
    capsules: tuple[Capsule, ...]
    contacts: Vector
    groups: Mapping[str, tuple[str, ...]]
    pairs: tuple[tuple[str, str], ...]

    def capsule_pairs(self) -> tuple[tuple[int, int], ...]:
        """Return indices into ``capsules`` of every two that are kept apart."""
        by_link: dict[str, list[int]] = {}
        for i, capsule in enumerate(self.capsules):
            by_link.setdefault(capsule.link, []).append(i)
        found: dict[tuple[int, int], None] = {}
        for first, second in self.pairs:
            for a in self.groups[first]:
                for b in self.groups[second]:
                    found |= {(min(i, j), max(i, j)): None for i in by_link[a] for j in by_link[b]
                              if a != b}
        return tuple(found)


@functools.lru_cache(maxsize=1)
def load_parts() -> Parts:
    """Read ``urdf/g1_parts.yaml``. Raises InvalidParameterError naming what is wrong in it."""
    text = resource(_PARTS).read_text(encoding='utf-8')
    try:
        return parse_parts(yaml.safe_load(text))
    except yaml.YAMLError as e:
        raise InvalidParameterError(f"'{_PARTS}' cannot be read: {e}", parameter=_PARTS) from e


def parse_parts(data: Any, source: str = _PARTS) -> Parts:
    """Make parts of the parsed file.

    What stands under a ``left_`` name holds mirrored (y to -y) for the right side as well, unless
    the right side has an entry of its own.

    Raises:
        InvalidParameterError: naming entry and value.
    """
    try:
        frames = tuple(
            Frame(name, str(f['parent']), _triple(f['xyz']), _triple(f.get('rpy', (0, 0, 0))))
            for name, f in _both_sides(data['frames'], _mirrored_frame).items())
        capsules = [
            Capsule(f'{link}/{i}', link, np.array(c[:3], float), np.array(c[3:6], float),
                    float(c[6]))
            for link, rows in _both_sides(data['capsules'], _mirrored_capsules).items()
            for i, c in enumerate(rows)]
        contacts = np.array(data['contacts'], dtype=float)
        groups = {str(k): tuple(map(str, v)) for k, v in data['groups'].items()}
        pairs = tuple((str(a), str(b)) for a, b in data['pairs'])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as e:
        raise InvalidParameterError(f"robot parts '{source}' are malformed: {e!r}",
                                    parameter=source) from e
    for capsule in capsules:
        numbers = np.array([*capsule.start, *capsule.end, capsule.radius])
        if not np.isfinite(numbers).all() or capsule.radius <= 0:
            raise InvalidParameterError(
                f"robot parts '{source}': capsule {capsule.name} is {numbers.tolist()}: must be "
                'seven finite numbers with a radius > 0', parameter='capsules')
    if contacts.shape != (4, 3) or not np.isfinite(contacts).all():
        raise InvalidParameterError(f"robot parts '{source}': contacts have shape {contacts.shape}:"
                                    ' must be four points', parameter='contacts')
    covered = {c.link for c in capsules}
    for group, links in groups.items():
        for link in links:
            if link not in covered:
                raise InvalidParameterError(
                    f"robot parts '{source}': link '{link}' of group '{group}' has no capsules",
                    parameter='groups')
    for pair in pairs:
        for group in pair:
            if group not in groups:
                raise InvalidParameterError(
                    f"robot parts '{source}': pair {pair} names group '{group}'; known: "
                    f'{", ".join(sorted(groups))}', parameter='pairs')
    return Parts(frames, tuple(capsules), contacts, groups, pairs)


def _triple(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    if not all(map(math.isfinite, (x, y, z))):
        raise ValueError(f'{[x, y, z]} must be finite')
    return x, y, z


def _both_sides(entries: Mapping[str, Any], mirror: Any) -> dict[str, Any]:
    """Add the right side's entries, each right after its left one."""
    out: dict[str, Any] = {}
    for name, value in entries.items():
        out[name] = value
        other = name.replace('left_', 'right_', 1)
        if name.startswith('left_') and other not in entries:
            out[other] = mirror(value)
    return out


def _mirrored_frame(frame: Mapping[str, Any]) -> dict[str, Any]:
    x, y, z = frame['xyz']
    r, p, w = frame.get('rpy', (0, 0, 0))
    return {'parent': str(frame['parent']).replace('left_', 'right_', 1), 'xyz': (x, -y, z),
            'rpy': (-r, p, -w)}


def _mirrored_capsules(rows: Any) -> list[list[float]]:
    return [[x, -y, z, u, -v, w, r] for x, y, z, u, v, w, r in rows]


@functools.lru_cache(maxsize=2)
def load_urdf(*, resolve: bool = True) -> str:
    """Return the G1's URDF with our frames, root link ``pelvis``.

    Its collision shapes are the contact spheres under the feet alone: URDF has no capsules, so
    Pinocchio and MuJoCo get those from :func:`load_parts`.

    Args:
        resolve: Replace ``package://`` URIs by absolute paths.

    Raises:
        MissingPackageError: example-robot-data is not installed or too old to hold a G1.
        InvalidParameterError: our parts name a link that the URDF lacks.
    """
    path = package_folder(_PACKAGE) / _URDF
    if not path.is_file():
        raise MissingPackageError(
            f"robot model '{_URDF}' is not in {path.parents[3]}: "
            'pip install "example-robot-data>=6.0"', package=_PACKAGE)
    robot = ET.fromstring(path.read_text(encoding='utf-8'))
    parts = load_parts()
    links = {e.attrib['name']: e for e in robot.findall('link')}
    for link in links.values():
        for collision in link.findall('collision'):
            if collision.find('geometry/sphere') is None:
                link.remove(collision)
    for capsule in parts.capsules:
        if capsule.link not in links:
            raise InvalidParameterError(
                f"'{_PARTS}': capsules of link '{capsule.link}', which the URDF lacks",
                parameter='capsules')
    known = {*links}
    for frame in parts.frames:
        if frame.parent not in known:
            raise InvalidParameterError(
                f"'{_PARTS}': frame '{frame.name}' sits on '{frame.parent}', which the URDF lacks",
                parameter='frames')
        known.add(frame.name)
        ET.SubElement(robot, 'link', name=frame.name)
        joint = ET.SubElement(robot, 'joint', name=f'{frame.name}_joint', type='fixed')
        ET.SubElement(joint, 'origin', xyz=_text(frame.xyz), rpy=_text(frame.rpy))
        ET.SubElement(joint, 'parent', link=frame.parent)
        ET.SubElement(joint, 'child', link=frame.name)
    text = ET.tostring(robot, encoding='unicode')
    return resolve_packages(text) if resolve else text


def _text(values: tuple[float, float, float]) -> str:
    return ' '.join(f'{v:.9g}' for v in values)
