# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Collision checks of arm, gripper and carried object against self, obstacles and support (Coal,
broad phase).

A :class:`Checker` answers for one fixed set of bodies and contact rules; building one takes about a
millisecond, a check about 10-20 microseconds. Margins are Coal security margins: distances below
them count as collisions.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from robotracer_ros.planning.robot_geometry import RobotGeometry
from robotracer_ros.planning.solids import Body

Matrix = NDArray[np.float64]

#: distances between which a clearance is searched, metres; beyond the first it is reported as that
CLEARANCE_LEVELS = (
    0.10,
    0.08,
    0.06,
    0.045,
    0.035,
    0.027,
    0.02,
    0.015,
    0.011,
    0.008,
    0.006,
    0.004,
    0.002,
    0.0,
)


@dataclass(frozen=True)
class Contact:
    """Two things closer than allowed: their names and their distance (m, negative: penetration)."""

    first: str
    second: str
    distance: float
    margin: float

    def __str__(self) -> str:
        state = (
            f'{-self.distance * 1e3:.1f} mm deep in'
            if self.distance < 0
            else f'{self.distance * 1e3:.1f} mm from'
        )
        return f'{self.first} {state} {self.second} (margin {self.margin * 1e3:.1f} mm)'


@dataclass(frozen=True)
class Rules:
    """Margins of a checker, metres.

    Attributes:
        margin: To obstacles and support, of arm and carried object.
        contact: Of the hand (and the carried object) in phases that touch things.
        own: Between links of the robot.
    """

    margin: float
    contact: float
    own: float


