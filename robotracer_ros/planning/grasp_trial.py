# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One grasp, tried: approach and lift in each branch of the arm, and the ways on from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import (
    PathInCollisionError,
    PlanningError,
    UnreachableError,
)
from robotracer_ros.geometry.transforms import invert
from robotracer_ros.planning.base import Grip, Phase
from robotracer_ros.planning.bypass import ROUNDINGS, Bypass
from robotracer_ros.planning.checker import Checker
from robotracer_ros.planning.errand import Errand
from robotracer_ros.planning.failures import Failures
from robotracer_ros.planning.follow import (
    BRANCHES,
    Solved,
    collision_error,
    demand_free,
    explained,
    follow,
    reach,
    seeds,
)
from robotracer_ros.planning.grasp_pose import GraspPose
from robotracer_ros.planning.phase_checkers import PhaseCheckers
from robotracer_ros.planning.segments import (
    Stroke,
    carry_stroke,
    grasp_strokes,
    place_strokes,
    with_turn,
)
from robotracer_ros.planning.solids import Body

Matrix = NDArray[np.float64]

#: shares of ``release_extra_m`` that the jaws are opened by at the place
RELEASES = (1.0, 0.5, 0.25)


@dataclass(frozen=True)
class Solution:
    """A feasible manipulation before timing: solved strokes and jaw moves in order, and how the
    object hangs in the hand.
    """

    steps: tuple[Solved | Grip, ...]
    grasp: GraspPose
    turn: float
    carried: Body
    failed: PlanningError | None = None


