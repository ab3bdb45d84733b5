# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""An instruction for a scene together with its exact ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.geometry.trace import ReasoningStep, TraceKind


@dataclass(frozen=True)
class GoalRegion:
    """Where the moved object's bottom centre has to end: an oriented box in the world.

    Attributes:
        pose: (4, 4) world_from_region.
        extents: (3,) full side lengths, metres.
    """

    pose: NDArray[np.float64]
    extents: NDArray[np.float64]

    def contains(self, point: NDArray[np.float64]) -> bool:
        """Tell whether a world point (3,) lies inside."""
        local = self.pose[:3, :3].T @ (np.asarray(point) - self.pose[:3, 3])
        return bool(np.all(np.abs(local) <= self.extents / 2))


@dataclass(frozen=True)
class Task:
    """A sentence and what it means in a scene.

    Attributes:
        instruction: What the person says.
        primitive: ``M1`` place relative to a reference, ``M2`` move by a distance, ``M3`` stack,
            ``M4`` bypass then place,
            ``M5`` bypass then stack, ``hover`` pass over each target, ``push`` slide along the
            table with the closed jaws.
        relation: Relation word of the goal, e.g. ``on``, ``left of``.
        moved: Id of the object to move.
        references: Ids of the objects that the goal is relative to.
        kind: Object- or end-effector-centric.
        goal: Success region of the moved object's bottom centre, or None for hover tasks.
        hover_targets: Ids in the order in which they are passed, empty otherwise.
        path: (N, 3) collision-free ground-truth path in the world, N in 2..8: first the visible
            surface point of the object at its
            mask centroid, then positions of the object's centre, last (unless hovering) the point
            of the support surface
            under the placed object's centre. End-effector-centric: positions of the tool centre point.
        trace: (N, 3) the same as (u, v, d) in the scene's camera.
        reasoning: Steps of the generating program in order.
        key_steps: Indices into ``reasoning`` that are annotated as key steps.
        split: ``train``, or what is held out: ``val``, ``wording``, ``composition``.
        via: Id of the object that has to be passed (M4, M5), or None.
        via_side: On which side: ``left of``, ``right of``, ``in front of``, ``behind`` or ``over``; empty otherwise.
        step_objects: For each reasoning step the id of the object that it is about, or None; None for the
            place where the object is to end, too.
        distance: Metres asked for in the instruction, or None.
    """

    instruction: str
    primitive: str
    relation: str
    moved: str
    references: tuple[str, ...]
    kind: TraceKind
    goal: GoalRegion | None
    hover_targets: tuple[str, ...]
    path: NDArray[np.float64]
    trace: NDArray[np.float64]
    reasoning: tuple[ReasoningStep, ...]
    key_steps: tuple[int, ...]
    split: str
    via: str | None = None
    via_side: str = ''
    step_objects: tuple[str | None, ...] = ()
    distance: float | None = None
