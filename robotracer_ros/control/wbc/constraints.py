# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the robot must not do, as rows on the velocity v that hold exactly or not at all.

Everything but the feet has the form of a barrier: what is left of a distance h to a limit may shrink
by at most ``gain * h`` per second, so v = 0 is always allowed and nothing that is inside can leave.
In discrete time a tick oversteps by the curvature of h times (v dt)^2 / 2: some micrometres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from robotracer_ros.control.wbc.capsules import capsule_to_box, capsule_to_capsule
from robotracer_ros.control.wbc.model import HumanoidModel
from robotracer_ros.errors import InvalidParameterError

Matrix = NDArray[np.float64]

GRAVITY = 9.81
#: kept beside the zero moment point's margin for what a tick does not see of the curvature, m
ZMP_SLACK_M = 0.003
#: links whose proxies never meet the scene: they stand on it
STANDING_LINKS = tuple(f'{side}_ankle_{axis}_link' for side in ('left', 'right')
                       for axis in ('pitch', 'roll'))


class PlantedFeet:
    """Both soles stay where they were: 12 equations, with feedback against drift.

    Args:
        model: At the configuration whose soles are to be kept.
        gain: 1/s.
    """

    rows = 12

    def __init__(self, model: HumanoidModel, gain: float) -> None:
        self.gain = gain
        self.targets = [pin.SE3(model.placement(f)) for f in model.soles]

    def error(self, model: HumanoidModel) -> Matrix:
        """Return where the soles should be minus where they are (12,): metres and rad, world axes."""
        out = np.empty(12)
        for k, (frame, target) in enumerate(zip(model.soles, self.targets, strict=True)):
            place = model.placement(frame)
            out[6 * k : 6 * k + 3] = target.translation - place.translation
            out[6 * k + 3 : 6 * k + 6] = pin.log3(target.rotation @ place.rotation.T)
        return out

    def write(self, model: HumanoidModel, a: Matrix, lower: Matrix, upper: Matrix) -> float:
        """Fill rows (12, nv) and both bounds (12,); return the largest error."""
        a[:6] = model.frame_jacobian(model.soles[0])
        a[6:] = model.frame_jacobian(model.soles[1])
        error = self.error(model)
        np.multiply(error, self.gain, out=upper)
        lower[:] = upper
        return float(np.abs(error).max())


def support_polygon(points: Matrix) -> tuple[Matrix, Matrix]:
    """Return outward unit normals (E, 2) and offsets (E,) of the convex hull of points (N, 2+):
    inside is ``normals @ x <= offsets``.

    Raises:
        InvalidParameterError: the points span no area.
    """
    rows = np.unique(np.round(np.asarray(points)[:, :2], 9), axis=0)

    def chain(ordered: Matrix) -> list[Matrix]:
        out: list[Matrix] = []
        for p in ordered:
            while len(out) > 1:
                (ux, uy), (wx, wy) = out[-1] - out[-2], p - out[-2]
                if ux * wy - uy * wx > 1e-8:  # else the middle one is on a straight edge
                    break
                out.pop()
            out.append(p)
        return out[:-1]

    hull = np.array(chain(rows) + chain(rows[::-1])).reshape(-1, 2)
    after = np.roll(hull, -1, axis=0)
    area = float(np.sum(hull[:, 0] * after[:, 1] - hull[:, 1] * after[:, 0])) / 2
    if len(hull) < 3 or area < 1e-4:
        raise InvalidParameterError(f'support polygon of {len(points)} points has an area of '
                                    f'{area * 1e4:.2f} cm2: must be at least 1')
    edges = after - hull
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1)
    normals /= np.linalg.norm(edges, axis=1)[:, None]
    return normals, np.einsum('ij,ij->i', normals, hull)


