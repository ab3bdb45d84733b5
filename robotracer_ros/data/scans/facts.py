# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Facts of a scanned frame as seen from one of its platforms: what the trace generator asks.

The world is that of :mod:`robotracer_ros.data.scans.setting`: the frame's, with the platform at z = 0 and things
resting on it exactly. Lengths that are asked for stay those of the annotation.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.facts import MIN_TRAVEL, ON_TABLE, Fact, SceneFacts
from robotracer_ros.data.heights import CELL, footprint_cells
from robotracer_ros.data.scans.frame import ScanFrame
from robotracer_ros.data.scans.labels import ROUND, STRUCTURE, last_word
from robotracer_ros.data.scans.occupancy import Area, ScanHeights, Unseen
from robotracer_ros.data.scans.platforms import FLAT_M, Platform
from robotracer_ros.data.scans.segments import Segments
from robotracer_ros.data.scans.setting import Setting, as_object
from robotracer_ros.data.view import View
from robotracer_ros.geometry.transforms import make_transform
from robotracer_ros.sim.spec import Rendering, Scene

#: other things are described by things of at most this length, metres: "left of the sofa" says too little
_LONGEST_LANDMARK = 0.8
#: a path is this many times as long as the cube root of the moved thing's volume at least
_TRAVEL_PER_SIZE = 0.6
#: share of the floor plan under which the platform must be seen for a thing to be put there
_SEEN_FLOOR = 0.7
#: what the depth may differ from a place's height, metres
_SIGHT = 0.025
#: the map reaches this far over the platform's edges and is at most this long, metres
_OVER_EDGE, _LARGEST_MAP = 0.15, 4.0


class ScanFacts(SceneFacts):
    """Facts of a frame and one of its platforms.

    Args:
        frame: The frame.
        segments: What is seen in it.
        platform: The surface that is the table; None when nothing is to be moved: then all things stand elsewhere.
        unseen: Whether space that nobody has seen is occupied.
    """

    sight_tolerance = _SIGHT

    def __init__(
        self,
        frame: ScanFrame,
        segments: Segments,
        platform: Platform | None,
        unseen: Unseen = 'occupied',
    ) -> None:
        self.frame, self.segments, self.platform, self._unseen = frame, segments, platform, unseen
        self.setting = Setting(frame, segments, platform)
        self.height = self.setting.height
        names = f'{frame.dataset}/{frame.scan}/{frame.name}'
        down = make_transform(translation=(0.0, 0.0, -self.height))
        scene = Scene(
            seed=zlib.crc32(names.encode()),
            objects=self.setting.scene_objects(),
            camera=frame.camera,
            world_from_camera=down @ frame.world_from_camera,
            robot_q=np.zeros(6),
        )
        super().__init__(scene, Rendering(frame.image, frame.depth, self.setting.segmentation))

    def _look(self, rendering: Rendering | None) -> View:
        if rendering is None:
            raise ValueError('facts of a scan need its picture')
        full = self.segments.full[self.setting.kept]
        return View(self.frame.camera, rendering.depth, rendering.segmentation, full)

    @cached_property
    def area(self) -> Area:
        """The part of the platform that is mapped: where it is seen and where things stand on it."""
        if self.platform is None:
            return Area(np.zeros(2), (1, 1))
        box = self.frame.boxes[self.platform.box]
        points = self.setting.points
        flat = points[np.abs(points[..., 2]) <= FLAT_M]
        local = (flat[:, :2] - box.pose[:2, 3]) @ box.pose[:2, :2]
        xy = flat[np.all(np.abs(local) <= box.extents[:2] / 2, axis=1), :2]
        standing = [self.frame.boxes[i] for i in self.platform.resting]
        xy = np.concatenate([xy, [b.pose[:2, 3] for b in standing]])
        low, high = xy.min(axis=0) - _OVER_EDGE, xy.max(axis=0) + _OVER_EDGE
        middle = np.median(xy, axis=0)
        low = np.maximum(low, middle - _LARGEST_MAP / 2)
        high = np.minimum(high, middle + _LARGEST_MAP / 2)
        nx, ny = np.maximum(1, np.ceil((high - low) / CELL)).astype(int)
        return Area(low, (int(nx), int(ny)))

    @cached_property
    def heights(self) -> ScanHeights:
        """Height map of the platform."""
        s = self.setting
        kept = set(s.kept)
        others = tuple(
            as_object(s.lowered(b))
            for i, b in enumerate(self.frame.boxes)
            if i not in kept and b.label not in STRUCTURE and not s.encloses(s.lowered(b))
        )
        return ScanHeights(
            self.scene,
            self.frame.camera,
            self.frame.depth,
            self.view.segmentation,
            s.points,
            self.area,
            tuple(i for i in (s.place, *s.around) if i >= 0),
            replace(self.scene, objects=others),
            self._unseen,
        )

    def reachable(self, xy: NDArray[np.float64]) -> bool:
        """Tell whether a point (2,) is on the map."""
        return bool(self.area.cells(xy[None])[1][0])

    def placeable(self, moved: Fact, xy: NDArray[np.float64], support: int) -> bool:
        """Tell whether the middle of a thing can be put down at a point (2,), whatever stands there.

        On the platform its floor plan must lie within the platform's, and the surface be seen under most of it.
        """
        if self.platform is None or not self.reachable(xy):
            return False
        if support != ON_TABLE:
            return True
        box = self.frame.boxes[self.platform.box]
        offset = np.abs((xy - box.pose[:2, 3]) @ box.pose[:2, :2])
        half = [moved.half_along(box.pose[:2, k] / np.linalg.norm(box.pose[:2, k])) for k in (0, 1)]
        if np.any(offset + half > box.extents[:2] / 2):
            return False
        e = moved.object.extents
        yaw = float(np.arctan2(moved.object.pose[1, 0], moved.object.pose[0, 0]))
        # Footprints reach three quarters of a cell further than the thing on either side.
        cells = footprint_cells((float(e[0]) / 2, float(e[1]) / 2), yaw, -CELL)
        index = self.area.cells(xy[None])[0] + cells
        inside = np.all((index >= 0) & (index < self.area.shape), axis=1)
        seen = self.heights.bare[tuple(index[inside].T)].sum() / max(1, len(index))
        return bool(seen >= _SEEN_FLOOR)

    def least_travel(self, moved: Fact) -> float:
        """Return how far (m) a thing has to go at least: larger things further."""
        return max(MIN_TRAVEL, _TRAVEL_PER_SIZE * float(np.cbrt(moved.volume)))

    def stackable(self, support: Fact) -> bool:
        """Tell whether things are stacked on an object: on all that have a flat top."""
        return True

    def outline(self, o: Fact) -> Literal['long', 'round', '']:
        """Tell whether an object has a length and a width or a diameter: by its name, from its box."""
        return 'round' if last_word(o.kind) in ROUND else 'long'

    def _facts(self) -> tuple[Fact, ...]:
        facts = []
        for f, box in zip(super()._facts(), self.setting.boxes, strict=True):
            named = f.visible and bool(box.label)
            facts.append(
                replace(
                    f,
                    height=float(box.extents[2]),
                    visible=named,
                    surface=f.surface if named else np.full(3, np.nan),
                    landmark=f.index != self.setting.place
                    and f.index not in self.setting.around
                    and float(box.extents[:2].max()) <= _LONGEST_LANDMARK,
                )
            )
        return tuple(facts)

    def _support_of(self, i: int, bottoms: NDArray[np.float64]) -> int:
        return self.setting.on[i]
