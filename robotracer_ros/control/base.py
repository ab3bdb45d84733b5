# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The controller plugin contract, and the port through which a controller reaches a robot.

Controllers hold logic only. Whatever carries commands (a topic, an action, Unitree's DDS) is a
:class:`RobotPort` that the
node hands over, so that every rule here is tested without ROS.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.planning.base import Motion, RobotState


class RobotPort(Protocol):
    """The one writer of a robot's command topics."""

    def now_s(self) -> float:
        """Return the time that trajectories are timed in (ROS time), seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for that much of the same time; returns early when the node shuts down."""
        ...

    def joint_state(self) -> RobotState | None:
        """Return the newest joint state, or None before the first."""
        ...

    def send_trajectory(
        self,
        names: tuple[str, ...],
        start_s: float,
        times: NDArray[np.float64],
        positions: NDArray[np.float64],
        velocities: NDArray[np.float64],
        accelerations: NDArray[np.float64],
    ) -> None:
        """Send a joint trajectory that replaces the present one.

        ``times`` (T,) are seconds from ``start_s``, a time of :meth:`now_s` that may lie a little in the past when the
        message arrives: the robot is then to be where the trajectory is by that time.
        """
        ...

    def send_gripper(self, opening: float, force: float) -> None:
        """Command the jaws: full opening in metres, force limit in newtons."""
        ...

    def gripper_opening(self) -> float | None:
        """Return the measured full opening in metres, or None when unknown."""
        ...

    def gripper_measured_s(self) -> float:
        """Return when that was measured, a time of :meth:`now_s`; -inf when unknown."""
        ...


@dataclass(frozen=True)
class Tracking:
    """How well a motion was followed: the largest joint error of each sample, rad, as rms and maximum.

    ``stalls`` counts how often commands came so late that the robot had begun to brake by itself; ``rate`` is the speed
    relative to the plan's (1 unless it had to be slowed down to stay stoppable).
    """

    rms: float
    maximum: float
    samples: int
    stalls: int = 0
    rate: float = 1.0


class Execution(abc.ABC):
    """One motion under way."""

    @abc.abstractmethod
    def wait(self, timeout_s: float) -> bool:
        """Wait at most that long; return whether the motion has ended (well or badly)."""

    @abc.abstractmethod
    def cancel(self) -> None:
        """Bring the robot to rest on the checked path; returns at once, :meth:`wait` tells when it rests."""

    @property
    @abc.abstractmethod
    def time_s(self) -> float:
        """Seconds into the motion, on the motion's own time axis."""

    @property
    @abc.abstractmethod
    def tracking_error(self) -> float:
        """Largest joint error now, rad."""

    @property
    @abc.abstractmethod
    def tracking(self) -> Tracking:
        """Figures so far."""

    @abc.abstractmethod
    def result(self) -> None:
        """Return when the motion ended at its goal. Raises ExecutionError subclasses otherwise."""


class Controller(abc.ABC):
    """A controller plugin: turns checked motions into commands through a port."""

    @abc.abstractmethod
    def connect(self, port: RobotPort) -> None:
        """Take ownership of the port. Raises ControllerLostError when no robot answers."""

    @abc.abstractmethod
    def close(self) -> None:
        """Stop and give up the port; may be called twice."""

    @abc.abstractmethod
    def execute(self, names: tuple[str, ...], motion: Motion) -> Execution:
        """Start a motion. Raises ControllerRefusedError when it does not start where the robot is, or BusyError."""

    @abc.abstractmethod
    def grip(
        self,
        opening: float,
        force: float,
        timeout_s: float,
        cancelled: Callable[[], bool] | None = None,
    ) -> float:
        """Move the jaws and wait until they rest; return the reached opening in metres.

        ``cancelled`` is asked every few milliseconds; when it says yes the jaws are held where they are.

        Raises:
            CancelledError: ``cancelled`` said yes.
            ControllerLostError: the jaws report no opening, or do not rest in time.
        """

    @abc.abstractmethod
    def stop(self) -> None:
        """Bring the robot to rest, whatever it does."""
