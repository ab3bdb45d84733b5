# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pick, carry along the trace, place: try grasps and turns of the object until the whole chain is
feasible.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import (
    InvalidParameterError,
    NoGraspError,
    PathInCollisionError,
    PlanningError,
    PlanningTimeoutError,
    UnreachableError,
)
from robotracer_ros.geometry.transforms import invert, make_transform
from robotracer_ros.planning.base import Grip, Phase
from robotracer_ros.planning.bearing import INNER_SHARE
from robotracer_ros.planning.bypass import Bypass
from robotracer_ros.planning.collision import (
    GIVE_BACK,
    Body,
    Checker,
    CollisionScene,
    Rules,
    separation,
)
from robotracer_ros.planning.correct import CorrectedTrace
from robotracer_ros.planning.follow import (
    Solved,
    Tools,
    collision_error,
    demand_free,
    explained,
    follow,
    reach,
    seeds,
)
from robotracer_ros.planning.segments import (
    Stroke,
    carry_centres,
    carry_stroke,
    goal_centre,
    grasp_strokes,
    place_strokes,
    placed_box,
    with_turn,
)
from robotracer_ros.planning.shape import object_shape
from robotracer_ros.scene.base import ObjectSegment

Matrix = NDArray[np.float64]

#: grasps that are tried with turns of the object before detours are searched
TURNED_GRASPS = 4
#: arm branches that are tried per grasp
BRANCHES = 4
#: the skin of a surface is ignored this far around the object's footprint, metres: room for the
#: jaws
PATCH_ROOM = 0.05
#: shares of the corner radius that are tried on a detour
ROUNDINGS = (1.0, 0.4, 0.1)
#: shares of ``release_extra_m`` that the jaws are opened by at the place
RELEASES = (1.0, 0.5, 0.25)
#: how far a failure got; the furthest one is reported
_STAGES = ('grasp', 'place', 'carry', 'reach')


@dataclass(frozen=True)
class GraspPose:
    """Where to grasp: base_from_tcp (4, 4) with the jaws closed on ``width`` metres.

    ``opening`` is that of the jaws on the way in, ``width`` and a parameter's extra when None.

    The rotation is made orthonormal: the closed-form inverse kinematics drops solutions of poses
        that are off by rounding.
    """

    pose: Matrix
    width: float
    opening: float | None = None

    def __post_init__(self) -> None:
        u, s, vt = np.linalg.svd(self.pose[:3, :3])
        if np.abs(s - 1.0).max() > 0.05 or np.linalg.det(self.pose[:3, :3]) < 0:
            raise InvalidParameterError(
                f'grasp rotation has singular values {s.tolist()} and determinant '
                f'{np.linalg.det(self.pose[:3, :3]):.3f}: must be a rotation'
            )
        object.__setattr__(self, 'pose', make_transform(u @ vt, self.pose[:3, 3]))


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