class Checker:
    """Checks configurations against one set of bodies and rules.

    Args:
        robot: Geometry of the robot.
        bodies: Further solids.
        pairs: ``(a, b, margin)`` with a and b a link's index in ``robot.links`` or a body's name.
        opening: Of the jaws, metres.
        uncounted: Pairs that are checked but are no part of the clearance.
        slim: The hand is made this much thinner, metres; see :meth:`RobotGeometry.slimmed`.
    """

    def __init__(
        self,
        robot: RobotGeometry,
        bodies: Sequence[Body],
        pairs: Iterable[tuple[int | str, int | str, float]],
        opening: float,
        uncounted: Iterable[tuple[int | str, int | str]] = (),
        slim: float = 0.0,
    ) -> None:
        self._robot = robot
        self._model, self._data = robot.arm.model, robot.arm.data
        self._opening = opening
        self._geom = (robot.geom if slim <= 0 else robot.slimmed(slim)).copy()
        names: dict[int | str, int] = {i: i for i in range(len(robot.links))}
        for b in bodies:
            joint = robot.tool_joint if b.carried else 0
            placement = (robot.joint_from_tcp if b.carried else robot.world_from_base) @ b.pose
            o = pin.GeometryObject(
                b.name, joint, 0, pin.SE3(placement[:3, :3], placement[:3, 3]), b.shape
            )
            names[b.name] = int(self._geom.addGeometryObject(o))
        pairs, margins = list(pairs), []
        for a, b_, margin in pairs:
            self._geom.addCollisionPair(pin.CollisionPair(names[a], names[b_]))
            margins.append(margin)
        self._margins = np.array(margins)
        self._labels = [*robot.links, *(b.name for b in bodies)]
        self._broad: tuple[pin.GeometryData, object] | None = None
        quiet = set(uncounted)
        self._outer = np.array(
            [
                (a, b_) not in quiet and (isinstance(a, str) or isinstance(b_, str))
                for a, b_, _ in pairs
            ],
            dtype=bool,
        )

    def with_rules(self, old: Rules, new: Rules) -> Checker:
        """Return a new checker of the same bodies with the margins of ``new`` where they were those
        of ``old``.

        Margins that were changed since are reduced by a third.
        """
        margins = 0.65 * self._margins
        for before, after in (
            (old.margin, new.margin),
            (old.contact, new.contact),
            (old.own, new.own),
        ):
            margins[self._margins == before] = after
        return self._with_margins(margins)

    def eased(self, factor: float = 0.75) -> Checker:
        """Return this checker with smaller margins to everything outside of the robot.

        A sampled way is checked again between its samples, and rounded: with the full margin that
        would refuse many.
        """
        return self._with_margins(
            np.where(self._margins > 0, factor * self._margins, self._margins)
        )

    def relaxed_at(self, q: Matrix) -> Checker:
        """Return this checker, or one with smaller margins when arm positions (J,) are nearer to
        something than allowed.

        A robot that starts close to a thing has to be allowed to move away from it; nowhere on the
        way it may come closer.
        """
        if not self.hit(q):
            return self
        distances = self._distances(q)
        present = np.maximum(0.8 * distances, 0.0)
        return self._with_margins(np.where(distances < self._margins, present, self._margins))

    def _with_margins(self, margins: Matrix) -> Checker:
        """Return a checker of the same bodies with other margins (P,), in the order of the pairs."""
        other = copy.copy(self)
        other._margins, other._broad = margins, None
        return other

    def _distances(self, q: Matrix) -> Matrix:
        """Return the signed distance (P,) of every pair at arm positions (J,)."""
        data = self._geom.createData()
        for request in data.distanceRequests:
            request.enable_signed_distance = True
        pin.computeDistances(
            self._model, self._data, self._geom, data, self._robot.arm.full(q, self._opening)
        )
        return np.array([r.min_distance for r in data.distanceResults])

    def hit(self, q: Matrix) -> bool:
        """Tell whether arm positions (J,) collide or come closer than a margin."""
        return bool(
            pin.computeCollisions(
                self._model, self._data, self._manager, self._robot.arm.full(q, self._opening), True
            )
        )

    def first_hit(self, path: Matrix) -> int | None:
        """Return the index of the first colliding configuration of (T, J), or None."""
        manager, model, data = self._manager, self._model, self._data
        for i, full in enumerate(self._robot.arm.full(path, self._opening)):
            if pin.computeCollisions(model, data, manager, full, True):
                return i
        return None

    def hits(self, path: Matrix) -> NDArray[np.bool_]:
        """Return for each configuration of (T, J) whether it collides."""
        manager, model, data = self._manager, self._model, self._data
        return np.array(
            [
                pin.computeCollisions(model, data, manager, full, True)
                for full in self._robot.arm.full(path, self._opening)
            ],
            dtype=bool,
        )

    def contact(self, q: Matrix) -> Contact | None:
        """Return the pair that violates its margin most at (J,), or None when there is none."""
        distances = self._distances(q)
        if len(distances) == 0 or (distances - self._margins).min() >= 0:
            return None
        k = int(np.argmin(distances - self._margins))
        pair = self._geom.collisionPairs[k]
        return Contact(
            self._labels[pair.first],
            self._labels[pair.second],
            float(distances[k]),
            float(self._margins[k]),
        )

    def clearance(self, path: Matrix) -> float:
        """Return the smallest distance (m) of robot and carried object to the bodies along (T, J).

        Pairs within the robot, and of the upper arm with the support, do not count. Exact to a
        fifth of the gap between two :data:`CLEARANCE_LEVELS`, rounded down; never more than the
        first level.
        """
        if len(path) == 0 or not self._outer.any():
            return CLEARANCE_LEVELS[0]
        full = self._robot.arm.full(path, self._opening)
        model, data, geom = self._model, self._data, self._geom
        # Margins change all the time here, which a broad phase would have to be rebuilt for.
        close = geom.createData()
        for k in np.flatnonzero(~self._outer):
            close.deactivateCollisionPair(int(k))
        requests = [close.collisionRequests[int(k)] for k in np.flatnonzero(self._outer)]

        def within(margin: float, q: Matrix) -> bool:
            for request in requests:
                request.security_margin = margin
            return bool(pin.computeCollisions(model, data, geom, close, q, True))

        level = 0
        # Far apart samples first: they bring the level down early, and every later check is
        # cheaper.
        order = np.argsort(np.arange(len(full)) * 0.6180339887 % 1.0)
        for i in order:
            while within(CLEARANCE_LEVELS[level], full[i]):
                level += 1
                if level == len(CLEARANCE_LEVELS):
                    return 0.0
        if level == 0:
            return CLEARANCE_LEVELS[0]
        low, high = CLEARANCE_LEVELS[level], CLEARANCE_LEVELS[level - 1]
        near = [f for f in full if within(high, f)]
        for margin in np.linspace(low, high, 6)[1:-1]:
            if any(within(float(margin), f) for f in near):
                break
            low = float(margin)
        return low

    @property
    def _manager(self) -> object:
        """The broad phase, made when first needed."""
        if self._broad is None:
            data = self._geom.createData()
            for request, margin in zip(data.collisionRequests, self._margins, strict=True):
                request.security_margin = max(float(margin), 0.0)
            # Pinocchio reads the margins only here, so they must be set before.
            self._broad = (
                data,
                pin.BroadPhaseManager_DynamicAABBTreeCollisionManager(
                    self._model, self._geom, data
                ),
            )
        return self._broad[1]
