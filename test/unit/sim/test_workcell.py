# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The workcell in process: trajectories in, joint states and images out."""

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from handling import standing, table_with

from robotracer_ros.errors import ControllerRefusedError, RobotracerError
from robotracer_ros.robot_description import ARM_JOINTS, GRIPPER_JOINT
from robotracer_ros.sim.camera import Camera, RemoteCamera
from robotracer_ros.sim.noise import TYPICAL, DepthNoise
from robotracer_ros.sim.scenes import generate_scene
from robotracer_ros.sim.trajectory_controller import TrajectoryCommand
from robotracer_ros.sim.trajectory_controller import TrajectoryPoint as P
from robotracer_ros.sim.workcell import Workcell, WorkcellConfig

REST = (0.0,) * 6


@pytest.fixture(scope='module')
def cell():
    return Workcell(7)


def move_to(q, seconds):
    return TrajectoryCommand(ARM_JOINTS, (P(seconds, tuple(q), REST, REST),))


def test_a_seed_is_its_scene(cell):
    cell.reset()
    assert cell.time == 0
    assert {o.id for o in cell.world.scene().objects} == {o.id for o in generate_scene(7).objects}


def test_a_trajectory_moves_the_arm_and_is_held(cell):
    cell.reset()
    goal = cell.world.arm_q + np.array([0.5, 0.1, -0.1, 0.2, 0.3, -0.4])
    cell.command_arm(move_to(goal, 1.0))
    cell.advance(0.5)
    half = cell.joint_state()
    assert 0.2 < half.positions[0] - (goal[0] - 0.5) < 0.3
    assert half.velocities[0] > 0.5
    assert half.time == pytest.approx(0.5)
    cell.advance(0.6)
    assert cell.world.arm_q == pytest.approx(goal, abs=2e-3)
    cell.advance(1.0)
    assert cell.world.arm_q == pytest.approx(goal, abs=5e-4)


def test_servo_error_stays_below_five_milliradians_on_the_way(cell):
    cell.reset()
    start = cell.world.arm_q
    cell.command_arm(move_to(start + np.array([0.55, 0.2, -0.2, 0.4, 0.5, -0.5]), 1.0))
    worst = 0.0
    for _ in range(550):
        wanted = cell.arm.sample(cell.time + cell.timestep)[0]
        cell.step()
        worst = max(worst, float(np.abs(cell.world.arm_q - wanted).max()))
    assert worst < 0.005


def test_the_gripper_takes_half_openings_and_a_force(cell):
    cell.reset()
    cell.command_gripper(TrajectoryCommand((GRIPPER_JOINT,), (P(0.2, (0.015,)),)), force=20.0)
    cell.advance(1.2)
    assert cell.world.gripper_opening == pytest.approx(0.03, abs=5e-4)
    with pytest.raises(ControllerRefusedError, match='force 5000'):
        cell.command_gripper(TrajectoryCommand((GRIPPER_JOINT,), (P(0.2, (0.01,)),)), 5000.0)
    with pytest.raises(ControllerRefusedError, match=r'0\.0000\.\.0\.0500'):
        cell.command_gripper(TrajectoryCommand((GRIPPER_JOINT,), (P(0.2, (0.07,)),)))


def test_refused_trajectories_do_not_move_the_arm(cell):
    cell.reset()
    before = cell.world.arm_q
    with pytest.raises(ControllerRefusedError):
        cell.command_arm(TrajectoryCommand(ARM_JOINTS[:5], (P(1.0, (0.0,) * 5),)))
    with pytest.raises(ControllerRefusedError, match='limit is'):
        cell.command_arm(move_to(before + 1.0, 0.1))
    cell.advance(0.3)
    assert cell.world.arm_q == pytest.approx(before, abs=1e-4)


def test_an_empty_trajectory_stops_the_arm_within_a_third_of_a_second(cell):
    cell.reset()
    cell.command_arm(move_to(cell.world.arm_q + np.array([1.0, 0, 0, 0, 0, 0]), 1.0))
    cell.advance(0.5)
    assert cell.joint_state().velocities[0] > 1.5
    cell.command_arm(TrajectoryCommand(ARM_JOINTS, ()))
    cell.advance(0.3)
    assert np.abs(cell.joint_state().velocities[:6]).max() < 0.01


