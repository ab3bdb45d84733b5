# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Traces that are wrong on purpose, each in one way: what a learned model may answer on a bad day.

Every case turns the ground truth of a task into a wrong trace, or says that the scene does not offer
what it needs. A planner may refuse such a trace or carry it out; it must never hit anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.task import Task
from robotracer_ros.geometry.camera import UV_RANGE, CameraModel
from robotracer_ros.geometry.transforms import apply, invert
from robotracer_ros.sim.scenes import SceneConfig, footprint_distance, standing_pose
from robotracer_ros.sim.spec import (
    SEG_BACKGROUND,
    SEG_ROBOT,
    SEG_TABLE,
    Rendering,
    Scene,
    SceneObject,
)

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: open things whose rim a trace may end on
_OPEN = ('cup', 'mug', 'bowl', 'flower pot', 'basket')
#: fewest visible pixels of a thing that a case uses
_VISIBLE = 30


@dataclass(frozen=True)
class View:
    """What a case is made from: the scene, its exact image, the task and random numbers."""

    scene: Scene
    rendering: Rendering
    task: Task
    rng: np.random.Generator

    @property
    def camera(self) -> CameraModel:
        """Intrinsics."""
        return self.scene.camera

    def mask(self, index: int) -> Mask:
        """Return the pixels (H, W) of an object's index or a ``SEG_`` value."""
        return self.rendering.segmentation == index

    def pick(self, wanted: Callable[[SceneObject], bool]) -> tuple[SceneObject, Mask] | None:
        """Return one of the visible things that fulfil a condition, and its pixels."""
        found = [
            (o, self.mask(i))
            for i, o in enumerate(self.scene.objects)
            if wanted(o) and self.mask(i).sum() >= _VISIBLE
        ]
        return found[self.rng.integers(len(found))] if found else None

    def at(self, mask: Mask, how: str = 'middle') -> Matrix | None:
        """Return (u, v, d) of a pixel of a mask: ``middle``, ``top``, ``foot``, ``side`` or ``any``."""
        rows, columns = np.nonzero(mask)
        if len(rows) == 0:
            return None
        if how == 'middle':
            k = np.argmin(np.hypot(rows - rows.mean(), columns - columns.mean()))
        elif how == 'any':
            k = self.rng.integers(len(rows))
        elif how == 'side':
            k = np.argmin(columns) if self.rng.random() < 0.5 else np.argmax(columns)
        else:
            ends = rows == (rows.min() if how == 'top' else rows.max())
            k = np.flatnonzero(ends)[np.argmin(np.abs(columns[ends] - columns.mean()))]
        return self.pixel(int(rows[k]), int(columns[k]))

    def pixel(self, row: int, column: int) -> Matrix:
        """Return (u, v, d) of a pixel; a metre where nothing is measured."""
        depth = float(self.rendering.depth[row, column])
        u, v = self.camera.pixels_to_uv((column, row))
        return np.array([u, v, depth if depth > 0 else 1.0])

    def seen(self, world: Matrix) -> Matrix:
        """Return (u, v, d) of points (N, 3) in the world, clipped to the image."""
        uvd = self.camera.project(apply(invert(self.scene.world_from_camera), world))
        uvd[:, :2] = np.clip(uvd[:, :2], 0.0, UV_RANGE)
        return uvd

    def truth(self) -> Matrix:
        """Return the true trace (N, 3), clipped to the image."""
        points = np.array(self.task.trace, dtype=float)
        points[:, :2] = np.clip(points[:, :2], 0.0, UV_RANGE)
        return points

    def between(self, start: Matrix, end: Matrix, height: float = 0.15) -> Matrix:
        """Return a trace (4, 3) from one surface point to another, ``height`` m above both between."""
        pose = self.scene.world_from_camera
        a, b = apply(pose, self.camera.lift(np.stack([start, end])))
        middle = [p * (1, 1, 0) + (0, 0, max(a[2], b[2], 0.0) + height) for p in (a, b)]
        return np.stack([start, *self.seen(np.array(middle)), end])


Case = Callable[[View], Matrix | None]


def _start(wanted: Callable[[SceneObject], bool], how: str) -> Case:
    def case(view: View) -> Matrix | None:
        found = view.pick(wanted)
        start = view.at(found[1], how) if found else None
        return None if start is None else view.between(start, view.truth()[-1])

    return case


