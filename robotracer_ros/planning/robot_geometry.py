# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Collision geometry of arm and gripper: convex hulls, which pairs of links matter, what is the hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import coal
import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from robotracer_ros.geometry.transforms import invert
from robotracer_ros.planning.robot import ArmModel

Matrix = NDArray[np.float64]


class RobotGeometry:
    """Convex collision geometry of the robot, made once.

    Args:
        arm: Kinematic model.
        package_dirs: Where ``package://`` mesh URIs are looked up.
        ignored: Link pairs that are never checked (from the SRDF).
        jaw_links: Links that may touch the object.
        hand_links: All links of the gripper (``jaw_links`` included); near the object they keep the
            contact margin.
    """

    def __init__(
        self,
        arm: ArmModel,
        package_dirs: Sequence[str],
        ignored: Iterable[tuple[str, str]],
        jaw_links: Iterable[str],
        hand_links: Iterable[str],
    ) -> None:
        self.arm = arm
        model = arm.model
        geom = pin.buildGeomFromUrdfString(
            model, arm.urdf, pin.GeometryType.COLLISION, package_dirs=list(package_dirs)
        )
        for o in geom.geometryObjects:
            if isinstance(o.geometry, coal.BVHModelBase):
                o.geometry.buildConvexHull(True, 'Qt')
                o.geometry = o.geometry.convex
        self.geom = geom
        self._slim: dict[float, pin.GeometryModel] = {}
        self.links = tuple(model.frames[o.parentFrame].name for o in geom.geometryObjects)
        jaw, hand = set(jaw_links), set(hand_links)
        self.jaw = tuple(i for i, n in enumerate(self.links) if n in jaw)
        self.hand = tuple(i for i, n in enumerate(self.links) if n in hand)
        # What is fixed to the base cannot move into anything; its distances are the installer's
        # concern.
        self.moving = tuple(i for i, o in enumerate(geom.geometryObjects) if o.parentJoint != 0)
        skip = {frozenset(p) for p in ignored}
        parents = {i: o.parentJoint for i, o in enumerate(geom.geometryObjects)}
        self.self_pairs = tuple(
            (i, j)
            for i in range(len(self.links))
            for j in range(i + 1, len(self.links))
            if parents[i] != parents[j] and frozenset((self.links[i], self.links[j])) not in skip
        )
        # Links on the first joint turn about the vertical: they never come nearer to the table.
        self.fixed_height = frozenset(n for i, n in enumerate(self.links) if parents[i] == 1)
        self.over_base = frozenset(n for i, n in enumerate(self.links) if parents[i] == 2)
        tool = arm.model.frames[arm.model.getFrameId(arm.tcp_frame)]
        self.tool_joint = int(tool.parentJoint)
        self.joint_from_tcp: Matrix = tool.placement.homogeneous
        # What sits on the flange's joint cannot move relative to the carried object, its neighbour
        # barely.
        self.near_hand = frozenset(
            n for i, n in enumerate(self.links) if parents[i] >= self.tool_joint
        )
        # The world frame of the URDF may differ from the planning frame by a fixed transform.
        self.world_from_base: Matrix = invert(arm.base_from_world)

    def slimmed(self, amount: float) -> pin.GeometryModel:
        """Return the geometry with the jaws' boxes this much (m) thinner on all four sides.

        A voxel reaches on average half its edge beyond the surface in it. Where the jaws go close to
        things on purpose, part of that is given back. The finger tips keep their height.
        """
        key = round(amount, 6)
        if key not in self._slim:
            geom = self.geom.copy()
            for i in self.jaw:
                o = geom.geometryObjects[i]
                if isinstance(o.geometry, coal.Box):
                    half = np.asarray(o.geometry.halfSide)
                    thin = np.maximum(half - [amount, amount, 0.0], 0.25 * half)
                    slim = pin.GeometryObject(
                        o.name, o.parentJoint, o.parentFrame, o.placement, coal.Box(*(2 * thin))
                    )
                    geom.geometryObjects[i] = slim
            self._slim[key] = geom
        return self._slim[key]
