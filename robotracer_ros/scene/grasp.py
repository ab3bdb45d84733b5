# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a parallel gripper can take an object: candidates from its depth segment, best first.

Tool frame: origin between the centres of the pads, z out of the gripper (approach), y the closing direction.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.transforms import make_transform, rotation_about
from robotracer_ros.scene.base import ObjectSegment, PlanningScene
from robotracer_ros.scene.cloud import within
from robotracer_ros.scene.footprint import area_of, hull_of, inside, thin

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Gripper:
    """A parallel gripper as boxes, metres. The defaults are those of ``urdf/parallel_gripper.urdf.xacro``.

    Attributes:
        max_opening: Between the pads.
        pad_half: From the tool origin to the finger tips.
        finger_width: Across, along the tool's x.
        finger_thickness: Finger and pad, along the tool's y.
        palm_distance: From the tool origin back to the housing.
        palm_half: Half sides of the housing along x and y.
        clearance: Free space that each open jaw wants beside the object.
    """

    max_opening: float = 0.10
    pad_half: float = 0.0125
    finger_width: float = 0.020
    finger_thickness: float = 0.012
    palm_distance: float = 0.0825
    palm_half: tuple[float, float] = (0.034, 0.072)
    clearance: float = 0.012


@dataclass(frozen=True)
class Grasp:
    """One way to take an object.

    Attributes:
        pose: (4, 4) planning_from_tool at closing.
        width: What is between the pads when they close, metres.
        opening: Of the jaws on the way in, metres.
        score: Larger is better; comparable within one list only.
        kind: ``body`` or ``rim``.
        clearance: Least distance (m) of the open gripper to obstacles on the way in, beyond half a voxel.
    """

    pose: Matrix
    width: float
    opening: float
    score: float
    kind: str
    clearance: float = float('inf')


class GraspGenerator(abc.ABC):
    """Makes grasp candidates; an external grasp server fits behind this too."""

    @abc.abstractmethod
    def candidates(self, segment: ObjectSegment, scene: PlanningScene, gripper: Gripper) -> list[Grasp]:
        """Return candidates, best first; an empty list when there is none.

        Args:
            segment: The object.
            scene: Obstacles (without the object) and the support.
            gripper: Sizes of the gripper.
        """


@dataclass(frozen=True)
class GraspParameters:
    """How candidates are made and ranked.

    Attributes:
        yaws: Closing directions tried over half a turn, besides those of the object's box.
        tilts_deg: Leans of the approach about the closing direction.
        rim_directions: Places tried around a rim.
        tip_gap: Least height of the finger tips above the object's support, metres.
        palm_gap: Least distance (m) of the housing to the object. What stands in a dish, or is put down on something
            higher than it looked, is pushed up between the jaws by as much as its foot was thought too high.
        approach: Length of the straight way in that is checked for obstacles, metres.
        max_slope: Slope of the surface under a pad against the pad beyond which it would slide off.
        max_candidates: How many are returned.
    """

    yaws: int = 10
    tilts_deg: tuple[float, ...] = (0.0, 20.0, -20.0)
    rim_directions: int = 16
    tip_gap: float = 0.004
    palm_gap: float = 0.02
    approach: float = 0.08
    max_slope: float = 0.45
    max_candidates: int = 24

    def __post_init__(self) -> None:
        if self.yaws < 1 or self.rim_directions < 4 or self.max_candidates < 1:
            raise InvalidParameterError(f'grasp parameters yaws={self.yaws}, rim_directions={self.rim_directions}, '
                                        f'max_candidates={self.max_candidates}: must be at least 1, 4 and 1')
        if any(abs(t) > 40 for t in self.tilts_deg):
            raise InvalidParameterError(f'grasp tilts {self.tilts_deg} deg: must be within -40..40')


