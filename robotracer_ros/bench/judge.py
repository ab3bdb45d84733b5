# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Success of a task, judged from the simulator's ground truth alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.reading import bottom_centre, missed_target
from robotracer_ros.data.task import Task
from robotracer_ros.sim.spec import Scene

__all__ = ['KNOCK_M', 'Verdict', 'bottom_centre', 'judge']

#: a bystander that moved further than this was knocked
KNOCK_M = 0.02


@dataclass(frozen=True)
class Verdict:
    """How a task ended.

    Attributes:
        success: The task is done and nothing else was knocked over.
        reason: Empty, or what is wrong, with the figure.
        goal_offset_m: Vector (3,) from the goal region's centre to the object's bottom centre in the region's frame;
            empty for hover tasks.
        knocked: Ids of other objects that moved more than ``KNOCK_M``, with the distance.
    """

    success: bool
    reason: str
    goal_offset_m: tuple[float, ...]
    knocked: dict[str, float]


def judge(
    task: Task,
    scene: Scene,
    poses: Mapping[str, NDArray[np.float64]],
    carried: NDArray[np.float64] | None = None,
) -> Verdict:
    """Judge a task.

    Args:
        task: What was asked for.
        scene: The scene as it was before the robot moved.
        poses: world_from_object (4, 4) of every object at the end, by id.
        carried: (T, 3) positions of the moved object's bottom centre over the run; needed for hover tasks.
    """
    knocked = {
        o.id: float(np.linalg.norm(poses[o.id][:3, 3] - o.position))
        for o in scene.objects
        if o.id != task.moved
    }
    # What stands on or in the moved object travels with it and what it is put on may settle:
    # neither is a knock of the robot.
    knocked = {k: d for k, d in knocked.items() if d > KNOCK_M and k not in task.references}
    offset: tuple[float, ...] = ()
    reason = ''
    if task.goal is not None:
        end = bottom_centre(scene, task.moved, poses[task.moved])
        local = task.goal.pose[:3, :3].T @ (end - task.goal.pose[:3, 3])
        offset = tuple(float(x) for x in local)
        if not task.goal.contains(end):
            beyond = float(np.linalg.norm(np.maximum(np.abs(local) - task.goal.extents / 2, 0.0)))
            reason = f'{task.moved} ended {100 * beyond:.1f} cm outside the goal region'
    if not reason and task.hover_targets:
        if carried is None:
            raise ValueError(
                f"hover task '{task.instruction}' needs the carried object's path to be judged"
            )
        reason = missed_target(task, scene, carried)
    if not reason and knocked:
        worst = max(knocked, key=lambda k: knocked[k])
        reason = f'{worst} was moved by {100 * knocked[worst]:.1f} cm'
    return Verdict(not reason, reason, offset, knocked)
