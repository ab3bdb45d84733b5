# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Is a way free: an object swept along a path against the exact shapes of everything else.

Unlike the height map of :mod:`robotracer_ros.data.paths`, which keeps a margin around what it plans, this is a judge:
the parts of the moved object against the parts of all others and the table, as the physics has them, and only an
overlap deeper than ``TOUCH_M`` counts. The hand that carries is not there, and the object does not turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import mujoco
import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.task import Task
from robotracer_ros.geometry.transforms import matrix_to_quaternion
from robotracer_ros.sim.spec import Primitive, Scene

Array = NDArray[np.float64]

#: overlaps of up to this are no collision, metres: a trace is written in whole millimetres and thousandths of the image
TOUCH_M = 0.005
#: where the table is the goal, the object may be this deep in it: as far as goal regions reach down
GOAL_DEPTH_M = 0.015
#: distance between two poses that are looked at, metres
STEP_M = 0.005
_TABLE = 'table'


@dataclass(frozen=True)
class Overlap:
    """What the swept object runs into.

    Attributes:
        thing: Id of the other object, or ``table``.
        depth: Deepest overlap of two parts, metres.
        centre: (3,) where the swept object's centre is then, world.
    """

    thing: str
    depth: float
    centre: Array


class Sweep:
    """Collisions of one object with the rest of a scene; made once per object, asked for many paths.

    Args:
        scene: Everything where it stands.
        moved: Id of the object that is swept.
    """

    def __init__(self, scene: Scene, moved: str) -> None:
        self._scene, self._object = scene, scene.object(moved)
        spec = mujoco.MjSpec()
        # Bodies that are fixed to the world never collide with each other, so only the swept object does.
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=(2, 2, 0.1), name=_TABLE)
        for o in scene.objects:
            body = spec.worldbody.add_body(name=o.id, pos=o.pose[:3, 3], quat=_wxyz(o.pose))
            if o.id == moved:
                body.add_freejoint()
            for part in o.parts:
                _add(body, part)
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._data.qpos[3:7] = _wxyz(self._object.pose)
        self._body = int(self._model.body(moved).id)

    def overlaps(self, centre: Array) -> dict[str, float]:
        """Return the deepest overlap (m) with each thing that is touched with the object's centre at a point (3,)."""
        model, data = self._model, self._data
        data.qpos[:3] = centre
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        found: dict[str, float] = {}
        for geoms, distance in zip(data.contact.geom, data.contact.dist, strict=True):
            bodies = model.geom_bodyid[geoms]
            other = int(bodies[0] if bodies[1] == self._body else bodies[1])
            name = str(model.body(other).name) if other else _TABLE
            found[name] = max(found.get(name, 0.0), -float(distance))
        return found

    def first_collision(self, centres: Array, task: Task | None = None) -> Overlap | None:
        """Sweep along straight lines between centres (N, 3), world; return the first collision or None.

        Args:
            centres: Where the object's centre goes.
            task: Above its goal region the object may touch what it is put on or into; without one nothing may be
                touched.
        """
        bottom = np.array([0.0, 0.0, self._object.extents[2] / 2])
        for centre in densified(centres):
            over_goal = task is not None and _above_goal(task, centre - bottom)
            for name, depth in self.overlaps(centre).items():
                allowed = TOUCH_M
                if over_goal and task is not None:
                    if name in task.references:
                        continue
                    if name == _TABLE:
                        allowed = GOAL_DEPTH_M + 1e-6
                if depth > allowed:
                    return Overlap(name, depth, centre)
        return None


def densified(points: Array, step: float = STEP_M) -> Array:
    """Return a polyline (M, 3) with points at most ``step`` metres apart through all of (N, 3)."""
    parts = [points[:1]]
    for a, b in pairwise(points):
        n = max(1, int(np.ceil(np.linalg.norm(b - a) / step)))
        parts.append(a + np.linspace(0.0, 1.0, n + 1)[1:, None] * (b - a))
    return np.concatenate(parts)


def _above_goal(task: Task, bottom: Array) -> bool:
    """Tell whether a bottom centre (3,) is in the goal region or in the column above it."""
    if task.goal is None:
        return False
    local = task.goal.pose[:3, :3].T @ (bottom - task.goal.pose[:3, 3])
    return bool(np.all(np.abs(local[:2]) <= task.goal.extents[:2] / 2))


def _add(body: mujoco.MjsBody, part: Primitive) -> None:
    size = np.zeros(3)
    size[: len(part.size)] = part.size
    kind = getattr(mujoco.mjtGeom, f'mjGEOM_{part.shape.upper()}')
    body.add_geom(type=kind, size=size, pos=part.pose[:3, 3], quat=_wxyz(part.pose), condim=1)


def _wxyz(pose: Array) -> Array:
    return np.roll(matrix_to_quaternion(pose[:3, :3]), 1)
