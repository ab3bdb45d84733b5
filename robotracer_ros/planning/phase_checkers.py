# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What may touch what in each phase of a pick and place with one grasp."""

from __future__ import annotations

from robotracer_ros.planning.base import Phase
from robotracer_ros.planning.checker import Checker
from robotracer_ros.planning.errand import Errand
from robotracer_ros.planning.solids import Body


class PhaseCheckers:
    """The collision checkers of one grasp, each made when first asked for.

    Args:
        errand: Object, way and place.
        opening: Of the jaws on the way in, metres.
        closed: Of the jaws on the object, metres.
        carried: The object in the gripper.
        slim: The same as far as it surely goes.
    """

    def __init__(
        self, errand: Errand, opening: float, closed: float, carried: Body, slim: Body
    ) -> None:
        self._errand, self._opening, self._closed = errand, opening, closed
        self._carried, self._slim = carried, slim
        self._made: dict[tuple[Phase, float, float], Checker] = {}

    def of(self, phase: Phase, turn: float = 0.0, released: float = 0.0) -> Checker:
        """Return the checker of a phase.

        Args:
            phase: One of the table in :meth:`_make`.
            turn: Of the object at its place, rad; matters to the retreat only.
            released: Opening of the jaws after letting go, metres; matters to the retreat only.
        """
        key = (phase, turn, released) if phase == Phase.RETREAT else (phase, 0.0, 0.0)
        if key not in self._made:
            with self._errand.tools.clock('collision'):
                self._made[key] = self._make(*key)
        return self._made[key]

    def _make(self, phase: Phase, turn: float, released: float) -> Checker:
        e = self._errand
        around, at_pick, at_place = e.space, e.at_pick, e.at_place
        match phase:
            case Phase.REACH:
                far = around.checker(e.rules, self._opening, object_box=e.standing())
                return far.relaxed_at(e.start)
            case Phase.GRASP:
                return at_pick.checker(
                    e.rules, self._opening, touching=True, object_box=e.standing()
                )
            case Phase.LIFT:
                return at_pick.checker(e.rules, self._closed, touching=True, carried=self._slim)
            case Phase.CARRY:
                return around.checker(e.rules, self._closed, carried=self._carried)
            case Phase.PLACE:
                return at_place.checker(e.rules, self._closed, touching=True, carried=self._slim)
            case Phase.RETREAT:
                return at_place.checker(
                    e.rules, released, touching=True, object_box=e.standing_at_place(turn)
                )
        raise ValueError(f'nothing moves in the phase {phase.name}')
