# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The simulation node through real DDS: what drivers publish, and what controllers accept."""

import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pinocchio as pin
import pytest
from sim_rig import PATIENCE_S, REST, SEED, TCP_LENGTH, Rig, wait_for
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robotracer_ros.geometry.transforms import quaternion_to_matrix
from robotracer_ros.nodes.conversions import (
    image_to_depth,
    image_to_rgb,
    info_to_camera,
    pose_to_matrix,
    s_to_duration,
    stamp_to_ns,
)
from robotracer_ros.nodes.qos import make_qos
from robotracer_ros.planning.ur_kinematics import UrKinematics
from robotracer_ros.robot_description import (
    ARM_JOINTS,
    GRIPPER_JOINT,
    TCP_FRAME,
    TOOL_FRAME,
    load_urdf,
)
from robotracer_ros.sim.camera import Camera
from robotracer_ros.sim.scenes import generate_scene
from robotracer_ros.sim.workcell import Workcell


@pytest.fixture(scope='module')
def rig(ros):
    r = Rig()
    yield r
    r.close()


@pytest.fixture
def fresh(rig):
    """The rig with everything back at its start."""
    rig.set(seed=SEED, watch__moved='', watch__goal=[])
    response = rig.result(rig.reset.call_async(Trigger.Request()))
    assert response.success
    rig.get('joints')
    return rig


def test_the_robot_is_described_for_those_who_come_late(rig):
    heard = []
    subscription = rig.client.create_subscription(
        String, '/robot_description', heard.append, make_qos('reliable', 'transient_local', 1))
    robot = ET.fromstring(wait_for(lambda: heard, 'robot_description')[0].data)
    rig.client.destroy_subscription(subscription)
    assert {j.get('name') for j in robot.iter('joint')} >= {*ARM_JOINTS, GRIPPER_JOINT}
    meshes = [m.get('filename') for m in robot.iter('mesh')]
    assert meshes
    assert all(m.startswith('file:///') and Path(m.removeprefix('file://')).is_file()
               for m in meshes)


def test_camera_topics_look_like_a_realsense(rig):
    color, depth, info = rig.get('color'), rig.get('depth'), rig.get('info')
    assert (color.encoding, depth.encoding) == ('rgb8', '16UC1')
    assert {m.header.frame_id for m in (color, depth, info)} == {'camera_color_optical_frame'}
    assert (color.width, color.height, color.step) == (320, 240, 960)
    assert image_to_rgb(color).shape == (240, 320, 3)
    metres = image_to_depth(depth)
    assert 0.5 < np.median(metres[metres > 0]) < 2.5
    camera = generate_scene(SEED).camera
    for topic in ('info', 'depth_info'):
        assert info_to_camera(rig.get(topic)) == camera


def test_colour_depth_and_intrinsics_share_a_stamp(rig):
    stamps = {}
    def matched():
        for name in ('color', 'depth', 'info'):
            stamps.setdefault(name, set()).add(stamp_to_ns(rig.get(name, False).header.stamp))
        return stamps['color'] & stamps['depth'] & stamps['info']
    wait_for(matched, 'a set with one stamp')


def test_pictures_are_those_of_the_renderer(rig):
    """The same seed, rendered in this process, gives the published pixels to the millimetre."""
    exact = Camera().render(Workcell(SEED).view())
    rgb, depth = image_to_rgb(rig.get('color')), image_to_depth(rig.get('depth'))
    assert (np.abs(rgb.astype(int) - exact.rgb).max(axis=2) > 3).mean() < 0.005
    assert (np.abs(depth - exact.depth) > 0.0011).mean() < 0.005


def test_joint_states_name_arm_and_jaws_with_velocities(rig):
    msg = rig.get('joints')
    assert tuple(msg.name[:6]) == ARM_JOINTS
    assert GRIPPER_JOINT in msg.name
    assert len(msg.position) == len(msg.velocity) == len(msg.effort) == len(msg.name)
    assert msg.position[msg.name.index(GRIPPER_JOINT)] == pytest.approx(0.05, abs=1e-3)


def test_joint_states_come_every_eight_milliseconds_of_simulated_time(rig):
    stamps, previous = [], None
    while len(stamps) < 50:
        stamp = stamp_to_ns(rig.get('joints', False).header.stamp)
        if stamp != previous:
            stamps.append(stamp)
            previous = stamp
    gaps = np.diff(stamps)
    # the client may miss one; what it sees lies on the grid
    assert gaps.min() == 8_000_000
    assert np.all(gaps % 8_000_000 == 0)


def test_stamps_and_clock_are_one_time_and_near_the_system_s(rig):
    clock = stamp_to_ns(rig.get('clock').clock)
    joints = stamp_to_ns(rig.get('joints').header.stamp)
    color = stamp_to_ns(rig.get('color').header.stamp)
    assert abs(joints - clock) < 3e9 and abs(color - clock) < 3e9
    assert abs(clock - time.time_ns()) < 60e9


