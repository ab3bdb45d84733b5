# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Ground-truth paths: lift, carry over or around what stands in the way, lower.

The carried object keeps its orientation. Its footprint with a margin is swept over the exact height
map; between the lifted start and the point above the goal the path is the tight string over everything
in the way, so it climbs only where it must.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.facts import Fact, SceneFacts
from robotracer_ros.data.heights import footprint_cells, highest_under

Array = NDArray[np.float64]

#: free space around and under the carried object, metres
SIDE_CLEARANCE, CLEARANCE = 0.03, 0.03
#: how far it is lifted before and lowered after the carry at least, metres
LIFT = 0.08
#: its bottom stays below this height, metres
MAX_BOTTOM = 0.30
#: a way around is tried when the way over climbs higher than this, metres
HIGH_CLIMB = 0.17
#: keypoints of a trace, and the deviation that simplifying may cause, metres
MAX_KEYPOINTS, SIMPLIFY_M = 8, 0.006
#: what must be gone around counts as this high, metres
_TOWER = 1.5
_STEP = 0.01


@dataclass(frozen=True)
class Carry:
    """A path of the centre of an object.

    Attributes:
        centres: (N, 3) from the lifted start to the point above the goal, world, metres.
        length: Along it, metres.
    """

    centres: Array
    length: float


def carry(
    facts: SceneFacts,
    moved: Fact,
    goal: Array,
    waypoints: tuple[Array, ...] = (),
    towers: tuple[int, ...] = (),
    final_lift: float = LIFT,
) -> Carry | None:
    """Find the tight path along straight horizontal legs, or None when it climbs too high.

    Args:
        facts: The scene.
        moved: What is carried, from where it stands.
        goal: (3,) where its bottom centre ends.
        waypoints: (2,) horizontal positions to pass in between.
        towers: Indices of objects that must not be passed over.
        final_lift: How far above the goal the path ends, metres.
    """
    corners = np.array([[moved.x, moved.y], *waypoints, goal[:2]])
    return leg(facts, moved, corners, moved.bottom + LIFT, goal[2] + final_lift, towers)


def leg(
    facts: SceneFacts,
    moved: Fact,
    corners: Array,
    first: float,
    last: float,
    towers: tuple[int, ...] = (),
    fixed_ends: tuple[bool, bool] = (False, False),
) -> Carry | None:
    """Find the tight path over straight horizontal legs between two heights of the bottom.

    Args:
        facts: The scene.
        moved: What is carried.
        corners: (K, 2) ends and bends, K >= 2.
        first: Height of the bottom at the start, metres: raised where something is in the way.
        last: The same at the end.
        towers: Indices of objects that must not be passed over.
        fixed_ends: Which of the two may not be raised.

    Returns:
        The path, or None when it climbs too high or would have to raise a fixed end.
    """
    half_height = (moved.top - moved.bottom) / 2
    legs = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    marks = np.concatenate([[0.0], np.cumsum(legs)])
    s = np.linspace(0.0, marks[-1], max(2, int(np.ceil(marks[-1] / _STEP)) + 1))
    s = np.unique(np.concatenate([s, marks]))
    xy = np.stack([np.interp(s, marks, corners[:, 0]), np.interp(s, marks, corners[:, 1])], axis=1)
    need = required_bottom(facts, moved, xy, towers)
    if (fixed_ends[0] and need[0] > first + 1e-3) or (fixed_ends[1] and need[-1] > last + 1e-3):
        return None
    need[0], need[-1] = max(need[0], first), max(need[-1], last)
    if need.max() > MAX_BOTTOM:
        return None
    bottom = _tight(s, need)
    keep = _corners_of(s, bottom, marks)
    points = simplify(np.column_stack([xy[keep], bottom[keep] + half_height]), SIMPLIFY_M)
    return Carry(points, float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum()))


def required_bottom(
    facts: SceneFacts,
    moved: Fact,
    xy: Array,
    towers: tuple[int, ...] = (),
    clearance: float = CLEARANCE,
    side: float = SIDE_CLEARANCE,
) -> Array:
    """Return the least height (N,) of the carried object's bottom over positions (N, 2)."""
    grid = facts.heights.without(moved.index)
    for t in towers:
        grid = facts.heights.with_height(grid, t, _TOWER)
    e = moved.object.extents
    yaw = float(np.arctan2(moved.object.pose[1, 0], moved.object.pose[0, 0]))
    cells = footprint_cells((float(e[0]) / 2, float(e[1]) / 2), yaw, side)
    top = highest_under(grid, xy, cells, facts.heights.origin)
    return np.where(top > 1e-3, top + clearance, 0.0)


