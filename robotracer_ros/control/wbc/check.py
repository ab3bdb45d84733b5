# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Judge a finished whole-body motion by code that shares nothing with what made it.

Velocities and accelerations are differences of the sampled configurations, distances are Coal's
between capsules, the support polygon is SciPy's hull, and the model is loaded anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import coal
import numpy as np
import pinocchio as pin
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from robotracer_ros.control.wbc.config import HumanoidConfig
from robotracer_ros.control.wbc.constraints import GRAVITY
from robotracer_ros.control.wbc.separation import STANDING_LINKS, SceneBox
from robotracer_ros.errors import LimitsViolatedError
from robotracer_ros.g1_description import JOINTS, SOLE_FRAMES, Capsule, load_parts, load_urdf

Matrix = NDArray[np.float64]

#: what counts as a violation: metres, and rad (0.1 degrees)
LENGTH_M, ANGLE_RAD = 0.001, np.deg2rad(0.1)
#: velocities and accelerations may exceed their limits by this share
SHARE = 1e-3


@dataclass(frozen=True)
class Figures:
    """What a motion did; excesses are 0 or negative inside of a limit.

    Attributes:
        position_rad: Largest excess of a joint over its range.
        velocity_share, acceleration_share: Largest excess over a limit, as a share of it.
        feet_m, feet_rad: Largest drift and turn of a sole.
        self_m, scene_m: Smallest distance of two proxies; of a proxy and the scene.
        balance_m: Smallest distance of the centre of mass to the edge of the support polygon.
        zmp_m: The same of the zero moment point.
        samples: Configurations looked at.
    """

    position_rad: float
    velocity_share: float
    acceleration_share: float
    feet_m: float
    feet_rad: float
    self_m: float
    scene_m: float
    balance_m: float
    zmp_m: float
    samples: int

    def violations(self, config: HumanoidConfig) -> list[str]:
        """Name what is beyond its limit by more than 1 mm, 0.1 degrees or a thousandth."""
        w = config.wbc
        found = []
        if self.position_rad > ANGLE_RAD:
            found.append(f'a joint is {self.position_rad:.4f} rad outside of its range')
        for name, share in (('velocity', self.velocity_share),
                            ('acceleration', self.acceleration_share)):
            if share > SHARE:
                found.append(f'a joint {name} exceeds its limit by {share:.1%}')
        if self.feet_m > LENGTH_M or self.feet_rad > ANGLE_RAD:
            found.append(f'a sole moved {self.feet_m * 1e3:.2f} mm and {self.feet_rad:.4f} rad')
        for name, value, margin in (
            ('self-distance', self.self_m, w.self_margin_m),
            ('distance to the scene', self.scene_m, w.scene_margin_m),
            ('centre of mass', self.balance_m, w.balance_margin_m),
            ('zero moment point', self.zmp_m, w.zmp_margin_m),
        ):
            if value < margin - LENGTH_M:
                found.append(f'{name} is {value * 1e3:.1f} mm, margin {margin * 1e3:.1f} mm')
        return found

    def require(self, config: HumanoidConfig) -> None:
        """Raise LimitsViolatedError naming all violations, if there are any."""
        found = self.violations(config)
        if found:
            raise LimitsViolatedError('; '.join(found), **asdict(self))


def collision_geometry(model: pin.Model, boxes: Sequence[SceneBox] = ()) -> pin.GeometryModel:
    """Return the G1's proxies and a scene as Coal shapes; the robot's own pairs come first."""
    parts, geometry = load_parts(), pin.GeometryModel()
    objects = [geometry.addGeometryObject(_capsule(model, c)) for c in parts.capsules]
    for i, j in parts.capsule_pairs():
        geometry.addCollisionPair(pin.CollisionPair(objects[i], objects[j]))
    near = [objects[i] for i, c in enumerate(parts.capsules) if c.link not in STANDING_LINKS]
    for box in boxes:
        pose = pin.SE3(box.pose[:3, :3], box.pose[:3, 3])
        at = geometry.addGeometryObject(
            pin.GeometryObject(box.name, 0, 0, pose, coal.Box(*(2 * box.half))))
        for o in near:
            geometry.addCollisionPair(pin.CollisionPair(o, at))
    return geometry


