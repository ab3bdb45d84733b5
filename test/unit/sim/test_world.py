# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Physics: things stay where they are, the arm tracks, the jaws hold by friction alone."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from handling import Arm, angle, grasp_of, pick_and_place, pointing_down, standing, table_with

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.robot_description import ARM_JOINTS, GRIPPER_JOINT
from robotracer_ros.sim.catalog import KINDS, SIZES
from robotracer_ros.sim.physics import PhysicsConfig, build_model
from robotracer_ros.sim.scenes import generate_scene
from robotracer_ros.sim.spec import HOME_Q
from robotracer_ros.sim.world import JOINTS, World

GRASPABLE = [k for k, kind in KINDS.items() if kind.graspable]


@pytest.fixture(scope='module')
def empty():
    return World(table_with())


def test_the_robot_is_the_one_of_the_urdf():
    model = build_model(table_with(), PhysicsConfig())
    assert [model.joint(i).name for i in range(model.njnt)] == list(JOINTS)
    assert model.body('gripper_left_pad_link').id > 0
    # no way to hold or move an object but contact: the one equality couples the two jaws
    assert model.neq == 1
    assert model.eq_type[0] == mujoco.mjtEq.mjEQ_JOINT


def test_objects_move_by_contact_only():
    model = build_model(generate_scene(3), PhysicsConfig())
    assert model.neq == 1
    assert model.nmocap == 0


@pytest.mark.parametrize('seed', [0, 7, 23])
def test_generated_scenes_stay_put(seed):
    check_scene_stays_put(seed)


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(50))
def test_fifty_generated_scenes_stay_put(seed):
    check_scene_stays_put(seed)


def check_scene_stays_put(seed):
    scene = generate_scene(seed)
    # without sleep, so that resting is real rest
    world = World(scene, PhysicsConfig(sleep=False))
    assert world.settle(0.5) < 0.0005
    assert world.settle(1.0) < 0.0001
    for item in scene.objects:
        assert angle(world.object_poses()[item.id], item.pose) < 0.1


@pytest.mark.parametrize('kind', [k for k, kind in KINDS.items() if not kind.fixed])
def test_every_kind_stands(kind):
    for size in SIZES:
        item = standing(kind, size, yaw=1.1)
        world = World(table_with(item), PhysicsConfig(sleep=False))
        assert world.settle(0.4) < 0.0003
        assert angle(world.object_poses()[item.id], item.pose) < 0.1


def test_masses_are_those_of_the_scene():
    scene = generate_scene(11)
    world = World(scene)
    for item in scene.objects:
        if not item.fixed:
            assert world.model.body(item.id).subtreemass[0] == pytest.approx(item.mass)


def test_a_thing_without_support_falls():
    item = standing('block', z=0.3)
    world = World(table_with(item))
    world.step(50)
    fallen = item.pose[2, 3] - world.object_poses()[item.id][2, 3]
    assert fallen == pytest.approx(9.81 / 2 * 0.1**2, rel=0.03)
    world.settle(1.0)
    assert world.object_poses()[item.id][2, 3] == pytest.approx(item.extents[2] / 2, abs=0.001)


def test_the_arm_tracks_one_rad_per_second(empty):
    empty.reset()
    arm = Arm(empty)
    arm.joints_to(np.array(HOME_Q) + np.array([1.2, 0.5, -0.6, 0.8, 0.9, -1.0]))
    assert 0.0001 < arm.error < 0.005
    state = empty.joint_state()
    assert state.names[:6] == ARM_JOINTS
    assert state.positions[:6] == pytest.approx(arm.q, abs=0.001)


def test_the_arm_holds_still_against_gravity(empty):
    empty.reset()
    empty.step(500)
    assert empty.arm_q == pytest.approx(np.array(HOME_Q), abs=1e-4)


def test_velocity_is_fed_forward(empty):
    """Without it a servo lags; the same motion commanded without velocities proves the effect."""
    lag = []
    for forward in (True, False):
        empty.reset()
        q, dt = np.array(HOME_Q), empty.config.timestep
        for _ in range(250):
            q = q + np.array([1.0, 0, 0, 0, 0, 0]) * dt
            empty.set_arm_target(q, [1.0, 0, 0, 0, 0, 0] if forward else None)
            empty.step()
        lag.append(float(np.abs(empty.arm_q - q).max()))
    assert lag[0] < 0.003
    assert lag[1] > 0.01


def test_jaws_open_close_and_stay_together(empty):
    empty.reset()
    assert empty.gripper_opening == pytest.approx(0.1, abs=1e-4)
    empty.set_gripper(0.03)
    empty.step(20)
    assert empty.gripper_opening > 0.08  # they travel, they do not jump
    empty.step(600)
    assert empty.gripper_opening == pytest.approx(0.03, abs=3e-4)
    state = empty.joint_state()
    left = state.positions[state.names.index(GRIPPER_JOINT)]
    assert left == pytest.approx(empty.gripper_opening / 2, abs=1e-4)