class Manipulation:
    """One search for a pick and place.

    Args:
        tools: Robot, parameters, clocks.
        space: Obstacles and support.
        rules: Margins.
        trace: Corrected trace.
        segment: The object where it stands.
        start: (J,) where the arm is.
    """

    def __init__(
        self,
        tools: Tools,
        space: CollisionScene,
        rules: Rules,
        trace: CorrectedTrace,
        segment: ObjectSegment,
        start: Matrix,
    ) -> None:
        self._tools, self._space, self._rules, self._trace = tools, space, rules, trace
        self._thing, self._start = segment.box, start
        self._parameters = tools.config.planner
        self._failures: list[tuple[float, PlanningError]] = []
        thing = segment.box
        extents, pose = thing.extents, thing.pose
        room = extents + 2 * PATCH_ROOM
        self._shape = object_shape(segment)
        # A voxel reaches on average half its edge beyond the surface in it; where things are put
        # next to or into others, that has to be given back.
        self._slim = object_shape(segment, GIVE_BACK * space.voxel)
        self._object = Body('object', self._shape, pose)
        self._blocked: dict[float, PathInCollisionError | None] = {}
        pick_z = float(pose[2, 3] - extents[2] / 2)
        with tools.clock('collision'):
            self._pick_tree = space.trees_without((pose, room, pick_z), inside=(pose, extents))
            self._place_tree = self._pick_tree
            if not trace.ends_in_air:
                goal = placed_box(thing, goal_centre(trace, thing, self._parameters), 0.0)
                # Turned by any angle, the footprint stays within the circle around it.
                circle = np.full(3, float(np.hypot(extents[0], extents[1])) + 2 * PATCH_ROOM)
                self._place_tree = space.trees_without((goal.pose, circle, trace.surface_z))
        self._corners, self._marks = carry_centres(trace, thing, self._parameters)

    @property
    def corners(self) -> Matrix:
        """Polyline (M, 3) that the object's centre is to follow."""
        return self._corners

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
        if not grasps:
            length, width, height = 1e3 * self._thing.extents
            raise NoGraspError(
                f'the object ({length:.0f} x {width:.0f} x {height:.0f} mm) offers no grasp '
                f'candidate: jaws open to {1e3 * self._tools.arm.max_opening:.0f} mm',
                waypoint=0,
            )
        tried = [_Candidate(self, g) for g in grasps[: self._parameters.max_grasps]]
        try:
            for candidate, turn, detour in self._attempts(tried):
                blocked = self.goal_blocked(turn)
                if blocked is not None:
                    self.fail('place', blocked, turn == 0.0)
                    candidate.graspable  # noqa: B018  (whether it can be had at all belongs into the verdict)
                    continue
                solution = candidate.deliver(turn, detour)
                if solution is not None:
                    return solution
                self._tools.check_time(self._furthest())
        except PlanningTimeoutError:
            if not allow_partial:
                raise
        if allow_partial:
            partial = self._partial(tried)
            if partial is not None:
                return partial
        raise self._verdict(tried)

    def _attempts(self, tried: Sequence[_Candidate]) -> Iterator[tuple[_Candidate, float, bool]]:
        """Yield what to try: the plain way with every grasp, detours of the best, turning the
        object, the other detours.
        """
        turns = [float(np.deg2rad(a)) for a in self._parameters.yaw_options_deg]
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
        errors = [self.goal_blocked(float(np.deg2rad(a))) for a in self._parameters.yaw_options_deg]
        return errors[0] if all(e is not None for e in errors) else None

    def goal_blocked(self, turn: float) -> PathInCollisionError | None:
        """Tell why the object cannot stand at its place, whatever holds it; None when it can."""
        if turn not in self._blocked:
            self._blocked[turn] = None
            if not self._trace.ends_in_air and self._place_tree is not None:
                goal = goal_centre(self._trace, self._thing, self._parameters)
                at = placed_box(self._thing, goal, turn).pose
                distance = separation(self._slim, at, self._place_tree)
                if distance < 0:
                    self._blocked[turn] = self._no_place(
                        goal, f'be {-1e3 * distance:.1f} mm deep in obstacles', 'obstacles', distance
                    )
                else:
                    self._blocked[turn] = self._tipping(goal, turn)
        return self._blocked[turn]

    def _tipping(self, goal: Matrix, turn: float) -> PathInCollisionError | None:
        """Tell why the object would not stay at its place, None when it would."""
        ground = self._trace.ground
        if ground is None:
            return None
        rest = goal - (0.0, 0.0, self._parameters.drop_m)
        within = ground.reach(placed_box(self._thing, rest, turn))
        wanted = INNER_SHARE * float(min(self._thing.extents[:2]))
        if within is None or within >= wanted:
            return None
        where = f'{1e3 * within:.0f} mm within' if within > 0 else 'not above'
        why = (
            f'not stay: its middle is {where} what bears it, must be at least '
            f'{1e3 * wanted:.0f} mm within'
        )
        return self._no_place(goal, why, 'ground', within)

    def _no_place(
        self, goal: Matrix, why: str, other: str, distance: float
    ) -> PathInCollisionError:
        x, y, z = goal
        return PathInCollisionError(
            f'PLACE: at ({x:.3f}, {y:.3f}, {z:.3f}) m the object would {why}',
            waypoint=len(self._trace.points) - 1,
            phase=Phase.PLACE.name,
            pair=['carried object', other],
            distance=distance,
        )

    def fail(self, stage: str, error: PlanningError, plain: bool = True) -> None:
        """Remember a failure and how far it got; without a turn of the object (``plain``) it says
        most to a person.
        """
        self._failures.append((_STAGES.index(stage) if plain else 0.5, error))

    def _furthest(self) -> PlanningError | None:
        """Return the failure of the attempt that got furthest, the first of them."""
        if not self._failures:
            return None
        stage = max(s for s, _ in self._failures)
        return next(e for s, e in self._failures if s == stage)

    def _verdict(self, tried: Sequence[_Candidate]) -> PlanningError:
        error = self._furthest()
        error = explained(error) if error is not None else None
        if error is None or not any(c.graspable for c in tried):
            why = f': {error}' if error else ''
            return NoGraspError(
                f'none of {len(tried)} grasp candidates is reachable and free of collision{why}',
                waypoint=0,
                candidates=len(tried),
            )
        return error

    def _partial(self, tried: Sequence[_Candidate]) -> Solution | None:
        for c in tried:
            if c.graspable:
                solution = c.partial()
                if solution is not None:
                    return solution
        return None