class Balance:
    """Centre of mass and zero moment point stay over the feet.

    One row per edge of the support polygon bounds the centre of mass's speed c' towards it from
    above (barrier on its distance d less the margin) and from below (braking at most so hard that
    the zero moment point c - (z / g) c'' keeps its own margin). With the barrier's gain below
    sqrt(g / z) braking never needs more than it is allowed.

    Args:
        model: With the feet where they will stay.
        gain: Of the barrier, 1/s.
        margin: Of the centre of mass, metres.
        zmp_margin: Of the zero moment point, metres.
        period: Seconds per tick.
    """

    def __init__(self, model: HumanoidModel, gain: float, margin: float, zmp_margin: float,
                 period: float) -> None:
        points = model.contact_points()
        self.normals, self.offsets = support_polygon(points)
        #: (2,) middle of the contact points, where the centre of mass rests best
        self.centre: Matrix = points[:, :2].mean(axis=0)
        self.gain, self.margin, self.zmp_margin, self.period = gain, margin, zmp_margin, period
        self.rows = len(self.offsets)

    def distance(self, model: HumanoidModel) -> float:
        """Return the distance (m) of the centre of mass to the nearest edge, negative outside."""
        return float((self.offsets - self.normals @ model.com[:2]).min())

    def write(self, model: HumanoidModel, previous: Matrix, a: Matrix, lower: Matrix,
              upper: Matrix) -> float:
        """Fill rows (E, nv) and bounds (E,); return the distance to the nearest edge.

        Args:
            model: At the present configuration.
            previous: (3,) velocity of the centre of mass in the tick before.
            a: Rows.
            lower: Lower bounds.
            upper: Upper bounds.
        """
        left = self.offsets - self.normals @ model.com[:2]
        np.matmul(self.normals, model.com_jacobian[:2], out=a)
        np.multiply(left - self.margin, self.gain, out=upper)
        lower[:] = self._braking(model, previous, left - self.zmp_margin - ZMP_SLACK_M)
        # What the barrier asks for goes before how hard may be braked.
        np.minimum(lower, upper, out=lower)
        return float(left.min())

    def edge(self, model: HumanoidModel, previous: Matrix) -> Matrix:
        """Return lower bounds (E,) that let the zero moment point go up to the very edge."""
        return self._braking(model, previous, self.offsets - self.normals @ model.com[:2])

    def _braking(self, model: HumanoidModel, previous: Matrix, room: Matrix) -> Matrix:
        """Return the lowest speeds (E,) with which the zero moment point moves out by ``room``."""
        step = GRAVITY * self.period / float(model.com[2])
        lowest: Matrix = self.normals @ previous[:2] - room * step
        return lowest


@dataclass(frozen=True)
class SceneBox:
    """A box that the robot must not touch.

    Attributes:
        name: As it appears in messages.
        pose: (4, 4) world_from_box.
        half: (3,) half sides, metres.
    """

    name: str
    pose: Matrix
    half: Matrix


