# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The whole embedded planner on hand-made scenes: plans that hold, and every way to fail."""

import dataclasses
import re

import numpy as np
import pytest
from table_scenes import (
    BASE_FROM_CAMERA,
    CAMERA,
    VOXEL,
    axis_box,
    cast,
    pick_and_place,
    request_of,
    scene_of,
    top_grasps,
    voxels,
)

from robotracer_ros.errors import (
    CancelledError,
    InvalidParameterError,
    LimitsViolatedError,
    NoGraspError,
    NoJointStateError,
    ObjectNotFoundError,
    PathInCollisionError,
    PlanningTimeoutError,
    StartInCollisionError,
    UnreachableError,
)
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import TraceKind
from robotracer_ros.geometry.transforms import apply
from robotracer_ros.planning.base import Grip, Motion, Phase, RobotState
from robotracer_ros.planning.checker import Rules
from robotracer_ros.planning.collision_scene import CollisionScene
from robotracer_ros.planning.ompl import OmplPlanner
from robotracer_ros.planning.verify import verify

THING = axis_box(0.45, -0.2, (0.05, 0.06, 0.10), yaw=0.3)
GOAL = (0.5, 0.2, 0.0)
EE = TraceKind.END_EFFECTOR_CENTRIC


def plan(
    planner,
    path=None,
    thing=THING,
    obstacles=(),
    grasps=None,
    q=None,
    kind=TraceKind.OBJECT_CENTRIC,
    **options,
):
    path = pick_and_place(thing, GOAL) if path is None else np.asarray(path, float)
    request = request_of(
        planner, path, [*([thing] if thing else []), *obstacles], q, kind, **options
    )
    scene = scene_of(thing if kind != EE else None, obstacles)
    return planner.plan_in(
        request, scene, top_grasps(thing) if grasps is None and thing else grasps or []
    )


def phases(p):
    return [s.phase for s in p.steps if isinstance(s, Motion)]


def test_pick_and_place_in_order_within_all_limits(planner):
    p = plan(planner)
    assert phases(p) == [
        Phase.REACH,
        Phase.GRASP,
        Phase.LIFT,
        Phase.CARRY,
        Phase.PLACE,
        Phase.RETREAT,
    ]
    grips = [s for s in p.steps if isinstance(s, Grip)]
    assert [g.grasping for g in grips] == [False, True, False]
    assert grips[1].opening < 0.05 < grips[0].opening and grips[2].opening > 0.05
    assert (
        verify(p.motions, planner.config.home, planner.arm.limits, planner.arm, 0.25)
        == p.max_tcp_speed
        <= 0.2505
    )
    assert p.min_clearance_m > 0.005 and p.trace_deviation_m < 0.02 and p.failed_waypoint == -1
    assert set(p.stage_times_s) >= {'ik', 'collision', 'timing', 'verify', 'clearance', 'correct'}


def test_object_ends_on_the_surface_where_the_trace_says(planner):
    p = plan(planner)
    end = p.object_path[-1]
    np.testing.assert_allclose(end[:2], GOAL[:2], atol=0.01)
    assert 0.05 <= end[2] <= 0.05 + 0.008
    np.testing.assert_allclose(p.object_path[0], THING.pose[:3, 3], atol=1e-3)


def test_place_on_a_book(planner):
    book = axis_box(0.5, 0.2, (0.18, 0.18, 0.03))
    p = plan(planner, pick_and_place(THING, (0.5, 0.2, 0.03)), obstacles=[book])
    assert 0.08 <= p.object_path[-1][2] <= 0.09


def test_carried_object_stays_upright_on_a_detour(planner):
    post = axis_box(0.47, 0.0, (0.06, 0.10, 0.2))
    p = plan(planner, obstacles=[post])
    carry = next(m for m in p.motions if m.phase == Phase.CARRY)
    np.testing.assert_allclose(carry.tool[:, 2, 2], -1, atol=1e-3)
    assert p.min_clearance_m >= 0.004 and 'detour' in p.stage_times_s
    direct = plan(planner)
    assert p.trace_deviation_m > direct.trace_deviation_m