def test_tf_places_the_camera_and_the_tool(rig):
    if not rig.listener.available:
        pytest.skip('tf2_msgs is not installed')
    scene = generate_scene(SEED)
    def lookup(target, source):
        return rig.tree.lookup(target, source, None, PATIENCE_S)
    assert lookup('base_link', 'camera_color_optical_frame') == pytest.approx(
        scene.world_from_camera, abs=1e-6)
    # x of camera_link looks forward, along z of the optical frame
    assert lookup('camera_link', 'camera_color_optical_frame')[:3, 2] == pytest.approx([1, 0, 0])
    import pinocchio as pin

    from robotracer_ros.robot_description import load_urdf
    model = pin.buildModelFromXML(load_urdf())
    data = model.createData()
    q = np.array(rig.get('joints').position)
    pin.framesForwardKinematics(model, data, q)
    expected = data.oMf[model.getFrameId(TCP_FRAME)].homogeneous
    assert lookup('base_link', TCP_FRAME) == pytest.approx(expected, abs=1e-3)


def test_ground_truth_is_that_of_the_seed(fresh):
    truth, poses = fresh.truth(), fresh.get('poses')
    scene = generate_scene(SEED)
    assert truth['seed'] == SEED
    assert [o['id'] for o in truth['objects']] == [o.id for o in scene.objects]
    assert len(poses.poses) == len(scene.objects)
    assert poses.header.frame_id == 'base_link'
    for told, pose, item in zip(truth['objects'], poses.poses, scene.objects, strict=True):
        assert told['position'] == pytest.approx(item.position, abs=1e-3)
        assert quaternion_to_matrix(told['orientation']) == pytest.approx(
            item.pose[:3, :3], abs=5e-3)
        assert pose_to_matrix(pose)[:3, 3] == pytest.approx(told['position'], abs=1e-6)
    assert truth['unintended_contacts'] == []


def test_a_trajectory_moves_the_arm_in_any_joint_order_and_is_held(fresh):
    start = fresh.positions()
    goal = start + np.array([0.4, 0.1, -0.1, 0.2, 0.3, -0.3])
    order = [3, 0, 5, 1, 4, 2]
    fresh.send([(1.0, goal[order], REST, REST)], [ARM_JOINTS[i] for i in order])
    wait_for(lambda: fresh.speed() > 0.2, 'motion')
    wait_for(lambda: np.abs(fresh.positions() - goal).max() < 2e-3 and fresh.speed() < 0.01,
             'the goal')
    end = fresh.count['joints'] + 60
    wait_for(lambda: fresh.count['joints'] > end, 'half a second')
    assert fresh.positions() == pytest.approx(goal, abs=1e-3)


def test_a_new_trajectory_preempts_the_old_one(fresh):
    start = fresh.positions()
    fresh.send([(3.0, start + np.array([1.5, 0, 0, 0, 0, 0]), REST, REST)])
    wait_for(lambda: fresh.positions()[0] > start[0] + 0.15, 'motion')
    fresh.send([(1.5, start, REST, REST)])
    seen = []
    def back():
        seen.append(fresh.positions()[0])
        return abs(seen[-1] - start[0]) < 2e-3 and fresh.speed() < 0.01
    wait_for(back, 'the way back')
    assert max(seen) < start[0] + 1.2


def test_an_empty_trajectory_stops_and_holds(fresh):
    start = fresh.positions()
    fresh.send([(3.0, start + np.array([1.5, 0, 0, 0, 0, 0]), REST, REST)])
    wait_for(lambda: fresh.speed() > 0.5, 'motion')
    fresh.send([])
    wait_for(lambda: fresh.speed() < 0.01, 'rest')
    held = fresh.positions()
    assert held[0] < start[0] + 1.4
    end = fresh.count['joints'] + 60
    wait_for(lambda: fresh.count['joints'] > end, 'half a second')
    assert fresh.positions() == pytest.approx(held, abs=1e-3)


def test_a_stamp_sets_the_start(fresh):
    start = fresh.positions()
    begin = stamp_to_ns(fresh.get('joints').header.stamp) + 600_000_000
    goal = start + np.array([0.3, 0, 0, 0, 0, 0])
    fresh.send([(0.0, start, REST, REST), (0.8, goal, REST, REST)], stamp_ns=begin)
    seen = []
    def done():
        msg = fresh.get('joints')
        seen.append((stamp_to_ns(msg.header.stamp), msg.position[0]))
        return abs(msg.position[0] - goal[0]) < 1e-3
    wait_for(done, 'the goal')
    waiting = [q for t, q in seen if t < begin]
    assert waiting and np.abs(np.array(waiting) - start[0]).max() < 1e-3
    arrived = min(t for t, q in seen if abs(q - goal[0]) < 1e-3)
    assert 0.5e9 < arrived - begin < 0.95e9


