# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of robotracer_ros.scene.cloud."""

import numpy as np
import pytest

from robotracer_ros.errors import InvalidDepthError, ResolutionMismatchError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import apply, look_at, make_transform
from robotracer_ros.scene.cloud import cloud_in_base, find_support, steady_pixels, upward

CAMERA = CameraModel(80, 60, 82.0, 82.0, 39.5, 29.5)
POSE = look_at((1.2, 0.1, 0.7), (0.5, 0.0, 0.0))
LOW, HIGH = np.array([0.0, -0.6, -0.2]), np.array([1.0, 0.6, 0.8])


def plane_depth(z: float, pose=POSE) -> np.ndarray:
    """Depth image of the infinite plane at height z."""
    rays = CAMERA.rays().astype(float)
    rays /= rays[..., 2:]
    return ((z - pose[2, 3]) / (rays @ pose[:3, :3].T)[..., 2]).astype(np.float32)


def test_the_cloud_is_the_lifted_depth_in_the_base_frame():
    depth = np.random.default_rng(0).uniform(0.5, 1.5, (60, 80)).astype(np.float32)
    depth[3, 4], depth[5, 6] = 0, np.nan
    points = cloud_in_base(depth, CAMERA, POSE)
    expected = apply(POSE, CAMERA.depth_to_points(depth).astype(float))
    np.testing.assert_allclose(points, expected, atol=2e-6)
    assert np.isnan(points[3, 4]).all()
    assert np.isnan(points[5, 6]).all()


def test_wrong_size_and_empty_depth_are_named():
    with pytest.raises(ResolutionMismatchError, match=r'80x61 px.*80x60'):
        cloud_in_base(np.ones((61, 80), np.float32), CAMERA, POSE)
    with pytest.raises(InvalidDepthError, match='4800 pixels'):
        cloud_in_base(np.zeros((60, 80), np.float32), CAMERA, POSE)
    with pytest.raises(InvalidDepthError):
        cloud_in_base(np.full((60, 80), np.nan, np.float32), CAMERA, POSE)


def test_flying_pixels_are_dropped_and_surfaces_kept():
    depth = np.full((60, 80), 1.0, np.float32)
    depth[:, 40:] = 1.6
    depth[10:50:7, 40] = 1.3
    depth[0, 0] = 0
    steady = steady_pixels(depth)
    assert not steady[10:50:7, 40].any()
    assert not steady[0, 0]
    kept = np.ones_like(steady)
    kept[10:50:7, 40] = False
    kept[0, 0] = False
    assert steady[kept].mean() > 0.99


def test_a_slanted_plane_is_steady():
    assert steady_pixels(plane_depth(0.0))[1:-1, 1:-1].all()


@pytest.mark.parametrize('z', [-0.1, 0.0, 0.05])
def test_the_support_is_found_under_clutter(z):
    depth = plane_depth(z)
    depth[20:32, 20:45] = plane_depth(z + 0.1)[20:32, 20:45]
    depth += np.random.default_rng(1).normal(0, 0.001, depth.shape).astype(np.float32)
    points = cloud_in_base(depth, CAMERA, POSE)
    assert find_support(points, depth, CAMERA.fx, LOW, HIGH) == pytest.approx(z, abs=0.001)


def test_no_support_without_a_level_surface():
    pose = look_at((0.2, 0.0, 0.4), (1.2, 0.0, 0.4))
    depth = np.full((60, 80), 0.7, np.float32)  # a wall across the view
    points = cloud_in_base(depth, CAMERA, pose)
    assert np.isnan(find_support(points, depth, CAMERA.fx, LOW, HIGH))
    assert np.isnan(find_support(points, depth, CAMERA.fx, LOW + 10, HIGH + 10))


def test_upward_tells_level_from_upright():
    level = upward(cloud_in_base(plane_depth(0.0), CAMERA, POSE))
    assert np.nanmin(level) > 0.999
    wall = upward(cloud_in_base(np.full((60, 80), 0.7, np.float32), CAMERA,
                                look_at((0.2, 0.0, 0.4), (1.2, 0.0, 0.4))))
    assert np.nanmax(wall) < 1e-3
    tilted = make_transform(translation=(0, 0, 1.0))
    tilted[:3, :3] = np.array([[1, 0, 0], [0, -0.8, -0.6], [0, 0.6, -0.8]])
    depth = np.full((60, 80), 0.7, np.float32)
    np.testing.assert_allclose(np.nanmedian(upward(cloud_in_base(depth, CAMERA, tilted))), 0.8, atol=1e-3)
    assert np.isnan(upward(np.zeros((3, 3, 3), np.float32))).all()