class Separation:
    """Proxies stay apart from each other and from boxes: one row for each of the nearest pairs.

    Args:
        model: The robot.
        boxes: The scene.
        gain: 1/s.
        self_margin: Between proxies, metres.
        scene_margin: Between proxies and boxes.
        self_rows: How many of the robot's own pairs become rows.
        scene_rows: The same of pairs with a box.
    """

    def __init__(self, model: HumanoidModel, boxes: Sequence[SceneBox], gain: float,
                 self_margin: float, scene_margin: float, self_rows: int, scene_rows: int) -> None:
        self.gain = gain
        self.boxes = tuple(boxes)
        self.first, self.second = np.array(model.parts.capsule_pairs()).T
        near = np.array([i for i, link in enumerate(model.capsule_link)
                         if link not in STANDING_LINKS])
        self.capsule = np.tile(near, len(boxes))
        self.box = np.repeat(np.arange(len(boxes)), len(near))
        radius = model.capsule_radius
        self._r1, self._r2 = radius[self.first], radius[self.second]
        self._radius = radius[self.capsule]
        lengths = np.linalg.norm(model.ends - model.starts, axis=1)
        self._reach = (radius + lengths / 2)[self.capsule]
        half = np.array([b.half for b in boxes], dtype=float).reshape(-1, 3)
        pose = np.array([b.pose for b in boxes], dtype=float).reshape(-1, 4, 4)
        self._half = half[self.box]
        self._rotation, self._origin = pose[self.box, :3, :3], pose[self.box, :3, 3]
        self.self_rows = min(self_rows, len(self.first))
        # Each pair is up to three rows: the whole axis and both of its ends.
        self.scene_rows = min(scene_rows, 3 * len(self.capsule))
        self._candidates = min(scene_rows, len(self.capsule))
        self.rows = self.self_rows + self.scene_rows
        #: margin that each pair must keep; smaller for those that begin closer, until they are not
        self.self_margin = np.full(len(self.first), self_margin)
        self.scene_margin = np.full(len(self.capsule), scene_margin)
        self._wanted = self_margin, scene_margin
        #: distances of all own pairs, and of the pairs with boxes that were looked at
        self.self_distance = np.full(len(self.first), np.inf)
        self.scene_distance = np.zeros(0)
        self.scene_pair = np.zeros(0, dtype=np.int64)
        #: which pairs the rows of the last tick stand for
        self.self_chosen = np.arange(self.self_rows)
        self.scene_chosen = np.arange(self.scene_rows)

    def measure(self, model: HumanoidModel, everything: bool = False) -> None:
        """Compute distances at the model's configuration: of all own pairs, and of the nearest pairs
        with boxes, or of ``everything``.
        """
        a, b, s, e = self.first, self.second, model.starts, model.ends
        self.self_distance, self._normal, self._x1, self._x2 = capsule_to_capsule(
            s[a], e[a], self._r1, s[b], e[b], self._r2)
        if not len(self.boxes):
            return
        pair = np.arange(len(self.capsule))
        if not everything and self._candidates < len(pair):
            # A ball around each capsule tells which can be near at all.
            middle = 0.5 * (s + e)
            local = np.matmul((middle[self.capsule] - self._origin)[:, None], self._rotation)[:, 0]
            out = local - np.clip(local, -self._half, self._half)
            pair = _smallest(np.sqrt(np.einsum('ij,ij->i', out, out)) - self._reach,
                             self._candidates)
        r, origin, capsule = self._rotation[pair], self._origin[pair], self.capsule[pair]
        p = np.matmul((s[capsule] - origin)[:, None], r)[:, 0]
        q = np.matmul((e[capsule] - origin)[:, None], r)[:, 0]
        self.scene_distance, normal, x = capsule_to_box(p, q, self._radius[pair], self._half[pair])
        r = np.concatenate([r, r, r])
        self._box_normal = np.matmul(r, normal[:, :, None])[:, :, 0]
        self._box_x = np.matmul(r, x[:, :, None])[:, :, 0]
        self._box_x += np.concatenate([origin, origin, origin])
        self.scene_pair = np.concatenate([pair, pair, pair])

    def admit(self, model: HumanoidModel) -> None:
        """Take the present configuration as the start: what is closer than its margin may stay so,
        but not come nearer.
        """
        self.measure(model, everything=True)
        np.minimum(self._wanted[0], self.self_distance, out=self.self_margin)
        if len(self.boxes):
            axes = self.scene_distance[: len(self.capsule)]
            np.minimum(self._wanted[1], axes, out=self.scene_margin)

    def write(self, model: HumanoidModel, a: Matrix, lower: Matrix) -> None:
        """Fill rows (R, nv) and lower bounds (R,) with the nearest pairs."""
        self.measure(model)
        n, mask = self.self_rows, model.capsule_mask
        np.maximum(self.self_margin, np.minimum(self.self_distance, self._wanted[0]),
                   out=self.self_margin)
        left = self.self_distance - self.self_margin
        chosen = self.self_chosen = _smallest(left, n)
        i, j, normal = self.first[chosen], self.second[chosen], self._normal[chosen]
        np.subtract(model.velocity_rows(normal, self._x1[chosen], mask[i]),
                    model.velocity_rows(normal, self._x2[chosen], mask[j]), out=a[:n])
        np.multiply(left[chosen], -self.gain, out=lower[:n])
        if self.scene_rows:
            count = len(self.scene_pair) // 3
            pair, axes = self.scene_pair[:count], self.scene_distance[:count]
            self.scene_margin[pair] = np.maximum(self.scene_margin[pair],
                                                 np.minimum(axes, self._wanted[1]))
            left = self.scene_distance - self.scene_margin[self.scene_pair]
            chosen = self.scene_chosen = _smallest(left, self.scene_rows)
            a[n:] = model.velocity_rows(self._box_normal[chosen], self._box_x[chosen],
                                        mask[self.capsule[self.scene_pair[chosen]]])
            np.multiply(left[chosen], -self.gain, out=lower[n:])

    def row_name(self, model: HumanoidModel, row: int) -> str:
        """Say which two things a row of the last tick keeps apart."""
        if row < self.self_rows:
            return self._own(model, int(self.self_chosen[row]))
        return self._other(model, int(self.scene_chosen[row - self.self_rows]))

    def nearest(self, model: HumanoidModel) -> tuple[float, str]:
        """Return the smallest distance (m) of the last measurement and the names of the two."""
        k = int(np.argmin(self.self_distance))
        best = float(self.self_distance[k])
        if len(self.scene_distance) and float(self.scene_distance.min()) < best:
            k = int(np.argmin(self.scene_distance))
            return float(self.scene_distance[k]), self._other(model, k)
        return best, self._own(model, k)

    def _own(self, model: HumanoidModel, pair: int) -> str:
        first, second = self.first[pair], self.second[pair]
        return f'{model.capsule_link[first]} and {model.capsule_link[second]}'

    def _other(self, model: HumanoidModel, at: int) -> str:
        pair = self.scene_pair[at]
        return f'{model.capsule_link[self.capsule[pair]]} and {self.boxes[self.box[pair]].name}'


