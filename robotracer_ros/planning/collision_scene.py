# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Obstacles and support around the robot, and which pairs must keep which margin in a phase."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.planning.checker import Checker, Rules
from robotracer_ros.planning.robot_geometry import RobotGeometry
from robotracer_ros.planning.solids import Body, box, octree

Matrix = NDArray[np.float64]

#: share of a voxel's edge that is given back where things are touched on purpose
GIVE_BACK = 0.3


class CollisionScene:
    """Obstacles and support of one plan, from which checkers are made.

    Args:
        robot: Geometry of the robot.
        obstacles: (N, 3) centres of occupied voxels, planning frame.
        voxel: Edge of a voxel, metres.
        support_z: Height of the table, NaN when there is none.
        skin_z: Height under which voxels are the skin of the table; ``support_z`` when None.
    """

    #: the table box lies this far below the measured height, which noise moves by millimetres
    SUPPORT_SLACK = 0.002

    def __init__(
        self,
        robot: RobotGeometry,
        obstacles: Matrix,
        voxel: float,
        support_z: float,
        skin_z: float | None = None,
    ) -> None:
        self.robot, self.voxel, self.support_z = robot, voxel, support_z
        centres = np.asarray(obstacles, dtype=float).reshape(-1, 3)
        skin = support_z if skin_z is None else skin_z
        if np.isfinite(skin):
            # The table itself is a box; its voxels would only add a rough surface on top of it.
            centres = centres[centres[:, 2] > skin + 0.5 * voxel + 0.002]
        self.centres = centres
        self.tree = octree(centres, voxel)

    def without(
        self, *patches: tuple[Matrix, Matrix, float], inside: tuple[Matrix, Matrix] | None = None
    ) -> CollisionScene:
        """Return this scene without the upper skin of the surfaces that the object stands on or is
        put on; itself when there is none.

        Args:
            *patches: ``(pose (4, 4), extents (3,), z)``: voxels under or in this footprint are
                dropped up to the height z plus one voxel, since the skin of a surface rises up to
                one voxel above it.
            inside: ``(pose, extents)`` of a box whose voxels are dropped too: what overlaps the
                object where it stands touches it already.
        """
        keep = np.ones(len(self.centres), dtype=bool)
        for pose, extents, z in patches:
            local = (self.centres - pose[:3, 3]) @ pose[:3, :3]
            under = (np.abs(local[:, :2]) <= np.asarray(extents)[:2] / 2).all(axis=1)
            keep &= ~(
                under
                & (self.centres[:, 2] <= z + self.voxel)
                & (self.centres[:, 2] >= z - 2 * self.voxel)
            )
        if inside is not None:
            local = (self.centres - inside[0][:3, 3]) @ inside[0][:3, :3]
            keep &= ~(np.abs(local) <= np.asarray(inside[1]) / 2 + 0.6 * self.voxel).all(axis=1)
        if keep.all():
            return self
        other = copy.copy(self)
        other.centres = self.centres[keep]
        other.tree = octree(other.centres, self.voxel)
        return other

    def checker(
        self,
        rules: Rules,
        opening: float,
        *,
        touching: bool = False,
        object_box: Body | None = None,
        carried: Body | None = None,
    ) -> Checker:
        """Make a checker.

        Args:
            rules: Margins.
            opening: Of the jaws, metres.
            touching: The hand is about to touch or release the object: contact margins for jaws and
                carried object, jaws may touch the object, the carried object may touch the support.
            object_box: The object where it stands, when it is an obstacle (``touching``: the jaws
                may touch it).
            carried: The object in the gripper.
        """
        r = self.robot
        bodies: list[Body] = []
        pairs: list[tuple[int | str, int | str, float]] = [
            (a, b, rules.own) for a, b in r.self_pairs
        ]
        hand, jaws = set(r.hand), set(r.jaw)

        def against(name: str, links: Iterable[int], near: Callable[[int], float]) -> None:
            pairs.extend((i, name, near(i)) for i in links)

        def margin_of(i: int) -> float:
            # Only the jaws go right up to what stands around the object. The edge of a thing is seen
            # to a pixel, and its outermost voxel may be missing: the housing keeps the arm's margin.
            return rules.contact if touching and i in jaws else rules.margin

        if self.tree is not None:
            bodies.append(Body('obstacles', self.tree, np.eye(4)))
            against('obstacles', r.moving, margin_of)
        if np.isfinite(self.support_z):
            thick = 0.2
            pose = np.eye(4)
            pose[2, 3] = self.support_z - self.SUPPORT_SLACK - thick / 2
            bodies.append(Body('support', box((4.0, 4.0, thick)), pose))
            # The shoulder turns above the base at a fixed height; only what can come down is
            # checked.
            against('support', [i for i in r.moving if r.links[i] not in r.fixed_height], margin_of)
        if object_box is not None:
            bodies.append(object_box)
            links = [i for i in r.moving if not (touching and i in hand)]
            # The hand goes right up to the object, the arm keeps off it.
            near = rules.contact
            against(object_box.name, links, lambda i: near if i in hand else rules.margin)
        if carried is not None:
            bodies.append(carried)
            held = rules.contact if touching else rules.margin
            if self.tree is not None:
                pairs.append((carried.name, 'obstacles', held))
            if np.isfinite(self.support_z) and not touching:
                pairs.append((carried.name, 'support', held))
            against(
                carried.name,
                [i for i in range(len(r.links)) if i not in hand and r.links[i] not in r.near_hand],
                lambda i: rules.own,
            )
        # The upper arm's root hangs a constant 3 cm above the table: as a clearance that would hide
        # everything else.
        second = [(i, 'support') for i in r.moving if r.links[i] in r.over_base]
        return Checker(
            r, bodies, pairs, opening, second, slim=GIVE_BACK * self.voxel if touching else 0.0
        )
