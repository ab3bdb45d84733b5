# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Build the MuJoCo model of a scene: the robot from its URDF, a table, and the objects' primitives.

Everything that moves an object is contact and friction: there are no welds between robot and
objects and nothing is teleported. Metres, radians, kilograms, newtons, seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import mujoco
import numpy as np

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.geometry.transforms import make_transform, matrix_to_quaternion
from robotracer_ros.robot_description import (
    ARM_JOINTS,
    GRIPPER_JOINT,
    GRIPPER_MIMIC_JOINT,
    MAX_OPENING,
    disabled_pairs,
    load_urdf,
)
from robotracer_ros.sim.spec import Primitive, Scene, SceneObject

#: body name of the table in contact reports
TABLE = 'table'
PAD_LINKS = ('gripper_left_pad_link', 'gripper_right_pad_link')
JAW_JOINTS = (GRIPPER_JOINT, GRIPPER_MIMIC_JOINT)


@dataclass(frozen=True)
class PhysicsConfig:
    """Numbers of the simulation; the defaults are what the grasp tests were passed with.

    Attributes:
        timestep: Seconds per step.
        object_friction: Sliding, torsional (m) and rolling (m) coefficient of objects and table.
        pad_friction: The same of the gripper's rubber pads; they win over the object's.
        solref: Time constant (s) and damping ratio of contacts.
        solimp: Impedance of contacts at zero and at full width, and that width in metres.
        pad_solref, pad_solimp: The same of the pads: stiffer, for 40 N press on light things.
        impratio: Friction to normal impedance; above 1 it stops a grasped object's slow slip.
        arm_bandwidth: Natural frequency (rad/s) of the joint servos.
        arm_inertia: Inertia (kg m^2) per joint that the servos are laid out for.
        gripper_stiffness: N/m of the jaw servo below its force limit.
        gripper_damping: N s/m of the jaw servo.
        gripper_speed: Speed (m/s) at which one jaw's set point moves.
        gripper_force: Default force limit of a jaw, newtons.
        max_gripper_force: Largest force that may be commanded, newtons.
        sleep: Let things at rest sleep until something touches them.
    """

    timestep: float = 0.002
    object_friction: tuple[float, float, float] = (0.6, 0.004, 0.0004)
    pad_friction: tuple[float, float, float] = (1.1, 0.015, 0.0005)
    solref: tuple[float, float] = (0.006, 1.0)
    solimp: tuple[float, float, float] = (0.9, 0.95, 0.001)
    pad_solref: tuple[float, float] = (0.004, 1.0)
    pad_solimp: tuple[float, float, float] = (0.95, 0.99, 0.001)
    impratio: float = 10.0
    arm_bandwidth: float = 120.0
    arm_inertia: tuple[float, ...] = (3.0, 3.0, 1.2, 0.35, 0.35, 0.25)
    gripper_stiffness: float = 8000.0
    gripper_damping: float = 150.0
    gripper_speed: float = 0.08
    gripper_force: float = 40.0
    max_gripper_force: float = 100.0
    sleep: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.timestep <= 0.005:
            raise InvalidParameterError(f'physics timestep {self.timestep} s: must be in 0..0.005')
        if not 0 < self.gripper_force <= self.max_gripper_force:
            raise InvalidParameterError(f'gripper force {self.gripper_force} N: must be in '
                                        f'0..{self.max_gripper_force}')


def build_model(scene: Scene, config: PhysicsConfig) -> mujoco.MjModel:
    """Compile the MuJoCo model of a scene.

    Bodies are named after URDF links, object ids and :data:`TABLE`.

    Args:
        scene: What stands on the table.
        config: Numbers of the simulation.

    Raises:
        InvalidParameterError: an object has the name of a link.
    """
    spec = mujoco.MjSpec.from_string(load_urdf())
    spec.modelname = f'workcell {scene.seed}'
    spec.compiler.fusestatic = False  # contacts report the link they belong to
    _set_options(spec, config)
    links = [b.name for b in spec.bodies]
    _tune_robot(spec, config)
    _add_servos(spec, config)
    _exclude_self_contacts(spec, links)
    table = spec.worldbody.add_body(name=TABLE)
    _contact(table.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=(2, 2, 0.1), name=TABLE), config)
    for item in scene.objects:
        if item.id in links or item.id == TABLE:
            raise InvalidParameterError(f"object id '{item.id}' is a name of the robot or table")
        _add_object(spec, item, config)
    return spec.compile()


def _set_options(spec: mujoco.MjSpec, config: PhysicsConfig) -> None:
    option = spec.option
    option.timestep = config.timestep
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = config.impratio
    option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    option.iterations = 50
    option.tolerance = 1e-9
    if config.sleep:
        option.enableflags |= mujoco.mjtEnableBit.mjENBL_SLEEP


def _contact(geom: mujoco.MjsGeom, config: PhysicsConfig, *, pad: bool = False,
             rolling: bool = False) -> None:
    """Set the contact numbers of a geom; ``rolling`` shapes need rolling friction to come to rest."""
    geom.friction = config.pad_friction if pad else config.object_friction
    geom.condim = 6 if rolling or pad else 4
    geom.priority = 1 if pad else 0
    geom.solref = config.pad_solref if pad else config.solref
    geom.solimp = (*(config.pad_solimp if pad else config.solimp), 0.5, 2.0)


def _tune_robot(spec: mujoco.MjSpec, config: PhysicsConfig) -> None:
    for body in spec.bodies[1:]:
        body.gravcomp = 1.0  # the drives hold their own weight, as an industrial arm's do
        for geom in body.geoms:
            _contact(geom, config, pad=body.name in PAD_LINKS)
    for equality in spec.equalities:  # the mimic joint: rack and pinion of the jaws
        equality.solref = (2 * config.timestep, 1.0)
        equality.solimp = (0.99, 0.999, 0.0001, 0.5, 2.0)
    for name in JAW_JOINTS:
        spec.joint(name).armature = 0.4  # kg: motor and spindle