class MotionCheck:
    """Checks motions of the G1.

    Args:
        config: Limits and margins.
        boxes: The scene.
    """

    def __init__(self, config: HumanoidConfig, boxes: Sequence[SceneBox] = ()) -> None:
        self._config = config
        self._model = pin.buildModelFromXML(load_urdf(), pin.JointModelFreeFlyer())
        self._data = self._model.createData()
        self._lower, self._upper = (limit[7:] + sign * config.position_margin for limit, sign in (
            (np.array(self._model.lowerPositionLimit), 1.0),
            (np.array(self._model.upperPositionLimit), -1.0)))
        self._soles = [self._model.getFrameId(f) for f in SOLE_FRAMES.values()]
        self._contacts = load_parts().contacts
        self._geometry = collision_geometry(self._model, boxes)
        self._own = len(load_parts().capsule_pairs())
        self._shapes = self._geometry.createData()

    def figures(self, q: Matrix, period_s: float, every: int = 5) -> Figures:
        """Look at a motion.

        Args:
            q: (T, 36) configurations, at rest at the start.
            period_s: Seconds between them.
            every: Distances are measured at every so many-th sample.
        """
        model, data = self._model, self._data
        v = np.array([pin.difference(model, a, b) for a, b in itertools.pairwise(q)])[:, 6:]
        v /= period_s
        a = np.diff(np.concatenate([np.zeros((1, len(JOINTS))), v]), axis=0) / period_s
        soles, com = [], []
        for row in q:
            pin.centerOfMass(model, data, row, False)
            com.append(data.com[0].copy())
            soles.append([pin.SE3(pin.updateFramePlacement(model, data, f)) for f in self._soles])
        points = np.concatenate([self._contacts @ m.rotation.T + m.translation for m in soles[0]])
        edges = ConvexHull(points[:, :2]).equations
        centre = np.array(com)
        pull = np.zeros_like(centre)
        pull[1:-1] = (centre[2:] - 2 * centre[1:-1] + centre[:-2]) / period_s**2
        zmp = centre[:, :2] - centre[:, 2:] / GRAVITY * pull[:, :2]
        own, scene = self._distances(q[::every])
        drift = [first.actInv(m) for row in soles for first, m in zip(soles[0], row, strict=True)]
        return Figures(
            float(np.maximum(self._lower - q[:, 7:], q[:, 7:] - self._upper).max()),
            float((np.abs(v) / self._config.velocity).max()) - 1.0,
            float((np.abs(a) / self._config.acceleration).max()) - 1.0,
            max(float(np.linalg.norm(m.translation)) for m in drift),
            max(float(np.linalg.norm(pin.log3(m.rotation))) for m in drift),
            own, scene, _inside(edges, centre[:, :2]), _inside(edges, zmp), len(q))

    def _distances(self, q: Matrix) -> tuple[float, float]:
        own = scene = np.inf
        for row in q:
            pin.computeDistances(self._model, self._data, self._geometry, self._shapes, row)
            found = [r.min_distance for r in self._shapes.distanceResults]
            own = min(own, *found[: self._own])
            scene = min([scene, *found[self._own :]])
        return float(own), float(scene)


def _inside(edges: Matrix, points: Matrix) -> float:
    """Return the smallest distance of points (N, 2) to the edges of a hull, negative outside."""
    return float(-(points @ edges[:, :2].T + edges[:, 2]).max())


def _capsule(model: pin.Model, capsule: Capsule) -> pin.GeometryObject:
    frame = model.getFrameId(capsule.link)
    axis = capsule.end - capsule.start
    length = float(np.linalg.norm(axis))
    turn = np.eye(3)
    if length > 1e-9:
        turn = pin.Quaternion.FromTwoVectors(np.array([0.0, 0.0, 1.0]), axis / length).matrix()
    place = model.frames[frame].placement * pin.SE3(turn, (capsule.start + capsule.end) / 2)
    return pin.GeometryObject(capsule.name, model.frames[frame].parentJoint, frame, place,
                              coal.Capsule(capsule.radius, length))
