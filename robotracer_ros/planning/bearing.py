# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Will what is put down stay there: what bears it, as far as the camera has seen.

A thing stands when its middle is well within what is under it. On the table that is all of the table
that was seen; on other things it is what was seen of them under the footprint, and what is hidden
between such parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.scene.base import OrientedBox, PlanningScene
from robotracer_ros.scene.footprint import hull_of, inside, thin

Matrix = NDArray[np.float64]

#: heights around the surface that bear, metres: depth noise below, uneven things above
BELOW, ABOVE = 0.008, 0.012
#: a surface this close to the table's height is the table, metres
TABLE_M = 0.005
#: share of the shorter side that the middle of a thing has to be within what bears it
INNER_SHARE = 0.25
#: share of what was seen under the footprint that has to bear: two tops with a gap between them, or most
#: of a rim, are no place
BEARING_SHARE = 0.4
#: edge of the cells that a footprint is looked at in, metres
CELL = 0.005
#: points of a surface lie at most this far apart where it was seen, metres: a pixel along the table
GAP = 0.012
#: things go on behind what hides them up to this far from what was seen of them, metres
AROUND = 0.06
#: every how many points of the table are enough for its outline
_EVERY = 7


@dataclass(frozen=True)
class Ground:
    """What a trace ends on.

    Attributes:
        points: (M, 3) sensed surface points around the end.
        table: (K, 2) outline of what was seen of the table, counter-clockwise.
        support_z: Height of the table, NaN when there is none.
    """

    points: Matrix
    table: Matrix
    support_z: float

    def reach(self, box: OrientedBox) -> float | None:
        """Return how far (m) the middle of a box is within what bears it, negative outside.

        None when nothing is known about the ground, as when the scene holds no surface points.
        """
        if len(self.points) == 0:
            return None
        bottom = float(box.pose[2, 3] - box.extents[2] / 2)
        centre = box.pose[:2, 3]
        if abs(bottom - self.support_z) < TABLE_M + BELOW and not self._raised(box, bottom):
            return depth_within(self.table, centre)
        seen = self._bearing(box, bottom, AROUND)
        if len(seen) < 3:
            return -float(np.inf)
        outline = hull_of(thin(seen))
        return depth_within(hull_of(self._cells(box, bottom, outline)), centre)

    def around(self, place: Matrix, radius: float) -> Matrix:
        """Return the sensed points (N, 3) nearer (m) to a place (3,) than a radius, seen from above."""
        return _around(self.points, place, radius)

    def _raised(self, box: OrientedBox, bottom: float) -> bool:
        """Tell whether the middle is above something that is no table, though hardly higher."""
        under = self.around(box.pose[:3, 3], 0.02)
        if len(under) < 5:
            return False
        return float(np.median(under[:, 2])) > self.support_z + TABLE_M

    def _bearing(self, box: OrientedBox, bottom: float, grown: float) -> Matrix:
        """Return the seen points (N, 2) at the bottom's height, within the footprint grown by some metres."""
        local = (self.points - box.pose[:3, 3]) @ box.pose[:3, :3]
        near = np.all(np.abs(local[:, :2]) <= box.extents[:2] / 2 + grown, axis=1)
        return self.points[near & self._level(self.points[:, 2], bottom)][:, :2]

    def _cells(self, box: OrientedBox, bottom: float, outline: Matrix) -> Matrix:
        """Return the middles (N, 2) of the footprint's cells that bear: seen to, or hidden within the
        outline (K, 2) of what does. None when most of what was seen does not.
        """
        half = box.extents[:2] / 2
        n = np.maximum(1, np.ceil(box.extents[:2] / CELL)).astype(int)
        local = (self.points - box.pose[:3, 3]) @ box.pose[:3, :3]
        within = np.all(np.abs(local[:, :2]) <= half, axis=1)
        index = np.minimum(((local[within, :2] + half) / (2 * half) * n).astype(int), n - 1)
        highest = np.full(tuple(n), -np.inf)
        np.maximum.at(highest, (index[:, 0], index[:, 1]), self.points[within, 2])
        i, j = np.meshgrid(*(np.arange(k) for k in n), indexing='ij')
        flat = (np.stack([i, j], axis=-1) + 0.5) / n * 2 * half - half
        middles = flat @ box.pose[:2, :2].T + box.pose[:2, 3]
        unknown = ~np.isfinite(highest)
        # Cells are finer than the image: one without a point is hidden only when nothing beside it
        # was seen to lie deeper.
        unknown[unknown] = inside(middles[unknown], outline) & ~self._beside(
            local, self._level(self.points[:, 2], bottom), half, flat[unknown]
        )
        bears = self._level(highest, bottom)
        if bears.sum() < BEARING_SHARE * np.isfinite(highest).sum():
            return np.zeros((0, 2))
        return np.asarray(middles[bears | unknown])

    @staticmethod
    def _level(z: Matrix, bottom: float) -> NDArray[np.bool_]:
        """Tell which heights are those of a surface that bears at a height."""
        return np.asarray((z > bottom - BELOW) & (z < bottom + ABOVE))

    @staticmethod
    def _beside(
        local: Matrix, level: NDArray[np.bool_], half: Matrix, cells: Matrix
    ) -> NDArray[np.bool_]:
        """Tell which cells (N, 2) lie nearest to a point (M, 3) that does not bear, within the gap
        between two points; all in the footprint's frame.
        """
        around = np.all(np.abs(local[:, :2]) <= half + GAP, axis=1)
        if not around.any() or len(cells) == 0:
            return np.zeros(len(cells), dtype=bool)
        off = np.linalg.norm(cells[:, None] - local[around, :2], axis=2)
        return np.asarray((off.min(axis=1) <= GAP) & ~level[around][off.argmin(axis=1)])


