# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Transforms between the links of a URDF, as robot_state_publisher computes them. No ROS."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.geometry.transforms import make_transform, rotation_about

Matrix = NDArray[np.float64]

#: rotation of an optical frame (z forward, y down) in a body frame (x forward, z up)
BODY_FROM_OPTICAL = make_transform([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])


@dataclass(frozen=True)
class _Joint:
    name: str
    parent: str
    child: str
    origin: Matrix
    kind: str
    axis: Matrix


class LinkFrames:
    """Parent-from-child transforms of every joint of a URDF.

    Args:
        urdf: URDF text.
    """

    def __init__(self, urdf: str) -> None:
        self._joints = [_read(e) for e in ET.fromstring(urdf).findall('joint')]

    def fixed(self) -> list[tuple[str, str, Matrix]]:
        """Return (parent, child, parent_from_child) of the fixed joints."""
        return [(j.parent, j.child, j.origin) for j in self._joints if j.kind == 'fixed']

    def moving(self, positions: Mapping[str, float]) -> list[tuple[str, str, Matrix]]:
        """Return (parent, child, parent_from_child) of the other joints at positions (rad, m).

        Raises:
            KeyError: naming a joint without a position.
        """
        return [(j.parent, j.child, j.origin @ _motion(j, positions[j.name]))
                for j in self._joints if j.kind != 'fixed']


def _motion(joint: _Joint, position: float) -> Matrix:
    if joint.kind == 'prismatic':
        return make_transform(translation=joint.axis * position)
    return make_transform(rotation_about(joint.axis, position))


def _numbers(element: ET.Element | None, name: str, default: str) -> Matrix:
    text = default if element is None else element.get(name, default)
    return np.array([float(x) for x in text.split()])


def _read(element: ET.Element) -> _Joint:
    origin, axis = element.find('origin'), element.find('axis')
    roll, pitch, yaw = _numbers(origin, 'rpy', '0 0 0')
    rotation = (rotation_about((0, 0, 1), yaw) @ rotation_about((0, 1, 0), pitch)
                @ rotation_about((1, 0, 0), roll))
    parent, child = element.find('parent'), element.find('child')
    if parent is None or child is None:
        raise ValueError(f"URDF joint '{element.get('name')}' lacks parent or child")
    return _Joint(element.attrib['name'], parent.attrib['link'], child.attrib['link'],
                  make_transform(rotation, _numbers(origin, 'xyz', '0 0 0')),
                  element.attrib['type'], _numbers(axis, 'xyz', '1 0 0'))