def _add_servos(spec: mujoco.MjSpec, config: PhysicsConfig) -> None:
    """Give every joint a position servo; ``actuator`` names equal joint names."""
    for name, inertia in zip(ARM_JOINTS, config.arm_inertia, strict=True):
        limit = float(spec.joint(name).actfrcrange[1])
        actuator = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=inertia * config.arm_bandwidth ** 2,
                                 kv=2 * inertia * config.arm_bandwidth)
        actuator.forcerange = (-limit, limit)
        actuator.forcelimited = True
    for name in JAW_JOINTS:
        actuator = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=config.gripper_stiffness, kv=config.gripper_damping)
        actuator.forcerange = (-config.gripper_force, config.gripper_force)
        actuator.forcelimited = True


def _exclude_self_contacts(spec: mujoco.MjSpec, links: list[str]) -> None:
    known = set(links)
    for a, b in disabled_pairs():
        if a in known and b in known:
            spec.add_exclude(bodyname1=a, bodyname2=b)


_GEOM = {'box': mujoco.mjtGeom.mjGEOM_BOX, 'cylinder': mujoco.mjtGeom.mjGEOM_CYLINDER,
         'sphere': mujoco.mjtGeom.mjGEOM_SPHERE, 'capsule': mujoco.mjtGeom.mjGEOM_CAPSULE,
         'ellipsoid': mujoco.mjtGeom.mjGEOM_ELLIPSOID}


#: how far (m) the feet of a standing cylinder reach below it, and their radius (m)
_FOOT_HEIGHT = 0.0003
_FOOT_RADIUS = 0.002


def part_volume(part: Primitive) -> float:
    """Return the volume of a part in cubic metres."""
    s = part.size
    if part.shape == 'box':
        return 8 * s[0] * s[1] * s[2]
    if part.shape == 'cylinder':
        return 2 * pi * s[0] ** 2 * s[1]
    if part.shape == 'sphere':
        return 4 / 3 * pi * s[0] ** 3
    if part.shape == 'capsule':
        return 2 * pi * s[0] ** 2 * s[1] + 4 / 3 * pi * s[0] ** 3
    return 4 / 3 * pi * s[0] * s[1] * s[2]


def _add_object(spec: mujoco.MjSpec, item: SceneObject, config: PhysicsConfig) -> None:
    body = spec.worldbody.add_body(name=item.id, pos=item.pose[:3, 3], quat=_wxyz(item.pose))
    if not item.fixed:
        body.add_freejoint(name=item.id)
    volume = sum(part_volume(p) for p in item.parts)
    base = -float(item.extents[2]) / 2
    feet = [p for p in item.parts if p.shape == 'cylinder' and _stands_on(p, base)]
    for i, part in enumerate(item.parts):
        size, pose = np.zeros(3), part.pose
        size[:len(part.size)] = part.size
        if feet and part.shape in ('cylinder', 'box') and _stands_on(part, base):
            axis = 1 if part.shape == 'cylinder' else 2
            size[axis] -= _FOOT_HEIGHT / 2
            pose = pose @ make_transform(translation=(0, 0, _FOOT_HEIGHT / 2 * pose[2, 2]))
        geom = body.add_geom(name=f'{item.id}/{i}', type=_GEOM[part.shape], size=size,
                             pos=pose[:3, 3], quat=_wxyz(pose))
        geom.mass = item.mass * part_volume(part) / volume
        _contact(geom, config, rolling=part.shape != 'box')
    for i, part in enumerate(feet):
        _add_feet(body, f'{item.id}/foot{i}', part, base, config)


def _stands_on(part: Primitive, base: float) -> bool:
    """Tell whether an upright part reaches down to height ``base`` of the object frame."""
    half = part.size[1] if part.shape == 'cylinder' else part.size[-1]
    upright = abs(part.pose[2, 2]) > 0.999 if part.shape == 'cylinder' else part.pose[2, 2] > 0.7
    drop = half * abs(float(part.pose[2, 2]))
    return upright and float(part.pose[2, 3]) - drop < base + 1e-3


def _add_feet(body: mujoco.MjsBody, name: str, part: Primitive, base: float,
              config: PhysicsConfig) -> None:
    """Let a cylinder stand on six small balls at its rim.

    The contact points of a flat cylinder on a plane jump around its rim from step to step, which
    now and then throws a standing can over; those of the balls stay where they are.
    """
    x, y = part.pose[:2, 3]
    ring = part.size[0] - _FOOT_RADIUS
    for i in range(6):
        a = i * pi / 3
        foot = body.add_geom(name=f'{name}/{i}', type=mujoco.mjtGeom.mjGEOM_SPHERE,
                             size=(_FOOT_RADIUS, 0, 0),
                             pos=(x + ring * np.cos(a), y + ring * np.sin(a), base + _FOOT_RADIUS))
        foot.mass = 0
        _contact(foot, config)


def _wxyz(pose: np.ndarray) -> np.ndarray:
    return np.roll(matrix_to_quaternion(pose[:3, :3]), 1)


def check_opening(opening: float, force: float, config: PhysicsConfig) -> None:
    """Check a gripper command.

    Raises:
        InvalidParameterError: opening or force is out of range, or not finite.
    """
    if not 0 <= opening <= MAX_OPENING + 1e-9:
        raise InvalidParameterError(f'gripper opening {opening} m: must be in 0..{MAX_OPENING}')
    if not 0 < force <= config.max_gripper_force:
        raise InvalidParameterError(f'gripper force {force} N: must be in '
                                    f'0..{config.max_gripper_force}')