def ground_of(scene: PlanningScene, place: Matrix, radius: float = 0.30) -> Ground:
    """Return what lies around a place (3,) as far as it was seen."""
    p = np.asarray(scene.surface, dtype=float)
    near = _around(p, place, radius)
    table = np.zeros((0, 2))
    if np.isfinite(scene.support_z):
        on_it = np.flatnonzero(np.abs(p[:, 2] - scene.support_z) < BELOW)[::_EVERY]
        table = hull_of(thin(p[on_it, :2])) if len(on_it) else table
    return Ground(near, table, scene.support_z)


def _around(points: Matrix, place: Matrix, radius: float) -> Matrix:
    """Return the points (N, 3) that are nearer (m) to a place (3,) than a radius, seen from above."""
    x, y = points[:, 0] - place[0], points[:, 1] - place[1]
    # Most points are further away along one of the axes already.
    square = np.flatnonzero((np.abs(x) < radius) & (np.abs(y) < radius))
    return points[square[np.hypot(x[square], y[square]) < radius]]


def bearing_height(ground: Ground, box: OrientedBox, height: float, above: float) -> float:
    """Return the height (m) that a box put down at a surface's height comes to rest at: that of the
    highest that is under it, at most ``above`` higher.
    """
    local = (ground.points - box.pose[:3, 3]) @ box.pose[:3, :3]
    under = np.all(np.abs(local[:, :2]) <= box.extents[:2] / 2, axis=1)
    z = ground.points[under, 2]
    z = z[(z > height) & (z < height + above)]
    # A few stray points are noise, not something to stand on.
    return max(height, float(np.percentile(z, 90))) if len(z) > 8 else height


def depth_within(hull: Matrix, point: Matrix) -> float:
    """Return the distance (m) of a point (2,) from the edge of a counter-clockwise hull (K, 2),
    negative outside of it.
    """
    if len(hull) < 3:
        return -float(np.inf)
    edge = np.roll(hull, -1, axis=0) - hull
    normal = np.stack([edge[:, 1], -edge[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    return float(np.min(np.sum(hull * normal, axis=1) - normal @ point))
