# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest

from robotracer_ros.errors import InvalidDepthError, NoGraspError, ObjectNotFoundError
from robotracer_ros.scene.build import build_scene
from robotracer_ros.scene.graspable import (
    GraspLimits,
    demand_graspable,
    demand_near,
    hidden_share,
)
from robotracer_ros.sim.catalog import SIZES, make_object
from robotracer_ros.sim.scenes import standing_pose


def moved(shot, name, **shift):
    """Return the segment of an object and its depth image."""
    uv = shot.uv(name, **shift)
    s = shot.scene
    segment = build_scene(shot.image.depth, s.camera, s.world_from_camera, uv).moved
    assert segment is not None
    return segment, shot.image.depth


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('yaw', [0.0, 0.8, 1.57])
def test_walls_of_every_size_are_refused_by_what_depth_shows(shoot, size, yaw):
    wall = make_object('wall', 'gray', size, object_id='wall')
    shot = shoot(replace(wall, pose=standing_pose(wall, 0.5, 0.1, yaw)))
    with pytest.raises(NoGraspError, match=r'fixed partition|mm long') as e:
        demand_graspable(*moved(shot, 'wall'), GraspLimits())
    assert e.value.waypoint == 0
    assert np.sort(e.value.details['extents'])[0] == pytest.approx(0.024, abs=0.006)


def test_what_shows_of_a_wall_beside_a_box_is_refused(shoot):
    """Only a strip narrower than a book is seen: its own length would let it pass."""
    wall = make_object('wall', 'gray', 'small', object_id='wall')
    shot = shoot(
        replace(wall, pose=standing_pose(wall, 0.45, 0.0, 1.57)),
        ('carton', 0.56, 0.035, 0.0, 0.0, 'a'),
        ('carton', 0.56, -0.075, 0.0, 0.0, 'b'),
    )
    segment, depth = moved(shot, 'wall')
    assert hidden_share(segment, depth) > 0.15
    with pytest.raises(NoGraspError, match=r'fixed partition|mm long'):
        demand_graspable(segment, depth, GraspLimits())


def test_everything_that_can_be_grasped_passes(shoot_seed):
    """Two false refusals in a hundred would cost more than all other errors of the planner."""
    seen = 0
    for seed in range(500, 508):
        shot = shoot_seed(seed)
        for o in shot.scene.objects:
            if o.graspable and shot.mask(o.id).sum() > 80:
                demand_graspable(*moved(shot, o.id), GraspLimits())
                seen += 1
    assert seen > 20


def test_long_and_high_things_are_refused_with_size_and_limit(shoot):
    shot = shoot(('tray', 0.5, 0.0), ('bottle', 0.5, 0.25))
    with pytest.raises(NoGraspError, match=r'2\d\d mm long .* up to 200 mm'):
        demand_graspable(*moved(shot, 'tray_0'), GraspLimits(max_length=0.20))
    with pytest.raises(NoGraspError, match=r'1\d\d mm high .* up to 150 mm'):
        demand_graspable(*moved(shot, 'bottle_1'), GraspLimits(max_height=0.15))


def test_zero_thickness_lets_upright_panels_pass(shoot):
    wall = make_object('wall', 'gray', 'small', object_id='wall')
    shot = shoot(replace(wall, pose=standing_pose(wall, 0.5, 0.1, 0.4)))
    demand_graspable(*moved(shot, 'wall'), GraspLimits(panel_thickness=0.0))


def test_a_point_beside_an_object_must_be_near_it(shoot):
    shot = shoot(('box', 0.5, 0.0))
    segment, _ = moved(shot, 'box_0')
    centre = segment.points.mean(axis=0)
    pixel = np.array([5.0, 5.0])
    demand_near(segment, pixel, segment.points[0] + [0.02, 0.0, 0.0], 0.03)
    with pytest.raises(ObjectNotFoundError, match='at most 30 mm') as e:
        demand_near(segment, pixel, centre + np.array([0.3, 0.0, 0.0]), 0.03)
    assert e.value.details['distance'] > 0.03


def test_a_point_on_the_outline_is_on_the_object_whatever_its_depth(shoot):
    """The sensor's window at an edge may hold what is behind."""
    shot = shoot(('box', 0.5, 0.0))
    segment, _ = moved(shot, 'box_0')
    row, column = (int(x[0]) for x in np.nonzero(shot.mask('box_0')))
    far = segment.points.mean(axis=0) - [0.3, 0.0, 0.0]
    demand_near(segment, np.array([column, row - 1.0]), far, 0.03)


def test_no_depth_is_not_refused_as_too_large(shoot):
    shot = shoot(('box', 0.5, 0.0))
    s = shot.scene
    with pytest.raises(InvalidDepthError):
        build_scene(
            np.zeros_like(shot.image.depth), s.camera, s.world_from_camera, shot.uv('box_0')
        )
