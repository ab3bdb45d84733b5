# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Every measure of the TraceSpatial-Bench evaluator against its definition, written out in loops."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robotracer_ros.bench.tracespatial.cloud import (
    fitted,
    largest_cluster,
    object_cloud,
    thinned,
    without_outliers,
)
from robotracer_ros.bench.tracespatial.collision import HiddenSpace, keypoint_ratio, swept_ratio
from robotracer_ros.bench.tracespatial.occupancy import VOXEL_M, Occupancy, occupancy
from robotracer_ros.bench.tracespatial.paths import path_errors, resample
from robotracer_ros.bench.tracespatial.samples import Box
from robotracer_ros.geometry.transforms import rotation_about

SEEDS = st.integers(0, 10_000)


def dist(p, q):
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(p, q, strict=True)))


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 9), st.sampled_from([2, 3]))
def test_path_errors_are_their_definitions(seed, count, axes):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 3, count, axes))
    found = path_errors(a, b)
    for i, (p, q) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):

        @lru_cache(None)
        def coupling(m, n, p=p, q=q):
            if m < 0 or n < 0:
                return math.inf
            if m == n == 0:
                return dist(p[0], q[0])
            ways = (coupling(m - 1, n), coupling(m, n - 1), coupling(m - 1, n - 1))
            return max(min(ways), dist(p[m], q[n]))

        assert found.dfd[i] == pytest.approx(coupling(count - 1, count - 1))
        there = max(min(dist(x, y) for y in q) for x in p)
        back = max(min(dist(x, y) for y in p) for x in q)
        assert found.hd[i] == pytest.approx(max(there, back))
        squares = [dist(x, y) ** 2 for x, y in zip(p, q, strict=True)]
        assert found.rmse[i] == pytest.approx(math.sqrt(sum(squares) / count))
        parts = [abs(s - t) for x, y in zip(p, q, strict=True) for s, t in zip(x, y, strict=True)]
        assert found.mae[i] == pytest.approx(sum(parts) / len(parts))
        assert found.hd[i] <= found.dfd[i] + 1e-12


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(2, 9), st.booleans())
def test_resampled_points_lie_at_equal_lengths_on_the_way(seed, count, repeated):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 3))
    if repeated:
        points = np.repeat(points, rng.integers(1, 3, count), axis=0)
    way = resample(points, 50)
    total = sum(dist(p, q) for p, q in pairwise(points))
    for k in (0, 1, 17, 48, 49):
        left = total * k / 49
        for p, q in pairwise(points):
            step = dist(p, q)
            if left <= step + 1e-12 and step > 0:
                break
            left -= step
        np.testing.assert_allclose(way[k], p + (q - p) * (left / step), atol=1e-9)


def test_ways_without_length_stay_where_they_are():
    np.testing.assert_array_equal(resample(np.array([[1.0, 2.0]]), 4), [[1, 2]] * 4)
    np.testing.assert_array_equal(resample(np.array([[1.0, 2.0]] * 3), 4), [[1, 2]] * 4)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_box_distance_is_that_to_the_nearest_of_many_points_in_it(seed):
    rng = np.random.default_rng(seed)
    rotation = rotation_about(rng.normal(size=3), rng.uniform(0, 3))
    box = Box(rng.normal(size=3), rng.uniform(0.1, 1, 3), rotation)
    grid = np.linspace(-0.5, 0.5, 25)
    inside = np.array([[x, y, z] for x in grid for y in grid for z in grid]) * box.extent
    inside = inside @ rotation.T + box.center
    points = box.center + rng.normal(size=(6, 3))
    for found, point in zip(box.distances(points), points, strict=True):
        nearest = np.linalg.norm(inside - point, axis=1).min()
        spacing = np.linalg.norm(box.extent) / 24
        assert nearest - spacing <= found <= nearest + 1e-12
    assert (box.distances(inside) < 1e-9).all()
    np.testing.assert_allclose(box.distances(box.corners()), 0, atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(3, 60))