def carry_around(facts: SceneFacts, moved: Fact, goal: Array) -> Carry | None:
    """Find the shorter of the way straight over and, where that climbs high, ways around to either side."""
    direct = carry(facts, moved, goal)
    half_height = (moved.top - moved.bottom) / 2
    if direct is not None and float(direct.centres[:, 2].max()) - half_height <= HIGH_CLIMB:
        return direct
    start = np.array([moved.x, moved.y])
    along = goal[:2] - start
    side = np.array([-along[1], along[0]]) / max(float(np.linalg.norm(along)), 1e-6)
    best = direct
    for offset in (0.10, -0.10, 0.17, -0.17, 0.25, -0.25):
        for share in (0.5, 0.3, 0.7):
            middle = start + share * along + offset * side
            if not facts.reachable(middle):
                continue
            found = carry(facts, moved, goal, (middle,))
            if found is not None and (best is None or found.length < 0.9 * best.length):
                best = found
    return best


def carry_beside(
    facts: SceneFacts, moved: Fact, goal: Array, via: Fact, direction: Array
) -> Carry | None:
    """Find a path that passes an object on a given side, never over it.

    Args:
        facts: The scene.
        moved: What is carried.
        goal: (3,) where its bottom centre ends.
        via: What is passed.
        direction: (2,) horizontal unit vector from it to the side on which it is passed.
    """
    start = np.array([moved.x, moved.y])
    across = np.array([-direction[1], direction[0]])
    if across @ (goal[:2] - start) < 0:
        across = -across
    out = via.half_along(direction) + moved.half_along(direction) + SIDE_CLEARANCE + 0.03
    wide = via.half_along(across) + moved.half_along(across) + SIDE_CLEARANCE + 0.02
    beside = np.array([via.x, via.y]) + out * direction
    options = (
        (beside,),
        (beside - wide * across, beside),
        (beside, beside + wide * across),
        (beside - wide * across, beside + wide * across),
    )
    along = (goal[:2] - start) / max(float(np.linalg.norm(goal[:2] - start)), 1e-6)
    reach = float((goal[:2] - start) @ along)
    for points in options:
        # A way that first leads away from the goal, or past it and back, is not what a person means.
        if not all(
            facts.reachable(p) and -0.03 <= (p - start) @ along <= reach + 0.03 for p in points
        ):
            continue
        found = carry(facts, moved, goal, points, (via.index,))
        if found is not None:
            return found
    return None


def _tight(s: Array, need: Array) -> Array:
    """Return the heights of the tight string over the profile: its upper convex hull."""
    hull: list[int] = []
    for i in range(len(s)):
        while len(hull) >= 2 and (need[hull[-1]] - need[hull[-2]]) * (s[i] - s[hull[-2]]) <= (
            need[i] - need[hull[-2]]
        ) * (s[hull[-1]] - s[hull[-2]]):
            hull.pop()
        hull.append(i)
    return np.interp(s, s[hull], need[hull])


def _corners_of(s: Array, z: Array, marks: Array) -> NDArray[np.int64]:
    """Return the indices of the ends, of the bends of the profile and of the marks of the legs."""
    slope = np.diff(z) / np.maximum(np.diff(s), 1e-9)
    bends = np.flatnonzero(np.abs(np.diff(slope)) > 1e-6) + 1
    legs = np.searchsorted(s, marks)
    return np.unique(np.concatenate([[0], bends, np.minimum(legs, len(s) - 1), [len(s) - 1]]))


def simplify(points: Array, tolerance: float) -> Array:
    """Drop points (N, 3) that lie within a distance of the line between those kept (Ramer-Douglas-Peucker)."""
    keep = np.zeros(len(points), dtype=bool)
    keep[[0, -1]] = True
    stack = [(0, len(points) - 1)]
    while stack:
        a, b = stack.pop()
        if b - a < 2:
            continue
        line = points[b] - points[a]
        length2 = max(float(line @ line), 1e-12)
        offsets = points[a + 1 : b] - points[a]
        t = np.clip(offsets @ line / length2, 0.0, 1.0)
        distance = np.linalg.norm(offsets - t[:, None] * line, axis=1)
        k = int(np.argmax(distance))
        if distance[k] > tolerance:
            keep[a + 1 + k] = True
            stack += [(a, a + 1 + k), (a + 1 + k, b)]
    return points[keep]