@pytest.mark.parametrize('force', [10.0, 40.0])
def test_grip_force_is_limited(force):
    item = standing('block')
    world = World(table_with(item))
    arm = Arm(world)
    x, y, height, yaw = grasp_of(item)
    place = (item.pose @ [x, y, 0, 1])[:3]
    place[2] = height
    yaw += 0.4
    arm.joints_to(arm.solve(pointing_down(place + np.array([0, 0, 0.1]), yaw), arm.q))
    arm.line_to(pointing_down(place, yaw))
    world.set_gripper(0.0, force)
    arm.wait(0.8)
    pads = [t.force for t in world.touches() if item.id in t.bodies
            and any('pad' in b for b in t.bodies)]
    assert len(pads) == 2
    # each pad takes the squeeze; half the object's weight comes on top
    assert pads == pytest.approx([force, force], abs=0.05 * force + 1.0)


@pytest.mark.parametrize('kind', ['block', 'mug'])
def test_grasped_things_are_carried_and_put_down(kind):
    check_handling(standing(kind))


@pytest.mark.slow
@pytest.mark.parametrize('variant', [0, 2])
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('kind', GRASPABLE)
def test_every_graspable_kind_is_carried_and_put_down(kind, size, variant):
    check_handling(standing(kind, size, variant))


def check_handling(item):
    done = pick_and_place(World(table_with(item)), item, grasp_of(item))
    assert done.lift > 0.12
    assert done.slip < 1.0, done
    assert done.turn < 1.0, done
    assert done.place_error < 5.0, done
    assert done.lean < 1.0, done
    assert done.servo_error < 0.005
    if item.kind != 'bowl':  # its sloping wall turns flat against the pads when lifted
        assert done.slip_closing < 5.0, done
        assert done.turn_closing < 2.0, done


def test_a_weak_grip_drops_what_a_firm_one_carries():
    """The control experiment: it is the friction force that carries, nothing else."""
    item = standing('can', 'large')
    with_force = {f: pick_and_place(World(table_with(item)), item, grasp_of(item), force=f)
                  for f in (1.0, 40.0)}
    assert with_force[40.0].lift > 0.14
    assert with_force[1.0].lift < 0.02


def test_same_calls_same_result():
    scene = generate_scene(5)
    ends = []
    for _ in range(2):
        world = World(scene)
        world.set_arm_target(np.array(scene.robot_q) + 0.1)
        world.step(300)
        ends.append(world.data.qpos.copy())
    assert (ends[0] == ends[1]).all()


def test_reset_restores_the_start_and_loads_other_scenes():
    first, second = generate_scene(1), generate_scene(2)
    world = World(first)
    start = world.data.qpos.copy()
    world.set_arm_target(np.array(first.robot_q) + 0.2)
    world.set_gripper(0.0)
    world.step(300)
    world.reset()
    assert (world.data.qpos == start).all() and world.time == 0
    world.reset(second)
    assert set(world.object_poses()) == {o.id for o in second.objects}
    assert world.scene().seed == 2


def test_scene_reports_present_poses():
    item = standing('block', z=0.05)
    world = World(table_with(item))
    world.settle(1.0)
    now = world.scene()
    assert now.object(item.id).pose[2, 3] == pytest.approx(item.extents[2] / 2, abs=0.001)
    assert item.pose[2, 3] == pytest.approx(0.05 + item.extents[2] / 2)
    assert now.robot_q == pytest.approx(world.arm_q)


def test_bad_commands_are_refused(empty):
    with pytest.raises(InvalidParameterError, match=r'must be \(6,\)'):
        empty.set_arm_target([0.0] * 5)
    with pytest.raises(InvalidParameterError, match='must be finite'):
        empty.set_arm_target([float('nan')] * 6)
    with pytest.raises(InvalidParameterError, match=r"'elbow_joint' is 4\.0000 rad"):
        empty.set_arm_target([0, 0, 4.0, 0, 0, 0])
    with pytest.raises(InvalidParameterError, match=r'opening 0.2 m: must be in 0..0.1'):
        empty.set_gripper(0.2)
    with pytest.raises(InvalidParameterError, match=r'force 500\.0 N'):
        empty.set_gripper(0.05, 500.0)
    with pytest.raises(InvalidParameterError, match='timestep'):
        PhysicsConfig(timestep=0.5)


def test_object_ids_must_not_be_links():
    item = replace(standing('block'), id='forearm_link')
    with pytest.raises(InvalidParameterError, match='forearm_link'):
        World(table_with(item))
