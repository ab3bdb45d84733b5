# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The contact monitor: what it must report, and what it must not."""

import numpy as np
import pytest
from handling import Arm, grasp_of, pick_and_place, pointing_down, standing, table_with

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.sim.contacts import ContactMonitor, supports
from robotracer_ros.sim.world import World


def test_a_clean_pick_and_place_has_no_violation():
    item, bystander = standing('block'), standing('can', x=0.62, y=0.2)
    world = World(table_with(item, bystander))
    monitor = ContactMonitor(world, item.id)
    assert monitor.support == ('table',)
    done = pick_and_place(world, item, grasp_of(item))
    assert done.lift > 0.14
    assert monitor.violations == ()
    assert monitor.beyond() == ()


def test_the_same_motion_is_a_violation_when_the_object_was_to_be_left_alone():
    """The control: without naming the moved object, grasping it is what must not happen."""
    item = standing('block')
    world = World(table_with(item))
    monitor = ContactMonitor(world)
    pick_and_place(world, item, grasp_of(item))
    pairs = {frozenset(v.bodies) for v in monitor.beyond()}
    assert frozenset({'gripper_left_pad_link', 'block'}) in pairs
    assert max(v.force for v in monitor.violations) > 30


def test_pressing_the_fingers_on_the_table_is_reported_with_force_and_place():
    world = World(table_with())
    monitor = ContactMonitor(world)
    arm = Arm(world)
    world.set_gripper(0.04)
    arm.joints_to(arm.solve(pointing_down(np.array([0.5, 0.1, 0.08]), 0.0), arm.q))
    assert monitor.violations == ()
    arm.line_to(pointing_down(np.array([0.5, 0.1, 0.010]), 0.0), speed=0.05)
    worst = monitor.beyond()[0]
    assert set(worst.bodies) <= {'table', 'gripper_left_pad_link', 'gripper_right_pad_link',
                                 'gripper_left_finger_link', 'gripper_right_finger_link'}
    assert 'table' in worst.bodies
    assert worst.force > 20
    assert worst.position[:2] == pytest.approx([0.5, 0.1], abs=0.05)
    assert worst.first_time <= worst.peak_time <= worst.last_time <= world.time
    assert f'{worst.force:.1f} N' in worst.describe()


def test_the_carried_object_hitting_a_bystander_is_reported():
    item = standing('box', x=0.5, y=-0.1, yaw=0.0)
    bystander = standing('carton', x=0.65, y=-0.1, yaw=0.0)
    world = World(table_with(item, bystander))
    monitor = ContactMonitor(world, item.id)
    arm = Arm(world)
    _, _, height, yaw = grasp_of(item)
    place = np.array([0.5, -0.1, height])
    arm.joints_to(arm.solve(pointing_down(place + np.array([0, 0, 0.15]), yaw), arm.q))
    arm.line_to(pointing_down(place, yaw))
    world.set_gripper(0.0)
    arm.wait(0.8)
    arm.line_to(pointing_down(place + np.array([0, 0, 0.03]), yaw))
    assert monitor.violations == ()
    arm.line_to(pointing_down(place + np.array([0.12, 0, 0.03]), yaw))
    assert {'box', 'carton'} in [set(v.bodies) for v in monitor.violations]


def test_support_is_found_from_contacts_and_is_intended():
    base = standing('book', yaw=0.0)
    top = standing('block', x=0.5, y=-0.1, z=float(base.extents[2]))
    world = World(table_with(base, top))
    world.settle(0.3)
    assert supports(world, 'block') == ('book',)
    assert supports(world, 'book') == ('table',)
    monitor = ContactMonitor(world, 'block', goal=('table',))
    assert monitor.support == ('book',)
    world.step(100)
    assert monitor.violations == ()
    # told otherwise, the same contact is a violation
    world.reset()
    world.settle(0.01)  # past the touchdown, before the things fall asleep
    other = ContactMonitor(world, 'block', support=('table',))
    world.step(100)
    assert [set(v.bodies) for v in other.violations] == [{'block', 'book'}]
    assert other.violations[0].force == pytest.approx(9.81 * top.mass, rel=0.3)


def test_robot_hitting_itself_is_reported():
    world = World(table_with())
    monitor = ContactMonitor(world)
    arm = Arm(world)
    # fold the forearm back into the upper arm's side until the gripper meets the arm
    arm.joints_to(np.array([0.0, -1.6, 2.9, 1.9, 1.57, 0.0]), speed=1.5)
    assert monitor.violations
    names = {b for v in monitor.violations for b in v.bodies}
    assert names <= {world.model.body(i).name for i in range(world.model.nbody)}
    assert not names & {'table'}


def test_closing_stops_watching_and_names_are_checked():
    item = standing('block')
    world = World(table_with(item))
    monitor = ContactMonitor(world)
    monitor.close()
    monitor.close()
    assert world.observers == []
    with pytest.raises(InvalidParameterError, match="no object 'teapot'"):
        ContactMonitor(world, 'teapot')
    with pytest.raises(InvalidParameterError, match="no object 'teapot'"):
        ContactMonitor(world, 'block', goal=('teapot',))
    with pytest.raises(InvalidParameterError, match="no object 'teapot'"):
        supports(world, 'teapot')


def test_loading_another_scene_under_a_monitor_is_an_error():
    world = World(table_with(standing('block')))
    ContactMonitor(world)
    world.reset(table_with(standing('can')))
    with pytest.raises(InvalidParameterError, match='another scene'):
        world.settle(0.1)