def _start_mask(index: int) -> Case:
    def case(view: View) -> Matrix | None:
        start = view.at(view.mask(index), 'any')
        return None if start is None else view.between(start, view.truth()[-1])

    return case


def _end(wanted: Callable[[SceneObject], bool], how: str) -> Case:
    def case(view: View) -> Matrix | None:
        found = view.pick(lambda o: o.id != view.task.moved and wanted(o))
        end = view.at(found[1], how) if found else None
        return None if end is None else view.between(view.truth()[0], end)

    return case


def _beside(wanted: Callable[[SceneObject], bool], at_start: bool) -> Case:
    """Begin or end on the table some pixels beside a thing."""

    def case(view: View) -> Matrix | None:
        found = view.pick(lambda o: o.id != view.task.moved and wanted(o))
        if found is None:
            return None
        rows, columns = np.nonzero(found[1])
        table = view.mask(SEG_TABLE)
        for _ in range(50):
            k = view.rng.integers(len(rows))
            r, c = rows[k] + view.rng.integers(-9, 10), columns[k] + view.rng.integers(-9, 10)
            if 0 <= r < table.shape[0] and 0 <= c < table.shape[1] and table[r, c]:
                spot, truth = view.pixel(int(r), int(c)), view.truth()
                return view.between(spot, truth[-1]) if at_start else view.between(truth[0], spot)
        return None

    return case


def _end_off_table(view: View) -> Matrix | None:
    end = view.at(view.mask(SEG_BACKGROUND), 'any')
    return None if end is None else view.between(view.truth()[0], end)


def _end_at_table_edge(view: View) -> Matrix | None:
    """End so close to where the table ends that half of the object would hang over it."""
    reach = 3
    h, w = view.rendering.segmentation.shape
    beyond = np.pad(view.mask(SEG_BACKGROUND), reach)
    near = np.zeros((h, w), dtype=bool)
    for row, column in ((0, reach), (2 * reach, reach), (reach, 0), (reach, 2 * reach)):
        near |= beyond[row : row + h, column : column + w]
    near &= view.mask(SEG_TABLE)
    end = view.at(near, 'any')
    return None if end is None else view.between(view.truth()[0], end)


def _through(wanted: Callable[[SceneObject], bool]) -> Case:
    """Lead the way through the middle of a thing."""

    def case(view: View) -> Matrix | None:
        found = view.pick(lambda o: o.id != view.task.moved and wanted(o))
        if found is None:
            return None
        truth = view.truth()
        return np.vstack([truth[:1], view.seen(found[0].position[None]), truth[-1:]])

    return case


def _low(view: View) -> Matrix | None:
    """Drag along the table in a straight line: nothing is lifted over anything."""
    pose = view.scene.world_from_camera
    truth = view.truth()
    a, b = apply(pose, view.camera.lift(truth[[0, -1]]))
    way = a + np.linspace(0.2, 0.8, 4)[:, None] * (b - a)
    way[:, 2] = 0.03
    return np.vstack([truth[:1], view.seen(way), truth[-1:]])


def _depths(which: str, offset: float) -> Case:
    def case(view: View) -> Matrix | None:
        points = view.truth()
        part = {'all': slice(None), 'middle': slice(1, -1), 'start': slice(0, 1)}
        points[part.get(which, slice(-1, None)), 2] += offset
        return points

    return case


def _scribble(view: View) -> Matrix | None:
    """Start right, then go anywhere in the robot's reach, through whatever is there."""
    truth = view.truth()
    n = int(view.rng.integers(2, 7))
    wild = view.rng.uniform((0.30, -0.36, 0.02), (0.74, 0.36, 0.35), (n, 3))
    return np.vstack([truth[:1], view.seen(wild)])


def _wild(view: View) -> Matrix | None:
    """Go from any pixel of a thing to any pixel at all, which the model takes for near or far."""
    h, w = view.rendering.depth.shape
    start = view.at(view.rendering.segmentation >= 0, 'any')
    end = view.pixel(int(view.rng.integers(h)), int(view.rng.integers(w)))
    end[2] += view.rng.uniform(-0.15, 0.15)
    return None if start is None else view.between(start, end)


