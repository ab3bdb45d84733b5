# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The things of a frame around one platform: what stands on what, which tops are flat, which things hold others.

The world is the frame's, moved so that the platform is at z = 0. Things rest on it exactly: the lower side of their
boxes is moved to the surface that they stand on, because annotations end up to 5 cm above or below it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.facts import ELSEWHERE, ON_TABLE
from robotracer_ros.data.heights import CELL
from robotracer_ros.data.program import SIZE_WORD_RATIO
from robotracer_ros.data.scans import platforms
from robotracer_ros.data.scans.frame import ScanBox, ScanFrame
from robotracer_ros.data.scans.labels import CONTAINERS, ROUND, STRUCTURE, last_word
from robotracer_ros.data.scans.labels import movable as movable_label
from robotracer_ros.data.scans.platforms import FLAT_M, REST_M, REST_OVERLAP, Platform
from robotracer_ros.data.scans.segments import Segments
from robotracer_ros.geometry.transforms import make_transform
from robotracer_ros.sim.spec import SEG_BACKGROUND, Primitive, SceneObject

Array = NDArray[np.float64]

#: what people move with their hands is at most this long, metres
_LONGEST_MOVED = 0.8
#: boxes that lean more than this are obstacles only: cosine of the angle
_UPRIGHT = 0.985
#: share of the cells of a top that must be seen flat for it to carry something
_SEEN_TOP = 0.5
#: share of a support's top that things are put on, and of a container's mouth that leads to its floor
_USED_TOP, _USED_MOUTH = 0.8, 0.7
#: side of the used part of a support's top at least, metres
_LEAST_TOP = 0.06
#: depth of a container and pixels of its floor that must be seen at least
_LEAST_HOLLOW, _LEAST_FLOOR_PIXELS = 0.03, 20