class TopDownGrasps(GraspGenerator):
    """Antipodal grasps from above: across the body where it fits between the jaws, over the rim of open things.

    Args:
        parameters: Sampling and ranking.
    """

    def __init__(self, parameters: GraspParameters | None = None) -> None:
        self._p = parameters or GraspParameters()

    def candidates(self, segment: ObjectSegment, scene: PlanningScene, gripper: Gripper) -> list[Grasp]:
        """Return candidates, best first; see the base class."""
        shape = _Shape(segment)
        found = [*self._body(shape, gripper), *self._rim(shape, gripper)]
        near = _near(scene, shape)
        kept = []
        # Only the better ones are worth the checks; obstacles then reorder them.
        for g in sorted(found, key=lambda g: -g.score)[:3 * self._p.max_candidates]:
            clearance = _clearance(g, gripper, near, scene.voxel_size, self._p.approach)
            if clearance <= 0 or _hits_itself(g, gripper, segment.points, self._p.palm_gap):
                continue
            kept.append(replace(g, clearance=clearance, score=g.score + 12.0 * min(clearance, 0.03)))
        return _spread(kept)[:self._p.max_candidates]

    def _body(self, shape: _Shape, gripper: Gripper) -> list[Grasp]:
        """Grasps with one finger on each side of the whole object."""
        out: list[Grasp] = []
        for height in self._heights(shape, gripper):
            slab, seen = shape.slab(height, gripper.pad_half)
            if len(slab) < 8:
                continue
            for yaw in shape.yaws(self._p.yaws):
                y = np.array([np.cos(yaw), np.sin(yaw)])
                pinch = _pinch(slab, seen, yaw, shape.middle, gripper)
                # A pinch much thinner than the object's box holds only the skin of its visible side.
                if (pinch is None or pinch.slope > self._p.max_slope
                        or pinch.width < 0.55 * min(shape.chord(yaw), gripper.max_opening)):
                    continue
                width, opening = pinch.width, min(pinch.width + 2 * gripper.clearance, gripper.max_opening)
                off = float(np.linalg.norm(pinch.centre - shape.middle))
                tight = max(0.0, 1.0 - (opening - width) / (2 * gripper.clearance))
                # A guess that agrees with the object's box is as good as seen.
                guessed = pinch.guessed if abs(width - shape.chord(yaw)) > 0.006 else 0.0
                score = (1.2 - 2.0 * pinch.slope - 0.5 * width - 10.0 * guessed - 8.0 * off
                         - 3.0 * abs(height - shape.balance) - 1.5 * shape.slant(height, yaw, gripper.pad_half)
                         - 0.4 * tight - 0.25 * abs(float(y @ shape.view)))
                centre = pinch.centre
                for tilt in self._p.tilts_deg:
                    pose = _tool_pose(np.array([*centre, height]), yaw, np.deg2rad(tilt))
                    if _lowest_tip(pose, gripper) < shape.floor + self._p.tip_gap - 0.001:
                        continue
                    out.append(Grasp(pose, width, opening, score - 0.012 * abs(tilt), 'body'))
        return out

    def _heights(self, shape: _Shape, gripper: Gripper) -> list[float]:
        """Heights of the pads: at the balance, at the middle, near the top; where the tips and the palm have room."""
        lowest = shape.floor + gripper.pad_half + self._p.tip_gap
        deepest = shape.top - gripper.palm_distance + self._p.palm_gap
        if deepest > shape.top - 0.008:
            return []  # the palm would meet the top before the pads hold anything
        lowest = max(lowest, deepest)
        highest = max(lowest, shape.top - 0.008)
        wanted = (shape.balance, (shape.floor + shape.top) / 2, shape.top - 0.02, shape.top - 0.035)
        heights: list[float] = []
        for z in wanted:
            z = float(np.clip(z, lowest, highest))
            if all(abs(z - other) > 0.008 for other in heights):
                heights.append(z)
        return heights

    def _rim(self, shape: _Shape, gripper: Gripper) -> list[Grasp]:
        """Grasps with one finger inside and one outside of an open rim."""
        rim = shape.rim
        if rim is None:
            return []
        out = []
        for k in range(self._p.rim_directions):
            angle = 2 * np.pi * k / self._p.rim_directions
            outward = np.array([np.cos(angle), np.sin(angle)])
            part = rim[(rim[:, :2] - shape.rim_centre) @ outward
                       > 0.9 * np.linalg.norm(rim[:, :2] - shape.rim_centre, axis=1)]
            if len(part) < 4:
                continue
            normal = _outward_normal(part[:, :2], outward)
            if normal @ outward < 0.8:
                continue  # a corner
            edge = (part[:, :2] - shape.rim_centre) @ normal
            # The thin wall: its outside is where the rim ends.
            outer = float(np.percentile(edge, 92))
            wall = float(np.clip(outer - np.percentile(edge, 8), 0.003, 0.012))
            if outer - wall < gripper.finger_thickness + 0.010:
                continue  # no room for a finger inside
            top = float(np.percentile(part[:, 2], 90))
            height = max(top - 0.010, shape.floor + gripper.pad_half + self._p.tip_gap)
            tangent = np.array([-normal[1], normal[0]])
            side = float(np.median((part[:, :2] - shape.rim_centre) @ tangent))
            centre = shape.rim_centre + (outer - wall / 2) * normal + side * tangent
            room = min(2 * (outer - wall / 2 - gripper.finger_thickness) - 0.006, wall + 2 * gripper.clearance)
            opening = float(np.clip(room, wall + 0.008, gripper.max_opening))
            yaw = float(np.arctan2(normal[1], normal[0]))
            lean = shape.wall_lean
            for turn in (lean, 0.0) if lean > 0.1 else (0.0,):
                # Leaning about the tangent keeps the fingers along a wall that widens upward.
                rotation = rotation_about((*tangent, 0.0), turn) @ _tool_pose(np.zeros(3), yaw, 0.0)[:3, :3]
                pose = make_transform(rotation, (*centre, height))
                score = 0.55 - 0.2 * abs(turn - lean)
                out.append(Grasp(pose, wall, opening, score, 'rim'))
        return out


