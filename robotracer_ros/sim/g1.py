# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The G1 under physics: floating base, contacts, motors with a joint impedance, a table, a camera.

Nothing holds the robot but the ground under its feet. Its motors behave as Unitree's do under the
low-level interface: torque = feed-forward + kp (q* - q) + kd (v* - v), cut to the motor's limit, and
every joint has friction, damping and the rotor's inertia. Metres, radians, kilograms, seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.g1_description import JOINTS, OPTICAL_FRAME, load_parts, load_urdf
from robotracer_ros.geometry.transforms import make_transform

Vector = NDArray[np.float64]

#: body name of the ground in contact reports
GROUND = 'ground'
#: name of the camera in the head
CAMERA = 'head_camera'


def _by_joint(values: dict[str, float]) -> Vector:
    return np.array([next(v for k, v in values.items() if k in joint) for joint in JOINTS])


@dataclass(frozen=True)
class G1Physics:
    """Numbers of the simulation.

    Attributes:
        timestep: Seconds per step; motors are commanded at each.
        ground_friction: Sliding coefficient under the soles.
        skin_friction: Of the robot's capsules and of tables.
        joint_friction: Dry friction of every joint, N m.
        joint_damping: N m s/rad.
        armature: Inertia of rotor and gear as the joint feels it, kg m^2.
        stiffness: kp of each joint, N m/rad, by part of its name.
        damping: kd of each joint, N m s/rad.
    """

    timestep: float = 0.002
    ground_friction: float = 0.8
    skin_friction: float = 0.6
    joint_friction: float = 0.1
    joint_damping: float = 0.05
    armature: float = 0.01
    stiffness: dict[str, float] = field(default_factory=lambda: {
        'ankle': 120.0, 'knee': 300.0, 'hip': 250.0, 'waist': 250.0, 'shoulder': 80.0,
        'elbow': 60.0, 'wrist': 25.0})
    damping: dict[str, float] = field(default_factory=lambda: {
        'ankle': 3.0, 'knee': 6.0, 'hip': 6.0, 'waist': 5.0, 'shoulder': 2.0, 'elbow': 1.5,
        'wrist': 0.6})

    def __post_init__(self) -> None:
        if not 0 < self.timestep <= 0.005:
            raise InvalidParameterError(f'physics timestep {self.timestep} s: must be in 0..0.005')


@dataclass(frozen=True)
class Table:
    """A fixed box in the scene; ``size`` (3,) are full sides, ``centre`` (3,) in the world."""

    name: str
    centre: tuple[float, float, float]
    size: tuple[float, float, float]


def build_g1(physics: G1Physics | None = None, tables: tuple[Table, ...] = ()) -> mujoco.MjModel:
    """Compile the robot on flat ground; bodies are named after URDF links, motors after joints."""
    p = physics or G1Physics()
    spec = mujoco.MjSpec.from_string(load_urdf())
    spec.modelname = 'g1'
    spec.compiler.fusestatic = False  # contacts report the link they belong to
    option = spec.option
    option.timestep = p.timestep
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10.0
    pelvis = spec.body('pelvis')
    pelvis.add_freejoint(name='floating_base')
    _add_proxies(spec, p)
    for name in JOINTS:
        joint = spec.joint(name)
        joint.frictionloss, joint.armature = p.joint_friction, p.armature
        joint.damping = (p.joint_damping, 0.0, 0.0)  # linear, quadratic, cubic
        limit = float(joint.actfrcrange[1])
        motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        motor.set_to_motor()
        motor.forcerange, motor.forcelimited = (-limit, limit), True
    ground = spec.worldbody.add_body(name=GROUND)
    geom = ground.add_geom(name=GROUND, type=mujoco.mjtGeom.mjGEOM_PLANE, size=(5, 5, 0.1))
    geom.friction = (p.ground_friction, 0.01, 0.001)
    for table in tables:
        body = spec.worldbody.add_body(name=table.name, pos=table.centre)
        top = body.add_geom(name=table.name, type=mujoco.mjtGeom.mjGEOM_BOX,
                            size=tuple(s / 2 for s in table.size), rgba=(0.62, 0.55, 0.47, 1))
        top.friction = (p.skin_friction, 0.005, 0.0005)
    spec.worldbody.add_light(pos=(0.5, -1.0, 3.0), dir=(0, 0.3, -1))
    head = spec.body(OPTICAL_FRAME)
    # MuJoCo's cameras look along -z with y up, optical frames along z with y down.
    head.add_camera(name=CAMERA, quat=(0, 1, 0, 0), fovy=42.0)
    return spec.compile()


def _add_proxies(spec: mujoco.MjSpec, p: G1Physics) -> None:
    """Give every link its capsules; what overlaps by design does not collide."""
    parts = load_parts()
    links = {c.link for c in parts.capsules}
    for body in spec.bodies:
        for geom in body.geoms:
            # What the URDF itself collides with are the soles' spheres; meshes are only seen.
            if geom.type == mujoco.mjtGeom.mjGEOM_SPHERE:
                geom.friction = (p.ground_friction, 0.01, 0.001)
                geom.solref, geom.condim = (0.01, 1.0), 3
    for capsule in parts.capsules:
        if 'ankle' in capsule.link:
            continue  # larger than the sole: the foot would stand on its proxy
        geom = spec.body(capsule.link).add_geom(name=capsule.name)
        if float(np.linalg.norm(capsule.end - capsule.start)) < 1e-6:
            geom.type = mujoco.mjtGeom.mjGEOM_SPHERE
            geom.size, geom.pos = (capsule.radius, 0, 0), capsule.start
        else:
            geom.type = mujoco.mjtGeom.mjGEOM_CAPSULE
            geom.fromto = np.concatenate([capsule.start, capsule.end])
            geom.size = (capsule.radius, 0, 0)
        geom.mass, geom.group = 0.0, 3
        geom.friction = (p.skin_friction, 0.005, 0.0005)
    allowed = {frozenset((parts.capsules[i].link, parts.capsules[j].link))
               for i, j in parts.capsule_pairs()}
    ordered = sorted(links)
    for k, first in enumerate(ordered):
        for second in ordered[k + 1 :]:
            if frozenset((first, second)) not in allowed:
                spec.add_exclude(bodyname1=first, bodyname2=second)


