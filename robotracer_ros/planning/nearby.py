# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Places beside the one that a trace ends at, for when the object or the hand has no room there.

A model that points at a place is off by a centimetre or two, and beside other things that is the
difference between standing and overlapping. The place moves sideways, on the same surface, by a
stated bound, and the move is reported like every other correction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.planning.base import Correction, CorrectionKind
from robotracer_ros.planning.correct import CorrectedTrace, surface_below
from robotracer_ros.scene.base import PlanningScene

Matrix = NDArray[np.float64]

#: distances between the places that are tried, metres
STEP = 0.01
#: places per distance
DIRECTIONS = 12


def nearby_places(
    trace: CorrectedTrace, scene: PlanningScene, workspace: Matrix, max_shift_m: float
) -> Iterator[CorrectedTrace]:
    """Yield traces that end beside the given one on the same surface, nearest first.

    Args:
        trace: Ends at a contact.
        scene: Says where the surface goes on.
        workspace: (2, 3) lower and upper corner.
        max_shift_m: Largest horizontal distance.
    """
    last = len(trace.points) - 1
    angles = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    for distance in np.arange(STEP, max_shift_m + 1e-9, STEP):
        for angle in angles:
            offset = distance * np.array([np.cos(angle), np.sin(angle), 0.0])
            place = trace.points[last] + offset
            if (place[:2] < workspace[0, :2]).any() or (place[:2] > workspace[1, :2]).any():
                continue
            # A voxel's centre is up to half its edge beside the surface that it stands for.
            below = surface_below(place + np.array([0.0, 0.0, scene.voxel_size]), scene)
            if not abs(below - trace.surface_z) <= scene.voxel_size:
                continue
            made = Correction(CorrectionKind.OBSTACLE, last, offset, 'place moved to where there is room')
            yield replace(
                trace,
                points=np.vstack([trace.points[:last], place]),
                corrections=(*trace.corrections, made),
            )
