# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the robot should do, as weighted least squares on the velocity v.

A task has a value y(q), its Jacobian J (dy/dt = J v) and an error e (target minus value). It asks
for ``J v = feedforward + gain * e``, each of the two cut to ``max_rate``, so that a target that jumps
is approached at a bounded speed. Weights settle conflicts: a task with ten times
the weight counts a hundred times as much.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, field

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from robotracer_ros.control.wbc.model import HumanoidModel

Matrix = NDArray[np.float64]


class Task(abc.ABC):
    """A task of ``rows`` rows.

    Attributes:
        gain: Rate at which the error is worked off, 1/s.
        weight: How much one unit of the error's rate counts.
        max_rate: Largest norm of ``gain * e`` and of the feedforward, units of the value per second.
        active: Tasks that are not take no part.
    """

    rows: int
    gain: float
    weight: float
    max_rate: float
    active: bool

    @abc.abstractmethod
    def error(self, model: HumanoidModel) -> Matrix:
        """Return target minus value (rows,)."""

    @abc.abstractmethod
    def jacobian(self, model: HumanoidModel) -> Matrix:
        """Return J (rows, nv) of the value."""

    def feedforward(self) -> Matrix | None:
        """Return the target's own rate (rows,), None when it rests."""
        return None

    def write(self, model: HumanoidModel, rows: Matrix, rates: Matrix) -> float:
        """Write weighted Jacobian (rows, nv) and wanted rates (rows,); return the error's norm."""
        error = self.error(model)
        norm = float(np.sqrt(error @ error))
        gain = self.gain if self.gain * norm <= self.max_rate else self.max_rate / norm
        np.multiply(self.jacobian(model), self.weight, out=rows)
        np.multiply(error, gain, out=rates)
        feedforward = self.feedforward()
        if feedforward is not None:
            speed = float(np.sqrt(feedforward @ feedforward))
            rates += feedforward if speed <= self.max_rate else feedforward * (self.max_rate / speed)
        rates *= self.weight
        return norm


@dataclass
class PositionTask(Task):
    """Bring a frame's origin to a point.

    Attributes:
        frame: Pinocchio frame id.
        target: (3,) world, metres.
        velocity: (3,) of the target, m/s.
    """

    frame: int
    gain: float
    weight: float
    max_rate: float = np.inf
    target: Matrix = field(default_factory=lambda: np.zeros(3))
    velocity: Matrix = field(default_factory=lambda: np.zeros(3))
    active: bool = True
    rows: int = 3

    def error(self, model: HumanoidModel) -> Matrix:
        """Return the way to the target (3,), world, metres."""
        difference: Matrix = self.target - model.placement(self.frame).translation
        return difference

    def jacobian(self, model: HumanoidModel) -> Matrix:
        """Return the linear rows (3, nv)."""
        return model.frame_jacobian(self.frame)[:3]

    def feedforward(self) -> Matrix:
        """Return the target's velocity."""
        return self.velocity


@dataclass
class OrientationTask(Task):
    """Turn a frame to an orientation: the error is the rotation vector that is still to go, world.

    Attributes:
        frame: Pinocchio frame id.
        target: (3, 3) world_from_frame.
    """

    frame: int
    gain: float
    weight: float
    max_rate: float = np.inf
    target: Matrix = field(default_factory=lambda: np.eye(3))
    active: bool = True
    rows: int = 3

    def error(self, model: HumanoidModel) -> Matrix:
        """Return log3(target * actual') (3,), rad."""
        turn: Matrix = pin.log3(self.target @ model.placement(self.frame).rotation.T)
        return turn

    def jacobian(self, model: HumanoidModel) -> Matrix:
        """Return the angular rows (3, nv): the value's rate is the frame's angular velocity."""
        return model.frame_jacobian(self.frame)[3:]


@dataclass
class AxisTask(Task):
    """Point an axis of a frame in a direction and leave the turn about it free.

    Attributes:
        frame: Pinocchio frame id.
        axis: Which axis of the frame: 0, 1 or 2.
        target: (3,) unit vector, world.
    """

    frame: int
    gain: float
    weight: float
    axis: int = 2
    max_rate: float = np.inf
    target: Matrix = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))
    active: bool = True
    rows: int = 3

    def error(self, model: HumanoidModel) -> Matrix:
        """Return target minus axis (3,); for small angles their size in rad."""
        difference: Matrix = self.target - model.placement(self.frame).rotation[:, self.axis]
        return difference

    def jacobian(self, model: HumanoidModel) -> Matrix:
        """Return the axis's rate (3, nv): omega x axis."""
        x, y, z = model.placement(self.frame).rotation[:, self.axis]
        cross = np.array([[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]])
        rate: Matrix = cross @ model.frame_jacobian(self.frame)[3:]
        return rate


@dataclass
class ComTask(Task):
    """Keep the centre of mass over a point of the ground.

    Attributes:
        target: (2,) world, metres.
    """

    gain: float
    weight: float
    max_rate: float = np.inf
    target: Matrix = field(default_factory=lambda: np.zeros(2))
    active: bool = True
    rows: int = 2

    def error(self, model: HumanoidModel) -> Matrix:
        """Return the way to the target (2,), metres."""
        difference: Matrix = self.target - model.com[:2]
        return difference

    def jacobian(self, model: HumanoidModel) -> Matrix:
        """Return the horizontal rows (2, nv)."""
        return model.com_jacobian[:2]


@dataclass
class PostureTask(Task):
    """Bring the joints to a posture; what every other task leaves open follows this one.

    Attributes:
        target: (29,) rad.
    """

    gain: float
    weight: float
    max_rate: float = np.inf
    target: Matrix = field(default_factory=lambda: np.zeros(29))
    active: bool = True
    rows: int = 29

    def error(self, model: HumanoidModel) -> Matrix:
        """Return target minus positions (29,), rad."""
        difference: Matrix = self.target - model.q[7:]
        return difference

    def jacobian(self, model: HumanoidModel) -> Matrix:
        """Return the joints' rows of the identity (29, nv)."""
        return np.eye(model.nv)[6:]