def test_end_in_the_air_holds_the_object(planner):
    path = pick_and_place(THING, GOAL)
    path[-1, 2] = 0.15
    p = plan(planner, path)
    assert phases(p)[-1] == Phase.CARRY and p.motions[-1].carrying
    assert not any(s.phase == Phase.RELEASE for s in p.steps)
    np.testing.assert_allclose(p.object_path[-1], path[-1], atol=0.01)


def test_slower_request_is_obeyed_and_a_faster_one_capped(planner):
    slow = plan(planner, max_tcp_speed=0.1)
    assert slow.max_tcp_speed <= 0.1002
    assert plan(planner, max_tcp_speed=9.0).max_tcp_speed <= 0.2505
    with pytest.raises(InvalidParameterError, match='max_tcp_speed'):
        plan(planner, max_tcp_speed=-1.0)


def test_free_tool_follows_its_trace_without_gripping(planner):
    path = [[0.4, -0.2, 0.25], [0.55, 0.0, 0.3], [0.45, 0.25, 0.25]]
    p = plan(planner, path, thing=None, kind=EE, gripper_opening=0.0)
    assert phases(p) == [Phase.REACH, Phase.CARRY] and not any(isinstance(s, Grip) for s in p.steps)
    np.testing.assert_allclose(p.motions[-1].tool[-1, :3, 3], path[-1], atol=2e-3)
    assert not p.motions[-1].carrying and p.trace_deviation_m < 0.025


def test_free_tool_goes_round_an_obstacle(planner):
    path = [[0.45, -0.25, 0.2], [0.45, 0.25, 0.2]]
    post = axis_box(0.45, 0.0, (0.06, 0.06, 0.25))
    p = plan(planner, path, thing=None, obstacles=[post], kind=EE)
    assert p.trace_deviation_m > 0.05 and p.min_clearance_m >= 0.004


def test_start_in_collision_names_the_pair(planner):
    tcp = planner.arm.tcp(planner.config.home)[:3, 3]
    with pytest.raises(StartInCollisionError) as e:
        plan(planner, obstacles=[axis_box(tcp[0], tcp[1], (0.06, 0.06, 0.45))])
    assert 'obstacles' in e.value.details['pair'] and 'obstacles' in str(e.value)


def test_start_outside_the_limits_is_refused(planner):
    q = planner.config.home.copy()
    q[2] = 3.13
    with pytest.raises(StartInCollisionError, match='elbow_joint'):
        plan(planner, q=q)


def test_start_near_something_may_move_away(planner):
    """A robot closer to a thing than the margin is not stuck: with the post 6 mm beside the finger
    it gets going.
    """
    tcp = planner.arm.tcp(planner.config.home)[:3, 3]
    # At home the jaws open along x; their outer faces are 62 mm from the centre.
    post = axis_box(tcp[0] + 0.062 + 0.019, tcp[1], (0.03, 0.03, tcp[2] + 0.03))
    request = request_of(
        planner, pick_and_place(THING, (0.5, -0.36, 0.0)), [THING], gripper_opening=0.1
    )
    scene = scene_of(THING, [post])
    assert planner.robot is not None
    checker = CollisionScene(planner.robot, scene.obstacles, VOXEL, 0.0).checker(
        Rules(0.01, 0.001, 0.003), 0.1
    )
    contact = checker.contact(planner.config.home)
    assert contact is not None and 0 < contact.distance < 0.01
    wide = [dataclasses.replace(g, opening=0.1) for g in top_grasps(THING)]
    p = planner.plan_in(request, scene, wide)
    assert 0 < p.min_clearance_m < 0.01


def test_joint_state_without_a_joint_and_with_nan(planner):
    request = request_of(planner, pick_and_place(THING, GOAL), [THING])
    scene = scene_of(THING)
    some = RobotState(planner.config.limits.names[:5], planner.config.home[:5])
    with pytest.raises(NoJointStateError, match='wrist_3_joint'):
        planner.plan_in(dataclasses.replace(request, state=some), scene, top_grasps(THING))
    bad = RobotState(planner.config.limits.names, np.full(6, np.nan))
    with pytest.raises(NoJointStateError, match='finite'):
        planner.plan_in(dataclasses.replace(request, state=bad), scene, top_grasps(THING))


