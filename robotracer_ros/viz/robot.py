# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The robot as meshes that follow its joints, for viewers."""

from __future__ import annotations

from collections.abc import Mapping

import coal
import numpy as np
import pinocchio as pin
import trimesh
from numpy.typing import NDArray

from robotracer_ros.robot_description import load_urdf

Mesh = tuple[NDArray[np.float64], NDArray[np.int64]]


class RobotMeshes:
    """Triangle meshes of every collision geometry of the workcell's robot, and where they are.

    Attributes:
        meshes: Geometry name to vertices (V, 3) in metres in the geometry's own frame, and faces (F, 3).
    """

    def __init__(self) -> None:
        urdf = load_urdf()
        self._model = pin.buildModelFromXML(urdf)
        self._data = self._model.createData()
        self._geometry = pin.buildGeomFromUrdfString(self._model, urdf, pin.GeometryType.COLLISION)
        self._geometry_data = self._geometry.createData()
        self.meshes: dict[str, Mesh] = {
            g.name: _triangles(g) for g in self._geometry.geometryObjects
        }

    def poses(self, joints: Mapping[str, float]) -> dict[str, NDArray[np.float64]]:
        """Return base_from_geometry (4, 4) by name; joints that are not named stay at zero (rad, m)."""
        q = pin.neutral(self._model)
        for name, position in joints.items():
            if self._model.existJointName(name):
                q[self._model.joints[self._model.getJointId(name)].idx_q] = position
        pin.updateGeometryPlacements(
            self._model, self._data, self._geometry, self._geometry_data, q
        )
        return {
            g.name: p.homogeneous
            for g, p in zip(self._geometry.geometryObjects, self._geometry_data.oMg, strict=True)
        }


def _triangles(geometry: pin.GeometryObject) -> Mesh:
    """Return the triangles of a mesh or primitive."""
    shape = geometry.geometry
    match shape:
        case coal.BVHModelBase():
            faces = np.array(
                [[t[0], t[1], t[2]] for t in (shape.tri_indices(i) for i in range(shape.num_tris))]
            )
            return np.array(shape.vertices()) * geometry.meshScale, faces
        case coal.Box():
            mesh = trimesh.creation.box(2 * np.array(shape.halfSide))
        case coal.Cylinder():
            mesh = trimesh.creation.cylinder(shape.radius, 2 * shape.halfLength, sections=24)
        case coal.Sphere():
            mesh = trimesh.creation.icosphere(2, shape.radius)
        case coal.Capsule():
            mesh = trimesh.creation.capsule(2 * shape.halfLength, shape.radius, count=(12, 12))
        case _:
            raise TypeError(
                f"geometry '{geometry.name}' is a {type(shape).__name__}, which cannot be shown"
            )
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)