def _spread(grasps: list[Grasp]) -> list[Grasp]:
    """Order by score, each further one of the same kind and direction a little later: a planner tries the first few."""
    seen: dict[tuple[str, int], int] = {}
    rated = []
    for g in sorted(grasps, key=lambda g: -g.score):
        # A turn of the jaws by half a circle is the same grasp of a body, and another place on a rim.
        yaw = np.arctan2(g.pose[1, 1], g.pose[0, 1])
        key = (g.kind, int(np.round(yaw / (np.pi / 6))) % (6 if g.kind == 'body' else 12))
        rated.append(replace(g, score=g.score - 0.10 * seen.get(key, 0)))
        seen[key] = seen.get(key, 0) + 1
    return sorted(rated, key=lambda g: -g.score)


class _Shape:
    """What the generator asks about an object: its points with the hidden half mirrored, its rim, its balance."""

    def __init__(self, segment: ObjectSegment) -> None:
        box = segment.box
        self.centre = box.pose[:3, 3]
        self.floor = float(box.pose[2, 3] - box.extents[2] / 2)
        self.top = float(box.pose[2, 3] + box.extents[2] / 2)
        self.balance = self.floor + 0.45 * (self.top - self.floor)
        self.yaw = float(np.arctan2(box.pose[1, 0], box.pose[0, 0]))
        # A finger behind the object comes down where nobody has looked: handles hide there.
        self.view = np.zeros(2)
        if segment.eye is not None:
            away = self.centre[:2] - segment.eye[:2]
            self.view = away / max(float(np.linalg.norm(away)), 1e-9)
        self._sides = box.extents[:2]
        self._seen = segment.points
        if segment.hidden is not None:
            self.points = np.vstack([segment.points, segment.hidden])
            self.middle = self._middle()
            return
        mirrored = segment.points.copy()
        mirrored[:, :2] = 2 * self.centre[:2] - mirrored[:, :2]
        local = (mirrored - self.centre) @ box.pose[:3, :3]
        hidden = mirrored[np.all(np.abs(local[:, :2]) <= box.extents[:2] / 2 + 0.001, axis=1)]
        self.points = np.vstack([segment.points, hidden])
        self.middle = self._middle()

    def _middle(self) -> Matrix:
        """Guess where the weight is, (2,): handles and spouts shift the box's middle more than the points' median."""
        median = np.median(self.points[:, :2], axis=0)
        off = median - self.centre[:2]
        # The camera sees more points of the near side: up to a centimetre between the two means nothing.
        far = float(np.linalg.norm(off))
        return self.centre[:2] + off * max(0.0, 1.0 - 0.01 / max(far, 1e-9))

    def yaws(self, count: int) -> list[float]:
        """Closing directions (rad) over half a turn: the box's own first."""
        first = [self.yaw, self.yaw + np.pi / 2]
        return first + [self.yaw + np.pi * k / count for k in range(count) if (2 * k) % count]

    def slab(self, height: float, half: float) -> tuple[Matrix, NDArray[np.bool_]]:
        """Points (N, 2) at the height of the pads, and which of them (N,) were seen."""
        chosen = np.flatnonzero(np.abs(self.points[:, 2] - height) <= half)
        return self.points[chosen][:, :2], chosen < len(self._seen)

    def chord(self, yaw: float) -> float:
        """Length (m) of the object's box along a direction, through its middle."""
        angle = yaw - self.yaw
        across = np.maximum(np.abs([np.cos(angle), np.sin(angle)]), 1e-6)
        return float(np.min(self._sides / across))

    def slant(self, height: float, yaw: float, half: float) -> float:
        """Tell how much the width along ``yaw`` changes over the pads' height, as a slope: 0 for upright sides."""
        z = self.points[:, 2]
        along = self.points[:, :2] @ np.array([np.cos(yaw), np.sin(yaw)])
        widths = []
        for low, high in ((height - half, height), (height, height + half)):
            part = along[(z >= low) & (z < high)]
            if len(part) < 5:
                return 0.3
            widths.append(float(np.ptp(part)))
        return float(min(abs(widths[1] - widths[0]) / (2 * half), 1.0))

    @cached_property
    def rim(self) -> Matrix | None:
        """Points (N, 3) of an open rim, or None: the top is a ring with a lower middle."""
        band = self._seen[self._seen[:, 2] > self.top - 0.009]
        if len(band) < 20:
            return None
        hull = hull_of(thin(band[:, :2]))
        if area_of(hull) < 6e-4:
            return None
        centre = (hull.max(axis=0) + hull.min(axis=0)) / 2
        core = centre + 0.55 * (hull - centre)
        if np.mean(inside(band[:, :2], core)) > 0.04:
            return None
        middle = self._seen[inside(self._seen[:, :2], core)]
        # A deep cup shows nothing of its middle; a lid would be seen.
        if len(middle) >= 5 and np.median(middle[:, 2]) > self.top - 0.012:
            return None
        angles = np.arctan2(band[:, 1] - centre[1], band[:, 0] - centre[0])
        if len(np.unique((angles / (np.pi / 8)).astype(int))) < 9:
            return None
        self.rim_centre = centre
        return band

    rim_centre: Matrix = np.zeros(2)

    @cached_property
    def wall_lean(self) -> float:
        """Lean (rad) of the wall under the rim, positive when it widens upward, at most 0.4."""
        rim = self.rim
        if rim is None:
            return 0.0
        # Bands of the outer side: the outermost points at two heights.
        radius = np.linalg.norm(self._seen[:, :2] - self.rim_centre, axis=1)
        z = self._seen[:, 2]
        sizes = []
        for low, high in ((self.top - 0.010, self.top), (self.top - 0.030, self.top - 0.020)):
            band = radius[(z > low) & (z <= high)]
            if len(band) < 5:
                return 0.0
            sizes.append(float(np.percentile(band, 90)))
        return float(np.clip(np.arctan2(sizes[0] - sizes[1], 0.020), 0.0, 0.4))


