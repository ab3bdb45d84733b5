# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from table_scenes import VOXEL, axis_box, voxels

from robotracer_ros.geometry.transforms import make_transform
from robotracer_ros.planning.checker import Rules
from robotracer_ros.planning.collision_scene import CollisionScene
from robotracer_ros.planning.solids import Body, box

RULES = Rules(0.01, 0.001, 0.003)
EMPTY = np.zeros((0, 3))


@pytest.fixture(scope='module')
def robot(planner):
    return planner.robot


def space(robot, obstacles=(), support=0.0):
    return CollisionScene(robot, voxels(obstacles), VOXEL, support)


def low(planner, gap):
    """Return a configuration whose finger tips are ``gap`` above the table box, everything else far
    above it.
    """
    pose = planner.arm.tcp(planner.config.home)
    pose[:3, 3] = [0.45, 0.1, gap - CollisionScene.SUPPORT_SLACK + 0.0125]
    pose[:3, :3] = np.array([[0, -1, 0], [-1, 0, 0], [0, 0, -1]])
    return planner.ik.solutions(pose, planner.config.home)[0]


def test_self_pairs_leave_out_what_the_srdf_disables_and_keep_the_rest(robot):
    pairs = {frozenset((robot.links[a], robot.links[b])) for a, b in robot.self_pairs}
    assert frozenset(('upper_arm_link', 'forearm_link')) not in pairs
    assert frozenset(('base_link', 'gripper_base_link')) in pairs
    assert frozenset(('upper_arm_link', 'gripper_left_finger_link')) in pairs


def test_home_is_free_and_a_folded_arm_is_not(robot, planner):
    checker = space(robot).checker(RULES, 0.1)
    assert not checker.hit(planner.config.home) and checker.contact(planner.config.home) is None
    folded = np.array([0.0, -1.57, 3.0, -3.0, -1.57, 0.0])
    assert checker.hit(folded)
    assert checker.contact(folded).distance < 0.003


def test_margin_is_kept_from_support_and_obstacle(robot, planner):
    """The same configuration is free or not, by which margin is asked for."""
    table = space(robot).checker(RULES, 0.1)
    for gap, expected in ((0.008, True), (0.012, False)):
        q = low(planner, gap)
        assert table.hit(q) is expected
        contact = table.contact(q)
        assert (contact is not None) is expected
        if contact:
            assert contact.second == 'support' and (
                'pad' in contact.first or 'finger' in contact.first
            )
            assert contact.distance == pytest.approx(gap, abs=1e-3)


def test_octree_agrees_with_the_boxes_of_its_voxels(robot, planner):
    """Voxels checked as one octree and as single boxes give the same answer at 100 configurations."""
    rules = Rules(0.01, 0.01, 0.003)
    rng = np.random.default_rng(0)
    centres = (
        np.floor(rng.uniform([0.2, -0.3, 0.05], [0.6, 0.3, 0.5], (30, 3)) / VOXEL) * VOXEL
        + VOXEL / 2
    )
    tree = CollisionScene(robot, centres, VOXEL, float('nan')).checker(rules, 0.1)
    single = [
        CollisionScene(robot, EMPTY, VOXEL, float('nan')).checker(
            rules, 0.1, object_box=Body('object', box((VOXEL,) * 3), make_transform(None, c))
        )
        for c in centres
    ]
    q = planner.config.home + rng.normal(0, 0.3, (100, 6))
    expected = np.array([any(s.hit(x) for s in single) for x in q])
    assert 5 < expected.sum() < 95
    np.testing.assert_array_equal(tree.hits(q), expected)


def test_contact_names_link_obstacle_and_depth(robot, planner):
    tcp = planner.arm.tcp(planner.config.home)[:3, 3]
    post = axis_box(tcp[0], tcp[1], (0.05, 0.05, 0.45))
    checker = space(robot, [post]).checker(RULES, 0.1)
    contact = checker.contact(planner.config.home)
    assert contact.second == 'obstacles' and contact.distance < 0 and 'deep' in str(contact)
    turned = planner.config.home.copy()
    turned[0] += 1.5
    assert checker.first_hit(np.stack([turned, planner.config.home])) == 1


