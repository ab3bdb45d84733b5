# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
from table_scenes import axis_box, cast, pick_and_place, request_of, scene_of

from robotracer_ros.errors import CorrectionTooLargeError, InvalidDepthError
from robotracer_ros.geometry.trace import Trace, TraceKind
from robotracer_ros.geometry.transforms import apply
from robotracer_ros.planning.base import CorrectionKind
from robotracer_ros.planning.correct import Envelope, correct, surface_below
from robotracer_ros.planning.ompl import HAND_ENVELOPE

THING = axis_box(0.45, -0.2, (0.05, 0.06, 0.10))
AROUND = Envelope(((np.zeros(3), THING.extents / 2),))


def run(
    planner,
    points,
    boxes=(),
    moved=THING,
    kind=TraceKind.OBJECT_CENTRIC,
    depth=None,
    change=None,
    hidden=None,
    envelope=AROUND,
):
    request = request_of(planner, np.asarray(points), [moved, *boxes], kind=kind)
    if depth is not None:
        request = dataclasses.replace(request, depth=depth)
    if change is not None:
        uvd = request.trace.points.copy()
        change(uvd)
        request = dataclasses.replace(request, trace=Trace(uvd, request.trace.camera, kind))
    c = planner.config
    scene = scene_of(moved, boxes)
    return correct(
        request,
        scene,
        c.planner,
        c.workspace,
        c.max_clamp_m,
        envelope,
        *([hidden] if hidden is not None else []),
    )


PATH = pick_and_place(THING, (0.5, 0.2, 0.0))


def kinds(result):
    return [(c.kind, c.waypoint) for c in result.corrections]


def test_contact_points_take_sensor_depth_and_air_points_keep_theirs(planner):
    def off(uvd):
        uvd[[0, 3], 2] += 0.06
        uvd[[1, 2], 2] += 0.03

    plain, moved = run(planner, PATH), run(planner, PATH, change=off)
    np.testing.assert_allclose(moved.points[[0, 3]], PATH[[0, 3]], atol=0.012)
    np.testing.assert_allclose(moved.points[3, 2], 0.0, atol=1e-6)
    assert np.linalg.norm(moved.points[1] - plain.points[1]) > 0.029
    assert (CorrectionKind.SENSOR_DEPTH, 0) in kinds(moved) and (
        CorrectionKind.SENSOR_DEPTH,
        3,
    ) in kinds(moved)
    assert not any(w in (1, 2) for _, w in kinds(moved))


def test_every_correction_tells_its_offset(planner):
    def off(uvd):
        uvd[3, 2] += 0.05

    result = run(planner, PATH, change=off)
    request = request_of(planner, PATH, [THING])
    total = sum((c.offset for c in result.corrections if c.waypoint == 3), np.zeros(3))
    uvd = request.trace.points.copy()
    off(uvd)
    raw = apply(request.base_from_camera, Trace(uvd, request.trace.camera).xyz)
    np.testing.assert_allclose(raw[3] + total, result.points[3], atol=1e-9)
    assert all(c.reason for c in result.corrections)


def test_depth_too_far_off_at_a_contact_is_refused(planner):
    def off(uvd):
        uvd[0, 2] -= 0.25

    with pytest.raises(CorrectionTooLargeError) as e:
        run(planner, PATH, change=off)
    assert e.value.waypoint == 0 and '0.200' in str(e.value) and e.value.details['distance'] > 0.2


def test_no_depth_at_a_contact_is_refused(planner):
    with pytest.raises(InvalidDepthError, match='trace point 3'):
        run(planner, PATH, depth=_blank(planner, 3))


def _blank(planner, index):
    request = request_of(planner, PATH, [THING])
    u, v = request.depth_camera.uv_to_pixels(request.trace.points[index, :2])
    out = cast([THING])
    out[int(v) - 5 : int(v) + 6, int(u) - 5 : int(u) + 6] = 0
    return out


def test_points_outside_the_workspace_are_clamped_or_refused(planner):
    near, far = PATH.copy(), PATH.copy()
    near[1], far[1] = (0.9, 0.0, 0.3), (0.97, 0.0, 0.3)
    result = run(planner, near)
    assert result.points[1, 0] == pytest.approx(0.85) and (CorrectionKind.WORKSPACE, 1) in kinds(
        result
    )
    with pytest.raises(CorrectionTooLargeError, match='workspace') as e:
        run(planner, far)
    assert e.value.waypoint == 1


def test_point_in_an_obstacle_is_pushed_out_or_refused(planner):
    path = pick_and_place(THING, (0.5, 0.2, 0.0))
    low = axis_box(*path[2, :2], (0.06, 0.06, 0.12), z=0.0)
    path[3, 1] = 0.3
    result = run(planner, path, [low])
    shift = result.points[2] - path[2]
    assert (CorrectionKind.OBSTACLE, 2) in kinds(result) and 0 < np.linalg.norm(shift) <= 0.101
    wall = axis_box(*path[2, :2], (0.4, 0.3, 0.5))
    path[3] = [0.35, -0.3, 0]
    with pytest.raises(CorrectionTooLargeError, match='obstacle') as e:
        run(planner, path, [wall])
    assert e.value.waypoint == 2


def test_low_point_is_raised_above_the_support(planner):
    path = PATH.copy()
    path[1, 2] = 0.03
    result = run(planner, path)
    assert result.points[1, 2] == pytest.approx(0.05 + 0.015)
    assert (CorrectionKind.OBSTACLE, 1) in kinds(result)


def test_end_in_the_air_is_held_and_end_on_the_surface_is_placed(planner):
    held = PATH.copy()
    held[3, 2] = 0.12
    assert run(planner, held).ends_in_air and np.isnan(run(planner, held).surface_z)
    placed = run(planner, PATH)
    assert not placed.ends_in_air and placed.surface_z == pytest.approx(0.0, abs=1e-6)


def test_end_above_a_book_is_measured_from_the_book(planner):
    book = axis_box(0.5, 0.2, (0.2, 0.2, 0.04))
    path = PATH.copy()
    path[3, 2] = 0.04
    result = run(planner, path, [book])
    assert not result.ends_in_air and result.surface_z == pytest.approx(0.04, abs=0.004)
    assert surface_below(np.array([0.5, 0.2, 0.06]), scene_of(THING, [book])) == pytest.approx(
        0.04, abs=0.011
    )


def test_place_hidden_by_the_robot_takes_the_support(planner):
    """A sensed point on the robot says nothing about the table behind it."""
    request = request_of(planner, PATH, [THING])
    arm_box = axis_box(0.62, 0.17, (0.05, 0.1, 0.2))
    depth = cast([THING, arm_box])
    u, v = (int(x) for x in request.depth_camera.uv_to_pixels(request.trace.points[3, :2]))
    assert depth[v, u] < request.trace.points[3, 2] - 0.03
    result = run(planner, PATH, depth=depth, hidden=lambda p: p[2] > 0.02 and p[1] > 0.05)
    np.testing.assert_allclose(result.points[3], PATH[3], atol=0.01)


def test_free_tool_is_kept_off_the_table(planner):
    path = np.array([[0.45, -0.2, 0.1], [0.5, 0.1, 0.0]])
    result = run(
        planner, path, kind=TraceKind.END_EFFECTOR_CENTRIC, envelope=HAND_ENVELOPE, moved=THING
    )
    assert result.ends_in_air and result.points[1, 2] >= 0.0125 + 0.014
