# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The physical workcell: robot, table and objects, advanced in steps of fixed length.

Deterministic and without a clock: the same calls give the same states. World frame: ``base_link``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.transforms import make_transform, quaternion_to_matrix
from robotracer_ros.robot_description import ARM_JOINTS, MAX_OPENING, joint_speeds
from robotracer_ros.sim.physics import JAW_JOINTS, PhysicsConfig, build_model, check_opening
from robotracer_ros.sim.spec import Scene

Vector = NDArray[np.float64]
JOINTS = (*ARM_JOINTS, *JAW_JOINTS)


@dataclass(frozen=True)
class JointReading:
    """Joint state at one time, in the order of ``names``.

    Attributes:
        names: The arm's joints, then the two jaws.
        positions: (8,) rad, jaws in m (each half the opening).
        velocities: (8,) rad/s, m/s.
        efforts: (8,) servo torque in N m, jaw force in N.
        time: Seconds of simulated time.
    """

    names: tuple[str, ...]
    positions: Vector
    velocities: Vector
    efforts: Vector
    time: float


@dataclass(frozen=True)
class Touch:
    """Two bodies in contact.

    Attributes:
        bodies: Names of links, object ids or ``table``.
        force: Magnitude of the summed contact force, newtons.
        penetration: Deepest overlap, metres (0 when they just touch).
        position: (3,) world position of the deepest contact point.
        normal: (3,) unit contact normal there, from the first to the second body.
    """

    bodies: tuple[str, str]
    force: float
    penetration: float
    position: Vector
    normal: Vector