def test_the_same_run_twice_is_the_same_to_the_bit():
    ends = []
    for _ in range(2):
        cell = Workcell(3)
        cell.command_arm(move_to(cell.world.arm_q + 0.2, 0.5))
        cell.command_gripper(TrajectoryCommand((GRIPPER_JOINT,), (P(0.3, (0.0,)),)))
        cell.advance(0.8)
        ends.append(cell.world.data.qpos.copy())
    assert (ends[0] == ends[1]).all()


def test_reset_starts_time_again_and_changes_the_scene(cell):
    cell.reset(7)
    cell.advance(0.2)
    cell.reset(8)
    assert cell.time == 0
    assert cell.world.scene().seed == 8
    assert cell.joint_state().positions[:6] == pytest.approx(generate_scene(8).robot_q, abs=1e-4)


def test_pictures_show_the_present_state(cell):
    item = standing('block', x=0.55, y=0.0, z=0.15)
    cell = Workcell(table_with(item), WorkcellConfig(settle_s=0.0))
    camera = Camera()
    before = camera.render(cell.view())
    cell.advance(0.5)
    view = cell.view()
    after = camera.render(view)
    assert view.time == pytest.approx(0.5)
    assert after.rgb.shape == (240, 320, 3) and after.depth.shape == (240, 320)
    rows = [np.nonzero(r.segmentation == 0)[0].mean() for r in (before, after)]
    assert rows[1] > rows[0] + 20  # it fell: lower in the image
    # depth at the block's centre is the distance of its surface
    row, column = (int(x.mean()) for x in np.nonzero(after.segmentation == 0))
    point = view.scene.camera.lift_pixels(np.array([column, row]), after.depth[row, column])
    world = view.scene.world_from_camera @ [*point, 1]
    assert np.abs(world[:3] - view.scene.object('block').position).max() < 0.03


def test_depth_noise_is_the_configured_and_reproducible(cell):
    cell.reset(7)
    view = cell.view()
    exact = Camera().render(view)
    noisy = [Camera(TYPICAL).render(view) for _ in range(2)]
    assert (noisy[0].depth == noisy[1].depth).all()
    assert (noisy[0].depth != exact.depth).mean() > 0.5
    assert (noisy[0].rgb == exact.rgb).all()
    later = Camera(TYPICAL).render(cell.view())
    assert (later.depth != noisy[0].depth).any()


def test_a_camera_in_its_own_process_makes_the_same_pictures(cell):
    cell.reset(7)
    here, there = Camera(TYPICAL), RemoteCamera(TYPICAL)
    try:
        for seed in (7, 8):
            cell.reset(seed)
            cell.advance(0.1)
            view = cell.view()
            a, b = here.render(view), there.render(view)
            assert (a.rgb == b.rgb).all()
            assert (a.depth == b.depth).all()
            assert (a.segmentation == b.segmentation).all()
        there.noise = DepthNoise()
        assert (there.render(view).depth == Camera().render(view).depth).all()
        broken = replace(view, robot_q=np.zeros(2))
        with pytest.raises(RobotracerError, match='rendering process failed'):
            there.render(broken)
        assert (there.render(view).rgb == a.rgb).all()  # one bad view does not end it
        there.close()
        with pytest.raises(RobotracerError, match='rendering process is gone'):
            there.render(view)
    finally:
        there.close()


def test_the_rendering_process_ends_with_its_owner():
    code = ('import os, sys\n'
            'from robotracer_ros.sim.camera import RemoteCamera\n'
            'camera = RemoteCamera()\n'
            'print(camera.pid, flush=True)\n'
            'sys.stdin.readline()\n'
            'os._exit(9)\n')  # no clean-up of any kind
    owner = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
    pid = int(owner.stdout.readline())
    assert alive(pid)
    owner.communicate('\n')
    deadline = time.monotonic() + 30
    while alive(pid):
        assert time.monotonic() < deadline, f'renderer {pid} outlived its owner'
        time.sleep(0.05)


def alive(pid):
    try:
        with open(f'/proc/{pid}/stat') as f:
            return f.read().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False
