# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Proxies of the robot stay apart from each other and from the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.control.wbc.capsules import capsule_to_box, capsule_to_capsule
from robotracer_ros.control.wbc.model import HumanoidModel

Matrix = NDArray[np.float64]

#: links whose proxies never meet the scene: they stand on it
STANDING_LINKS = tuple(f'{side}_ankle_{axis}_link' for side in ('left', 'right')
                       for axis in ('pitch', 'roll'))


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
        self._near = near
        half = np.array([b.half for b in boxes], dtype=float).reshape(-1, 3)
        pose = np.array([b.pose for b in boxes], dtype=float).reshape(-1, 4, 4)
        self._half = half[self.box]
        self._rotation, self._origin = pose[:, :3, :3], pose[:, :3, 3]
        # All boxes' axes side by side: one product brings a point into every box's frame.
        self._axes = np.concatenate([*pose[:, :3, :3], np.zeros((3, 0))], axis=1)
        self._shift = np.einsum('bi,bij->bj', self._origin, self._rotation)
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
        p, q = self._local(s[self._near]), self._local(e[self._near])
        pair = np.arange(len(self.capsule))
        if not everything and self._candidates < len(pair):
            # A ball around each capsule tells which can be near at all.
            out = np.abs(0.5 * (p + q)) - self._half
            np.maximum(out, 0.0, out=out)
            pair = _smallest(np.sqrt(np.einsum('ij,ij->i', out, out)) - self._reach,
                             self._candidates)
            p, q = p[pair], q[pair]
        self.scene_distance, self._box_normal, self._box_x = capsule_to_box(
            p, q, self._radius[pair], self._half[pair])
        self.scene_pair = np.concatenate([pair, pair, pair])

    def _local(self, points: Matrix) -> Matrix:
        """Return points (N, 3) in the frames of all boxes (B N, 3), in the order of the pairs."""
        found = (points @ self._axes).reshape(len(points), len(self.boxes), 3) - self._shift
        return found.transpose(1, 0, 2).reshape(-1, 3)

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
        np.multiply(left[chosen], -self.gain, out=lower[:n])
        i, j, normal = self.first[chosen], self.second[chosen], self._normal[chosen]
        normals, points = [normal, normal], [self._x1[chosen], self._x2[chosen]]
        masks = [mask[i], mask[j]]
        if self.scene_rows:
            count = len(self.scene_pair) // 3
            pair, axes = self.scene_pair[:count], self.scene_distance[:count]
            self.scene_margin[pair] = np.maximum(self.scene_margin[pair],
                                                 np.minimum(axes, self._wanted[1]))
            left = self.scene_distance - self.scene_margin[self.scene_pair]
            chosen = self.scene_chosen = _smallest(left, self.scene_rows)
            np.multiply(left[chosen], -self.gain, out=lower[n:])
            pair = self.scene_pair[chosen]
            turn = self._rotation[self.box[pair]]
            normals.append(np.einsum('kij,kj->ki', turn, self._box_normal[chosen]))
            points.append(np.einsum('kij,kj->ki', turn, self._box_x[chosen])
                          + self._origin[self.box[pair]])
            masks.append(mask[self.capsule[pair]])
        rows = model.velocity_rows(np.concatenate(normals), np.concatenate(points),
                                   np.concatenate(masks))
        np.subtract(rows[:n], rows[n : 2 * n], out=a[:n])
        a[n:] = rows[2 * n :]

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
