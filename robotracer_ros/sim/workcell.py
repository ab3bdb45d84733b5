# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The whole workcell advanced together: physics, joint controllers and the depth camera.

No clock and no threads: the same calls give the same results, as fast as the machine computes.
The ROS node wraps this class; benches use it directly and so run the identical pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from robotracer_ros.errors import ControllerRefusedError
from robotracer_ros.robot_description import ARM_JOINTS, GRIPPER_JOINT, MAX_OPENING
from robotracer_ros.sim.camera import Camera, View
from robotracer_ros.sim.physics import PhysicsConfig
from robotracer_ros.sim.scenes import SceneConfig, generate_scene
from robotracer_ros.sim.spec import Scene
from robotracer_ros.sim.trajectory_controller import (
    JointBounds,
    TrajectoryCommand,
    TrajectoryController,
)
from robotracer_ros.sim.world import JointReading, World

__all__ = ['Camera', 'View', 'Workcell', 'WorkcellConfig']


@dataclass(frozen=True)
class WorkcellConfig:
    """What a workcell consists of.

    Attributes:
        physics: Numbers of the simulation.
        scenes: What a scene made from a seed may hold.
        settle_s: Seconds of physics after a reset before time starts.
        arm_deceleration: rad/s^2 per joint when a trajectory is cut short.
        start_jump: Largest distance (rad) of a new trajectory from the commanded arm position.
    """

    physics: PhysicsConfig = field(default_factory=PhysicsConfig)
    scenes: SceneConfig = field(default_factory=SceneConfig)
    settle_s: float = 0.3
    arm_deceleration: tuple[float, ...] = (10.0, 10.0, 10.0, 15.0, 15.0, 15.0)
    start_jump: float = 0.1


class Workcell:
    """Robot, table, objects, controllers and camera of one scene.

    Args:
        scene: What stands on the table, or the seed of a generated scene.
        config: What it consists of; the default when None.
    """

    def __init__(self, scene: Scene | int, config: WorkcellConfig | None = None) -> None:
        self.config = config or WorkcellConfig()
        made = self._scene(scene)
        self.world = World(made, self.config.physics)
        q = self.world.arm_q
        low, high = self.world.arm_range
        self.arm = TrajectoryController(
            JointBounds(ARM_JOINTS, low, high, self.world.arm_speed,
                        np.array(self.config.arm_deceleration),
                        np.full(6, self.config.start_jump)), q)
        # The jaws take any step: their servo moves at its own limited speed.
        half = MAX_OPENING / 2
        self.gripper = TrajectoryController(
            JointBounds((GRIPPER_JOINT,), np.zeros(1), np.array([half]), np.array([np.inf]),
                        np.array([2.0]), np.array([half])), np.array([half]))
        self._views = 0
        self._offset = 0.0
        self._started()

    def _scene(self, scene: Scene | int) -> Scene:
        return scene if isinstance(scene, Scene) else generate_scene(scene, self.config.scenes)

    def reset(self, scene: Scene | int | None = None) -> None:
        """Put everything back to the start, or load another scene; time starts at 0 again."""
        self.world.reset(None if scene is None else self._scene(scene))
        self._started()

    def _started(self) -> None:
        self.world.settle(self.config.settle_s)
        self._offset = self.world.time
        self._views = 0
        self.arm.reset(self.world.scene_start.robot_q)
        self.gripper.reset(np.array([MAX_OPENING / 2]))
        self._force: float | None = None

    @property
    def time(self) -> float:
        """Seconds since the last reset."""
        return self.world.time - self._offset

    @property
    def timestep(self) -> float:
        """Seconds per physics step."""
        return self.world.config.timestep

    def command_arm(self, command: TrajectoryCommand) -> None:
        """Replace the arm's trajectory. Raises ControllerRefusedError with the reason."""
        self.arm.accept(command, self.time)

    def command_gripper(self, command: TrajectoryCommand, force: float | None = None) -> None:
        """Replace the jaws' trajectory (half openings, m), with a force limit in newtons.

        Raises:
            ControllerRefusedError: bad trajectory or force; the present one goes on.
        """
        limit = self.config.physics.max_gripper_force
        if force is not None and not 0 < force <= limit:
            raise ControllerRefusedError(f'gripper force {force} N: must be in 0..{limit}')
        self.gripper.accept(command, self.time)
        self._force = force

    def step(self, n: int = 1) -> None:
        """Advance by ``n`` physics steps."""
        for _ in range(n):
            now = self.time
            q, v, _ = self.arm.sample(now)
            self.world.set_arm_target(q, v)
            half = float(self.gripper.sample(now)[0][0])
            self.world.set_gripper(2 * half, self._force)
            self.world.step()

    def advance(self, seconds: float) -> None:
        """Advance by a time, rounded to whole physics steps."""
        self.step(round(seconds / self.timestep))

    def joint_state(self) -> JointReading:
        """Read the joints; its time is :attr:`time`."""
        return replace(self.world.joint_state(), time=self.time)

    def view(self) -> View:
        """Freeze what the camera sees now."""
        self._views += 1
        world = self.world
        return View(world.scene_start, world.object_poses(), world.arm_q, world.gripper_opening,
                    self.time, self._views)