@dataclass(frozen=True)
class _Pinch:
    """Where two pads meet a slab.

    Attributes:
        centre: (2,) midpoint.
        width: Between the pads, metres.
        slope: Of the surface along the pads.
        guessed: How much of the width (m) rests on points that were not seen.
    """

    centre: Matrix
    width: float
    slope: float
    guessed: float


def _pinch(slab: Matrix, seen: NDArray[np.bool_], yaw: float, middle: Matrix, gripper: Gripper) -> _Pinch | None:
    """Find the place along the pads' direction where closing along ``yaw`` holds best, None where nothing fits.

    Args:
        slab: (N, 2) points at the height of the pads.
        seen: (N,) which of them are no guess.
        yaw: Closing direction, rad.
        middle: (2,) where the object's weight is thought to be.
        gripper: Sizes.
    """
    y = np.array([np.cos(yaw), np.sin(yaw)])
    x = np.array([-y[1], y[0]])
    a, b = slab @ y, slab @ x
    first, last = _span(b)
    cell = gripper.finger_width / 4
    count = max(1, int(np.ceil((last - first) / cell)))
    index = np.clip(((b - first) / cell).astype(int), 0, count - 1)
    # Least and (negated) greatest of each cell: of all points, and of those that were seen.
    least = np.full((4, count), np.inf)
    np.minimum.at(least[0], index, a)
    np.minimum.at(least[1], index, -a)
    np.minimum.at(least[2], index[seen], a[seen])
    np.minimum.at(least[3], index[seen], -a[seen])
    # Five cells, a little more than a finger, around each cell.
    lows, highs, seen_lows, seen_highs = _windows(least)
    highs, seen_highs = -highs, -seen_highs
    lowest, highest = lows[:, 0], highs[:, 0]
    with np.errstate(invalid='ignore'):
        widths = highest - lowest
        # How fast the surface falls away from where a pad touches first, be it a slope or a corner; holes do not count.
        known = np.isfinite(lows[:, :3])
        falls = [np.where(known, np.abs(side[:, :3] - side[:, :1]), 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
                 for side in (lows, highs)]
        slopes = np.maximum(*falls) / cell
        visible = seen_highs[:, 0] - seen_lows[:, 0]
        guessed = np.clip(np.where(np.isfinite(visible), widths - visible, widths), 0.0, 0.04)
        fits = np.isfinite(widths) & (widths > 0.002) & (widths <= gripper.max_opening - 0.006)
    # Where only one side of the thing is known, its skin looks like something thin to hold.
    fits &= widths > 0.75 * np.max(widths, where=fits, initial=0.0)
    if not fits.any():
        return None
    cells = np.flatnonzero(fits)
    centres = ((lowest[cells] + highest[cells]) / 2)[:, None] * y + (first + (cells[:, None] + 0.5) * cell) * x
    best = int(np.argmin(slopes[cells] + 8.0 * np.linalg.norm(centres - middle, axis=1)))
    k = cells[best]
    return _Pinch(centres[best], float(widths[k]), float(slopes[k]), float(guessed[k]))


def _windows(values: Matrix) -> Matrix:
    """Return the five cells around each cell of rows (R, N) as (R, N, 5), the least first."""
    padded = np.full((len(values), values.shape[1] + 4), np.inf)
    padded[:, 2:-2] = values
    return np.sort(np.stack([padded[:, i:i + values.shape[1]] for i in range(5)], axis=-1), axis=-1)


def _span(values: Matrix, share: float = 0.01) -> tuple[float, float]:
    """Return the extent of values (N,) without a share at either end, interpolated as ``np.percentile`` does.

    That function takes far longer to look at its arguments than this does for as few values as lie between two pads.
    """
    ordered = np.sort(values)
    at = np.array([share, 1.0 - share]) * (len(ordered) - 1)
    below = at.astype(int)
    rest, a = at - below, ordered[below]
    b = ordered[np.minimum(below + 1, len(ordered) - 1)]
    low, high = np.where(rest < 0.5, a + (b - a) * rest, b - (b - a) * (1.0 - rest))
    return float(low), float(high)


def _tool_pose(origin: Matrix, yaw: float, tilt: float) -> Matrix:
    """Return a tool pose that looks down, closes along ``yaw`` and leans by ``tilt`` rad about that direction."""
    c, s = np.cos(yaw), np.sin(yaw)
    rotation = np.array([[-s, c, 0.0], [c, s, 0.0], [0.0, 0.0, -1.0]])
    return make_transform(rotation @ rotation_about((0, 1, 0), tilt) if tilt else rotation, origin)


def _lowest_tip(pose: Matrix, gripper: Gripper) -> float:
    """Return the height of the lowest corner of the finger tips."""
    corners = np.array([[sx * gripper.finger_width / 2, 0.0, gripper.pad_half] for sx in (-1, 1)])
    return float((corners @ pose[:3, :3].T + pose[:3, 3])[:, 2].min())


def _outward_normal(points: Matrix, outward: Matrix) -> Matrix:
    """Return the horizontal normal (2,) of a piece of rim (N, 2), pointing outward."""
    spread = points - points.mean(axis=0)
    values, vectors = np.linalg.eigh(spread.T @ spread)
    # A short piece of a thin wall is longer than thick; where it is not, the radius is the better guess.
    if values[1] < 2.5 * values[0]:
        return outward
    normal = vectors[:, 0]
    return normal if normal @ outward > 0 else -normal


def _near(scene: PlanningScene, shape: _Shape) -> Matrix:
    """Return the obstacle voxels (N, 3) that a gripper at the object can reach, above what the object stands on."""
    reach = 0.22
    c = scene.obstacles
    if len(c) == 0:
        return np.empty((0, 3))
    near = np.all(np.abs(c[:, :2] - shape.centre[:2]) < reach + 0.05, axis=1)
    # The skin of the surface under the object is no obstacle: the tips' height above it is kept by construction.
    under = np.all(np.abs(c[:, :2] - shape.centre[:2]) < 0.16, axis=1) & (c[:, 2] < shape.floor + scene.voxel_size)
    return c[near & ~under]


def _boxes(grasp: Grasp, gripper: Gripper, approach: float) -> tuple[Matrix, Matrix]:
    """Return centres and half sides (3, 3) of fingers and housing in the tool frame, swept back by ``approach``."""
    y = grasp.opening / 2 + gripper.finger_thickness / 2
    back = gripper.palm_distance + approach
    finger = (gripper.pad_half - back) / 2
    half = np.array([gripper.finger_width / 2, gripper.finger_thickness / 2, (gripper.pad_half + back) / 2])
    palm = np.array([*gripper.palm_half, (0.06 + approach) / 2])
    centres = np.array([[0, y, finger], [0, -y, finger], [0, 0, -gripper.palm_distance - palm[2]]])
    return centres, np.stack([half, half, palm])


def _clearance(grasp: Grasp, gripper: Gripper, voxels: Matrix, voxel_size: float, approach: float) -> float:
    """Return the least distance (m) of the open gripper, swept along its way in, to voxels (N, 3)."""
    if len(voxels) == 0:
        return float('inf')
    local = (voxels - grasp.pose[:3, 3]) @ grasp.pose[:3, :3]
    centres, halves = _boxes(grasp, gripper, approach)
    least = min(float(_outside(local, c, h).min()) for c, h in zip(centres, halves, strict=True))
    return float(np.sqrt(least) - voxel_size / 2)


def _outside(points: Matrix, centre: Matrix, half: Matrix) -> Matrix:
    """Return the squared distances (N,) of points (N, 3) to a box parallel to the axes, 0 in it.

    One axis at a time: reductions over an axis of length three are slow.
    """
    out = np.zeros(len(points))
    for k in range(3):
        beyond = np.maximum(np.abs(points[:, k] - centre[k]) - half[k], 0.0)
        out += beyond * beyond
    return out


def _hits_itself(grasp: Grasp, gripper: Gripper, points: Matrix, palm_gap: float) -> bool:
    """Tell whether the open gripper would press on the object itself on its way in, or come too near with its palm."""
    local = (points - grasp.pose[:3, 3]) @ grasp.pose[:3, :3]
    centres, halves = _boxes(grasp, gripper, 0.0)
    centres[2, 2] += palm_gap / 2
    halves[2, 2] += palm_gap / 2
    # Noise lets single points stray into a finger.
    pressed = np.zeros(len(local), bool)
    for centre, half in zip(centres, halves - 0.0015, strict=True):
        pressed |= within(local, centre - half, centre + half)
    return int(pressed.sum()) > max(3, len(points) // 200)
