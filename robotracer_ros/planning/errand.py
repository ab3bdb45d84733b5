# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What is to be moved and whereto, as shapes: what all grasps of one search have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import PathInCollisionError
from robotracer_ros.planning.base import Phase
from robotracer_ros.planning.bearing import INNER_SHARE
from robotracer_ros.planning.checker import Rules
from robotracer_ros.planning.collision_scene import GIVE_BACK, CollisionScene
from robotracer_ros.planning.correct import CorrectedTrace
from robotracer_ros.planning.follow import Tools
from robotracer_ros.planning.segments import carry_centres, goal_centre, placed_box
from robotracer_ros.planning.shape import object_shape
from robotracer_ros.planning.solids import Body, separation
from robotracer_ros.scene.base import ObjectSegment, OrientedBox

Matrix = NDArray[np.float64]

#: the skin of a surface is ignored this far around the object's footprint, metres: room for the
#: jaws
PATCH_ROOM = 0.05


class Errand:
    """One object, its way and its place.

    Args:
        tools: Robot, parameters, clocks.
        space: Obstacles and support.
        rules: Margins.
        trace: Corrected trace.
        segment: The object where it stands.
        start: (J,) where the arm is.

    Attributes:
        tools, space, rules, trace, start: As given.
        parameters: Of the planner.
        thing: Box of the object where it stands.
        shape: Of the object, in the frame of its box.
        slim: The same as far as it surely goes, for where things touch on purpose.
        at_pick: Obstacles without what the object stands on.
        at_place: Obstacles without what it is put on.
        corners: Polyline (M, 3) that the object's centre is to follow.
        marks: (M,) trace points of the corners.
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
        self.tools, self.space, self.rules, self.trace = tools, space, rules, trace
        self.thing, self.start = segment.box, start
        self.parameters = tools.config.planner
        self.shape = object_shape(segment)
        # A voxel reaches on average half its edge beyond the surface in it; where things are put
        # next to or into others, that has to be given back.
        self.slim = object_shape(segment, GIVE_BACK * space.voxel)
        self.corners, self.marks = carry_centres(trace, self.thing, self.parameters)
        self._blocked: dict[float, PathInCollisionError | None] = {}
        pose, extents = self.thing.pose, self.thing.extents
        bottom = float(pose[2, 3] - extents[2] / 2)
        with tools.clock('collision'):
            self.at_pick = space.without(
                (pose, extents + 2 * PATCH_ROOM, bottom), inside=(pose, extents)
            )
            self.at_place = self.at_pick
            if not trace.ends_in_air:
                # Turned by any angle, the footprint stays within the circle around it.
                circle = np.full(3, float(np.hypot(extents[0], extents[1])) + 2 * PATCH_ROOM)
                self.at_place = space.without((self.placed(0.0).pose, circle, trace.surface_z))

    @property
    def goal(self) -> Matrix:
        """The object's centre (3,) at release."""
        return goal_centre(self.trace, self.thing, self.parameters)

    def placed(self, turn: float) -> OrientedBox:
        """Return the object's box at release, turned by ``turn`` rad."""
        return placed_box(self.thing, self.goal, turn)

    def standing(self) -> Body:
        """Return the object where it stands."""
        return Body('object', self.shape, self.thing.pose)

    def standing_at_place(self, turn: float) -> Body:
        """Return the object after release, turned by ``turn`` rad."""
        return Body('object', self.shape, self.placed(turn).pose)

    def blocked(self, turn: float) -> PathInCollisionError | None:
        """Tell why the object cannot stand at its place, whatever holds it; None when it can."""
        if turn not in self._blocked:
            self._blocked[turn] = None
            if not self.trace.ends_in_air:
                self._blocked[turn] = self._overlap(turn) or self._tipping(turn)
        return self._blocked[turn]

    def _overlap(self, turn: float) -> PathInCollisionError | None:
        """Tell how deep in obstacles the object would be, None when there is room."""
        tree = self.at_place.tree
        if tree is None:
            return None
        distance = separation(self.slim, self.placed(turn).pose, tree)
        if distance >= 0:
            return None
        return self._no_place(
            f'be {-1e3 * distance:.1f} mm deep in obstacles', 'obstacles', distance
        )

    def _tipping(self, turn: float) -> PathInCollisionError | None:
        """Tell why the object would not stay at its place, None when it would."""
        ground = self.trace.ground
        if ground is None:
            return None
        rest = self.goal - (0.0, 0.0, self.parameters.drop_m)
        within = ground.reach(placed_box(self.thing, rest, turn))
        wanted = INNER_SHARE * float(min(self.thing.extents[:2]))
        if within is None or within >= wanted:
            return None
        where = f'{1e3 * within:.0f} mm within' if within > 0 else 'not above'
        why = (
            f'not stay: its middle is {where} what bears it, must be at least '
            f'{1e3 * wanted:.0f} mm within'
        )
        return self._no_place(why, 'ground', within)

    def _no_place(self, why: str, other: str, distance: float) -> PathInCollisionError:
        x, y, z = self.goal
        return PathInCollisionError(
            f'PLACE: at ({x:.3f}, {y:.3f}, {z:.3f}) m the object would {why}',
            waypoint=len(self.trace.points) - 1,
            phase=Phase.PLACE.name,
            pair=['carried object', other],
            distance=distance,
        )