def test_no_object_and_no_grasp(planner):
    request = request_of(planner, pick_and_place(THING, GOAL), [THING])
    with pytest.raises(ObjectNotFoundError):
        planner.plan_in(request, scene_of(None), [])
    with pytest.raises(NoGraspError, match='no grasp candidate'):
        planner.plan_in(request, scene_of(THING), [])


def test_object_in_a_narrow_shaft_cannot_be_grasped(planner):
    walls = [
        axis_box(0.45 + dx, -0.2 + dy, (0.02 if dx else 0.16, 0.02 if dy else 0.16, 0.2))
        for dx, dy in ((0.055, 0), (-0.055, 0), (0, 0.055), (0, -0.055))
    ]
    thing = axis_box(0.45, -0.2, (0.06, 0.06, 0.1))
    path = pick_and_place(thing, GOAL, height=0.3)
    with pytest.raises(NoGraspError, match='obstacles') as e:
        planner.plan_in(
            request_of(planner, path, [thing]), scene_of(thing, walls), top_grasps(thing)
        )
    assert e.value.waypoint == 0 and e.value.details['candidates'] == 4


def test_object_out_of_reach(planner):
    far = axis_box(0.84, 0.35, (0.05, 0.06, 0.10))
    with pytest.raises(NoGraspError, match='out of reach'):
        plan(planner, pick_and_place(far, GOAL), thing=far)


def test_goal_out_of_reach_names_the_waypoint(planner):
    path = pick_and_place(THING, (0.84, 0.3, 0.0))
    with pytest.raises(UnreachableError) as e:
        plan(planner, path)
    assert e.value.waypoint >= 2 and 'm' in str(e.value)


def under_a_roof(planner):
    """A roof over the goal that the depth at the trace point itself does not show."""
    roof = axis_box(0.5, 0.2, (0.3, 0.3, 0.02), z=0.19)
    path = pick_and_place(THING, GOAL)
    path[2] = [0.5, 0.0, 0.15]
    return request_of(planner, path, [THING]), scene_of(THING, [roof])


def test_blocked_place_names_waypoint_pair_and_distance(planner):
    request, scene = under_a_roof(planner)
    with pytest.raises(PathInCollisionError) as e:
        planner.plan_in(request, scene, top_grasps(THING))
    assert (
        e.value.waypoint == 3
        and 'obstacles' in e.value.details['pair']
        and e.value.details['distance'] < 0.011
    )


def test_place_without_room_moves_beside_by_a_stated_bound(planner):
    """A wall reaches 2 cm into where the object is to stand: it stands 2 cm further."""
    wall = axis_box(GOAL[0], GOAL[1] + 0.025 + 0.06, (0.3, 0.12, 0.08))
    path = pick_and_place(THING, GOAL)
    p = plan(planner, path, obstacles=[wall])
    moved = [c for c in p.corrections if 'where there is room' in c.reason]
    assert len(moved) == 1 and moved[0].waypoint == len(path) - 1
    shift = moved[0].offset
    assert shift[2] == 0.0 and shift[1] < -0.005 and np.linalg.norm(shift) <= 0.04 + 1e-9
    end = next(s for s in p.steps if isinstance(s, Motion) and s.phase == Phase.PLACE)
    assert end.tool[-1, 1, 3] == pytest.approx(GOAL[1] + shift[1], abs=0.015)

    strict = OmplPlanner(max_place_shift_m=0.0)
    strict.load()
    with pytest.raises(PathInCollisionError, match='PLACE') as e:
        plan(strict, path, obstacles=[wall])
    assert e.value.waypoint == len(path) - 1


