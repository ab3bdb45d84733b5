# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Collision checks of arm, gripper and carried object against self, obstacles and support (Coal,
broad phase).

A :class:`Checker` answers for one fixed set of bodies and contact rules; building one takes about a
millisecond, a check about 10-20 microseconds. Margins are Coal security margins: distances below
them count as collisions.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import coal
import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from robotracer_ros.geometry.transforms import invert
from robotracer_ros.planning.robot import ArmModel

Matrix = NDArray[np.float64]

#: share of a voxel's edge that is given back where things are touched on purpose
GIVE_BACK = 0.3
#: distances between which a clearance is searched, metres; beyond the first it is reported as that
CLEARANCE_LEVELS = (
    0.10,
    0.08,
    0.06,
    0.045,
    0.035,
    0.027,
    0.02,
    0.015,
    0.011,
    0.008,
    0.006,
    0.004,
    0.002,
    0.0,
)


@dataclass(frozen=True)
class Contact:
    """Two things closer than allowed: their names and their distance (m, negative: penetration)."""

    first: str
    second: str
    distance: float
    margin: float

    def __str__(self) -> str:
        state = (
            f'{-self.distance * 1e3:.1f} mm deep in'
            if self.distance < 0
            else f'{self.distance * 1e3:.1f} mm from'
        )
        return f'{self.first} {state} {self.second} (margin {self.margin * 1e3:.1f} mm)'


@dataclass(frozen=True)
class Body:
    """A solid that is no part of the robot.

    Attributes:
        name: As it appears in messages: ``obstacles``, ``support``, ``object``, ``carried object``.
        shape: Coal geometry.
        pose: (4, 4) in the planning frame, or in the tool centre point's frame when ``carried``.
        carried: Moves with the gripper.
    """

    name: str
    shape: coal.CollisionGeometry
    pose: Matrix
    carried: bool = False


def octree(centres: Matrix, voxel: float) -> coal.CollisionGeometry | None:
    """Make an octree of occupied voxels from their centres (N, 3), or None when there are none."""
    if len(centres) == 0:
        return None
    return coal.makeOctree(np.ascontiguousarray(centres, dtype=float), float(voxel))


def box(extents: Iterable[float]) -> coal.CollisionGeometry:
    """Make a box of full side lengths."""
    return coal.Box(*(float(e) for e in extents))


def separation(shape: coal.CollisionGeometry, pose: Matrix, tree: coal.CollisionGeometry) -> float:
    """Return the signed distance (m) of a shape at a pose (4, 4) to an octree."""
    request = coal.DistanceRequest()
    request.enable_signed_distance = True
    result = coal.DistanceResult()
    place = coal.Transform3s(pose[:3, :3], pose[:3, 3])
    return float(coal.distance(shape, place, tree, coal.Transform3s(), request, result))


@dataclass(frozen=True)
class Rules:
    """Margins of a checker, metres.

    Attributes:
        margin: To obstacles and support, of arm and carried object.
        contact: Of the hand (and the carried object) in phases that touch things.
        own: Between links of the robot.
    """

    margin: float
    contact: float
    own: float


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
        """Return the geometry with the hand's boxes this much (m) thinner on all four sides.

        A voxel reaches on average half its edge beyond the surface in it. Where the hand goes close
        to things on purpose, part of that is given back. The finger tips keep their height.
        """
        key = round(amount, 6)
        if key not in self._slim:
            geom = self.geom.copy()
            for i in self.hand:
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