class GraspTrial:
    """Everything that can be done with one grasp; what has been found out is kept.

    Args:
        errand: Object, way and place.
        grasp: How to hold the object.
        failures: Gets what fails.
    """

    def __init__(self, errand: Errand, grasp: GraspPose, failures: Failures) -> None:
        self._errand, self._grasp, self._failures = errand, grasp, failures
        p, arm = errand.parameters, errand.tools.arm
        self._closed = float(np.clip(grasp.width, 0.0, arm.max_opening))
        wanted = grasp.width + p.open_extra_m if grasp.opening is None else grasp.opening
        self._opening = float(min(wanted, arm.max_opening))
        # In a bowl there is less room to let go than on a table.
        self._released_options = [
            float(min(grasp.width + share * p.release_extra_m, arm.max_opening))
            for share in RELEASES
        ]
        self._released = self._released_options[0]
        held = invert(grasp.pose) @ errand.thing.pose
        self._carried = Body('carried object', errand.shape, held, True)
        slim = Body('carried object', errand.slim, held, True)
        self._checkers = PhaseCheckers(errand, self._opening, self._closed, self._carried, slim)
        self._found: list[tuple[Solved, Solved]] = []
        self._outcomes: dict[tuple[int, float], str] = {}
        self._source = self._search()

    @property
    def graspable(self) -> bool:
        """Whether the object can be approached and lifted with this grasp."""
        return next(self.prefixes(), None) is not None

    def prefixes(self) -> Iterator[tuple[Solved, Solved]]:
        """Yield approach and lift in every branch where both are free, nearest first; computed
        once, when asked for.
        """
        i = 0
        while i < len(self._found) or self._advance():
            yield self._found[i]
            i += 1

    def _advance(self) -> bool:
        found = next(self._source, None) if len(self._found) < BRANCHES else None
        if found is not None:
            self._found.append(found)
        return found is not None

    def _search(self) -> Iterator[tuple[Solved, Solved]]:
        errand = self._errand
        approach, lift = grasp_strokes(
            self._grasp.pose, errand.thing, self._opening, self._closed, errand.parameters
        )
        with errand.tools.clock('ik'):
            starts = list(seeds(errand.tools.ik, approach.poses[0], errand.start))
        if not starts:
            x, y, z = approach.poses[0, :3, 3]
            self._failures.add(
                Phase.GRASP,
                UnreachableError(
                    f'GRASP: the approach at ({x:.3f}, {y:.3f}, {z:.3f}) m is out of reach',
                    waypoint=0,
                ),
            )
        for q in starts:
            try:
                a, b = follow(errand.tools, (approach, lift), q)
                yield (
                    demand_free(errand.tools, approach, a, self._checkers.of(Phase.GRASP)),
                    demand_free(errand.tools, lift, b, self._checkers.of(Phase.LIFT)),
                )
            except (UnreachableError, PathInCollisionError) as e:
                self._failures.add(Phase.GRASP, e)

    def deliver(self, turn: float, detour: bool) -> Solution | None:
        """Try to bring the object along the trace and put it down turned by ``turn``; None when
        that fails.
        """
        for i, prefix in enumerate(self.prefixes()):
            before = self._outcomes.get((i, turn))
            if before is not None and not (detour and before == Phase.CARRY.name):
                continue  # only what fails on the way can be helped by another way
            try:
                return self._letting_go(prefix, turn, detour)
            except (UnreachableError, PathInCollisionError) as e:
                phase = str(e.details.get('phase', Phase.CARRY.name))
                self._outcomes[i, turn] = 'detour' if detour else phase
                stage = (
                    Phase[phase] if phase in (Phase.CARRY.name, Phase.REACH.name) else Phase.PLACE
                )
                self._failures.add(stage, e, turned=turn != 0.0)
                self._errand.tools.check_time(e)
        return None

    def _letting_go(self, prefix: tuple[Solved, Solved], turn: float, detour: bool) -> Solution:
        """Try narrower openings at the place as long as only letting go fails."""
        for opening in self._released_options:
            self._released = opening
            try:
                return self._from(prefix, turn, detour)
            except PathInCollisionError as e:
                last = opening == self._released_options[-1]
                if last or e.details.get('phase') != Phase.RETREAT.name:
                    raise
        raise AssertionError('unreachable')

    def _from(self, prefix: tuple[Solved, Solved], turn: float, detour: bool) -> Solution:
        errand = self._errand
        after_lift = prefix[1].path[-1]
        carry, ends = self._strokes(with_turn(errand.corners, turn), errand.marks)
        self._demand_ends(ends, after_lift, turn)
        try:
            solved = self._deliver(carry, ends, after_lift, turn)
        except (UnreachableError, PathInCollisionError) as e:
            if not detour or e.details.get('phase') != Phase.CARRY.name:
                raise
            corners = Bypass(
                errand.tools,
                self._checkers.of(Phase.CARRY),
                errand.thing.pose[:3, 3],
                self._grasp.pose,
                after_lift,
            ).corners(with_turn(errand.corners, turn), errand.marks, e)
            solved = self._rounded(corners, after_lift, turn)
        return self._assemble(prefix, solved, turn)

    def _demand_ends(self, ends: tuple[Stroke, ...], start: Matrix, turn: float) -> None:
        """Refuse quickly what cannot work: the place must be reachable in the branch of ``start``,
        and free.

        Raises:
            UnreachableError, PathInCollisionError: it is not.
        """
        if not ends:
            return
        place, tools = ends[0], self._errand.tools
        branch, checker = tools.ik.branch(start), self._checkers.of(Phase.PLACE)
        with tools.clock('ik'):
            for pose in place.poses[[-1, 0]]:
                q = tools.ik.in_branch(pose, branch, start)
                if q is None:
                    x, y, z = pose[:3, 3]
                    raise UnreachableError(
                        f'PLACE: the tool cannot reach ({x:.3f}, {y:.3f}, {z:.3f}) m',
                        waypoint=int(place.waypoints[-1]),
                        phase=Phase.PLACE.name,
                    )
                if checker.hit(q):
                    raise collision_error(place, np.stack([q]), q, checker)

    def _rounded(
        self, corners: tuple[Matrix, NDArray[np.int64]], start: Matrix, turn: float
    ) -> list[Solved]:
        """Follow a detour with its corners rounded as far as there is room."""
        for i, rounding in enumerate(ROUNDINGS):
            try:
                return self._deliver(
                    *self._strokes(*corners, rounding),
                    start,
                    turn,
                    self._checkers.of(Phase.CARRY).eased(),
                )
            except PathInCollisionError as e:
                if i == len(ROUNDINGS) - 1 or e.details.get('phase') != Phase.CARRY.name:
                    raise
        raise AssertionError('unreachable')

    def _strokes(
        self, corners: Matrix, marks: NDArray[np.int64], rounding: float = 1.0
    ) -> tuple[Stroke, tuple[Stroke, ...]]:
        errand = self._errand
        carry = carry_stroke(
            corners,
            marks,
            self._grasp.pose,
            errand.thing.pose[:3, 3],
            self._closed,
            errand.parameters,
            rounding=rounding,
        )
        if errand.trace.ends_in_air:
            return carry, ()
        placed = errand.placed(0.0)
        return carry, place_strokes(
            carry.poses[-1],
            placed,
            len(errand.trace.points) - 1,
            self._closed,
            self._released,
            errand.parameters,
        )

    def _deliver(
        self,
        carry: Stroke,
        ends: tuple[Stroke, ...],
        start: Matrix,
        turn: float,
        checker: Checker | None = None,
    ) -> list[Solved]:
        """Follow and check carry, place and retreat; the cheap ends first."""
        errand = self._errand
        paths = follow(errand.tools, (carry, *ends), start)
        solved = [
            demand_free(errand.tools, s, q, self._checkers.of(s.phase, turn, self._released))
            for s, q in zip(ends, paths[1:], strict=True)
        ]
        return [
            demand_free(errand.tools, carry, paths[0], checker or self._checkers.of(Phase.CARRY)),
            *solved,
        ]

    def _assemble(
        self,
        prefix: tuple[Solved, Solved],
        solved: Sequence[Solved],
        turn: float,
        failed: PlanningError | None = None,
    ) -> Solution:
        errand, p = self._errand, self._errand.parameters
        approach, lift = prefix
        path = reach(errand.tools, errand.start, approach.path[0], self._checkers.of(Phase.REACH))
        way = Stroke(
            Phase.REACH, errand.tools.arm.tcp_path(path), np.full(len(path), -1), self._opening
        )
        inside = max(0.0, self._closed - p.grip_squeeze_m)
        close = Grip(Phase.GRASP, inside, p.grip_force_n, True, self._closed)
        steps: list[Solved | Grip] = [
            Grip(Phase.REACH, self._opening, p.grip_force_n, False),
            Solved(way, path, self._checkers.of(Phase.REACH)),
            approach,
            close,
            lift,
            *solved,
        ]
        if len(solved) == 3:
            steps.insert(-1, Grip(Phase.RELEASE, self._released, p.grip_force_n, False))
        return Solution(tuple(steps), self._grasp, turn, self._carried, failed)

    def partial(self) -> Solution | None:
        """Return the way up to where the trace cannot be followed any further, without letting go;
        None when there is none.
        """
        errand = self._errand
        carry, _ = self._strokes(with_turn(errand.corners, 0.0), errand.marks)
        for prefix in self.prefixes():
            try:
                path, reached = errand.tools.ik.follow(carry.poses, prefix[1].path[-1])
                hit = self._checkers.of(Phase.CARRY).first_hit(path)
                # A few samples back from the trouble, so that there is room to stop.
                end = (reached if hit is None else min(reached, hit)) - 3
                if end < 3:
                    continue
                cut = replace(carry, poses=carry.poses[:end], waypoints=carry.waypoints[:end])
                solved = demand_free(errand.tools, cut, path[:end], self._checkers.of(Phase.CARRY))
                failed = self._failures.furthest
                failed = (
                    explained(failed)
                    if failed is not None
                    else UnreachableError(
                        'the trace cannot be followed', waypoint=int(carry.waypoints[end])
                    )
                )
                if failed.waypoint < 0:
                    failed.waypoint = int(carry.waypoints[end])
                return self._assemble(prefix, [solved], 0.0, failed)
            except (UnreachableError, PathInCollisionError) as e:
                self._failures.add(Phase.CARRY, e)
        return None