class Setting:
    """The things of a frame around a platform.

    Args:
        frame: The frame.
        segments: What is seen in it.
        platform: The surface at z = 0; None when nothing is to be moved: then all things stand elsewhere.

    Attributes:
        height: Of the platform in the frame's world, metres.
        kept: Indices of the frame's boxes that are objects here: those that the picture shows.
        boxes: These, in the world of the platform.
        place: Index of the platform's own box among them, or -1.
        around: Indices of boxes around the whole platform, e.g. of a row of cabinets.
        on: What each thing stands on: an index, ``ON_TABLE`` or ``ELSEWHERE``.
        segmentation: (H, W) int16, index of an object or ``SEG_BACKGROUND``.
        points: (H, W, 3) in the world of the platform, NaN without depth.
    """

    def __init__(self, frame: ScanFrame, segments: Segments, platform: Platform | None) -> None:
        self._frame, self.platform = frame, platform
        self.height = 0.0 if platform is None else platform.height
        self.kept = [
            i
            for i, b in enumerate(frame.boxes)
            if segments.seen[i] > 0 and b.label not in STRUCTURE
        ]
        self.boxes = [self.lowered(frame.boxes[i]) for i in self.kept]
        self.place = self.kept.index(platform.box) if platform and platform.box in self.kept else -1
        self.around = self._enclosing()
        self.on = self._rests()
        number = np.full(len(frame.boxes) + 1, SEG_BACKGROUND, dtype=np.int16)
        number[self.kept] = np.arange(len(self.kept))
        self.segmentation: NDArray[np.int16] = number[segments.segmentation]
        self.points: Array = segments.points - (0.0, 0.0, self.height)

    def lowered(self, box: ScanBox) -> ScanBox:
        """Return a box of the frame in the world of the platform."""
        return replace(box, pose=make_transform(translation=(0.0, 0.0, -self.height)) @ box.pose)

    def encloses(self, box: ScanBox) -> bool:
        """Tell whether a box is around the platform, e.g. a row of cabinets around a counter."""
        if self.platform is None:
            return False
        own = self.lowered(self._frame.boxes[self.platform.box])
        return (
            box.id != own.id
            and platforms.overlap(own, box) >= 0.5
            and platforms.bottom(box) < 0.0 < platforms.top(box)
        )

    def _enclosing(self) -> tuple[int, ...]:
        return tuple(i for i, b in enumerate(self.boxes) if self.encloses(b))

    def _rests(self) -> list[int]:
        """Return for every object what it stands on: another one, ``ON_TABLE`` or ``ELSEWHERE``."""
        on = [ELSEWHERE] * len(self.boxes)
        if self.platform is None:
            return on
        for i in sorted(range(len(on)), key=lambda k: platforms.bottom(self.boxes[k])):
            box = self.boxes[i]
            if i == self.place or i in self.around or box.pose[2, 2] < _UPRIGHT:
                continue
            on[i] = self._rest(i, on)
        return on

    def _rest(self, i: int, on: list[int]) -> int:
        box, low = self.boxes[i], platforms.bottom(self.boxes[i])
        gaps = {ON_TABLE: abs(low)} if self.kept[i] in self.resting else {}
        for j, other in enumerate(self.boxes):
            if j in (i, self.place) or j in self.around:
                continue
            smaller = box.extents[:2].prod() < other.extents[:2].prod()
            if not smaller or platforms.overlap(box, other) < REST_OVERLAP:
                continue
            if platforms.bottom(other) - 0.01 <= low < platforms.top(other) - REST_M:
                # Inside the other box: in a bowl it lies, elsewhere nobody knows.
                return j if last_word(other.label) in CONTAINERS and on[j] != ELSEWHERE else ELSEWHERE
            gap = abs(low - platforms.top(other))
            if gap <= REST_M and on[j] != ELSEWHERE:
                gaps[j] = gap
        return min(gaps, key=lambda k: gaps[k]) if gaps else ELSEWHERE

    @property
    def resting(self) -> tuple[int, ...]:
        """Indices of the frame's boxes that stand on the platform directly."""
        return () if self.platform is None else self.platform.resting

    def scene_objects(self) -> tuple[SceneObject, ...]:
        """Return the boxes as objects of a scene, resting exactly, with what depth tells of their tops."""
        sizes = _size_words(self.boxes)
        objects = []
        for i, box in enumerate(self.boxes):
            on = self.on[i]
            o = self._rested(box, on)
            low = float(o.pose[2, 3] - o.extents[2] / 2)
            here = on != ELSEWHERE and bool(box.label)
            flat = self._flat_top(box, self.segmentation == i) if here else None
            floor = None
            if here and last_word(box.label) in CONTAINERS:
                flat, floor = None, self._floor(box, self.segmentation == i, low)
            level = flat if flat is not None else floor
            share = _USED_TOP if flat is not None else _USED_MOUTH
            objects.append(
                replace(
                    o,
                    size_name=sizes[i],
                    graspable=here
                    and movable_label(box.label)
                    and float(box.extents.max()) <= _LONGEST_MOVED,
                    fixed=not movable_label(box.label),
                    support=flat is not None,
                    container=floor is not None,
                    support_height=0.0 if level is None else level - low,
                    support_size=(
                        float(share * o.extents[0] / 2),
                        float(share * o.extents[1] / 2),
                    ),
                )
            )
        return tuple(objects)

    def _rested(self, box: ScanBox, on: int) -> SceneObject:
        """Move the lower side of a box to what it stands on, where that leaves a box."""
        if on == ELSEWHERE or (on >= 0 and last_word(self.boxes[on].label) in CONTAINERS):
            return as_object(box)
        low = 0.0 if on == ON_TABLE else platforms.top(self.boxes[on])
        high = platforms.top(box)
        if high - low < 0.005:
            return as_object(box)
        pose = box.pose.copy()
        pose[:3, :3] = _levelled(box.pose[:3, :3])
        pose[2, 3] = (low + high) / 2
        return as_object(
            replace(box, pose=pose, extents=np.array([*box.extents[:2], high - low]))
        )

    def _own_points(self, box: ScanBox, mask: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Return the points (N, 2) of a mask in the floor plan of its box and their heights (N,)."""
        points = self.points[mask]
        return (points - box.pose[:3, 3])[:, :3] @ box.pose[:3, :2], points[:, 2]

    def _flat_top(self, box: ScanBox, mask: NDArray[np.bool_]) -> float | None:
        """Return the height of the top of a box where depth shows that most of it is flat.

        Only the inner part counts: at the rim the sides are seen.
        """
        sides = _USED_TOP * box.extents[:2]
        if sides.min() < _LEAST_TOP or last_word(box.label) in ROUND - {'plate'}:
            return None
        plan, z = self._own_points(box, mask)
        near = np.all(np.abs(plan) <= sides / 2, axis=1) & (z > platforms.top(box) - FLAT_M)
        if near.sum() < _LEAST_FLOOR_PIXELS:
            return None
        level = float(np.median(z[near]))
        flat = plan[np.abs(z - level) <= FLAT_M / 2]
        cells = np.maximum(1, np.floor(sides / (2 * CELL))).astype(int)
        index = np.floor((flat / sides + 0.5) * cells).astype(int)
        index = index[np.all((index >= 0) & (index < cells), axis=1)]
        share = len(np.unique(index, axis=0)) / float(cells.prod())
        return level if share >= _SEEN_TOP else None

    def _floor(self, box: ScanBox, mask: NDArray[np.bool_], low: float) -> float | None:
        """Return the height of the floor of a container where depth shows it, not lower than its bottom.

        A thin floor belongs to what the container stands on, as far as pixels go.
        """
        under = (self.segmentation == SEG_BACKGROUND) | (self.segmentation == self.place)
        plan, z = self._own_points(box, mask | under)
        mouth = np.all(np.abs(plan) <= _USED_MOUTH / 2 * box.extents[:2], axis=1)
        deep = z[mouth & (z > low - FLAT_M / 2) & (z < platforms.top(box) - _LEAST_HOLLOW)]
        if len(deep) < _LEAST_FLOOR_PIXELS:
            return None
        return max(low, float(np.percentile(deep, 10)))


def _levelled(rotation: Array) -> Array:
    """Return the rotation (3, 3) about the vertical that is nearest to an almost upright one."""
    yaw = np.arctan2(rotation[1, 0], rotation[0, 0])
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def as_object(box: ScanBox) -> SceneObject:
    """Return a box as an object of a scene; its mass is not known and 0."""
    half = tuple(float(x) for x in box.extents / 2)
    return SceneObject(
        id=box.id,
        kind=box.label,
        color='',
        rgb=(0.5, 0.5, 0.5),
        size_name='medium',
        parts=(Primitive('box', half, np.eye(4)),),
        extents=box.extents,
        mass=0.0,
        pose=box.pose,
    )


def _size_words(boxes: list[ScanBox]) -> list[str]:
    """Call the clearly largest and smallest of each kind large and small, all others medium."""
    words = ['medium'] * len(boxes)
    for label in [k for k, n in Counter(b.label for b in boxes).items() if n > 1 and k]:
        order = sorted(
            (i for i, b in enumerate(boxes) if b.label == label),
            key=lambda i: float(boxes[i].extents.prod()),
        )
        volumes = [float(boxes[i].extents.prod()) for i in order]
        if volumes[-1] >= SIZE_WORD_RATIO * volumes[-2]:
            words[order[-1]] = 'large'
        if volumes[1] >= SIZE_WORD_RATIO * volumes[0]:
            words[order[0]] = 'small'
    return words