def test_carried_object_collides_where_the_hand_does_not(robot, planner):
    tcp = planner.arm.tcp(planner.config.home)[:3, 3]
    wall = axis_box(tcp[0] + 0.12, tcp[1], (0.02, 0.3, 0.4))
    rules = RULES
    carried = Body('carried object', box((0.3, 0.04, 0.04)), np.eye(4), True)
    turned = Body('carried object', box((0.04, 0.3, 0.04)), np.eye(4), True)
    free, hits = (
        space(robot, [wall]).checker(rules, 0.04, carried=c).hit(planner.config.home)
        for c in (carried, turned)
    )
    # The tool's y axis lies along the planning frame's -x at home.
    assert not free and hits


def test_while_touching_only_the_jaws_go_closer_than_the_margin(robot, planner):
    """3 mm beside a finger is no hit while gripping, 8 mm beside the housing is; in the air both are."""
    q = low(planner, 0.1)
    finger, housing = [0.515, 0.105, 0.105], [0.455, 0.145, 0.225]
    for voxel, touching, expected in (
        (finger, True, False),
        (finger, False, True),
        (housing, True, True),
        (housing, False, True),
    ):
        s = CollisionScene(robot, np.array([voxel]), VOXEL, float('nan'))
        checker = s.checker(RULES, 0.09, touching=touching)
        assert checker.hit(q) is expected, (voxel, touching)
        if expected:
            contact = checker.contact(q)
            assert contact is not None and RULES.contact < contact.distance < RULES.margin


def test_touching_allows_hand_and_object_but_not_arm_and_object(robot, planner):
    tcp = planner.arm.tcp(planner.config.home)
    held = Body('object', box((0.05, 0.05, 0.05)), tcp)
    s = space(robot)
    assert s.checker(RULES, 0.04, object_box=held).hit(planner.config.home)
    assert not s.checker(RULES, 0.04, object_box=held, touching=True).hit(planner.config.home)
    on_wrist = Body('object', box((0.05, 0.05, 0.05)), tcp @ make_transform(None, (0, 0, -0.25)))
    assert s.checker(RULES, 0.04, object_box=on_wrist, touching=True).hit(planner.config.home)


def test_skin_of_the_surface_under_the_object_is_dropped_only_there(robot):
    book = axis_box(0.5, 0.0, (0.3, 0.3, 0.03))
    s = space(robot, [book])
    extents = np.array([0.1, 0.1, 0.1])
    bare = s.without((make_transform(None, (0.5, 0, 0.05)), extents, 0.03))
    dropped = s.tree.size() - bare.tree.size()
    assert 0 < dropped < s.tree.size() / 2
    assert s.without((make_transform(None, (2.0, 0, 0)), extents, 0.03)) is s


def test_clearance_is_the_distance_and_ignores_the_robot_itself(robot, planner):
    table = space(robot).checker(RULES, 0.1)
    for gap in (0.005, 0.013, 0.03, 0.055):
        got = table.clearance(np.stack([low(planner, gap), planner.config.home]))
        assert got <= gap + 1e-6 and got == pytest.approx(gap, abs=0.005)
    assert space(robot, support=-2.0).checker(RULES, 0.1).clearance(
        planner.config.home[None]
    ) == pytest.approx(0.10)
    assert table.clearance(low(planner, -0.005)[None]) == 0.0


def test_relaxed_checker_allows_the_present_distance_but_no_less(robot, planner):
    checker = space(robot).checker(RULES, 0.1)
    near, nearer = low(planner, 0.006), low(planner, 0.003)
    assert checker.hit(near) and not checker.relaxed_at(near).hit(near)
    assert checker.relaxed_at(near).hit(nearer)
    assert checker.relaxed_at(planner.config.home) is checker
