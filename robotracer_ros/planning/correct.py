# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From a predicted trace to a path that a robot may follow: sensor depth at contacts, workspace,
obstacles, support.

Contact points lie on surfaces, so the sensor knows them better than the model; mid-air points keep
the predicted depth, since the sensor sees only the background there. Every change is reported; a
change beyond its bound is refused, because a trace that far off most likely means something else
than what it says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import CorrectionTooLargeError, InvalidDepthError
from robotracer_ros.geometry.depth import depth_at
from robotracer_ros.geometry.trace import TraceKind
from robotracer_ros.geometry.transforms import apply, make_transform, rotation_about
from robotracer_ros.planning.base import Correction, CorrectionKind, PlanRequest
from robotracer_ros.planning.bearing import ABOVE, TABLE_M, Ground, bearing_height, ground_of
from robotracer_ros.planning.config import PlannerParameters
from robotracer_ros.scene.base import OrientedBox, PlanningScene

Matrix = NDArray[np.float64]

#: depth window (pixels) at a contact point
WINDOW = 2
#: the surface below a point is looked for within this horizontal distance, metres
COLUMN_RADIUS = 0.025
#: lowest height of a carried object's bottom, or a free tool's tip, above the support, metres
FLOAT_HEIGHT = 0.015
#: an object whose bottom is further than this above the surface at the end of its trace hovers
#: there, metres
HOVER_GAP = 0.02
_DIRECTIONS = np.array(
    [[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (0, 1) if (x, y, z) != (0, 0, 0)],
    float,
)
_DIRECTIONS /= np.linalg.norm(_DIRECTIONS, axis=1, keepdims=True)


@dataclass(frozen=True)
class Envelope:
    """Boxes around the point that follows the trace, upright, as ``(centre offset (3,), half
    extents (3,))`` in metres.
    """

    boxes: tuple[tuple[Matrix, Matrix], ...]
    yaw: float = 0.0

    @property
    def below(self) -> float:
        """Distance from the point down to the lowest side."""
        return float(max(h[2] - o[2] for o, h in self.boxes))

    def box_on(self, place: Matrix) -> OrientedBox | None:
        """Return the box that stands on a place (3,), None when this is more than one box."""
        if len(self.boxes) != 1:
            return None
        half = self.boxes[0][1]
        turn = rotation_about((0, 0, 1), self.yaw)
        return OrientedBox(make_transform(turn, place + np.array([0.0, 0.0, half[2]])), 2 * half)

    def free(self, points: Matrix, centres: Matrix, gap: float) -> NDArray[np.bool_]:
        """Tell for each of (K, 3) points whether no voxel centre (N, 3) is within ``gap`` of a box
        there.
        """
        ok = np.ones(len(points), dtype=bool)
        if len(centres) == 0:
            return ok
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        reach = max(float(np.linalg.norm(o) + np.linalg.norm(h)) for o, h in self.boxes) + gap
        low, high = points.min(axis=0) - reach, points.max(axis=0) + reach
        near = centres[((centres >= low) & (centres <= high)).all(axis=1)]
        for i, p in enumerate(points):
            local = (near - p) @ turn
            ok[i] = not any((np.abs(local - o) <= h + gap).all(axis=1).any() for o, h in self.boxes)
        return ok


@dataclass(frozen=True)
class CorrectedTrace:
    """A trace in the planning frame after correction.

    Attributes:
        points: (N, 3) metres.
        corrections: What was changed, in order.
        ends_in_air: The last point is no contact: hold there.
        surface_z: Height of the surface at the last point when it is a contact, else NaN.
        ground: What the last point lies on when it is a contact, as far as it was seen.
    """

    points: Matrix
    corrections: tuple[Correction, ...]
    ends_in_air: bool
    surface_z: float
    ground: Ground | None = None


def surface_below(point: Matrix, scene: PlanningScene) -> float:
    """Return the height of the highest known surface not above a point (3,), or NaN when nothing is
    known there.
    """
    c = scene.obstacles
    top = float(scene.support_z)
    if len(c):
        column = c[
            (np.hypot(c[:, 0] - point[0], c[:, 1] - point[1]) <= COLUMN_RADIUS)
            & (c[:, 2] <= point[2])
        ]
        if len(column):
            high = float(column[:, 2].max())
            top = high if not np.isfinite(top) else max(top, high)
    return top


def sensor_point(request: PlanRequest, index: int) -> tuple[Matrix, float]:
    """Return the surface point (3,) seen at a trace point's pixel, planning frame, and its depth in
    metres.

    Raises:
        InvalidDepthError: there is no valid depth at the pixel.
    """
    u, v, _ = request.trace.points[index]
    # The depth image may be sampled at another size than the trace's image; both show the same
    # view.
    px = request.depth_camera.uv_to_pixels((u, v))
    px = np.minimum(px, (request.depth_camera.width - 1, request.depth_camera.height - 1))
    try:
        d = depth_at(request.depth, px[0], px[1], WINDOW)
    except InvalidDepthError as e:
        raise InvalidDepthError(f'trace point {index}: {e}', waypoint=index) from e
    return apply(request.base_from_camera, request.depth_camera.lift_pixels(px, d)), d


def correct(
    request: PlanRequest,
    scene: PlanningScene,
    parameters: PlannerParameters,
    workspace: Matrix,
    max_clamp_m: float,
    envelope: Envelope,
    hidden: Callable[[Matrix], bool] = lambda _: False,
) -> CorrectedTrace:
    """Correct a trace.

    Args:
        request: Trace, depth and camera pose.
        scene: Obstacles and support.
        parameters: Bounds.
        workspace: (2, 3) lower and upper corner.
        max_clamp_m: Largest shift into the workspace.
        envelope: What moves along the trace: the object around its centre, or the hand around the
            tool centre point.
        hidden: Tells whether a sensed point (3,) belongs to something that hides the scene: the
            robot itself.

    Raises:
        CorrectionTooLargeError: a point would have to move further than its bound; names point,
            distance and bound.
        InvalidDepthError: no depth at a contact point.
    """
    points = apply(request.base_from_camera, request.trace.xyz)
    made: list[Correction] = []
    last = len(points) - 1
    objects = request.trace.kind == TraceKind.OBJECT_CENTRIC

    def move(i: int, target: Matrix, kind: CorrectionKind, reason: str, bound: float) -> None:
        offset = np.asarray(target, dtype=float) - points[i]
        size = float(np.linalg.norm(offset))
        if size < 1e-6:
            return
        if size > bound:
            raise CorrectionTooLargeError(
                f'trace point {i} would have to move {size:.3f} m ({reason}): at most {bound:.3f} m '
                'is allowed',
                waypoint=i,
                distance=size,
                limit=bound,
                kind=kind.name,
            )
        points[i] = target
        made.append(Correction(kind, i, offset, reason))

    def to_sensor(i: int) -> None:
        seen, depth = sensor_point(request, i)
        on_moved = i == last and _on_moved(request, scene, i)
        if on_moved or hidden(seen):
            # What the sensor sees there is the object itself, or the robot: take the support on the
            # same ray.
            what = 'the object that is to move' if on_moved else 'the robot'
            plane = _on_plane(request, i, scene.support_z)
            if plane is None:
                return
            move(
                i,
                plane,
                CorrectionKind.SUPPORT,
                f'{what} hides the place; support height taken',
                parameters.max_sensor_m,
            )
            return
        move(
            i,
            seen,
            CorrectionKind.SENSOR_DEPTH,
            f'contact point takes sensor depth {depth:.3f} m instead of {request.trace.points[i, 2]:.3f} m',
            parameters.max_sensor_m,
        )

    surface = surface_below(points[last], scene)
    # A flat thing that hovers low has its centre low: the bound shrinks with what moves.
    bound = min(parameters.hold_height_m, HOVER_GAP + envelope.below)
    ends_in_air = not np.isfinite(surface) or bool(points[last, 2] - surface > bound)
    surface_z, ground = float('nan'), None
    if objects:
        to_sensor(0)
        if not ends_in_air:
            to_sensor(last)
            ground = ground_of(scene, points[last])
            if (
                np.isfinite(scene.support_z)
                and abs(points[last, 2] - scene.support_z) <= parameters.snap_support_m
                and not _on_something(points[last], ground)
            ):
                move(
                    last,
                    np.array([*points[last, :2], scene.support_z]),
                    CorrectionKind.SUPPORT,
                    'place lies on the support',
                    parameters.snap_support_m + 1e-9,
                )
            box = envelope.box_on(points[last])
            if box is not None:
                # Pressed onto the lower of two surfaces, it would meet the higher one too early.
                high = bearing_height(
                    ground, box, float(points[last, 2]), parameters.snap_support_m
                )
                move(
                    last,
                    np.array([*points[last, :2], high]),
                    CorrectionKind.SUPPORT,
                    'place raised to the highest thing under the object',
                    parameters.snap_support_m,
                )
            surface_z = float(points[last, 2])
    elif not ends_in_air:
        ends_in_air = (
            True  # a free tool never lets go of anything; it is kept off the surface below
        )

    for i in range(1 if objects else 0, len(points)):
        contact = i == last and not ends_in_air
        inside = np.clip(points[i], workspace[0], workspace[1])
        if contact:
            inside[2] = points[i, 2]  # a surface is where it is
        move(i, inside, CorrectionKind.WORKSPACE, 'moved into the workspace', max_clamp_m)
        if contact:
            continue
        if np.isfinite(scene.support_z):
            lowest = scene.support_z + envelope.below + FLOAT_HEIGHT
            if points[i, 2] < lowest:
                move(
                    i,
                    np.array([*points[i, :2], lowest]),
                    CorrectionKind.OBSTACLE,
                    'raised above the support',
                    parameters.max_push_m,
                )
        target = _pushed_out(points[i], scene, envelope, parameters, workspace)
        if target is None:
            raise CorrectionTooLargeError(
                f'trace point {i} lies in an obstacle, and no free place is within '
                f'{parameters.max_push_m:.3f} m',
                waypoint=i,
                distance=float('inf'),
                limit=parameters.max_push_m,
                kind=CorrectionKind.OBSTACLE.name,
            )
        move(
            i,
            target,
            CorrectionKind.OBSTACLE,
            'pushed out of an obstacle',
            parameters.max_push_m + 1e-9,
        )
    return CorrectedTrace(points, tuple(made), ends_in_air, surface_z, ground)


def _on_something(place: Matrix, ground: Ground) -> bool:
    """Tell whether what is around a place (3,) is higher than the table, be it by millimetres."""
    near = ground.around(place, COLUMN_RADIUS)
    near = near[np.abs(near[:, 2] - place[2]) < ABOVE]
    return len(near) >= 8 and bool(np.median(near[:, 2]) > ground.support_z + TABLE_M)


def _pushed_out(
    point: Matrix,
    scene: PlanningScene,
    envelope: Envelope,
    parameters: PlannerParameters,
    workspace: Matrix,
) -> Matrix | None:
    """Return the nearest free place in the directions up and sideways, the point itself when free,
    None when there is none.
    """
    gap = parameters.margin_m + scene.voxel_size / 2
    if envelope.free(point[None], scene.obstacles, gap)[0]:
        return point
    for distance in np.arange(0.01, parameters.max_push_m + 1e-9, 0.01):
        candidates = point + distance * _DIRECTIONS
        inside = ((candidates >= workspace[0]) & (candidates <= workspace[1])).all(axis=1)
        if not inside.any():
            continue
        ok = np.flatnonzero(inside)[envelope.free(candidates[inside], scene.obstacles, gap)]
        if len(ok):
            # Straight up is what a person would do: prefer the highest among equals.
            return np.asarray(candidates[ok[np.argmax(candidates[ok, 2])]])
    return None


def _on_moved(request: PlanRequest, scene: PlanningScene, index: int) -> bool:
    """Tell whether a trace point's pixel shows the object that is to be moved."""
    if scene.moved is None or scene.moved.mask is None:
        return False
    mask = scene.moved.mask
    u, v, _ = request.trace.points[index]
    col = min(round(u / 1000 * mask.shape[1]), mask.shape[1] - 1)
    row = min(round(v / 1000 * mask.shape[0]), mask.shape[0] - 1)
    return bool(mask[row, col])


def _on_plane(request: PlanRequest, index: int, height: float) -> Matrix | None:
    """Intersect the ray of a trace point with the horizontal plane at a height; None when they do
    not meet.
    """
    if not np.isfinite(height):
        return None
    eye = request.base_from_camera[:3, 3]
    ray = apply(request.base_from_camera, request.trace.xyz[index]) - eye
    if abs(ray[2]) < 1e-6:
        return None
    t = (height - eye[2]) / ray[2]
    return np.asarray(eye + t * ray) if t > 0 else None