class World:
    """One scene under physics.

    Args:
        scene: Objects and the arm's joint positions at the start.
        config: Numbers of the simulation; the default when None.
    """

    def __init__(self, scene: Scene, config: PhysicsConfig | None = None) -> None:
        self.config = config or PhysicsConfig()
        #: called after every physics step; contact monitors hang themselves in here
        self.observers: list[Callable[[World], None]] = []
        self._load(scene)

    def _load(self, scene: Scene) -> None:
        self._start = scene
        self.model = build_model(scene, self.config)
        self.data = mujoco.MjData(self.model)
        m = self.model
        self._q = np.array([m.joint(n).qposadr[0] for n in JOINTS])
        self._v = np.array([m.joint(n).dofadr[0] for n in JOINTS])
        self._u = np.array([m.actuator(n).id for n in JOINTS])
        self._free = {o.id: int(m.joint(o.id).qposadr[0]) for o in scene.objects if not o.fixed}
        arm = self._u[:6]
        # Feeding the wanted velocity forward through the position input cancels the servo's lag.
        self._lead = -m.actuator_biasprm[arm, 2] / m.actuator_gainprm[arm, 0]
        self._lower, self._upper = m.jnt_range[[m.joint(n).id for n in ARM_JOINTS]].T
        self.reset()

    def reset(self, scene: Scene | None = None) -> None:
        """Put everything back to the start of this scene, or load another one.

        The jaws are open, the arm rests at the scene's joint positions, and time is 0.
        """
        if scene is not None and scene is not self._start:
            self._load(scene)
            return
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self._q[:6]] = self._start.robot_q
        self.data.qpos[self._q[6:]] = MAX_OPENING / 2
        self.set_arm_target(self._start.robot_q)
        self._jaw_target = self._jaw_setpoint = MAX_OPENING / 2
        self._set_force(self.config.gripper_force)
        self.data.ctrl[self._u[6:]] = self._jaw_setpoint
        mujoco.mj_forward(self.model, self.data)

    @property
    def time(self) -> float:
        """Simulated seconds since the start."""
        return float(self.data.time)

    def set_arm_target(self, q: ArrayLike, qd: ArrayLike | None = None) -> None:
        """Command the joint servos.

        Args:
            q: (6,) joint positions in rad, in the order of ``ARM_JOINTS``.
            qd: (6,) joint velocities there, rad/s; at rest when None.

        Raises:
            InvalidParameterError: wrong size, not finite, or beyond a joint's range.
        """
        position = np.asarray(q, dtype=float)
        velocity = np.zeros(6) if qd is None else np.asarray(qd, dtype=float)
        if position.shape != (6,) or velocity.shape != (6,):
            raise InvalidParameterError(f'arm target has shapes {position.shape}, {velocity.shape}: '
                                        'must be (6,)')
        if not (np.isfinite(position).all() and np.isfinite(velocity).all()):
            raise InvalidParameterError(f'arm target {position.tolist()}, {velocity.tolist()}: '
                                        'must be finite')
        out = (position < self._lower) | (position > self._upper)
        if out.any():
            i = int(np.argmax(out))
            raise InvalidParameterError(f"arm target of '{ARM_JOINTS[i]}' is {position[i]:.4f} rad: "
                                        f'must be in {self._lower[i]:.4f}..{self._upper[i]:.4f}')
        self.data.ctrl[self._u[:6]] = position + self._lead * velocity

    def set_gripper(self, opening: float, force: float | None = None) -> None:
        """Command the jaws to a full opening (m) with at most ``force`` newtons per jaw.

        Raises:
            InvalidParameterError: opening or force is out of range.
        """
        limit = self.config.gripper_force if force is None else force
        check_opening(opening, limit, self.config)
        self._jaw_target = opening / 2
        self._set_force(limit)

    def _set_force(self, force: float) -> None:
        self._force = force
        self.model.actuator_forcerange[self._u[6:]] = (-force, force)

    def _advance_jaws(self) -> None:
        c = self.config
        jaw = float(self.data.qpos[self._q[6:]].mean())
        # Never further ahead of the jaws than what saturates the force: no wind-up while squeezing.
        reach = 1.2 * self._force / c.gripper_stiffness
        near = min(max(self._jaw_setpoint, jaw - reach), jaw + reach)
        change = c.gripper_speed * c.timestep
        self._jaw_setpoint = near + min(max(self._jaw_target - near, -change), change)
        self.data.ctrl[self._u[6:]] = self._jaw_setpoint

    def step(self, n: int = 1) -> None:
        """Advance by ``n`` time steps."""
        for _ in range(n):
            self._advance_jaws()
            mujoco.mj_step(self.model, self.data)
            for observer in self.observers:
                observer(self)

    def settle(self, seconds: float) -> float:
        """Advance with the present commands; return how far the worst object moved, metres."""
        before = self.object_poses()
        self.step(round(seconds / self.config.timestep))
        after = self.object_poses()
        return max((float(np.linalg.norm(after[k][:3, 3] - before[k][:3, 3])) for k in before),
                   default=0.0)

    def joint_state(self) -> JointReading:
        """Read the joints."""
        d = self.data
        return JointReading(JOINTS, d.qpos[self._q].copy(), d.qvel[self._v].copy(),
                            d.actuator_force[self._u].copy(), self.time)

    @property
    def scene_start(self) -> Scene:
        """The scene as it was loaded."""
        return self._start

    @property
    def arm_range(self) -> tuple[Vector, Vector]:
        """Lowest and highest position of the arm's joints, (6,) rad each."""
        return self._lower.copy(), self._upper.copy()

    @property
    def arm_speed(self) -> Vector:
        """Largest speed of the arm's joints by the URDF, (6,) rad/s."""
        return np.array(joint_speeds(ARM_JOINTS))

    @property
    def arm_q(self) -> Vector:
        """Measured joint positions of the arm, (6,) rad."""
        return self.data.qpos[self._q[:6]].copy()

    @property
    def gripper_opening(self) -> float:
        """Measured distance between the pads, metres."""
        return float(self.data.qpos[self._q[6:]].sum())

    def frame_pose(self, link: str) -> NDArray[np.float64]:
        """Return world_from_link (4, 4) of a link or object by name. Raises KeyError."""
        mujoco.mj_kinematics(self.model, self.data)  # a step leaves them one step behind
        body = self.data.body(link)
        return make_transform(body.xmat.reshape(3, 3), body.xpos)

    def object_poses(self) -> dict[str, NDArray[np.float64]]:
        """Return world_from_object (4, 4) of every object by id."""
        poses = {}
        for item in self._start.objects:
            if item.fixed:
                poses[item.id] = item.pose
            else:
                x, y, z, qw, qx, qy, qz = self.data.qpos[self._free[item.id]:][:7]
                poses[item.id] = make_transform(quaternion_to_matrix((qx, qy, qz, qw)), (x, y, z))
        return poses

    def scene(self) -> Scene:
        """Return the scene with present object poses and joint positions."""
        return replace(self._start.with_poses(self.object_poses()), robot_q=self.arm_q)

    def touches(self) -> list[Touch]:
        """Return all contacts now, summed per pair of bodies.

        Things at rest sleep and then have no contacts in the running simulation, so the state is
        looked at in a copy in which everything is awake.
        """
        if not self.config.sleep:
            return collect_touches(self.model, self.data, range(self.data.ncon))
        awake = mujoco.MjData(self.model)
        awake.qpos[:], awake.qvel[:], awake.ctrl[:] = (self.data.qpos, self.data.qvel,
                                                       self.data.ctrl)
        mujoco.mj_forward(self.model, awake)
        return collect_touches(self.model, awake, range(awake.ncon))


def collect_touches(model: mujoco.MjModel, data: mujoco.MjData,
                    indices: range | list[int] | NDArray[np.int64]) -> list[Touch]:
    """Sum contacts (by index into ``data.contact``) per pair of bodies."""
    forces: dict[tuple[int, int], Vector] = {}
    deepest: dict[tuple[int, int], tuple[float, Vector, Vector]] = {}
    wrench = np.zeros(6)
    for i in indices:
        contact = data.contact[int(i)]
        a, b = (int(model.geom_bodyid[g]) for g in contact.geom)
        sign = 1.0
        if a > b:
            a, b, sign = b, a, -1.0
        mujoco.mj_contactForce(model, data, int(i), wrench)
        frame = contact.frame.reshape(3, 3)
        forces[a, b] = forces.get((a, b), np.zeros(3)) + sign * (wrench[:3] @ frame)
        depth = max(0.0, -float(contact.dist))
        if (a, b) not in deepest or depth > deepest[a, b][0]:
            deepest[a, b] = (depth, contact.pos.copy(), sign * frame[0])
    return [Touch((model.body(a).name, model.body(b).name), float(np.linalg.norm(f)),
                  *deepest[a, b]) for (a, b), f in forces.items()]