class Checker:
    """Checks configurations against one set of bodies and rules.

    Args:
        robot: Geometry of the robot.
        bodies: Further solids.
        pairs: ``(a, b, margin)`` with a and b a link's index in ``robot.links`` or a body's name.
        opening: Of the jaws, metres.
        uncounted: Pairs that are checked but are no part of the clearance.
        slim: The hand is made this much thinner, metres; see :meth:`RobotGeometry.slimmed`.
    """

    def __init__(
        self,
        robot: RobotGeometry,
        bodies: Sequence[Body],
        pairs: Iterable[tuple[int | str, int | str, float]],
        opening: float,
        uncounted: Iterable[tuple[int | str, int | str]] = (),
        slim: float = 0.0,
    ) -> None:
        self._robot = robot
        self._model, self._data = robot.arm.model, robot.arm.data
        self._opening = opening
        self._geom = (robot.geom if slim <= 0 else robot.slimmed(slim)).copy()
        names: dict[int | str, int] = {i: i for i in range(len(robot.links))}
        for b in bodies:
            joint = robot.tool_joint if b.carried else 0
            placement = (robot.joint_from_tcp if b.carried else robot.world_from_base) @ b.pose
            o = pin.GeometryObject(
                b.name, joint, 0, pin.SE3(placement[:3, :3], placement[:3, 3]), b.shape
            )
            names[b.name] = int(self._geom.addGeometryObject(o))
        pairs, margins = list(pairs), []
        for a, b_, margin in pairs:
            self._geom.addCollisionPair(pin.CollisionPair(names[a], names[b_]))
            margins.append(margin)
        self._margins = np.array(margins)
        self._labels = [*robot.links, *(b.name for b in bodies)]
        self._broad: tuple[pin.GeometryData, object] | None = None
        quiet = set(uncounted)
        self._outer = np.array(
            [
                (a, b_) not in quiet and (isinstance(a, str) or isinstance(b_, str))
                for a, b_, _ in pairs
            ],
            dtype=bool,
        )

    def with_rules(self, old: Rules, new: Rules) -> Checker:
        """Return a new checker of the same bodies with the margins of ``new`` where they were those
        of ``old``.

        Margins that were changed since are reduced by a third.
        """
        other = object.__new__(Checker)
        other.__dict__.update(self.__dict__)
        other._broad = None
        margins = 0.65 * self._margins
        for before, after in (
            (old.margin, new.margin),
            (old.contact, new.contact),
            (old.own, new.own),
        ):
            margins[self._margins == before] = after
        other._margins = margins
        return other

    def eased(self, factor: float = 0.75) -> Checker:
        """Return this checker with smaller margins to everything outside of the robot.

        A sampled way is checked again between its samples, and rounded: with the full margin that
        would refuse many.
        """
        other = object.__new__(Checker)
        other.__dict__.update(self.__dict__)
        other._broad = None
        other._margins = np.where(self._margins > 0, factor * self._margins, self._margins)
        return other

    def relaxed_at(self, q: Matrix) -> Checker:
        """Return this checker, or one with smaller margins when arm positions (J,) are nearer to
        something than allowed.

        A robot that starts close to a thing has to be allowed to move away from it; nowhere on the
        way it may come closer.
        """
        if not self.hit(q):
            return self
        data = self._geom.createData()
        for request in data.distanceRequests:
            request.enable_signed_distance = True
        pin.computeDistances(
            self._model, self._data, self._geom, data, self._robot.arm.full(q, self._opening)
        )
        distances = np.array([r.min_distance for r in data.distanceResults])
        other = object.__new__(Checker)
        other.__dict__.update(self.__dict__)
        other._broad = None
        other._margins = np.where(
            distances < self._margins, np.maximum(0.8 * distances, 0.0), self._margins
        )
        return other

    def hit(self, q: Matrix) -> bool:
        """Tell whether arm positions (J,) collide or come closer than a margin."""
        return bool(
            pin.computeCollisions(
                self._model, self._data, self._manager, self._robot.arm.full(q, self._opening), True
            )
        )

    def first_hit(self, path: Matrix) -> int | None:
        """Return the index of the first colliding configuration of (T, J), or None."""
        manager, model, data = self._manager, self._model, self._data
        for i, full in enumerate(self._robot.arm.full(path, self._opening)):
            if pin.computeCollisions(model, data, manager, full, True):
                return i
        return None

    def hits(self, path: Matrix) -> NDArray[np.bool_]:
        """Return for each configuration of (T, J) whether it collides."""
        manager, model, data = self._manager, self._model, self._data
        return np.array(
            [
                pin.computeCollisions(model, data, manager, full, True)
                for full in self._robot.arm.full(path, self._opening)
            ],
            dtype=bool,
        )

    def contact(self, q: Matrix) -> Contact | None:
        """Return the pair that violates its margin most at (J,), or None when there is none."""
        data = self._geom.createData()
        for request in data.distanceRequests:
            request.enable_signed_distance = True
        pin.computeDistances(
            self._model, self._data, self._geom, data, self._robot.arm.full(q, self._opening)
        )
        distances = np.array([r.min_distance for r in data.distanceResults])
        if len(distances) == 0 or (distances - self._margins).min() >= 0:
            return None
        k = int(np.argmin(distances - self._margins))
        pair = self._geom.collisionPairs[k]
        return Contact(
            self._labels[pair.first],
            self._labels[pair.second],
            float(distances[k]),
            float(self._margins[k]),
        )

    def clearance(self, path: Matrix) -> float:
        """Return the smallest distance (m) of robot and carried object to the bodies along (T, J).

        Pairs within the robot, and of the upper arm with the support, do not count. Exact to a
        fifth of the gap between two :data:`CLEARANCE_LEVELS`, rounded down; never more than the
        first level.
        """
        if len(path) == 0 or not self._outer.any():
            return CLEARANCE_LEVELS[0]
        full = self._robot.arm.full(path, self._opening)
        model, data, geom = self._model, self._data, self._geom
        # Margins change all the time here, which a broad phase would have to be rebuilt for.
        close = geom.createData()
        for k in np.flatnonzero(~self._outer):
            close.deactivateCollisionPair(int(k))
        requests = [close.collisionRequests[int(k)] for k in np.flatnonzero(self._outer)]

        def within(margin: float, q: Matrix) -> bool:
            for request in requests:
                request.security_margin = margin
            return bool(pin.computeCollisions(model, data, geom, close, q, True))

        level = 0
        # Far apart samples first: they bring the level down early, and every later check is
        # cheaper.
        order = np.argsort(np.arange(len(full)) * 0.6180339887 % 1.0)
        for i in order:
            while within(CLEARANCE_LEVELS[level], full[i]):
                level += 1
                if level == len(CLEARANCE_LEVELS):
                    return 0.0
        if level == 0:
            return CLEARANCE_LEVELS[0]
        low, high = CLEARANCE_LEVELS[level], CLEARANCE_LEVELS[level - 1]
        near = [f for f in full if within(high, f)]
        for margin in np.linspace(low, high, 6)[1:-1]:
            if any(within(float(margin), f) for f in near):
                break
            low = float(margin)
        return low

    @property
    def _manager(self) -> object:
        """The broad phase, made when first needed."""
        if self._broad is None:
            data = self._geom.createData()
            for request, margin in zip(data.collisionRequests, self._margins, strict=True):
                request.security_margin = max(float(margin), 0.0)
            # Pinocchio reads the margins only here, so they must be set before.
            self._broad = (
                data,
                pin.BroadPhaseManager_DynamicAABBTreeCollisionManager(
                    self._model, self._geom, data
                ),
            )
        return self._broad[1]


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
            touching: The hand is about to touch or release the object: contact margins for hand and
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
        hand = set(r.hand)

        def against(name: str, links: Iterable[int], near: Callable[[int], float]) -> None:
            pairs.extend((i, name, near(i)) for i in links)

        def margin_of(i: int) -> float:
            return rules.contact if touching and i in hand else rules.margin

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
