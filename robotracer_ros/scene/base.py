# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the planner knows of the surroundings, all in the planning (robot base) frame, metres."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class OrientedBox:
    """A box: ``pose`` (4, 4) is planning_from_box, ``extents`` (3,) are full side lengths in metres."""

    pose: NDArray[np.float64]
    extents: NDArray[np.float64]


@dataclass(frozen=True)
class ObjectSegment:
    """The thing at the first trace point, as far as the camera sees it.

    Attributes:
        points: (M, 3) visible surface points.
        box: Estimated box of the whole object: gravity-aligned, standing on ``support_z``.
        mask: (H, W) bool, the segment in the depth image, or None when it came from elsewhere.
        hidden: (K, 3) likely surface points of the unseen back, or None when nobody estimated them.
        eye: (3,) where it was seen from, or None when that is unknown.
    """

    points: NDArray[np.float64]
    box: OrientedBox
    mask: NDArray[np.bool_] | None = None
    hidden: NDArray[np.float64] | None = None
    eye: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class PlanningScene:
    """Obstacles from one depth image, with the robot and the object to be moved taken out.

    Attributes:
        obstacles: (N, 3) centres of occupied voxels.
        voxel_size: Edge of a voxel.
        support_z: Height of the dominant horizontal support (table top), or NaN when none was found.
        moved: The object at the first trace point, or None for an end-effector-centric trace.
        stamp_ns: Time of the depth image.
        surface: (S, 3) points that were seen on level surfaces, the table included, but not on the
            robot or the object: what things can be put down on.
    """

    obstacles: NDArray[np.float64]
    voxel_size: float
    support_z: float
    moved: ObjectSegment | None = None
    stamp_ns: int = 0
    stage_times_s: dict[str, float] = field(default_factory=dict)
    surface: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 3), np.float32))
