# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tests of robotracer_ros.scene.footprint."""

import numpy as np
import pytest

from robotracer_ros.scene.footprint import (
    area_of,
    hull_of,
    inside,
    least_rectangle,
    principal_direction,
    thin,
)


def turned(points, angle):
    c, s = np.cos(angle), np.sin(angle)
    return points @ np.array([[c, s], [-s, c]])


def test_hull_and_area_of_a_square_with_inner_points():
    points = np.concatenate([np.random.default_rng(0).uniform(0, 1, (300, 2)), [[0, 0], [1, 0], [1, 1], [0, 1]]])
    hull = hull_of(points)
    assert len(hull) == 4
    assert area_of(hull) == pytest.approx(1.0)
    assert area_of(np.zeros((2, 2))) == 0.0


@pytest.mark.parametrize('shape', ['disc', 'square', 'line', 'point', 'grid'])
def test_hull_has_the_corners_that_qhull_finds(shape):
    from scipy.spatial import ConvexHull
    rng = np.random.default_rng(3)
    points = rng.uniform((-0.1, -0.4), (0.9, 0.6), (2000, 2))
    if shape == 'disc':
        points = points[np.hypot(*(points - [0.4, 0.1]).T) < 0.5]
    elif shape == 'line':
        points = np.stack([points[:, 0], np.full(2000, 0.2)], 1)
    elif shape == 'point':
        points = np.full((2000, 2), 0.3)
    elif shape == 'grid':
        points = np.round(points, 1)
    hull = hull_of(points)
    if shape in ('line', 'point'):
        assert {tuple(p) for p in hull} == {tuple(points.min(axis=0)), tuple(points.max(axis=0))}
    else:
        expected = points[ConvexHull(points).vertices]
        assert {tuple(p) for p in hull} == {tuple(p) for p in expected}
        assert area_of(hull) == pytest.approx(ConvexHull(points).volume)


def test_thinning_keeps_the_extremes_of_every_row_and_column():
    points = np.random.default_rng(2).uniform(0, 0.1, (3000, 2))
    kept = {tuple(p) for p in thin(points, 0.002)}
    wanted = set()
    for a in (0, 1):
        for line in range(50):
            band = points[np.floor(points[:, a] / 0.002) == line]
            wanted |= {tuple(band[band[:, 1 - a].argmin()]), tuple(band[band[:, 1 - a].argmax()])}
    assert kept == wanted


def test_thinning_keeps_the_hull():
    points = np.random.default_rng(1).normal(0, 0.03, (4000, 2))
    few = thin(points)
    assert len(few) < 0.5 * len(points)
    assert area_of(hull_of(few)) == pytest.approx(area_of(hull_of(points)), rel=2e-2)


def test_inside_respects_the_margin():
    hull = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    points = np.array([[0.5, 0.5], [1.05, 0.5], [1.2, 0.5]])
    assert inside(points, hull).tolist() == [True, False, False]
    assert inside(points, hull, 0.1).tolist() == [True, True, False]
    assert not inside(points, hull[:2]).any()


@pytest.mark.parametrize('angle', [0.0, 0.3, 1.2, -0.8])
def test_least_rectangle_of_a_turned_rectangle(angle):
    grid = np.stack(np.meshgrid(np.linspace(-0.1, 0.1, 21), np.linspace(-0.04, 0.04, 9)), -1).reshape(-1, 2)
    points = turned(grid, angle) + np.array([0.5, -0.2])
    r = least_rectangle(hull_of(points))
    np.testing.assert_allclose(r.centre, [0.5, -0.2], atol=1e-6)
    np.testing.assert_allclose(r.sides, [0.2, 0.08], atol=1e-6)
    assert np.abs(np.sin(r.yaw - angle)) < 1e-6


@pytest.mark.parametrize('angle', [0.0, 0.5, -1.0])
def test_principal_direction_of_an_ellipse(angle):
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ellipse = turned(np.stack([0.04 * np.cos(t), 0.03 * np.sin(t)], 1), angle) + np.array([1.0, 2.0])
    assert np.abs(np.sin(principal_direction(hull_of(ellipse)) - angle)) < 1e-3


def test_degenerate_input():
    r = least_rectangle(np.array([[0.0, 0.0], [0.1, 0.0]]))
    np.testing.assert_allclose(r.sides, [0.1, 1e-4])
