# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A standing humanoid as Pinocchio sees it, with everything a tick needs computed once per state.

Conventions are Pinocchio's: a configuration q (nq,) begins with the base's position and quaternion
(x, y, z, w), a velocity v (nv,) with the base's linear and angular velocity in its own frame, then
one number per joint. Frame Jacobians are LOCAL_WORLD_ALIGNED: (6, nv), linear rows first, so that
``jacobian @ v`` is the frame's velocity in the axes of the world. Forming q + v dt means
``pin.integrate(model, q, v * dt)``. The world's origin is on the ground, z up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.g1_description import JOINTS, SOLE_FRAMES, Parts, load_parts, load_urdf

Matrix = NDArray[np.float64]

#: soles of a standing posture are level and at one height within these, rad and m
_LEVEL_RAD, _LEVEL_M = 2e-3, 1e-3


class HumanoidModel:
    """The G1's kinematics at one configuration; :meth:`update` moves it to the next.

    Args:
        urdf: URDF text; the G1's when None.
        parts: Frames, capsules and contact points that belong to it.

    Attributes:
        model, data: Pinocchio's.
        joints: Names of the 29 joints, in the order of ``v[6:]``.
        com: (3,) centre of mass, world.
        com_jacobian: (3, nv).
        starts, ends: (C, 3) ends of the capsules' axes, world.
    """

    def __init__(self, urdf: str | None = None, parts: Parts | None = None) -> None:
        parts = parts or load_parts()
        self.model = pin.buildModelFromXML(urdf or load_urdf(), pin.JointModelFreeFlyer())
        self.data = self.model.createData()
        self.joints = tuple(self.model.names)[2:]
        if self.joints != JOINTS:
            wrong = next((p for p in zip(self.joints, JOINTS, strict=False) if p[0] != p[1]),
                         (len(self.joints), len(JOINTS)))
            raise InvalidParameterError(f'the robot description has other joints than a G1 with 29 '
                                        f'degrees of freedom: {wrong[0]} where {wrong[1]} should be')
        self.nq, self.nv = int(self.model.nq), int(self.model.nv)
        self.mass = float(pin.computeTotalMass(self.model))
        self.parts = parts
        self._supports = self._support_masks()
        self._set_capsules(parts)
        self.soles = tuple(self.frame(f) for f in SOLE_FRAMES.values())
        self.q = pin.neutral(self.model)
        self.com, self.com_jacobian = np.zeros(3), np.zeros((3, self.nv))
        self.update(self.q)

    def _support_masks(self) -> Matrix:
        """Return (joints, nv): 1 where a velocity moves a joint's frame."""
        masks = np.zeros((self.model.njoints, self.nv))
        for joint in range(1, self.model.njoints):
            for parent in list(self.model.supports[joint])[1:]:
                j = self.model.joints[parent]
                masks[joint, j.idx_v : j.idx_v + j.nv] = 1.0
        return masks

    def _set_capsules(self, parts: Parts) -> None:
        joints, ends = [], []
        for capsule in parts.capsules:
            frame = self.model.frames[self.frame(capsule.link)]
            joints.append(int(frame.parentJoint))
            ends.append([frame.placement.act(p) for p in (capsule.start, capsule.end)])
        used = sorted(set(joints))
        self.capsule_joint = np.array(joints)
        self.capsule_name = tuple(c.name for c in parts.capsules)
        self.capsule_link = tuple(c.link for c in parts.capsules)
        self.capsule_radius = np.array([c.radius for c in parts.capsules])
        #: (C, nv) which velocities move a capsule
        self.capsule_mask = self._supports[self.capsule_joint]
        self._slot = np.array([used.index(j) for j in joints])
        self._local_ends = np.ascontiguousarray(np.array(ends).transpose(0, 2, 1))  # (C, 3, 2)
        # Views into Pinocchio's data: they follow every update without a call.
        self._rotations = [self.data.oMi[j].rotation for j in used]
        self._translations = [self.data.oMi[j].translation for j in used]
        self._rotation = np.empty((3 * len(used), 3))
        self._translation = np.empty(3 * len(used))
        count = len(parts.capsules)
        self._ends = np.empty((count, 3, 2))
        self.starts, self.ends = self._ends[:, :, 0], self._ends[:, :, 1]

    def frame(self, name: str) -> int:
        """Return a frame's id. Raises InvalidParameterError when there is none of that name."""
        if not self.model.existFrame(name):
            raise InvalidParameterError(f"the robot description has no frame '{name}'", frame=name)
        return int(self.model.getFrameId(name))

    def update(self, q: Matrix) -> None:
        """Move to configuration q (nq,): kinematics, Jacobians, centre of mass, capsules."""
        model, data = self.model, self.data
        self.q = q
        pin.computeJointJacobians(model, data, q)
        self.com_jacobian = pin.jacobianCenterOfMass(model, data, q, False)
        self.com = data.com[0]
        np.concatenate(self._rotations, out=self._rotation)
        np.concatenate(self._translations, out=self._translation)
        np.matmul(self._rotation.reshape(-1, 3, 3)[self._slot], self._local_ends, out=self._ends)
        self._ends += self._translation.reshape(-1, 3)[self._slot][:, :, None]

    def placement(self, frame: int) -> pin.SE3:
        """Return world_from_frame at the present configuration."""
        return pin.updateFramePlacement(self.model, self.data, frame)

    def frame_jacobian(self, frame: int) -> Matrix:
        """Return the LOCAL_WORLD_ALIGNED Jacobian (6, nv) of a frame."""
        pin.updateFramePlacement(self.model, self.data, frame)
        jacobian: Matrix = pin.getFrameJacobian(self.model, self.data, frame,
                                                pin.LOCAL_WORLD_ALIGNED)
        return jacobian

    def velocity_rows(self, normals: Matrix, points: Matrix, masks: Matrix) -> Matrix:
        """Return rows (K, nv) whose products with v are the speeds of body points along normals.

        Args:
            normals: (K, 3) unit vectors, world.
            points: (K, 3) where on the moving bodies, world.
            masks: (K, nv) which velocities move each body, as in ``capsule_mask``.
        """
        # In data.J every column is the velocity of the point at the world's origin: that of p is
        # larger by omega x p, and n . (omega x p) = omega . (p x n).
        wrench = np.empty((len(normals), 6))
        wrench[:, :3] = normals
        x, y, z = points.T
        u, v, w = normals.T
        wrench[:, 3] = y * w - z * v
        wrench[:, 4] = z * u - x * w
        wrench[:, 5] = x * v - y * u
        rows: Matrix = wrench @ self.data.J
        rows *= masks
        return rows

    def contact_points(self) -> Matrix:
        """Return the contact points (8, 3) under both feet, world."""
        return np.concatenate([self.parts.contacts @ m.rotation.T + m.translation
                               for m in map(self.placement, self.soles)])

    def q_index(self, joint: str) -> int:
        """Return where a joint stands in q. Raises InvalidParameterError for an unknown one."""
        if not self.model.existJointName(joint):
            raise InvalidParameterError(f"the robot has no joint '{joint}'", joint=joint)
        return int(self.model.joints[self.model.getJointId(joint)].idx_q)

    def standing(self, posture: Matrix | Sequence[float] | Mapping[str, float]) -> Matrix:
        """Return q (nq,) of a posture with the pelvis upright and both soles on the ground.

        The world's origin is then on the ground between the soles, x forward.

        Args:
            posture: Joint positions (29,) in the order of ``joints``, or by name with the rest 0.

        Raises:
            InvalidParameterError: a name is unknown, or the soles would not be level.
        """
        q = pin.neutral(self.model)
        if isinstance(posture, Mapping):
            for joint, value in posture.items():
                q[self.q_index(joint)] = value
        else:
            q[7:] = posture
        self.update(q)
        soles = [self.placement(f) for f in self.soles]
        tilt = max(float(np.hypot(m.rotation[0, 2], m.rotation[1, 2])) for m in soles)
        step = abs(float(soles[0].translation[2] - soles[1].translation[2]))
        if tilt > _LEVEL_RAD or step > _LEVEL_M:
            raise InvalidParameterError(
                f'standing posture: soles are {tilt:.4f} rad tilted and {step * 1e3:.1f} mm apart '
                f'in height; limits {_LEVEL_RAD} rad and {_LEVEL_M * 1e3:g} mm', parameter='home')
        q[:3] = -(soles[0].translation + soles[1].translation) / 2
        self.update(q)
        return q