def test_outlier_filter_is_its_definition(seed, count):
    points = np.random.default_rng(seed).normal(size=(count, 3)) ** 3
    means = []
    for p in points.tolist():
        nearest = sorted(dist(p, q) for q in points.tolist())[:10]
        means.append(sum(nearest) / len(nearest))
    middle = sum(means) / count
    spread = math.sqrt(sum((m - middle) ** 2 for m in means) / (count - 1))
    wanted = [p for p, m in zip(points, means, strict=True) if m < middle + 1.2 * spread]
    np.testing.assert_array_equal(without_outliers(points), wanted)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_thinning_takes_the_mean_of_each_cube(seed):
    points = np.random.default_rng(seed).normal(size=(80, 3))
    low, cubes = points.min(axis=0) - 0.25, {}
    for p in points:
        cubes.setdefault(tuple(np.floor((p - low) / 0.5)), []).append(p)
    wanted = sorted(tuple(np.round(np.mean(c, axis=0), 9)) for c in cubes.values())
    assert sorted(tuple(np.round(p, 9)) for p in thinned(points, 0.5)) == wanted


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_largest_cluster_is_that_of_dbscan_by_the_book(seed):
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 0.15, (3, 3))
    points = np.concatenate([rng.normal(c, 0.012, (n, 3)) for c, n in zip(centres, (60, 35, 12), strict=True)])
    near = [np.nonzero(np.linalg.norm(points - p, axis=1) <= 0.02)[0] for p in points]
    labels, cluster = [None] * len(points), 0
    for i in range(len(points)):
        if labels[i] is not None or len(near[i]) < 10:
            continue
        waiting, cluster = [i], cluster + 1
        while waiting:
            j = waiting.pop()
            if labels[j] is not None:
                continue
            labels[j] = cluster
            if len(near[j]) >= 10:
                waiting += near[j].tolist()
    sizes = [labels.count(c) for c in range(1, cluster + 1)]
    if len(sizes) > 1 and sorted(sizes)[-1] == sorted(sizes)[-2]:
        return  # which of two equally large ones is a matter of order
    best = sizes.index(max(sizes)) + 1 if sizes else None
    wanted = points if best is None else points[[c == best for c in labels]]
    np.testing.assert_array_equal(largest_cluster(points), wanted)


def test_masks_are_stretched_to_the_nearest_value():
    mask = np.array([[1, 2], [3, 4]], dtype=np.uint8)
    wanted = [[1, 1, 1, 2, 2, 2], [3, 3, 3, 4, 4, 4]]
    np.testing.assert_array_equal(fitted(mask, (2, 6)), wanted)
    assert fitted(mask, (2, 2)) is mask


def test_an_object_without_depth_has_no_cloud():
    depth, mask = np.zeros((8, 8), dtype=np.float32), np.full((8, 8), 255, dtype=np.uint8)
    assert object_cloud(depth, mask, np.eye(3)).shape == (0, 3)
    assert occupancy(depth, np.eye(3)) is None
    far = np.full((8, 8), 16.0, dtype=np.float32)
    assert object_cloud(far, mask, np.eye(3)).shape == (0, 3)


# --- collisions: a wall at 2 m, and a thing in front of it ---

K = np.array([[300.0, 0, 160], [0, 300.0, 120], [0, 0, 1]])


@pytest.fixture(scope='module')
def wall():
    around = occupancy(np.full((240, 320), 2.0, dtype=np.float32), K)
    assert around is not None
    return around


def a_thing(z=1.5):
    """Return the front of a thing of 6 cm."""
    x, y = np.meshgrid(np.arange(-0.03, 0.031, 0.01), np.arange(-0.03, 0.031, 0.01))
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], axis=1)


def test_a_wall_fills_one_layer_where_it_is(wall):
    layers = np.nonzero(wall.voxels.any(axis=(0, 1)))[0]
    z = wall.origin[2] + (layers + 0.5) * VOXEL_M
    assert ((z > 1.96) & (z < 2.04)).all() and len(layers) <= 2


