# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Watch a run for contacts that nobody intended.

What the robot or the object that it handles touches is looked at after every physics step.
Intended are: jaws with the moved object, the moved object with what it stood on and with its goal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.robot_description import GRIPPER_CONTACT_LINKS
from robotracer_ros.sim.physics import TABLE
from robotracer_ros.sim.world import Touch, World, collect_touches

#: an unintended contact counts beyond this force (N) or this penetration (m)
CONTACT_LIMITS = (5.0, 0.002)

_SCENERY, _ROBOT, _JAW, _MOVED, _ALLOWED = range(5)


def is_beyond(force: float, penetration: float,
              limits: tuple[float, float] = CONTACT_LIMITS) -> bool:
    """Say whether a contact of this force (N) and penetration (m) counts."""
    return force > limits[0] or penetration > limits[1]


@dataclass(frozen=True)
class Violation:
    """The worst of one unintended contact between two bodies.

    Attributes:
        bodies: Names of links, object ids or ``table``.
        force: Largest summed force, newtons.
        penetration: Deepest overlap, metres.
        first_time, last_time: Simulated seconds of its first and last step.
        peak_time: Simulated seconds of the largest force.
        position: (3,) world position at that time.
    """

    bodies: tuple[str, str]
    force: float
    penetration: float
    first_time: float
    last_time: float
    peak_time: float
    position: NDArray[np.float64]

    def describe(self) -> str:
        """Return one line for a report."""
        return (f'{self.bodies[0]} and {self.bodies[1]}: {self.force:.1f} N, '
                f'{self.penetration * 1000:.2f} mm at {self.peak_time:.2f} s')


class ContactMonitor:
    """Record unintended contacts of a world until :meth:`close`.

    Args:
        world: Watched from now on, at every step.
        moved: Id of the object that is handled, or None when everything is to be left alone.
        support: Ids (or ``table``) that it may touch because it stood there; found from the
            present contacts when None.
        goal: Ids (or ``table``) that it may touch because it is to be put there.

    Raises:
        InvalidParameterError: an id is not in the scene.
    """

    def __init__(self, world: World, moved: str | None = None,
                 support: tuple[str, ...] | None = None,
                 goal: tuple[str, ...] = (TABLE,)) -> None:
        self._world = world
        self._found: dict[tuple[str, str], Violation] = {}
        self.moved = moved
        if moved is None:
            self.support: tuple[str, ...] = ()
        else:
            self.support = supports(world, moved) if support is None else support
        self.goal = goal if moved is not None else ()
        names = {TABLE, *(o.id for o in world.scene().objects)}
        for name in (moved, *self.support, *self.goal):
            if name is not None and name not in names:
                raise InvalidParameterError(f"contact monitor: no object '{name}' in the scene; "
                                            f'there are {", ".join(sorted(names))}')
        self._unintended = self._table()
        self._model = world.model
        world.observers.append(self._look)

    def _table(self) -> NDArray[np.bool_]:
        """Tell for every pair of geoms whether its contact is unintended, (ngeom, ngeom)."""
        m = self._world.model
        scenery = {TABLE, *(o.id for o in self._world.scene().objects)}
        kind = np.full(m.nbody, _ROBOT)
        for i in range(m.nbody):
            name = m.body(i).name
            if name == self.moved:
                kind[i] = _MOVED
            elif name in (*self.support, *self.goal):
                kind[i] = _ALLOWED
            elif name in scenery or name == 'world':
                kind[i] = _SCENERY
            elif name in GRIPPER_CONTACT_LINKS:
                kind[i] = _JAW
        bad = np.zeros((5, 5), dtype=bool)
        for robot in (_ROBOT, _JAW):
            bad[robot, :] = bad[:, robot] = True
        bad[_JAW, _MOVED] = bad[_MOVED, _JAW] = False
        bad[_JAW, _JAW] = False
        bad[_MOVED, _SCENERY] = bad[_SCENERY, _MOVED] = True
        of_geom = kind[m.geom_bodyid]
        return bad[of_geom[:, None], of_geom[None, :]]

    def _look(self, world: World) -> None:
        data = world.data
        if data.ncon == 0:
            return
        if world.model is not self._model:
            raise InvalidParameterError('contact monitor: the world has loaded another scene; '
                                        'close the monitor before a reset to a new scene')
        pairs = data.contact.geom
        indices = np.flatnonzero(self._unintended[pairs[:, 0], pairs[:, 1]])
        if indices.size:
            for touch in collect_touches(world.model, data, indices):
                self._record(touch, world.time)

    def _record(self, touch: Touch, time: float) -> None:
        old = self._found.get(touch.bodies)
        if old is None:
            self._found[touch.bodies] = Violation(touch.bodies, touch.force, touch.penetration,
                                                  time, time, time, touch.position)
            return
        worse = touch.force > old.force
        self._found[touch.bodies] = Violation(
            touch.bodies, max(touch.force, old.force), max(touch.penetration, old.penetration),
            old.first_time, time, time if worse else old.peak_time,
            touch.position if worse else old.position)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """All unintended contacts so far, hardest first."""
        return tuple(sorted(self._found.values(), key=lambda v: -v.force))

    def beyond(self, force: float = CONTACT_LIMITS[0],
               penetration: float = CONTACT_LIMITS[1]) -> tuple[Violation, ...]:
        """Return the unintended contacts above a force (N) or a penetration (m)."""
        return tuple(v for v in self.violations
                     if is_beyond(v.force, v.penetration, (force, penetration)))

    def close(self) -> None:
        """Stop watching; may be called twice."""
        if self._look in self._world.observers:
            self._world.observers.remove(self._look)


def supports(world: World, object_id: str) -> tuple[str, ...]:
    """Return what an object stands on: bodies that touch it from below; the table when none does.

    Raises:
        InvalidParameterError: the object is not in the scene.
    """
    if object_id not in world.object_poses():
        raise InvalidParameterError(f"no object '{object_id}' in the scene")
    below = []
    for touch in world.touches():
        if object_id in touch.bodies:
            first = touch.bodies[0] == object_id
            # The normal points from the first to the second body.
            downward = -touch.normal[2] if first else touch.normal[2]
            if downward > 0.5:
                below.append(touch.bodies[1] if first else touch.bodies[0])
    return tuple(below) or (TABLE,)
