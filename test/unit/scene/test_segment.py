# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the object segment against ground truth."""

from dataclasses import replace

import numpy as np
import pytest

from robotracer_ros.errors import InvalidDepthError, ObjectNotFoundError
from robotracer_ros.scene.build import SceneParameters, build_scene
from robotracer_ros.scene.segment import SegmentParameters
from robotracer_ros.sim.catalog import make_object
from robotracer_ros.sim.noise import TYPICAL, add_noise
from robotracer_ros.sim.scenes import standing_pose


def segment(shot, uv, depth=None):
    depth = shot.image.depth if depth is None else depth
    moved = build_scene(depth, shot.scene.camera, shot.scene.world_from_camera, uv).moved
    assert moved is not None
    return moved


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def errors(moved, o):
    """Centre, horizontal sides, top and bottom error in metres."""
    sides = np.sort(o.extents[:2])[::-1]
    bottom = moved.box.pose[2, 3] - moved.box.extents[2] / 2 - (o.pose[2, 3] - o.extents[2] / 2)
    return (np.linalg.norm(moved.box.pose[:2, 3] - o.pose[:2, 3]), np.abs(moved.box.extents[:2] - sides).max(),
            abs(moved.box.extents[2] - o.extents[2]), abs(bottom))


@pytest.mark.parametrize(('kind', 'yaw', 'side'), [
    ('box', 0.4, 0.004), ('block', 0.0, 0.004), ('carton', 1.0, 0.004), ('can', 0.0, 0.007), ('jar', 0.0, 0.006),
    ('ball', 0.0, 0.008), ('bottle', 0.0, 0.009), ('cup', 0.0, 0.006), ('bowl', 0.0, 0.007), ('sponge', 0.7, 0.004)])
def test_single_things_are_found_whole(shoot, kind, yaw, side):
    shot = shoot((kind, 0.5, 0.06, yaw, 0.0, 'it'))
    moved = segment(shot, shot.uv('it'))
    centre, sides, height, bottom = errors(moved, shot.scene.objects[0])
    assert iou(moved.mask, shot.mask('it')) > 0.82
    assert centre < 0.006
    assert sides < side
    assert height < 0.004
    assert bottom < 0.002


def test_a_mug_comes_with_its_inner_wall_and_handle(shoot):
    shot = shoot(('mug', 0.5, 0.0, 1.6, 0.0, 'mug'))
    moved = segment(shot, shot.uv('mug'))
    assert iou(moved.mask, shot.mask('mug')) > 0.9
    # The handle points to +y: the box reaches out to it.
    assert moved.points[:, 1].max() == pytest.approx(shot.scene.objects[0].extents[0] / 2, abs=0.006)
    height = moved.points[:, 2]
    inner = moved.points[(np.linalg.norm(moved.points[:, :2] - [0.5, 0.0], axis=1) < 0.03) & (height < 0.06)]
    assert len(inner) > 0


def test_the_spout_belongs_to_the_watering_can(shoot):
    shot = shoot(('watering can', 0.5, 0.0, -2.6, 0.0, 'can'))
    moved = segment(shot, shot.uv('can'))
    assert iou(moved.mask, shot.mask('can')) > 0.9


@pytest.mark.parametrize(('right', 'down'), [(4, 0), (-4, 0), (0, -4), (3, 5)])
def test_a_seed_beside_a_small_thing_finds_it(shoot, right, down):
    shot = shoot(('block', 0.5, 0.1, 0.3, 0.0, 'block'))
    rows, columns = np.nonzero(shot.mask('block'))
    row, column = shot.pixel('block')
    edge = (np.ptp(columns) / 2 * np.sign(right), np.ptp(rows) / 2 * np.sign(down))
    uv = shot.uv('block', edge[0] + right, edge[1] + down)
    moved = segment(shot, uv)
    assert iou(moved.mask, shot.mask('block')) > 0.8
    assert row and column


@pytest.mark.parametrize('base', ['tray', 'plate', 'book', 'box'])
def test_a_thing_on_a_support_is_not_the_support(shoot, base):
    bottom = make_object(base, 'blue', 'large', object_id='base')
    bottom = replace(bottom, pose=standing_pose(bottom, 0.5, 0.0, 0.2))
    top = make_object('block', 'red', 'small', object_id='top')
    shot = shoot(bottom, replace(top, pose=standing_pose(top, 0.5, 0.0, 0.6, bottom.support_height)))
    moved = segment(shot, shot.uv('top'))
    top = shot.scene.objects[1]
    assert iou(moved.mask, shot.mask('top')) > 0.8
    centre, sides, _, bottom = errors(moved, top)
    assert centre < 0.004
    assert sides < 0.006
    assert bottom < 0.003
    # The other way round: a seed on the support's side finds the support without what stands on it.
    if base in ('book', 'box'):
        rows, columns = np.nonzero(shot.mask('base'))
        lowest = np.argmax(rows)
        u, v = shot.scene.camera.pixels_to_uv((columns[lowest], rows[lowest] - 2))
        below = segment(shot, (float(u), float(v)))
        assert (below.mask & shot.mask('top')).sum() < 0.15 * shot.mask('top').sum()
        assert iou(below.mask, shot.mask('base')) > 0.8


