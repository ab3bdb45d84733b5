# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pick, carry along the trace, place: try grasps and turns of the object until the whole chain is
feasible.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import (
    NoGraspError,
    PathInCollisionError,
    PlanningError,
    PlanningTimeoutError,
)
from robotracer_ros.planning.base import Phase
from robotracer_ros.planning.errand import Errand
from robotracer_ros.planning.failures import Failures
from robotracer_ros.planning.follow import explained
from robotracer_ros.planning.grasp_pose import GraspPose
from robotracer_ros.planning.grasp_trial import GraspTrial, Solution

Matrix = NDArray[np.float64]

#: grasps that are tried with turns of the object before detours are searched
TURNED_GRASPS = 4


class Manipulation:
    """One search for a pick and place.

    Args:
        errand: What is to be moved and whereto.
    """

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._failures = Failures()
        turns = errand.parameters.yaw_options_deg
        self._turns = [float(np.deg2rad(a)) for a in turns]

    @property
    def corners(self) -> Matrix:
        """Polyline (M, 3) that the object's centre is to follow."""
        return self._errand.corners

    def solve(self, grasps: Sequence[GraspPose], allow_partial: bool) -> Solution:
        """Return the first feasible manipulation.

        Args:
            grasps: Candidates, best first.
            allow_partial: Accept one that ends where the trace cannot be followed further.

        Raises:
            NoGraspError: no candidate can be reached and lifted.
            UnreachableError, PathInCollisionError: the object cannot be brought along the trace;
            names the trace point.
            PlanningTimeoutError: the time is over.
        """
        errand = self._errand
        if not grasps:
            length, width, height = 1e3 * errand.thing.extents
            raise NoGraspError(
                f'the object ({length:.0f} x {width:.0f} x {height:.0f} mm) offers no grasp '
                f'candidate: jaws open to {1e3 * errand.tools.arm.max_opening:.0f} mm',
                waypoint=0,
            )
        kept = grasps[: errand.parameters.max_grasps]
        tried = [GraspTrial(errand, g, self._failures) for g in kept]
        try:
            for trial, turn, detour in self._attempts(tried):
                blocked = self.goal_blocked(turn)
                if blocked is not None:
                    self._failures.add(Phase.PLACE, blocked, turned=turn != 0.0)
                    trial.graspable  # noqa: B018  (whether it can be had at all belongs into the verdict)
                    continue
                solution = trial.deliver(turn, detour)
                if solution is not None:
                    return solution
                errand.tools.check_time(self._failures.furthest)
        except PlanningTimeoutError:
            if not allow_partial:
                raise
        if allow_partial:
            partial = self._partial(tried)
            if partial is not None:
                return partial
        raise self._verdict(tried)

    def _attempts(self, tried: Sequence[GraspTrial]) -> Iterator[tuple[GraspTrial, float, bool]]:
        """Yield what to try: the plain way with every grasp, detours of the best, turning the
        object, the other detours.
        """
        turns = self._turns
        for c in tried:
            yield c, turns[0], False
        good = [c for c in tried if c.graspable]
        for c in good[:2]:
            yield c, turns[0], True
        for c in good[:TURNED_GRASPS]:
            for turn in turns[1:]:
                yield c, turn, False
        for c in good[2:]:
            yield c, turns[0], True
        for c in good[:TURNED_GRASPS]:
            for turn in turns[1:]:
                yield c, turn, True

    @property
    def blocked(self) -> PathInCollisionError | None:
        """Why the object cannot stand at its place however it is turned; None when it can."""
        errors = [self.goal_blocked(turn) for turn in self._turns]
        return errors[0] if all(e is not None for e in errors) else None

    def goal_blocked(self, turn: float) -> PathInCollisionError | None:
        """Tell why the object cannot stand at its place, whatever holds it; None when it can."""
        return self._errand.blocked(turn)

    def _verdict(self, tried: Sequence[GraspTrial]) -> PlanningError:
        error = self._failures.furthest
        error = explained(error) if error is not None else None
        if error is None or not any(c.graspable for c in tried):
            why = f': {error}' if error else ''
            return NoGraspError(
                f'none of {len(tried)} grasp candidates is reachable and free of collision{why}',
                waypoint=0,
                candidates=len(tried),
            )
        return error

    def _partial(self, tried: Sequence[GraspTrial]) -> Solution | None:
        for c in tried:
            if c.graspable:
                solution = c.partial()
                if solution is not None:
                    return solution
        return None