class G1World:
    """The G1 on flat ground, commanded by joint impedance at every step.

    Args:
        physics: Numbers of the simulation.
        tables: What stands around it.
    """

    def __init__(self, physics: G1Physics | None = None, tables: tuple[Table, ...] = ()) -> None:
        self.physics = physics or G1Physics()
        self.model = build_g1(self.physics, tables)
        self.data = mujoco.MjData(self.model)
        m = self.model
        self._q = np.array([m.joint(n).qposadr[0] for n in JOINTS])
        self._v = np.array([m.joint(n).dofadr[0] for n in JOINTS])
        self._u = np.array([m.actuator(n).id for n in JOINTS])
        self.stiffness = _by_joint(self.physics.stiffness)
        self.damping = _by_joint(self.physics.damping)
        self._pelvis = m.body('pelvis').id
        self._standing = {m.body(f'{side}_ankle_roll_link').id for side in ('left', 'right')}
        self._ground = m.body(GROUND).id
        self._wanted = np.zeros(len(JOINTS))
        self._speed = np.zeros(len(JOINTS))
        self._torque = np.zeros(len(JOINTS))

    def reset(self, q: ArrayLike) -> None:
        """Put the robot at rest at a Pinocchio configuration (36,), time 0, motors holding it."""
        start = np.asarray(q, dtype=float)
        mujoco.mj_resetData(self.model, self.data)
        d = self.data
        d.qpos[:3], d.qpos[3:7] = start[:3], start[[6, 3, 4, 5]]
        d.qpos[self._q] = start[7:]
        self.command(start[7:])
        mujoco.mj_forward(self.model, d)

    def command(self, positions: ArrayLike, velocities: ArrayLike | None = None,
                torques: ArrayLike | None = None) -> None:
        """Set what the motors do from now on, (29,) each in the order of ``JOINTS``.

        Args:
            positions: rad.
            velocities: rad/s; zero when None.
            torques: Feed-forward, N m; zero when None.

        Raises:
            InvalidParameterError: a number is not finite or one is missing.
        """
        for name, values in (('positions', positions), ('velocities', velocities),
                             ('torques', torques)):
            given = np.zeros(len(JOINTS)) if values is None else np.array(values, dtype=float)
            if given.shape != (len(JOINTS),) or not np.isfinite(given).all():
                raise InvalidParameterError(f'motor command: {name} have shape {given.shape} and '
                                            f'must be {len(JOINTS)} finite numbers')
            if name == 'positions':
                self._wanted = given
            elif name == 'velocities':
                self._speed = given
            else:
                self._torque = given

    def push(self, force: ArrayLike, body: str = 'torso_link') -> None:
        """Apply a force (3,) in newtons (world axes) to a body's centre of mass until the next call."""
        self.data.xfrc_applied[:] = 0.0
        self.data.xfrc_applied[self.model.body(body).id, :3] = force

    def step(self, count: int = 1) -> None:
        """Advance by time steps; the motors' law is evaluated at each."""
        d = self.data
        for _ in range(count):
            d.ctrl[self._u] = (self._torque + self.stiffness * (self._wanted - d.qpos[self._q])
                               + self.damping * (self._speed - d.qvel[self._v]))
            mujoco.mj_step(self.model, d)

    @property
    def time(self) -> float:
        """Simulated seconds."""
        return float(self.data.time)

    @property
    def q(self) -> Vector:
        """Pinocchio configuration (36,)."""
        d = self.data
        return np.concatenate([d.qpos[:3], d.qpos[[4, 5, 6, 3]], d.qpos[self._q]])

    @property
    def v(self) -> Vector:
        """Pinocchio velocity (35,): the base's linear and angular velocity in its own frame."""
        d = self.data
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, d.qpos[3:7])
        linear = rotation.reshape(3, 3).T @ d.qvel[:3]
        return np.concatenate([linear, d.qvel[3:6], d.qvel[self._v]])

    @property
    def torques(self) -> Vector:
        """What the motors applied in the last step, (29,) N m."""
        return self.data.actuator_force[self._u].copy()

    def frame_pose(self, name: str) -> NDArray[np.float64]:
        """Return world_from_frame (4, 4) of a link or frame. Raises KeyError."""
        mujoco.mj_kinematics(self.model, self.data)  # a step leaves them one step behind
        body = self.data.body(name)
        return make_transform(body.xmat.reshape(3, 3), body.xpos)

    def fallen(self) -> bool:
        """Tell whether the pelvis is low or tilted as no standing robot's is."""
        height = float(self.data.xpos[self._pelvis][2])
        upright = float(self.data.xmat[self._pelvis].reshape(3, 3)[2, 2])
        return height < 0.35 or upright < 0.6

    def touches(self) -> list[tuple[str, str]]:
        """Return the pairs of bodies in contact, the soles on the ground aside."""
        m, found = self.model, []
        for contact in self.data.contact:
            pair = [int(m.geom_bodyid[g]) for g in contact.geom]
            if self._ground in pair and self._standing & set(pair):
                continue
            found.append((m.body(pair[0]).name, m.body(pair[1]).name))
        return found
