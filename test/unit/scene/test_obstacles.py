# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of robotracer_ros.scene.obstacles."""

import numpy as np
import pytest

from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.scene.obstacles import occupied_voxels

LOW, HIGH = np.array([-0.2, -0.3, -0.1]), np.array([0.6, 0.3, 0.5])


def as_set(centres, voxel):
    return {tuple(np.round(c / voxel - 0.5).astype(int)) for c in centres}


def test_voxels_are_those_that_hold_enough_points():
    voxel = 0.02
    wanted = {(3, -2, 4), (0, 0, 7), (-5, 10, 2)}
    rng = np.random.default_rng(0)
    points = np.concatenate([(np.array(k) + rng.uniform(0.01, 0.99, (5, 3))) * voxel for k in wanted])
    lone = np.array([[0.31, 0.11, 0.21], [0.31, 0.11, 0.21]])
    outside = np.tile([[0.7, 0.0, 0.1]], (9, 1))
    bad = np.full((4, 3), np.nan)
    centres = occupied_voxels(np.concatenate([points, lone, outside, bad]), voxel, LOW, HIGH, fill=False)
    assert as_set(centres, voxel) == wanted


def test_columns_are_filled_down_to_the_support():
    voxel = 0.02
    points = np.tile([[0.11, 0.05, 0.13]], (5, 1))
    centres = occupied_voxels(points, voxel, LOW, HIGH, support_z=0.0)
    assert as_set(centres, voxel) == {(5, 2, k) for k in range(7)}
    raised = occupied_voxels(points, voxel, LOW, HIGH, support_z=0.06)
    assert as_set(raised, voxel) == {(5, 2, k) for k in range(3, 7)}
    # Without a known support nothing can be filled.
    assert as_set(occupied_voxels(points, voxel, LOW, HIGH), voxel) == {(5, 2, 6)}


def test_filling_reaches_from_the_highest_voxel_of_every_column_to_the_support():
    voxel, rng = 0.02, np.random.default_rng(4)
    points = rng.uniform(LOW, HIGH, (400, 3))
    bare = as_set(occupied_voxels(points, voxel, LOW, HIGH, 0.0, min_points=1, fill=False), voxel)
    tops = {(i, j): max(c[2] for c in bare if c[:2] == (i, j)) for i, j, _ in bare}
    wanted = {(i, j, k) for (i, j), top in tops.items() for k in range(top + 1)}
    filled = occupied_voxels(points, voxel, LOW, HIGH, 0.0, min_points=1)
    assert as_set(filled, voxel) == wanted and len(filled) == len(wanted)


def test_every_point_is_covered():
    rng = np.random.default_rng(2)
    points = rng.uniform(LOW, HIGH, (3000, 3))
    centres = occupied_voxels(points, 0.03, LOW, HIGH, min_points=1, fill=False)
    nearest = np.array([np.abs(centres - p).max(axis=1).min() for p in points[:300]])
    assert nearest.max() <= 0.015 + 1e-9


def test_nothing_gives_no_voxels():
    assert occupied_voxels(np.empty((0, 3)), 0.02, LOW, HIGH, 0.0).shape == (0, 3)


@pytest.mark.parametrize('size', [0.0, -0.01, float('nan'), 1e-4])
def test_bad_sizes_are_refused(size):
    with pytest.raises(InvalidParameterError, match='voxel size'):
        occupied_voxels(np.zeros((1, 3)), size, LOW, HIGH, 0.0)
