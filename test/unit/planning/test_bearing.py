# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from robotracer_ros.geometry.transforms import make_transform, rotation_about
from robotracer_ros.planning.bearing import (
    Ground,
    bearing_height,
    depth_within,
    ground_of,
)
from robotracer_ros.scene.base import OrientedBox, PlanningScene


def patch(x, y, z, step=0.004):
    """Points of a horizontal rectangle."""
    a, b = np.meshgrid(np.arange(*x, step), np.arange(*y, step))
    return np.column_stack([a.ravel(), b.ravel(), np.full(a.size, z)])


def standing(x, y, z, sides=(0.06, 0.04, 0.10), yaw=0.0):
    pose = make_transform(rotation_about((0, 0, 1), yaw), (x, y, z + sides[2] / 2))
    return OrientedBox(pose, np.array(sides))


def seen(*patches, support_z=0.0):
    points = np.concatenate(patches).astype(np.float32)
    return PlanningScene(np.zeros((0, 3)), 0.008, support_z, surface=points)


TABLE = patch((0.2, 0.8), (-0.4, 0.4), 0.0)


@pytest.mark.parametrize(('point', 'depth'), [
    ((0.5, 0.5), 0.5), ((0.1, 0.5), 0.1), ((0.5, 1.2), -0.2), ((1.0, 1.0), 0.0),
])
def test_depth_within_a_square(point, depth):
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    assert depth_within(square, np.array(point)) == pytest.approx(depth)


def test_the_table_bears_up_to_where_it_was_seen_to_end():
    ground = ground_of(seen(TABLE), np.array([0.78, 0.0, 0.0]))
    assert ground.reach(standing(0.70, 0.0, 0.0)) == pytest.approx(0.095, abs=0.01)
    assert ground.reach(standing(0.83, 0.0, 0.0)) < 0


def test_what_hides_a_part_of_the_table_is_no_hole_in_it():
    hole = TABLE[np.abs(TABLE[:, :2] - (0.5, 0.0)).max(axis=1) > 0.1]
    assert ground_of(seen(hole), np.array([0.5, 0.0, 0.0])).reach(standing(0.5, 0.0, 0.0)) > 0.2


def test_on_top_of_a_box_the_middle_must_be_over_it():
    top = patch((0.45, 0.55), (-0.04, 0.04), 0.08)
    side = TABLE[np.abs(TABLE[:, :2] - (0.5, 0.0)).max(axis=1) > 0.05]
    ground = ground_of(seen(top, side), np.array([0.5, 0.0, 0.08]))
    assert ground.reach(standing(0.5, 0.0, 0.08)) == pytest.approx(0.02, abs=0.006)
    assert ground.reach(standing(0.54, 0.0, 0.08)) < 0.015
    assert ground.reach(standing(0.57, 0.0, 0.08)) < 0.0


def test_the_top_of_a_wall_is_too_narrow():
    wall = patch((0.488, 0.512), (-0.1, 0.1), 0.12)
    front = TABLE[TABLE[:, 0] > 0.53]
    ground = ground_of(seen(wall, front), np.array([0.5, 0.0, 0.12]))
    assert ground.reach(standing(0.5, 0.0, 0.12, (0.06, 0.06, 0.1))) < 0.25 * 0.06


def test_a_rim_bears_what_is_wider_and_not_what_falls_into_it():
    angle = np.linspace(0, 2 * np.pi, 200)
    rim = np.concatenate([
        np.column_stack([0.5 + r * np.cos(angle), r * np.sin(angle), np.full(200, 0.09)])
        for r in (0.036, 0.040)
    ])
    bottom = patch((0.48, 0.52), (-0.02, 0.02), 0.01)
    ground = ground_of(seen(rim, bottom, TABLE[TABLE[:, 0] > 0.55]), np.array([0.5, 0.0, 0.09]))
    assert ground.reach(standing(0.5, 0.0, 0.09, (0.10, 0.10, 0.05))) > 0.02
    assert ground.reach(standing(0.5, 0.0, 0.09, (0.035, 0.035, 0.05))) < 0


def test_a_ledge_does_not_reach_over_to_the_next_top_between_two_rows_of_points():
    """The table in front of a low thing is seen in rows 1 cm apart; another thing as low is near."""
    ledge = patch((0.45, 0.50), (-0.04, 0.04), 0.022)
    other = patch((0.57, 0.60), (-0.10, 0.10), 0.022)
    rows = TABLE[(TABLE[:, 0] > 0.502) & (TABLE[:, 0] < 0.565)]
    rows = rows[np.isclose((rows[:, 0] * 1000).round() % 12, rows[0, 0] * 1000 % 12, atol=0.5)]
    assert 4 <= len(np.unique(rows[:, 0])) <= 7
    ground = ground_of(seen(ledge, other, rows), np.array([0.505, 0.0, 0.022]))
    assert ground.reach(standing(0.505, 0.0, 0.022, (0.05, 0.05, 0.146))) < 0.25 * 0.05
    assert ground.reach(standing(0.48, 0.0, 0.022, (0.05, 0.05, 0.146))) > 0.25 * 0.05


def test_two_tops_with_a_gap_between_them_are_no_place():
    tops = [patch((x - 0.02, x + 0.02), (-0.02, 0.02), 0.05) for x in (0.43, 0.57)]
    between = TABLE[np.abs(TABLE[:, 0] - 0.5) < 0.04]
    ground = ground_of(seen(*tops, between), np.array([0.5, 0.0, 0.05]))
    assert ground.reach(standing(0.5, 0.0, 0.05, (0.16, 0.16, 0.06))) < 0


def test_part_of_a_top_that_is_hidden_by_something_bears_too():
    tray = patch((0.4, 0.6), (-0.12, 0.12), 0.012)
    hidden = np.abs(tray[:, :2] - (0.5, 0.0)).max(axis=1) < 0.03
    far = TABLE[np.abs(TABLE[:, 1]) > 0.13]
    ground = ground_of(seen(tray[~hidden], far), np.array([0.5, 0.0, 0.012]))
    assert ground.reach(standing(0.5, 0.0, 0.012, (0.05, 0.05, 0.1))) > 0.015


def test_a_scene_without_surface_points_tells_nothing():
    assert Ground(np.zeros((0, 3)), np.zeros((0, 2)), 0.0).reach(standing(0.5, 0.0, 0.0)) is None


def test_the_higher_of_two_surfaces_is_what_a_thing_comes_to_rest_on():
    tray = patch((0.5, 0.6), (-0.1, 0.1), 0.008)
    ground = ground_of(seen(TABLE[TABLE[:, 0] < 0.5], tray), np.array([0.49, 0.0, 0.0]))
    box = standing(0.49, 0.0, 0.0)
    assert bearing_height(ground, box, 0.0, 0.012) == pytest.approx(0.008, abs=1e-6)
    assert bearing_height(ground, box, 0.0, 0.005) == 0.0  # a step, not a surface to rest on
    assert bearing_height(ground, standing(0.4, 0.0, 0.0), 0.0, 0.012) == 0.0
