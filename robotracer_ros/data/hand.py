# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The way of the gripper: an object-centric task as the end-effector-centric one that does the same.

The tool centre point comes from above the thing, takes it from above between jaws that straddle it, carries it along
the path of its centre, and ends where it lets go. Things that a hand takes otherwise (at a rim or a handle, too wide)
have no such trace.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.paths import MAX_KEYPOINTS
from robotracer_ros.data.task import Task
from robotracer_ros.data.trace_question import rounded
from robotracer_ros.geometry.trace import TraceKind

#: how far the jaws open, and how far down they reach over a thing, metres
OPENING, GRIP = 0.085, 0.03
#: the gripper comes from this far above the grasp, metres
APPROACH = 0.12
#: keypoints keep this far from the image's border, of 1000
_BORDER = 4.0
#: kinds that are taken at a rim or a handle
_NOT_FROM_ABOVE = ('mug', 'bowl', 'watering can', 'basket', 'tray', 'plate')


def end_effector_task(facts: SceneFacts, task: Task) -> Task | None:
    """Return the task with the path and trace of the tool centre point, or None when there is none to be shown.

    Instruction, goal and reasoning stay: they are about the object.

    Args:
        facts: The scene of the task.
        task: An object-centric task of it; one that is end-effector-centric already is returned as it is.
    """
    if task.kind == TraceKind.END_EFFECTOR_CENTRIC:
        return task
    fact = next(o for o in facts.objects if o.object.id == task.moved)
    if fact.kind in _NOT_FROM_ABOVE or min(fact.object.extents[:2]) > OPENING:
        return None
    middle = (fact.bottom + fact.top) / 2
    grasp = np.array([fact.x, fact.y, fact.top - min(GRIP, fact.height / 2)])
    up = np.array([0.0, 0.0, 1.0])
    above_centre = (grasp[2] - middle) * up
    # The task's path: a surface point, positions of the centre, and the point of the support under the goal.
    centres = task.path[1:] if task.goal is None else task.path[1:-1]
    points = [grasp + APPROACH * up, grasp, *(centres + above_centre)]
    if task.goal is not None:
        points.append(task.path[-1] + (grasp[2] - fact.bottom) * up)
    path = np.array(points)
    if len(path) > MAX_KEYPOINTS:
        return None
    uvd = facts.project(path)
    if not np.all((uvd[:, :2] > _BORDER) & (uvd[:, :2] < 1000 - _BORDER)):
        return None
    trace = rounded(uvd)
    return replace(task, kind=TraceKind.END_EFFECTOR_CENTRIC, path=path, trace=trace)
