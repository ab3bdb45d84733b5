# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Cut a corrected trace into strokes of the tool: grasp, lift, carry, place, retreat.

A stroke is pure geometry: poses of the tool centre point about every ``path_step_m``, planning
    frame, metres. How the arm gets
there is the concern of :mod:`robotracer_ros.planning.follow`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.geometry.transforms import make_transform, rotation_about
from robotracer_ros.planning.base import Phase
from robotracer_ros.planning.config import PlannerParameters
from robotracer_ros.planning.correct import CorrectedTrace
from robotracer_ros.scene.base import OrientedBox

Matrix = NDArray[np.float64]

#: trace points this close (m) to the vertical of pick or place, and below its upper end, are passed
#: by that vertical
VERTICAL_RADIUS = 0.03
#: finger tips reach this far beyond the tool centre point, and pass an object with this much air, metres
TIP_M, CLEAR_M = 0.0125, 0.015
#: a turn of one rad counts as this many metres where way and turn share a vector
TURN_SCALE = 0.1


@dataclass(frozen=True)
class Stroke:
    """A continuous tool path of one phase.

    Attributes:
        phase: What it is for.
        poses: (K, 4, 4) base_from_tcp.
        waypoints: (K,) trace point headed for, -1 outside the trace.
        opening: Of the jaws, metres.
        carrying: The object is in the gripper.
        touching: Hand and object are about to touch or let go of each other or the support.
    """

    phase: Phase
    poses: Matrix
    waypoints: NDArray[np.int64]
    opening: float
    carrying: bool = False
    touching: bool = False


def polyline(
    points: Matrix, labels: NDArray[np.int64], radius: float, step: float
) -> tuple[Matrix, NDArray[np.int64]]:
    """Round the corners of a polyline and resample it.

    Args:
        points: (N, D), N >= 2.
        labels: (N,) of the points.
        radius: Corners are cut at most this far before and after the corner; the path stays within
            half of it.
        step: Largest distance of samples, metres.

    Returns:
        Samples (K, D) with first and last point unchanged, and the label (K,) of the point that
        each heads for.
    """
    keep = np.concatenate([[True], np.linalg.norm(np.diff(points, axis=0), axis=1) > 1e-4])
    keep[-1] = True
    p, mark = points[keep], labels[keep]
    if len(p) > 2 and np.linalg.norm(p[-1] - p[-2]) <= 1e-4:
        p, mark = np.delete(p, -2, axis=0), np.delete(mark, -2)
    dense, names = [p[0]], [mark[0]]

    def line(a: Matrix, b: Matrix, label: int) -> None:
        n = max(1, int(np.ceil(np.linalg.norm(b - a) / step - 1e-9)))
        for t in np.arange(1, n + 1) / n:
            dense.append(a + t * (b - a))
            names.append(label)

    at = p[0]
    for i in range(1, len(p) - 1):
        before, after = p[i] - p[i - 1], p[i + 1] - p[i]
        cut = min(radius, 0.5 * float(np.linalg.norm(before)), 0.5 * float(np.linalg.norm(after)))
        enter, leave = (
            p[i] - cut * before / np.linalg.norm(before),
            p[i] + cut * after / np.linalg.norm(after),
        )
        if np.linalg.norm(enter - at) > 1e-6:
            line(at, enter, mark[i])
        n = max(2, int(np.ceil(2 * cut / step)))
        for t in np.arange(1, n + 1) / n:
            dense.append((1 - t) ** 2 * enter + 2 * t * (1 - t) * p[i] + t**2 * leave)
            names.append(mark[i] if t <= 0.5 else mark[i + 1])
        at = leave
    if np.linalg.norm(p[-1] - at) > 1e-6 or len(dense) == 1:
        line(at, p[-1], mark[-1])
    return np.array(dense), np.array(names, dtype=np.int64)


def moved_poses(centres: Matrix, turns: Matrix, pick_centre: Matrix, grasp: Matrix) -> Matrix:
    """Return tool poses (K, 4, 4) that bring the object's centre to (K, 3), turned about the
    vertical by (K,) rad.

    Args:
        centres: Where the object's centre goes and by how much it turns since the pick.
        turns: Where the object's centre goes and by how much it turns since the pick.
        pick_centre: (3,) centre at the pick.
        grasp: (4, 4) base_from_tcp at the pick.
    """
    c, s = np.cos(turns), np.sin(turns)
    zero, one = np.zeros_like(c), np.ones_like(c)
    turn = np.stack(
        [np.stack([c, -s, zero], -1), np.stack([s, c, zero], -1), np.stack([zero, zero, one], -1)],
        axis=-2,
    )
    out = np.zeros((len(centres), 4, 4))
    out[:, :3, :3] = turn @ grasp[:3, :3]
    out[:, :3, 3] = centres + turn @ (grasp[:3, 3] - pick_centre)
    out[:, 3, 3] = 1.0
    return out


def straight(start: Matrix, offset: Matrix, step: float) -> Matrix:
    """Return poses (K, 4, 4) from ``start`` to ``start`` moved by ``offset`` (3,), orientation
    kept.
    """
    n = max(2, int(np.ceil(float(np.linalg.norm(offset)) / step)))
    poses = np.repeat(start[None], n + 1, axis=0)
    poses[:, :3, 3] += np.linspace(0.0, 1.0, n + 1)[:, None] * offset
    return poses


def clear_of(tool: Matrix, box: OrientedBox, least: float) -> float:
    """Return how far (m) the tool has to back out along its approach axis to be above a box.

    Args:
        tool: (4, 4) base_from_tcp at the object.
        box: The upright object.
        least: Shortest distance.
    """
    up = max(-float(tool[2, 2]), 0.5)
    top = float(box.pose[2, 3] + box.extents[2] / 2)
    return max(least, (top - float(tool[2, 3]) + TIP_M + CLEAR_M) / up)


