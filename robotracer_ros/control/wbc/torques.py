# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Feed-forward torques that carry a standing robot along a reference: inverse dynamics with contact
forces inside their friction cones.

The whole-body controller decides where everything should be; joints follow by their own impedance.
What keeps the robot up are the forces under its feet. Each tick wants an acceleration of the base
(that of the reference, plus feedback on where the base is), and

    M a + h = S' tau + sum J_c' f

splits in two: the base's six rows choose the forces f of the eight contact points, by a quadratic
program with friction pyramids; the joints' rows then give the torques tau.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from robotracer_ros.control.wbc.model import HumanoidModel
from robotracer_ros.control.wbc.qp import make_solver
from robotracer_ros.errors import InvalidParameterError, RobotracerError

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class TorqueParameters:
    """Gains and limits of the feed-forward.

    Attributes:
        friction: Coefficient of the pyramids that forces stay in, below that of the ground.
        max_force: Largest normal force of a contact point, N.
        position_gain, velocity_gain: Of the base's place, 1/s^2 and 1/s.
        tilt_gain, turn_gain: Of the base's orientation, 1/s^2 and 1/s.
        moment_weight: How much a newton metre counts beside a newton.
        smallness: Weight of the forces themselves.
        solver: daqp or proxqp.
    """

    friction: float = 0.5
    max_force: float = 400.0
    position_gain: float = 60.0
    velocity_gain: float = 12.0
    tilt_gain: float = 100.0
    turn_gain: float = 14.0
    moment_weight: float = 5.0
    smallness: float = 1e-4
    solver: str = 'daqp'

    def __post_init__(self) -> None:
        if not 0.05 <= self.friction <= 2.0:
            raise InvalidParameterError(f'friction coefficient {self.friction}: must be in 0.05..2')


@dataclass(frozen=True)
class Effort:
    """What a tick wants of the motors.

    Attributes:
        torques: (29,) feed-forward, N m.
        forces: (8, 3) on the contact points, world, N.
        missing: Norm of the base's wrench that the feet cannot give, N and N m.
    """

    torques: Matrix
    forces: Matrix
    missing: float


class StandingTorques:
    """Computes feed-forward torques from state and reference.

    Args:
        model: Used for nothing else at the same time; it is moved to the measured state.
        parameters: Gains and limits.
    """

    def __init__(self, model: HumanoidModel, parameters: TorqueParameters | None = None) -> None:
        self.model, self.parameters = model, parameters or TorqueParameters()
        p, count = self.parameters, 2 * len(model.parts.contacts)
        self._count = count
        self._solver = make_solver(p.solver, 3 * count, 0, 4 * count)
        # |f_x| and |f_y| at most friction times f_z
        pyramid = np.array([[1.0, 0, -p.friction], [-1, 0, -p.friction], [0, 1, -p.friction],
                            [0, -1, -p.friction]])
        self._pyramids = np.kron(np.eye(count), pyramid)
        self._upper, self._lower = np.zeros(4 * count), np.full(4 * count, -1e30)
        self._low = np.tile([-p.max_force, -p.max_force, 0.0], count)
        self._high = np.full(3 * count, p.max_force)
        self._weight = np.array([1.0, 1, 1, *[p.moment_weight] * 3])
        self._jacobian = np.zeros((3 * count, model.nv))

    def compute(self, q: Matrix, v: Matrix, q_ref: Matrix, v_ref: Matrix,
                a_ref: Matrix) -> Effort:
        """Return the torques of a tick.

        Args:
            q: (36,) measured.
            v: (35,) measured.
            q_ref: (36,) where the robot should be.
            v_ref: (35,).
            a_ref: (35,).

        Raises:
            RobotracerError: the solver failed, which without equations it cannot.
        """
        model, p = self.model, self.parameters
        model.update(q)
        wanted = a_ref.copy()
        # The base's error as a motion in its own frame, as its velocity is.
        here = pin.SE3(pin.Quaternion(q[3:7]).toRotationMatrix(), q[:3])
        there = pin.SE3(pin.Quaternion(q_ref[3:7]).toRotationMatrix(), q_ref[:3])
        turn = here.rotation.T @ there.rotation
        wanted[:3] = turn @ a_ref[:3] + p.position_gain * (here.rotation.T @ (
            there.translation - here.translation)) + p.velocity_gain * (turn @ v_ref[:3] - v[:3])
        wanted[3:6] = (turn @ a_ref[3:6] + p.tilt_gain * pin.log3(turn)
                       + p.turn_gain * (turn @ v_ref[3:6] - v[3:6]))
        inverse = pin.rnea(model.model, model.data, q, v, wanted)
        jacobian = self._contact_jacobian()
        base = jacobian[:, :6].T * self._weight[:, None]
        h = base.T @ base
        h.flat[:: len(h) + 1] += p.smallness
        found = self._solver.solve(h, -base.T @ (self._weight * inverse[:6]), self._pyramids,
                                   self._lower, self._upper, self._low, self._high)
        if not found.solved:
            raise RobotracerError(f'contact forces: {self._solver.name} says {found.status}')
        given = jacobian.T @ found.x
        return Effort(inverse[6:] - given[6:], found.x.reshape(-1, 3),
                      float(np.linalg.norm(inverse[:6] - given[:6])))

    def _contact_jacobian(self) -> Matrix:
        """Return (24, nv): world velocities of the contact points."""
        model, out, at = self.model, self._jacobian, 0
        for frame in model.soles:
            jacobian = model.frame_jacobian(frame)
            rotation = model.placement(frame).rotation
            for point in model.parts.contacts:
                x, y, z = rotation @ point
                # omega x r as a matrix on omega
                cross = np.array([[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]])
                out[at : at + 3] = jacobian[:3] + cross @ jacobian[3:]
                at += 3
        return out