@pytest.mark.parametrize(('points', 'names', 'reason'), [
    ([(1.0, REST[:5])], ARM_JOINTS[:5], 'must name each'),
    ([(1.0, [*REST[:5], float('nan')])], ARM_JOINTS, 'must be finite'),
    ([(1.0, [0.0, -1.0, 9.0, 0.0, 0.0, 0.0])], ARM_JOINTS, 'elbow_joint'),
    ([(1.0, REST[:3])], ARM_JOINTS, 'must have 6'),
    ([(1.0, REST), (0.5, REST)], ARM_JOINTS, 'times must increase')])
def test_bad_trajectories_are_refused_with_the_reason_and_nothing_moves(
        fresh, points, names, reason):
    start, refused = fresh.positions(), int(fresh.status()['trajectories_refused'])
    fresh.send(points, names)
    status = wait_for(lambda: (s := fresh.status())['trajectories_refused'] == str(refused + 1)
                      and s, 'the refusal')
    assert reason in status['last_error']
    assert status['last_error_name'] == 'CONTROLLER_REFUSED'
    assert fresh.positions() == pytest.approx(start, abs=1e-3)
    assert fresh.speed() < 0.01


def test_the_gripper_closes_to_half_openings_and_refuses_bad_forces(fresh):
    def opening():
        msg = fresh.get('joints')
        return 2 * msg.position[msg.name.index(GRIPPER_JOINT)]
    msg = JointTrajectory(joint_names=[GRIPPER_JOINT])
    msg.points = [JointTrajectoryPoint(positions=[0.02], effort=[25.0],
                                       time_from_start=s_to_duration(0.0))]
    fresh.gripper.publish(msg)
    wait_for(lambda: abs(opening() - 0.04) < 1e-3, 'the jaws')
    refused = int(fresh.status()['trajectories_refused'])
    msg.points[0].effort = [1e6]
    fresh.gripper.publish(msg)
    status = wait_for(lambda: (s := fresh.status())['trajectories_refused'] == str(refused + 1)
                      and s, 'the refusal')
    assert 'force 1000000.0 N' in status['last_error']


def test_unintended_contacts_are_in_the_ground_truth(fresh):
    """The arm pushes its fingers down on the table; watching a moved object is a parameter."""
    start = fresh.positions()
    model = pin.buildModelFromXML(load_urdf())
    ur = UrKinematics.from_model(model, ARM_JOINTS, 'base', TOOL_FRAME)
    base_from_tool = ur.forward(start)
    base_from_tool[2, 3] = TCP_LENGTH - 0.004
    solutions = ur.inverse(base_from_tool[None])[0]
    solutions = solutions[np.isfinite(solutions[:, 0])]
    turns = (solutions - start + np.pi) % (2 * np.pi) - np.pi
    down = start + turns[np.argmin(np.abs(turns).sum(axis=1))]
    fresh.send([(2.0, down, REST, REST)])
    contacts = wait_for(lambda: fresh.truth()['unintended_contacts'], 'a contact')
    assert {'bodies', 'force_n', 'penetration_m', 'time_s'} <= contacts[0].keys()
    fresh.send([])
    results = fresh.set(watch__moved='no_such_thing')
    assert not results[0].successful and 'no_such_thing' in results[0].reason
    some = fresh.truth()['objects'][0]['id']
    assert fresh.set(watch__moved=some)[0].successful


def test_reset_makes_the_scene_of_the_seed_and_time_goes_on(fresh):
    before = stamp_to_ns(fresh.get('clock').clock)
    assert fresh.set(seed=8)[0].successful
    response = fresh.result(fresh.reset.call_async(Trigger.Request()))
    assert response.success and response.message.startswith('seed 8: ')
    truth = wait_for(lambda: (t := fresh.truth())['seed'] == 8 and t, 'the new scene')
    assert [o['id'] for o in truth['objects']] == [o.id for o in generate_scene(8).objects]
    assert stamp_to_ns(fresh.get('clock').clock) > before
    assert fresh.positions() == pytest.approx(generate_scene(8).robot_q, abs=1e-3)


def test_parameters_out_of_range_are_refused(fresh):
    results = fresh.set(real_time_factor=-1.0)
    assert not results[0].successful and 'real_time_factor' in results[0].reason
    results = fresh.set(depth_noise__dropout=2.0)
    assert not results[0].successful


def test_depth_noise_can_be_switched_on_while_running(fresh):
    def share_missing():
        return float((image_to_depth(fresh.get('depth')) == 0).mean())
    base = share_missing()
    assert fresh.set(depth_noise__dropout=0.5)[0].successful
    wait_for(lambda: share_missing() > base + 0.3, 'dropouts')
    assert fresh.set(depth_noise__dropout=0.0)[0].successful
    wait_for(lambda: share_missing() < base + 0.05, 'clean depth')
