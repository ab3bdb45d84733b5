# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Solids that are no part of the robot, as Coal geometry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import coal
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Body:
    """A solid that is no part of the robot.

    Attributes:
        name: As it appears in messages: ``obstacles``, ``support``, ``object``, ``carried object``.
        shape: Coal geometry.
        pose: (4, 4) in the planning frame, or in the tool centre point's frame when ``carried``.
        carried: Moves with the gripper.
    """

    name: str
    shape: coal.CollisionGeometry
    pose: Matrix
    carried: bool = False


def octree(centres: Matrix, voxel: float) -> coal.CollisionGeometry | None:
    """Make an octree of occupied voxels from their centres (N, 3), or None when there are none."""
    if len(centres) == 0:
        return None
    return coal.makeOctree(np.ascontiguousarray(centres, dtype=float), float(voxel))


def box(extents: Iterable[float]) -> coal.CollisionGeometry:
    """Make a box of full side lengths."""
    return coal.Box(*(float(e) for e in extents))


def separation(shape: coal.CollisionGeometry, pose: Matrix, tree: coal.CollisionGeometry) -> float:
    """Return the signed distance (m) of a shape at a pose (4, 4) to an octree."""
    request = coal.DistanceRequest()
    request.enable_signed_distance = True
    result = coal.DistanceResult()
    place = coal.Transform3s(pose[:3, :3], pose[:3, 3])
    return float(coal.distance(shape, place, tree, coal.Transform3s(), request, result))