def _touching(view: View) -> Matrix | None:
    """Start on one of two things that touch."""
    pairs = [
        (i, a)
        for i, a in enumerate(view.scene.objects)
        for b in view.scene.objects
        if a is not b and a.graspable and not b.fixed and footprint_distance(a, b) < 0.002
    ]
    if not pairs:
        return None
    start = view.at(view.mask(pairs[view.rng.integers(len(pairs))][0]), 'middle')
    return None if start is None else view.between(start, view.truth()[-1])


def _wall(o: SceneObject) -> bool:
    return o.kind == 'wall'


def _too_large(o: SceneObject) -> bool:
    return not o.graspable and not o.fixed


def _other(o: SceneObject) -> bool:
    return not o.fixed


#: how a trace can be wrong, by name; a case returns None where the scene does not offer it
CASES: dict[str, Case] = {
    'start on a wall': _start(_wall, 'middle'),
    'start on the top of a wall': _start(_wall, 'top'),
    'start on the foot of a wall': _start(_wall, 'foot'),
    'start on the end of a wall': _start(_wall, 'side'),
    'start beside a wall': _beside(_wall, True),
    'start on the table': _start_mask(SEG_TABLE),
    'start on the robot': _start_mask(SEG_ROBOT),
    'start on something too large': _start(_too_large, 'any'),
    'start beside something': _beside(_other, True),
    'start where two things touch': _touching,
    'end inside another thing': _end(_other, 'middle'),
    'end on top of another thing': _end(_other, 'top'),
    'end on a rim': _end(lambda o: o.kind in _OPEN, 'top'),
    'end on the near rim': _end(lambda o: o.kind in _OPEN, 'any'),
    'end in the middle of a wall': _end(_wall, 'middle'),
    'end on top of a wall': _end(_wall, 'top'),
    'end beside a wall': _beside(_wall, False),
    'end beside something': _beside(_other, False),
    'end off the table': _end_off_table,
    'end at the edge of the table': _end_at_table_edge,
    'through a wall': _through(_wall),
    'through something': _through(_other),
    'along the table': _low,
    # Along the ray that is just within what a contact point may be moved by.
    'all 19 cm too far': _depths('all', 0.19),
    'all 19 cm too near': _depths('all', -0.19),
    'way 20 cm too far': _depths('middle', 0.2),
    'way 20 cm too near': _depths('middle', -0.2),
    'start 19 cm too far': _depths('start', 0.19),
    'end 20 cm too far': _depths('end', 0.2),
    'end 20 cm too near': _depths('end', -0.2),
    'end 10 cm too near': _depths('end', -0.1),
    'scribble': _scribble,
    'wild': _wild,
}

#: the case that needs things side by side
TOUCHING = 'start where two things touch'


def scenes_of(case: str) -> SceneConfig:
    """Return what the scenes of a case hold: walls where the case needs them."""
    return SceneConfig(wall_probability=1.0) if 'wall' in case else SceneConfig()


def side_by_side(scene: Scene) -> Scene | None:
    """Push a thing against a graspable one, so that both stand side by side; None where none can be."""
    standing = [
        o for o in scene.objects if not o.fixed and abs(o.position[2] - o.extents[2] / 2) < 0.005
    ]
    for thing in standing:
        for other in standing if thing.graspable else ():
            if other is thing:
                continue
            toward = other.position[:2] - thing.position[:2]
            toward = toward / np.linalg.norm(toward)
            yaw = float(np.arctan2(toward[1], toward[0]))
            gap = float(thing.extents[0] + other.extents[0]) / 2 + 0.0005
            made = scene.with_poses(
                {
                    thing.id: _stood(thing, thing.position, yaw),
                    other.id: _stood(other, thing.position[:2] + gap * toward, yaw),
                }
            )
            pair = (made.object(thing.id), made.object(other.id))
            rest = [o for o in made.objects if o.id not in (thing.id, other.id)]
            if all(footprint_distance(a, b) > 0.01 for a in pair for b in rest):
                return made
    return None


def _stood(o: SceneObject, place: Matrix, yaw: float) -> Matrix:
    return standing_pose(o, float(place[0]), float(place[1]), yaw)