def grasp_strokes(
    grasp: Matrix, box: OrientedBox, opening: float, closed: float, parameters: PlannerParameters
) -> tuple[Stroke, Stroke]:
    """Return approach and lift: straight in along the approach axis, straight up.

    Args:
        grasp: (4, 4) base_from_tcp.
        box: The object.
        opening: Of the jaws on the way in, metres.
        closed: Of the jaws on the object, metres.
        parameters: Heights and steps.
    """
    back = -grasp[:3, 2] * clear_of(grasp, box, parameters.pregrasp_m)
    approach = straight(
        make_transform(grasp[:3, :3], grasp[:3, 3] + back), -back, parameters.path_step_m
    )
    lift = straight(grasp, np.array([0.0, 0.0, parameters.lift_m]), parameters.path_step_m)
    return (
        Stroke(Phase.GRASP, approach, np.zeros(len(approach), np.int64), opening, touching=True),
        Stroke(
            Phase.LIFT,
            lift,
            np.ones(len(lift), np.int64),
            closed,
            carrying=True,
            touching=True,
        ),
    )


def carry_centres(
    trace: CorrectedTrace, box: OrientedBox, parameters: PlannerParameters
) -> tuple[Matrix, NDArray[np.int64]]:
    """Return the corners (M, 3) of the object centre's way from above the pick to above the place,
    and their trace indices.

    Trace points next to the verticals of pick and place are dropped: the vertical itself passes
    them.
    """
    n = len(trace.points)
    begin = box.pose[:3, 3] + (0.0, 0.0, parameters.lift_m)
    corners, marks = [begin], [1]
    for i in range(1, n if trace.ends_in_air else n - 1):
        p = trace.points[i]
        if _on_vertical(p, begin):
            continue
        corners.append(p)
        marks.append(i)
    if not trace.ends_in_air:
        end = goal_centre(trace, box, parameters)
        end[2] += parameters.preplace_m
        while len(corners) > 1 and _on_vertical(corners[-1], end):
            corners.pop()
            marks.pop()
        corners.append(end)
        marks.append(n - 1)
    elif len(corners) == 1:  # held right above the pick
        corners.append(trace.points[-1])
        marks.append(n - 1)
    return np.array(corners), np.array(marks, dtype=np.int64)


def goal_centre(trace: CorrectedTrace, box: OrientedBox, parameters: PlannerParameters) -> Matrix:
    """Return the object's centre (3,) at release: its bottom ``drop_m`` above the surface under the
    last point.
    """
    return np.array(
        [*trace.points[-1, :2], trace.surface_z + parameters.drop_m + box.extents[2] / 2]
    )


def with_turn(corners: Matrix, turn: float) -> Matrix:
    """Append the scaled turn to corners (M, 3), growing with the way from 0 to ``turn`` rad: (M,
    4).
    """
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    return np.column_stack([corners, TURN_SCALE * turn * way / max(way[-1], 1e-9)])


def carry_stroke(
    corners: Matrix,
    marks: NDArray[np.int64],
    grasp: Matrix,
    pick_centre: Matrix,
    opening: float,
    parameters: PlannerParameters,
    carrying: bool = True,
    rounding: float = 1.0,
) -> Stroke:
    """Return the tool path that carries the object along corners (M, 4) of its centre and scaled
    turn.

    Args:
        corners: From :func:`carry_centres` and :func:`with_turn`, or a detour's.
        marks: From :func:`carry_centres` and :func:`with_turn`, or a detour's.
        grasp: (4, 4) base_from_tcp at the pick.
        pick_centre: (3,) centre of the object there; for a free tool, its own point.
        opening: Of the jaws, metres.
        parameters: Rounding and step.
        carrying: An object is in the gripper.
        rounding: Share of ``corner_radius_m`` to round with.
    """
    samples, labels = polyline(
        corners, marks, rounding * parameters.corner_radius_m, parameters.path_step_m
    )
    poses = moved_poses(samples[:, :3], samples[:, 3] / TURN_SCALE, pick_centre, grasp)
    return Stroke(Phase.CARRY, poses, labels, opening, carrying=carrying)


def place_strokes(
    above: Matrix,
    box: OrientedBox,
    last: int,
    closed: float,
    released: float,
    parameters: PlannerParameters,
) -> tuple[Stroke, Stroke]:
    """Return place and retreat: straight down, then back along the approach axis.

    Args:
        above: (4, 4) tool pose where carrying ends.
        box: The object at its place.
        last: Index of the last trace point.
        closed: Jaw opening before letting go, metres.
        released: Jaw opening after letting go, metres.
        parameters: Heights and step.
    """
    step = parameters.path_step_m
    down = straight(above, np.array([0.0, 0.0, -parameters.preplace_m]), step)
    back = clear_of(down[-1], box, parameters.retreat_m)
    up = straight(down[-1], -down[-1][:3, 2] * back, step)
    return (
        Stroke(Phase.PLACE, down, np.full(len(down), last), closed, carrying=True, touching=True),
        Stroke(Phase.RETREAT, up, np.full(len(up), -1), released, touching=True),
    )


def placed_box(box: OrientedBox, centre: Matrix, turn: float) -> OrientedBox:
    """Return the object's box at its place: centre (3,), turned about the vertical."""
    return OrientedBox(
        make_transform(rotation_about((0, 0, 1), turn) @ box.pose[:3, :3], centre), box.extents
    )


def _on_vertical(point: Matrix, top: Matrix) -> bool:
    return bool(np.hypot(*(point[:2] - top[:2])) < VERTICAL_RADIUS and point[2] < top[2] + 0.02)