class _Candidate:
    """One grasp: its checkers, its approach in each branch, and the ways on from there."""

    def __init__(self, search: Manipulation, grasp: GraspPose) -> None:
        self._m, self.grasp = search, grasp
        p, arm = search._parameters, search._tools.arm
        self.closed = float(np.clip(grasp.width, 0.0, arm.max_opening))
        wanted = grasp.width + p.open_extra_m if grasp.opening is None else grasp.opening
        self.opening = float(min(wanted, arm.max_opening))
        # In a bowl there is less room to let go than on a table.
        self.released_options = [
            float(min(grasp.width + share * p.release_extra_m, arm.max_opening))
            for share in RELEASES
        ]
        self.released = self.released_options[0]
        held = invert(grasp.pose) @ search._thing.pose
        self.slim = Body('carried object', search._slim, held, True)
        self.carried = Body(
            'carried object',
            search._shape,
            invert(grasp.pose) @ search._thing.pose,
            True,
        )
        self._checkers: dict[tuple[str, float], Checker] = {}
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
        m = self._m
        approach, lift = grasp_strokes(
            self.grasp.pose, m._thing, self.opening, self.closed, m._parameters
        )
        with m._tools.clock('ik'):
            starts = list(seeds(m._tools.ik, approach.poses[0], m._start))
        if not starts:
            x, y, z = approach.poses[0, :3, 3]
            m.fail(
                'grasp',
                UnreachableError(
                    f'GRASP: the approach at ({x:.3f}, {y:.3f}, {z:.3f}) m is out of reach',
                    waypoint=0,
                ),
            )
        for q in starts:
            try:
                a, b = follow(m._tools, (approach, lift), q)
                yield (
                    demand_free(m._tools, approach, a, self.checker('grasp')),
                    demand_free(m._tools, lift, b, self.checker('lift')),
                )
            except (UnreachableError, PathInCollisionError) as e:
                m.fail('grasp', e)

    def checker(self, phase: str, turn: float = 0.0) -> Checker:
        """Return the checker of a phase, made when first asked for."""
        key = (phase, turn + 10 * self.released if phase == 'retreat' else 0.0)
        if key not in self._checkers:
            with self._m._tools.clock('collision'):
                self._checkers[key] = self._make(phase, turn, self._m._rules)
        return self._checkers[key]

    def _make(self, phase: str, turn: float, rules: Rules) -> Checker:
        m = self._m
        if phase == 'reach':
            return m._space.checker(rules, self.opening, object_box=m._object).relaxed_at(m._start)
        if phase == 'grasp':
            return m._space.checker(
                rules,
                self.opening,
                touching=True,
                object_box=m._object,
                tree=m._pick_tree,
                use_tree=True,
            )
        if phase == 'lift':
            return m._space.checker(
                rules,
                self.closed,
                touching=True,
                carried=self.slim,
                tree=m._pick_tree,
                use_tree=True,
            )
        if phase == 'carry':
            return m._space.checker(rules, self.closed, carried=self.carried)
        if phase == 'place':
            return m._space.checker(
                rules,
                self.closed,
                touching=True,
                carried=self.slim,
                tree=m._place_tree,
                use_tree=True,
            )
        placed = placed_box(m._thing, goal_centre(m._trace, m._thing, m._parameters), turn)
        return m._space.checker(
            rules,
            self.released,
            touching=True,
            tree=m._place_tree,
            use_tree=True,
            object_box=Body('object', m._shape, placed.pose),
        )

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
                self._m.fail(
                    {'CARRY': 'carry', 'REACH': 'reach'}.get(phase, 'place'), e, turn == 0.0
                )
                self._m._tools.check_time(e)
        return None

    def _letting_go(self, prefix: tuple[Solved, Solved], turn: float, detour: bool) -> Solution:
        """Try narrower openings at the place as long as only letting go fails."""
        for opening in self.released_options:
            self.released = opening
            try:
                return self._from(prefix, turn, detour)
            except PathInCollisionError as e:
                last = opening == self.released_options[-1]
                if last or e.details.get('phase') != Phase.RETREAT.name:
                    raise
        raise AssertionError('unreachable')

    def _from(self, prefix: tuple[Solved, Solved], turn: float, detour: bool) -> Solution:
        m = self._m
        after_lift = prefix[1].path[-1]
        carry, ends = self._strokes(with_turn(m._corners, turn), m._marks)
        self._demand_ends(ends, after_lift, turn)
        try:
            solved = self._deliver(carry, ends, after_lift, turn)
        except (UnreachableError, PathInCollisionError) as e:
            if not detour or e.details.get('phase') != Phase.CARRY.name:
                raise
            corners = Bypass(
                m._tools, self.checker('carry'), m._thing.pose[:3, 3], self.grasp.pose, after_lift
            ).corners(with_turn(m._corners, turn), m._marks, e)
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
        place, tools = ends[0], self._m._tools
        branch, checker = tools.ik.branch(start), self.checker('place')
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
                    *self._strokes(*corners, rounding), start, turn, self.checker('carry').eased()
                )
            except PathInCollisionError as e:
                if i == len(ROUNDINGS) - 1 or e.details.get('phase') != Phase.CARRY.name:
                    raise
        raise AssertionError('unreachable')

    def _strokes(
        self, corners: Matrix, marks: NDArray[np.int64], rounding: float = 1.0
    ) -> tuple[Stroke, tuple[Stroke, ...]]:
        m = self._m
        carry = carry_stroke(
            corners,
            marks,
            self.grasp.pose,
            m._thing.pose[:3, 3],
            self.closed,
            m._parameters,
            rounding=rounding,
        )
        if m._trace.ends_in_air:
            return carry, ()
        placed = placed_box(m._thing, goal_centre(m._trace, m._thing, m._parameters), 0.0)
        return carry, place_strokes(
            carry.poses[-1],
            placed,
            len(m._trace.points) - 1,
            self.closed,
            self.released,
            m._parameters,
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
        m = self._m
        paths = follow(m._tools, (carry, *ends), start)
        solved = [
            demand_free(m._tools, s, q, self.checker(s.phase.name.lower(), turn))
            for s, q in zip(ends, paths[1:], strict=True)
        ]
        return [demand_free(m._tools, carry, paths[0], checker or self.checker('carry')), *solved]

    def _assemble(
        self,
        prefix: tuple[Solved, Solved],
        solved: Sequence[Solved],
        turn: float,
        failed: PlanningError | None = None,
    ) -> Solution:
        m, p = self._m, self._m._parameters
        approach, lift = prefix
        path = reach(m._tools, m._start, approach.path[0], self.checker('reach'))
        way = Stroke(Phase.REACH, m._tools.arm.tcp_path(path), np.full(len(path), -1), self.opening)
        inside = max(0.0, self.closed - p.grip_squeeze_m)
        close = Grip(Phase.GRASP, inside, p.grip_force_n, True, self.closed)
        steps: list[Solved | Grip] = [
            Grip(Phase.REACH, self.opening, p.grip_force_n, False),
            Solved(way, path, self.checker('reach')),
            approach,
            close,
            lift,
            *solved,
        ]
        if len(solved) == 3:
            steps.insert(-1, Grip(Phase.RELEASE, self.released, p.grip_force_n, False))
        return Solution(tuple(steps), self.grasp, turn, self.carried, failed)

    def partial(self) -> Solution | None:
        """Return the way up to where the trace cannot be followed any further, without letting go;
        None when there is none.
        """
        m = self._m
        carry, _ = self._strokes(with_turn(m._corners, 0.0), m._marks)
        for prefix in self.prefixes():
            try:
                path, reached = m._tools.ik.follow(carry.poses, prefix[1].path[-1])
                hit = self.checker('carry').first_hit(path)
                # A few samples back from the trouble, so that there is room to stop.
                end = (reached if hit is None else min(reached, hit)) - 3
                if end < 3:
                    continue
                cut = replace(carry, poses=carry.poses[:end], waypoints=carry.waypoints[:end])
                solved = demand_free(m._tools, cut, path[:end], self.checker('carry'))
                failed = m._furthest()
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
                m.fail('carry', e)
        return None