def test_only_written_points_count_officially_and_the_whole_way_here(wall):
    cloud = a_thing()
    through = np.array([[0, 0, 1.5], [0, 0, 2.6]])  # the wall is crossed between two points
    assert keypoint_ratio(wall, cloud, through) == 0.0
    assert swept_ratio(wall, cloud, through, None) == 1.0
    stops = np.array([[0, 0, 1.5], [0, 0, 2.0], [0, 0, 2.6]])
    assert keypoint_ratio(wall, cloud, stops) == 1.0
    before = np.array([[0, 0, 1.5], [0.2, 0, 1.9]])
    assert keypoint_ratio(wall, cloud, before) == swept_ratio(wall, cloud, before, None) == 0.0


def test_contact_at_the_start_and_in_the_destination_is_no_collision(wall):
    leaning = a_thing(2.0)  # where it stands it is in the wall's voxels
    away = np.array([[0, 0, 2.0], [0, 0, 1.5]])
    assert keypoint_ratio(wall, leaning, away) == 1.0
    assert swept_ratio(wall, leaning, away, None) == 0.0
    along = np.array([[0, 0, 2.0], [0.5, 0, 2.0]])  # but elsewhere the wall is the wall
    assert swept_ratio(wall, leaning, along, None) == 1.0
    box = Box(np.array([0, 0, 2.0]), np.full(3, 0.1), np.eye(3))
    there = np.array([[0, 0, 1.5], [0, 0, 2.0]])
    assert swept_ratio(wall, a_thing(), there, None) == 1.0
    assert swept_ratio(wall, a_thing(), there, box) == 0.0
    through = np.array([[0, 0, 1.5], [0, 0, 2.0], [0.4, 0, 2.0]])  # and out of the box again
    assert swept_ratio(wall, a_thing(), through, box) == 1.0


def test_hidden_space_counts_when_asked():
    depth = np.full((240, 320), 1.2, dtype=np.float32)
    depth[:, 160:] = 0.0
    hidden = HiddenSpace(depth, K)
    points = np.array(
        [[-0.2, 0, 1.5], [-0.2, 0, 1.1], [-0.2, 0, 1.21], [0.2, 0, 1.5], [9, 0, 1.5], [0, 0, -1.0]]
    )
    # behind, before, within a voxel, behind invalid depth, outside of the picture, behind the camera
    assert hidden.holds(points).tolist() == [True, False, False, False, False, False]
    way = np.array([[-0.2, 0, 1.0], [-0.2, 0, 1.6]])
    cloud = a_thing(1.0) + np.array([-0.2, 0, 0])
    assert swept_ratio(None, cloud, way, None) == 0.0
    assert swept_ratio(None, cloud, way, None, hidden) == 1.0


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_ratios_are_counts_of_points_in_occupied_voxels(seed):
    rng = np.random.default_rng(seed)
    around = Occupancy(np.array([-0.1, -0.1, 0.9]), rng.random((12, 12, 12)) < 0.3)
    occupied = {tuple(v) for v in np.argwhere(around.voxels).tolist()}
    cloud = rng.uniform(-0.15, 0.15, (30, 3)) + np.array([0, 0, 1])
    way = np.cumsum(rng.uniform(-0.05, 0.05, (4, 3)), axis=0) + np.array([0, 0, 1])

    def share(move, cut):
        hits = 0
        for p in (cloud + move - around.origin) / VOXEL_M:
            hits += tuple(cut(x) for x in p.tolist()) in occupied
        return hits / len(cloud)

    official = max(share(p - way[0], int) for p in way)  # int() cuts towards zero
    assert keypoint_ratio(around, cloud, way) == pytest.approx(official)
    at_rest = ((cloud - around.origin) / VOXEL_M).tolist()
    occupied -= {tuple(math.floor(x) for x in p) for p in at_rest}
    poses = []
    for a, b in pairwise(way):
        pieces = math.ceil(np.linalg.norm(b - a) / (VOXEL_M / 2))
        poses += [a + (b - a) * k / pieces for k in range(pieces + 1)]
    swept = max(share(p - way[0], math.floor) for p in poses)
    assert swept_ratio(around, cloud, way, None) == pytest.approx(swept, abs=1.5 / len(cloud))


def test_points_that_are_not_finite_meet_nothing(wall):
    way = np.array([[0, 0, 1.5], [0, 0, np.nan]])
    assert keypoint_ratio(wall, a_thing(), way) == 0.0