def test_touching_things_of_different_height_are_told_apart(shoot):
    """A carton that touches a block: a seed high on the carton finds the carton down to the table."""
    shot = shoot(('carton', 0.45, 0.0, 0.0, 0.0, 'tall'), ('block', 0.45, 0.0585, 0.0, 0.0, 'low'))
    rows, columns = np.nonzero(shot.mask('tall'))
    k = np.argmin((rows - np.percentile(rows, 30)) ** 2 + (columns - columns.mean()) ** 2)
    u, v = shot.scene.camera.pixels_to_uv((columns[k], rows[k]))
    moved = segment(shot, (float(u), float(v)))
    assert iou(moved.mask, shot.mask('tall')) > 0.8
    assert errors(moved, shot.scene.objects[0])[3] < 0.002


def test_neighbours_at_jaw_distance_stay_apart(shoot):
    shot = shoot(('can', 0.5, 0.0, 0.0, 0.0, 'a'), ('can', 0.39, 0.0, 0.0, 0.0, 'b'), ('can', 0.5, 0.11, 0.0, 0.0, 'c'))
    for name in 'abc':
        assert iou(segment(shot, shot.uv(name)).mask, shot.mask(name)) > 0.85, name


@pytest.mark.parametrize('noisy', [False, True])
def test_random_scenes(shoot_seed, noisy):
    """Graspable things of unseen scenes: found, well cut out, well measured."""
    rng = np.random.default_rng(0)
    overlap, centres, bottoms, failed = [], [], [], 0
    for seed in range(2000, 2012):
        shot = shoot_seed(seed)
        depth = add_noise(shot.image.depth, TYPICAL, rng) if noisy else shot.image.depth
        for o in shot.scene.objects:
            if not o.graspable or shot.mask(o.id).sum() < 80:
                continue
            try:
                moved = segment(shot, shot.uv(o.id), depth)
            except ObjectNotFoundError:
                failed += 1
                continue
            overlap.append(iou(moved.mask, shot.mask(o.id) & (depth > 0)))
            centre, _, _, bottom = errors(moved, o)
            centres.append(centre)
            bottoms.append(bottom)
    assert len(overlap) > 30
    assert failed == 0
    assert np.median(overlap) > 0.9
    assert np.percentile(overlap, 5) > (0.70 if noisy else 0.8)
    assert np.median(centres) < (0.006 if noisy else 0.004)
    assert np.percentile(centres, 90) < 0.03
    assert np.percentile(bottoms, 90) < 0.003


def test_failures_say_what_and_where(shoot):
    shot = shoot(('block', 0.5, 0.2, 0.0, 0.0, 'block'))
    camera = shot.scene.camera
    empty = (float(1000 * 20 / camera.width), 950.0)
    with pytest.raises(ObjectNotFoundError, match=r'nothing stands up.*6 mm') as caught:
        segment(shot, empty)
    assert caught.value.waypoint == 0
    assert caught.value.details['height'] < 0.006
    for outside in ((-1.0, 500.0), (500.0, 1001.0), (float('nan'), 3.0)):
        with pytest.raises(InvalidDepthError, match=r'outside the image'):
            segment(shot, outside)
    hole = shot.image.depth.copy()
    row, column = shot.pixel('block')
    hole[max(0, row - 40):row + 40, max(0, column - 40):column + 40] = 0
    with pytest.raises(InvalidDepthError, match='no usable depth within'):
        segment(shot, shot.uv('block'), hole)


def test_too_large_and_too_small_are_refused(shoot):
    shot = shoot(('block', 0.5, 0.0, 0.0, 0.0, 'block'))
    args = (shot.image.depth, shot.scene.camera, shot.scene.world_from_camera, shot.uv('block'))
    with pytest.raises(ObjectNotFoundError, match=r'must be at most 0.02 m'):
        build_scene(*args, parameters=SceneParameters(segment=SegmentParameters(max_extent=0.02)))
    with pytest.raises(ObjectNotFoundError, match='must be at least 5000'):
        build_scene(*args, parameters=SceneParameters(segment=SegmentParameters(min_pixels=5000)))