def test_at_the_edge_of_an_empty_table_it_stands_where_it_stays(planner):
    """The trace ends 5 mm within the table's edge, with nothing else on it: the place moves inward."""
    edge = GOAL[1] + 0.005
    request = request_of(planner, pick_and_place(THING, GOAL), [THING])
    seen = apply(BASE_FROM_CAMERA, CAMERA.depth_to_points(request.depth)).reshape(-1, 3)
    scene = dataclasses.replace(scene_of(THING), surface=seen[seen[:, 1] < edge])
    p = planner.plan_in(request, scene, top_grasps(THING))
    assert p.object_path[-1][1] <= edge - 0.25 * 0.05 + 1e-3


def test_timeout_is_reported_with_the_last_obstacle():
    hurried = OmplPlanner(timeout_s=0.1, detour_s=0.3)
    hurried.load()
    request, scene = under_a_roof(hurried)
    with pytest.raises(PlanningTimeoutError, match=r'0\.1 s') as e:
        hurried.plan_in(request, scene, top_grasps(THING))
    assert 'last obstacle' in str(e.value)


def test_a_cancelled_plan_ends_in_whatever_stage_it_is():
    """An hour of searching is allowed; what asks is counted, so that no clock is involved."""
    patient = OmplPlanner(timeout_s=120.0, detour_s=30.0)
    patient.load()
    request, scene = under_a_roof(patient)
    for after in (1, 5, 40, 400):
        asked = []

        def cancelled(asked=asked, after=after):
            asked.append(0)
            return len(asked) >= after

        with pytest.raises(CancelledError, match='while planning'):
            patient.plan_in(
                dataclasses.replace(request, cancelled=cancelled), scene, top_grasps(THING)
            )
        assert len(asked) < after + 60


def test_partial_plan_only_when_allowed(planner):
    path = pick_and_place(THING, (0.84, 0.3, 0.0))
    p = plan(planner, path, allow_partial=True)
    assert (
        phases(p) == [Phase.REACH, Phase.GRASP, Phase.LIFT, Phase.CARRY] and p.failed_waypoint >= 2
    )
    ee = [[0.4, -0.2, 0.25], [0.5, 0.0, 0.3], [0.84, 0.2, 0.35]]
    with pytest.raises(UnreachableError):
        plan(planner, ee, thing=None, kind=EE)
    cut = plan(planner, ee, thing=None, kind=EE, allow_partial=True)
    assert cut.failed_waypoint == 2 and phases(cut) == [Phase.REACH, Phase.CARRY]
    for one in (p, cut):
        assert re.match(r'UNREACHABLE \(305\): \w+: the tool cannot .* m\b', one.partial_reason), one.partial_reason
    assert plan(planner).partial_reason == ''


def test_limits_violation_surfaces(planner, monkeypatch):
    """A fault in timing is caught by the independent check, not sent to the robot."""
    import robotracer_ros.planning.assemble as module

    real = module.time_path

    def hasty(*args, **kwargs):
        t = real(*args, **kwargs)
        return dataclasses.replace(t, times=t.times * 0.5, velocities=t.velocities * 2)

    monkeypatch.setattr(module, 'time_path', hasty)
    with pytest.raises(LimitsViolatedError):
        plan(planner)


def test_planner_must_be_loaded():
    unloaded = OmplPlanner()
    plan_request = request_of(unloaded, pick_and_place(THING, GOAL), [THING])
    with pytest.raises(InvalidParameterError, match='load'):
        unloaded.plan_in(plan_request, scene_of(THING), top_grasps(THING))
    unloaded.close()
    unloaded.close()


def step_of(p, phase):
    return next(i for i, s in enumerate(p.steps) if isinstance(s, Motion) and s.phase == phase)


#: as sharp as the simulated camera
SHARP = CameraModel(320, 240, 280.0, 280.0, 159.5, 119.5)


