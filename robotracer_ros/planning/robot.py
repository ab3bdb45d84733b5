# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The arm's kinematic model: joint order, forward kinematics, Jacobian. Planning frame: the URDF's
base frame.
"""

from __future__ import annotations

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.transforms import invert
from robotracer_ros.planning.base import JointLimits

Matrix = NDArray[np.float64]

#: from this many configurations on, all at once is faster than one after the other
_MANY = 48


class ArmModel:
    """Pinocchio model of an arm with a two-jaw gripper, seen through the arm's joints.

    Args:
        urdf: URDF text.
        limits: Names the arm's joints in planning order; positions are limited by these and the
            URDF's limits.
        base, tool, tcp: Frame names: planning frame, flange, tool centre point (z approach, y
            closing).
        jaws: Joints of the jaws; each travels half the opening.
    """

    def __init__(
        self, urdf: str, limits: JointLimits, base: str, tool: str, tcp: str, jaws: tuple[str, ...]
    ) -> None:
        self.urdf = urdf
        self.model = pin.buildModelFromXML(urdf)
        self.data = self.model.createData()
        for frame in (base, tool, tcp):
            if not self.model.existFrame(frame):
                raise InvalidParameterError(
                    f"the robot description has no frame '{frame}'", frame=frame
                )
        for joint in (*limits.names, *jaws):
            if not self.model.existJointName(joint):
                raise InvalidParameterError(
                    f"the robot description has no joint '{joint}'", joint=joint
                )
        self.names = limits.names
        self.tcp_frame = tcp
        self._q_index = np.array([self._index(n) for n in limits.names])
        self._jaw_index = np.array([self._index(n) for n in jaws], dtype=int)
        self._v_index = np.array(
            [self.model.joints[self.model.getJointId(n)].idx_v for n in limits.names]
        )
        self.limits = JointLimits(
            limits.names,
            np.maximum(limits.lower, self.model.lowerPositionLimit[self._q_index]),
            np.minimum(limits.upper, self.model.upperPositionLimit[self._q_index]),
            np.minimum(limits.velocity, self.model.velocityLimit[self._v_index]),
            limits.acceleration,
            limits.jerk,
        )
        self.max_opening = (
            float(2 * self.model.upperPositionLimit[self._jaw_index].min()) if len(jaws) else 0.0
        )
        self._base, self._tool, self._tcp = (self.model.getFrameId(f) for f in (base, tool, tcp))
        pin.framesForwardKinematics(self.model, self.data, pin.neutral(self.model))
        world_from_base = self.data.oMf[self._base].homogeneous
        # The base is fixed to the root; with an identity between them the hot path needs no
        # multiplication.
        self._base_from_world = invert(world_from_base)
        self._shifted = not np.allclose(world_from_base, np.eye(4), atol=1e-12)
        self._chain = self._revolute_chain()
        self.tool_from_tcp: Matrix = (
            invert(self.data.oMf[self._tool].homogeneous) @ self.data.oMf[self._tcp].homogeneous
        )

    @property
    def dof(self) -> int:
        """Number of arm joints."""
        return len(self.names)

    @property
    def base_from_world(self) -> Matrix:
        """Pose (4, 4) of the URDF's root in the planning frame."""
        return self._base_from_world

    def frame_in_base(self, frame: str) -> Matrix:
        """Return base_from_frame (4, 4) of a frame that is fixed to the base, at the neutral
        configuration.
        """
        pin.framesForwardKinematics(self.model, self.data, pin.neutral(self.model))
        return np.asarray(
            self._base_from_world @ self.data.oMf[self.model.getFrameId(frame)].homogeneous
        )

    def full(self, q: Matrix, opening: float = 0.0) -> Matrix:
        """Return Pinocchio configurations (..., nq) of arm positions (..., J) and a jaw opening in
        metres.
        """
        q = np.asarray(q, dtype=float)
        out = np.zeros((*q.shape[:-1], self.model.nq))
        out[..., self._q_index] = q
        out[..., self._jaw_index] = opening / 2
        return out

    def tcp(self, q: Matrix) -> Matrix:
        """Return base_from_tcp (4, 4) at arm positions (J,)."""
        return self.tcp_path(np.asarray(q)[None])[0]

    def tcp_path(self, q: Matrix) -> Matrix:
        """Return base_from_tcp (T, 4, 4) along arm positions (T, J)."""
        out = np.zeros((len(q), 4, 4))
        out[:, 3, 3] = 1.0
        if self._chain is not None and len(q) >= _MANY:
            self._along_chain(np.asarray(q, dtype=float), out)
            return self._base_from_world @ out if self._shifted else out
        model, data, frame = self.model, self.data, self._tcp
        for i, full in enumerate(self.full(q)):
            pin.forwardKinematics(model, data, full)
            pose = pin.updateFramePlacement(model, data, frame)
            out[i, :3, :3] = pose.rotation
            out[i, :3, 3] = pose.translation
        return self._base_from_world @ out if self._shifted else out

    def _revolute_chain(self) -> list[tuple[Matrix, Matrix, Matrix, int]] | None:
        """Return rotation and offset of each joint between the root and the tool centre point at
        zero, its axis as a cross product matrix (3, 3), and its place among the arm's joints; None
        when it is not made of the arm's revolute joints alone.
        """
        model = self.model
        chain = []
        for joint in list(model.supports[model.frames[self._tcp].parentJoint])[1:]:
            kind, at = model.joints[joint], model.joints[joint].idx_q
            if kind.nq != 1 or at not in self._q_index or 'JointModelR' not in kind.shortname():
                return None
            data = kind.createData()
            kind.calc(data, np.zeros(model.nq))
            x, y, z = np.asarray(data.S).ravel()[3:]
            cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
            place = model.jointPlacements[joint]
            index = int(np.flatnonzero(self._q_index == at)[0])
            chain.append((place.rotation.copy(), place.translation.copy(), cross, index))
        return chain

    def _along_chain(self, q: Matrix, out: Matrix) -> None:
        """Write the world poses of the tool centre point at (T, J) into (T, 4, 4).

        All of them at once, joint by joint, takes a fraction of one after the other.
        """
        assert self._chain is not None
        # Times last, so that each product is one of small constant matrices with long rows.
        rotation = np.repeat(np.eye(3)[..., None], len(q), axis=2)
        position = np.zeros((3, len(q)))
        sine, versine = np.sin(q.T), 1 - np.cos(q.T)
        for turn, offset, cross, j in self._chain:
            position += offset @ rotation
            rotation = turn.T @ rotation
            # Rodrigues: 1 + sin K + (1 - cos) K^2.
            once = cross.T @ rotation
            rotation = rotation + sine[j] * once + versine[j] * (cross.T @ once)
        tcp = self.model.frames[self._tcp].placement
        out[:, :3, 3] = (position + tcp.translation @ rotation).T
        out[:, :3, :3] = np.moveaxis(tcp.rotation.T @ rotation, 2, 0)

    def jacobian(self, q: Matrix) -> Matrix:
        """Return the (6, J) Jacobian of the tool centre point (linear, angular) in the planning
        frame's axes.
        """
        j = pin.computeFrameJacobian(
            self.model, self.data, self.full(q), self._tcp, pin.ReferenceFrame.LOCAL_WORLD_ALIGNED
        )[:, self._v_index]
        if self._shifted:
            r = self._base_from_world[:3, :3]
            j = np.vstack([r @ j[:3], r @ j[3:]])
        return np.asarray(j)

    def _index(self, joint: str) -> int:
        return int(self.model.joints[self.model.getJointId(joint)].idx_q)