def _smallest(values: Matrix, count: int) -> NDArray[np.int64]:
    """Return the indices of the smallest values in ascending order: rows that stay keep their place
    as long as the set does, which a warm start lives on.
    """
    if count >= len(values):
        return np.arange(len(values))
    chosen = np.argpartition(values, count)[:count]
    chosen.sort()
    return chosen


class JointBounds:
    """Bounds on every velocity: positions, speeds and accelerations of the joints; the base is free.

    Args:
        lower: Positions (29,), rad.
        upper: Positions (29,), rad.
        velocity: (29,) rad/s.
        acceleration: (29,) rad/s^2.
        gain: Of the barriers at the position limits, 1/s.
        period: Seconds per tick.
    """

    #: the base moves as legs and feet let it; metres and rad per second
    BASE = 10.0

    def __init__(self, lower: Matrix, upper: Matrix, velocity: Matrix, acceleration: Matrix,
                 gain: float, period: float) -> None:
        self.lower, self.upper = lower, upper
        self.velocity, self.gain = velocity, gain
        self._change = acceleration * period

    def positions(self, q: Matrix) -> tuple[Matrix, Matrix]:
        """Return the bounds (29,) that the position limits alone put on velocities."""
        return (self.lower - q[7:]) * self.gain, (self.upper - q[7:]) * self.gain

    def write(self, q: Matrix, previous: Matrix, low: Matrix, high: Matrix,
              braking: bool = False) -> None:
        """Fill bounds (nv,).

        Args:
            q: Configuration (nq,).
            previous: (nv,) velocity of the tick before.
            low: Lower bounds.
            high: Upper bounds.
            braking: Leave the accelerations out.
        """
        low[:6], high[:6] = -self.BASE, self.BASE
        near, far = self.positions(q)
        np.clip(near, -self.velocity, self.velocity, out=low[6:])
        np.clip(far, -self.velocity, self.velocity, out=high[6:])
        if not braking:
            # A position limit goes before an acceleration.
            np.minimum(np.maximum(low[6:], previous[6:] - self._change), high[6:], out=low[6:])
            np.maximum(np.minimum(high[6:], previous[6:] + self._change), low[6:], out=high[6:])