def test_clearance_falls_when_something_enters_the_remaining_path(planner):
    p = plan(planner)
    i = step_of(p, Phase.CARRY)

    def clear(boxes, step, t):
        return planner.clearance(p, step, t, cast(boxes, SHARP), SHARP, BASE_FROM_CAMERA)

    assert clear([THING], 0, 0.0) > 0.02
    hand = axis_box(0.47, 0.0, (0.08, 0.08, 0.14))
    assert clear([THING, hand], 0, 0.0) == 0.0
    assert clear([hand], i, 0.2) == 0.0
    # Behind the arm it does not matter any more.
    assert clear([hand], i, p.steps[i].times[-1] - 0.05) > 0.02
    assert clear([hand], step_of(p, Phase.RETREAT), 0.0) > 0.02


def seen_clearance(planner, p, step, boxes):
    """Return the clearance of the plan from the start of that step on, with these boxes in view."""
    return planner.clearance(p, step, 0.0, cast(boxes, SHARP), SHARP, BASE_FROM_CAMERA)


def in_the_way(planner, p, phase):
    """Return a small cube that only the end of that motion meets: not the robot as it is now."""
    i = step_of(p, phase)
    motion, count = p.steps[i], [m.phase for m in p.motions].index(phase)
    opening = planner._plans[id(p)].openings[count]
    tool = motion.tool[-1, :3, 3]
    for share in np.arange(1.0, 0.2, -0.1):  # above the tool first, then along the arm
        for z in np.arange(0.16, 0.7, 0.02):
            cube = axis_box(share * tool[0], share * tool[1], (0.04, 0.04, 0.04), z=z)
            space = CollisionScene(planner.robot, voxels([cube]), VOXEL, float('nan'))
            checker = space.checker(Rules(0.0, 0.0, 0.0), opening)
            now, then = (checker.clearance(motion.positions[[k]]) for k in (0, -1))
            if then == 0.0 and now > 0.046:
                return i, cube
    pytest.fail(f'no place for an obstacle that only {phase.name} meets')


@pytest.mark.parametrize('phase', [Phase.LIFT, Phase.RETREAT])
def test_what_comes_into_the_way_of_the_hand_is_seen(planner, phase):
    p = plan(planner)
    i, cube = in_the_way(planner, p, phase)
    standing = [axis_box(GOAL[0], GOAL[1], THING.extents)] if phase == Phase.RETREAT else [THING]
    assert seen_clearance(planner, p, i, [*standing, cube]) == 0.0
    assert seen_clearance(planner, p, i, standing) > 0.02


def test_what_is_laid_where_the_object_is_to_stand_is_seen(planner):
    p = plan(planner)
    tile = axis_box(GOAL[0], GOAL[1], (0.06, 0.06, 0.02))
    for phase in (Phase.CARRY, Phase.PLACE):
        i = step_of(p, phase)
        for boxes, free in (([], True), ([tile], False)):
            clearance = seen_clearance(planner, p, i, boxes)
            assert (clearance > 0.02) == free and (clearance == 0.0) != free


def test_what_was_planned_with_may_stay_close(planner):
    """Neighbours 25 mm beside the object and its place: the hand goes between, and stops nothing."""
    thing = axis_box(0.45, -0.2, (0.05, 0.06, 0.10))
    beside = axis_box(0.45 + 0.025 + 0.025 + 0.02, -0.2, (0.04, 0.06, 0.06))
    there = axis_box(GOAL[0] + 0.025 + 0.025 + 0.02, GOAL[1], (0.04, 0.06, 0.06))
    p = plan(planner, pick_and_place(thing, GOAL), thing, obstacles=[beside, there])
    for i, step in enumerate(p.steps):
        if not isinstance(step, Motion):
            continue
        gone = step.phase in (Phase.CARRY, Phase.PLACE)
        at = axis_box(GOAL[0], GOAL[1], thing.extents) if step.phase == Phase.RETREAT else thing
        boxes = [beside, there, *([] if gone or step.carrying else [at])]
        assert seen_clearance(planner, p, i, boxes) > 0.002, step.phase


def test_clearance_knows_only_its_own_plans(planner):
    p = plan(planner)
    stranger = dataclasses.replace(p)
    with pytest.raises(InvalidParameterError, match='none of the last four'):
        planner.clearance(stranger, 0, 0.0, cast([THING]), CAMERA, BASE_FROM_CAMERA)
