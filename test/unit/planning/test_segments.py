# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_scenes import axis_box, top_grasps

from robotracer_ros.planning.assemble import deviation
from robotracer_ros.planning.base import Phase
from robotracer_ros.planning.config import PlannerParameters
from robotracer_ros.planning.correct import CorrectedTrace
from robotracer_ros.planning.segments import (
    TURN_SCALE,
    carry_centres,
    carry_stroke,
    goal_centre,
    grasp_strokes,
    moved_poses,
    place_strokes,
    polyline,
    with_turn,
)

P = PlannerParameters()
THING = axis_box(0.45, -0.2, (0.05, 0.06, 0.10), yaw=0.4)
GRASP = top_grasps(THING)[0].pose


def trace_of(points, air=False):
    points = np.asarray(points, float)
    return CorrectedTrace(points, (), air, float('nan') if air else float(points[-1, 2]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(-0.5, 0.5)] * 3), min_size=2, max_size=8), st.floats(0.0, 0.08)
)
def test_polyline_keeps_ends_step_and_stays_near(points, radius):
    p = np.array(points)
    if np.linalg.norm(p[0] - p[-1]) < 1e-3:
        p[-1] += 0.01
    out, labels = polyline(p, np.arange(len(p)), radius, 0.01)
    np.testing.assert_allclose(out[[0, -1]], p[[0, -1]], atol=1e-9)
    assert np.linalg.norm(np.diff(out, axis=0), axis=1).max() <= 0.0102
    assert deviation(out, p) <= radius / 2 + 1e-3
    assert (np.diff(labels) >= 0).all() and labels[-1] == len(p) - 1


def test_moved_poses_move_the_centre_and_turn_about_it():
    centre = THING.pose[:3, 3]
    goal, turn = np.array([0.6, 0.1, 0.3]), 0.7
    pose = moved_poses(goal[None], np.array([turn]), centre, GRASP)[0]
    box_in_tool = np.linalg.inv(GRASP) @ THING.pose
    moved = pose @ box_in_tool
    np.testing.assert_allclose(moved[:3, 3], goal, atol=1e-12)
    yaw = np.arctan2(moved[1, 0], moved[0, 0]) - np.arctan2(THING.pose[1, 0], THING.pose[0, 0])
    assert yaw == pytest.approx(turn)
    np.testing.assert_allclose(moved[:3, 2], [0, 0, 1], atol=1e-12)


def test_phases_in_order_and_places_where_they_belong():
    trace = trace_of([[0.45, -0.2, 0.1], [0.45, -0.2, 0.2], [0.5, 0.1, 0.22], [0.5, 0.2, 0.0]])
    approach, lift = grasp_strokes(GRASP, THING, 0.08, 0.05, P)
    corners, marks = carry_centres(trace, THING, P)
    carry = carry_stroke(with_turn(corners, 0.0), marks, GRASP, THING.pose[:3, 3], 0.05, P)
    place, retreat = place_strokes(carry.poses[-1], THING, 3, 0.05, 0.07, P)
    assert [s.phase for s in (approach, lift, carry, place, retreat)] == [
        Phase.GRASP,
        Phase.LIFT,
        Phase.CARRY,
        Phase.PLACE,
        Phase.RETREAT,
    ]
    for a, b in ((approach, lift), (lift, carry), (carry, place), (place, retreat)):
        np.testing.assert_allclose(a.poses[-1], b.poses[0], atol=1e-9)
    np.testing.assert_allclose(approach.poses[-1], GRASP, atol=1e-12)
    down = place.poses[-1] @ np.linalg.inv(GRASP) @ THING.pose
    np.testing.assert_allclose(down[:3, 3], [0.5, 0.2, 0.05 + P.drop_m], atol=1e-9)
    assert retreat.poses[-1][2, 3] - retreat.poses[0][2, 3] == pytest.approx(P.retreat_m)
    assert place.carrying and not retreat.carrying and not approach.carrying
    assert carry.waypoints[0] == 1 and carry.waypoints[-1] == 3 and (retreat.waypoints == -1).all()


def test_points_on_the_verticals_are_passed_by_them():
    trace = trace_of([[0.45, -0.2, 0.1], [0.45, -0.2, 0.07], [0.5, 0.2, 0.09], [0.5, 0.2, 0.0]])
    corners, marks = carry_centres(trace, THING, P)
    assert len(corners) == 2 and marks.tolist() == [1, 3]
    np.testing.assert_allclose(
        corners[-1], goal_centre(trace, THING, P) + np.array([0, 0, P.preplace_m])
    )


def test_trace_of_two_points_and_trace_that_ends_in_the_air():
    two, _ = carry_centres(trace_of([[0.45, -0.2, 0.1], [0.5, 0.2, 0.0]]), THING, P)
    assert len(two) == 2
    air, marks = carry_centres(trace_of([[0.45, -0.2, 0.1], [0.5, 0.2, 0.3]], air=True), THING, P)
    np.testing.assert_allclose(air[-1], [0.5, 0.2, 0.3])
    assert marks[-1] == 1
    above, _ = carry_centres(trace_of([[0.45, -0.2, 0.1], [0.45, -0.2, 0.12]], air=True), THING, P)
    assert len(above) == 2


def test_turn_grows_with_the_way():
    nodes = with_turn(np.array([[0, 0, 0], [0.1, 0, 0], [0.4, 0, 0]], float), 1.0)
    np.testing.assert_allclose(nodes[:, 3] / TURN_SCALE, [0, 0.25, 1.0])
