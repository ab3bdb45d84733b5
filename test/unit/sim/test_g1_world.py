# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The G1 under physics: what it is made of, that it can fall, and that it stands and follows when
its controllers hold it.
"""

from dataclasses import replace

import mujoco
import numpy as np
import pinocchio as pin
import pytest

from robotracer_ros.control.wbc.config import HumanoidConfig
from robotracer_ros.control.wbc.model import HumanoidModel
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.g1_description import HAND_FRAMES, JOINTS, OPTICAL_FRAME, load_parts
from robotracer_ros.sim.g1 import CAMERA, GROUND, G1Physics, G1World, Table, build_g1

TABLE = Table('table', (0.66, 0.0, 0.68), (0.6, 1.2, 0.04))


@pytest.fixture(scope='module')
def kinematics():
    return HumanoidModel()


@pytest.fixture(scope='module')
def home(kinematics):
    return kinematics.standing(HumanoidConfig.load().home)


@pytest.fixture(scope='module')
def world():
    return G1World(tables=(TABLE,))


def test_nothing_holds_the_robot_but_the_ground():
    model = build_g1()
    assert model.neq == 0
    assert model.nmocap == 0
    assert (model.body_gravcomp == 0).all()
    assert [model.joint(i).name for i in range(model.njnt)] == ['floating_base', *JOINTS]
    assert model.body_mass.sum() == pytest.approx(33.34, abs=0.01)
    # friction, damping and rotors are there, and motors have the limits of the URDF
    joints = model.jnt_dofadr[1:]
    assert (model.dof_frictionloss[joints] > 0).all()
    assert (model.dof_armature[joints] > 0).all()
    assert model.actuator_forcelimited.all()
    assert model.actuator_forcerange[:, 1].max() == 139


def test_the_robot_collides_as_its_proxies_do():
    model = build_g1()
    for capsule in load_parts().capsules:
        if 'ankle' in capsule.link:
            continue  # the foot stands on its sole
        geom = model.geom(capsule.name)
        assert geom.size[0] == pytest.approx(capsule.radius)
        assert model.body(int(geom.bodyid[0])).name == capsule.link


def test_poses_are_those_of_pinocchio(world, kinematics, home):
    q = pin.integrate(kinematics.model, home, np.random.default_rng(3).normal(0, 0.2, 35))
    world.reset(q)
    kinematics.update(q)
    for frame in (*HAND_FRAMES.values(), OPTICAL_FRAME):
        seen = kinematics.placement(kinematics.frame(frame)).homogeneous
        assert world.frame_pose(frame) == pytest.approx(seen, abs=1e-5)
    assert world.q == pytest.approx(q)
    assert world.v == pytest.approx(np.zeros(35))


def test_velocities_are_those_of_pinocchio(world, kinematics, home):
    """The base's velocity is in its own frame: a step along it leads to the next configuration."""
    q = pin.integrate(kinematics.model, home, np.random.default_rng(4).normal(0, 0.2, 35))
    q[2] += 0.5
    world.reset(q)
    world.data.qvel[:] = np.random.default_rng(5).normal(0, 0.5, 35)
    before, v = world.q, world.v
    world.data.time = 0.0
    mujoco.mj_integratePos(world.model, world.data.qpos, world.data.qvel, 1e-5)
    step = pin.difference(kinematics.model, before, world.q) / 1e-5
    assert step == pytest.approx(v, abs=1e-3)


def test_the_camera_looks_where_the_optical_frame_does(world, home):
    world.reset(home)
    camera = world.data.camera(CAMERA)
    optical = world.frame_pose(OPTICAL_FRAME)
    assert camera.xpos == pytest.approx(optical[:3, 3], abs=1e-6)
    # MuJoCo's camera looks along -z with y up
    assert -camera.xmat.reshape(3, 3)[:, 2] == pytest.approx(optical[:3, 2], abs=1e-6)
    assert camera.xmat.reshape(3, 3)[:, 0] == pytest.approx(optical[:3, 0], abs=1e-6)


def test_without_torques_it_falls(home):
    """Or standing would prove nothing."""
    world = G1World(replace(G1Physics(), stiffness={'joint': 0.0}, damping={'joint': 0.0}))
    world.reset(home)
    world.step(1000)
    assert world.fallen()
    assert any(GROUND in pair for pair in world.touches())


def test_its_joints_alone_hold_it_for_a_moment_on_its_soles(world, home):
    world.reset(home)
    world.step(250)
    assert not world.fallen()
    assert world.touches() == []
    forces = sum(world.data.contact[i].dist < 0.001 for i in range(world.data.ncon))
    assert forces >= 6
    assert (np.abs(world.torques) <= world.model.actuator_forcerange[:, 1]).all()


def test_commands_that_are_none_are_refused(world):
    for bad in (np.zeros(28), np.full(29, np.nan)):
        with pytest.raises(InvalidParameterError, match='positions have shape'):
            world.command(bad)
    with pytest.raises(InvalidParameterError, match='torques'):
        world.command(np.zeros(29), torques=np.full(29, np.inf))
    with pytest.raises(InvalidParameterError, match='timestep'):
        G1Physics(timestep=0.1)
