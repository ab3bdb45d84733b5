# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The robot as the camera sees it: collision meshes of its links at a configuration."""

from __future__ import annotations

import functools

import coal
import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from robotracer_ros.robot_description import (
    ARM_JOINTS,
    BASE_FRAME,
    GRIPPER_JOINT,
    GRIPPER_MIMIC_JOINT,
    load_urdf,
)
from robotracer_ros.sim.meshes import Mesh, join, primitive_mesh, smooth_mesh
from robotracer_ros.sim.spec import Primitive

_Rgb = tuple[float, float, float]
_ARM: _Rgb = (0.74, 0.75, 0.77)
_JOINT: _Rgb = (0.30, 0.47, 0.62)
_HOUSING: _Rgb = (0.16, 0.17, 0.19)
_STEEL: _Rgb = (0.58, 0.60, 0.63)
_RUBBER: _Rgb = (0.08, 0.08, 0.08)


def _color(name: str) -> _Rgb:
    """Choose the colour of a collision shape by the name of its link."""
    for word, rgb in (('pad', _RUBBER), ('finger', _STEEL), ('gripper', _HOUSING),
                      ('upper_arm', _ARM), ('forearm', _ARM), ('shoulder', _JOINT),
                      ('wrist', _JOINT)):
        if word in name:
            return rgb
    return _ARM


def _shape_mesh(shape: coal.CollisionGeometry, name: str) -> Mesh:
    """Tessellate a collision shape in its own frame."""
    rgb = _color(name)
    if isinstance(shape, coal.Box):
        half = tuple(float(v) for v in shape.halfSide)
        return primitive_mesh(Primitive('box', half, np.eye(4)), rgb)
    if isinstance(shape, coal.Cylinder):
        size = (float(shape.radius), float(shape.halfLength))
        return primitive_mesh(Primitive('cylinder', size, np.eye(4)), rgb)
    if isinstance(shape, coal.Sphere):
        return primitive_mesh(Primitive('sphere', (float(shape.radius),), np.eye(4)), rgb)
    if isinstance(shape, coal.BVHModelBase):
        vertices = np.asarray(shape.vertices(), dtype=float)
        faces = np.array([[t[0], t[1], t[2]] for t in
                          (shape.tri_indices(i) for i in range(shape.num_tris))], dtype=np.int64)
        return smooth_mesh(vertices, faces, rgb)
    raise TypeError(f"collision shape '{name}' is a {type(shape).__name__}: cannot be drawn")


@functools.lru_cache(maxsize=2)
def _load(urdf: str) -> tuple[pin.Model, pin.GeometryModel, tuple[Mesh, ...]]:
    """Read the robot once per process: smoothing its meshes takes most of a renderer's start."""
    model = pin.buildModelFromXML(urdf)
    geometry = pin.buildGeomFromUrdfString(model, urdf, pin.GeometryType.COLLISION)
    meshes = tuple(_shape_mesh(g.geometry, g.name) for g in geometry.geometryObjects)
    return model, geometry, meshes


class RobotMesh:
    """Triangles of the whole robot at joint positions, in the frame of ``base_link``.

    Args:
        urdf: URDF text with absolute mesh paths, the workcell's by default.
    """

    def __init__(self, urdf: str | None = None) -> None:
        self._model, self._geometry, self._meshes = _load(urdf or load_urdf())
        self._data, self._geometry_data = self._model.createData(), self._geometry.createData()
        self._arm = [self._index(j) for j in ARM_JOINTS]
        self._jaws = [self._index(j) for j in (GRIPPER_JOINT, GRIPPER_MIMIC_JOINT)]
        self._base = self._model.getFrameId(BASE_FRAME)

    def _index(self, joint: str) -> int:
        return int(self._model.joints[self._model.getJointId(joint)].idx_q)

    def at(self, arm_q: NDArray[np.float64], opening: float) -> Mesh:
        """Return the robot's mesh.

        Args:
            arm_q: (6,) positions of the arm's joints, rad.
            opening: Full opening of the jaws, metres.
        """
        q = pin.neutral(self._model)
        q[self._arm] = arm_q
        q[self._jaws] = opening / 2
        pin.framesForwardKinematics(self._model, self._data, q)
        pin.updateGeometryPlacements(self._model, self._data, self._geometry, self._geometry_data)
        base = self._data.oMf[self._base].inverse()
        return join([m.moved((base * p).homogeneous)
                     for m, p in zip(self._meshes, self._geometry_data.oMg, strict=True)])

