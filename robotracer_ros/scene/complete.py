# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The whole of an object of which a camera sees one side: its hidden back by symmetry, its box."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import apply, invert, make_transform, rotation_about
from robotracer_ros.scene.base import OrientedBox
from robotracer_ros.scene.footprint import (
    Rectangle,
    area_of,
    hull_of,
    inside,
    least_rectangle,
    principal_direction,
    thin,
)

Matrix = NDArray[np.float64]


def estimate_box(cloud: Matrix, hidden: Matrix, floor: float, camera: CameraModel,
                 base_from_camera: Matrix) -> OrientedBox:
    """Estimate the box of a whole object of which one side is seen.

    Args:
        cloud: (M, 3) visible points in the planning frame.
        hidden: (K, 3) points of its back beyond the visible outline, see :func:`hidden_points`.
        floor: Height of what it stands on, metres.
        camera: Intrinsics.
        base_from_camera: (4, 4).
    """
    points = np.vstack([cloud, hidden])
    outline = _core(points[:, :2])
    rectangle = least_rectangle(hull_of(thin(outline)))
    distance = float(np.linalg.norm(points.mean(axis=0) - base_from_camera[:3, 3]))
    rectangle = _rounded(rectangle, outline, distance / camera.fx)
    z = np.sort(cloud[:, 2])
    top = float(np.mean(z[-max(3, len(z) // 100):]))
    height = max(top - floor, 0.004)
    pose = make_transform(rotation_about((0, 0, 1), rectangle.yaw), (*rectangle.centre, floor + height / 2))
    return OrientedBox(pose, np.array([*rectangle.sides, height]))


def _rounded(rectangle: Rectangle, points: Matrix, pixel: float) -> Rectangle:
    """Correct the rectangle of a round outline.

    Its extremes are points between pixels, not edges, so that sampling takes some of it; and the least rectangle of an
    ellipse hardly depends on its direction, so that its moments tell it better.

    Args:
        rectangle: Least rectangle around the points.
        points: (N, 2).
        pixel: Size of a pixel at the object, metres.
    """
    hull = hull_of(thin(points))
    fullness = area_of(hull) / float(np.prod(rectangle.sides))
    roundness = float(np.clip((0.95 - fullness) / (0.95 - np.pi / 4), 0.0, 1.0))
    if roundness > 0.5:
        axis = principal_direction(hull)
        c, s = np.cos(axis), np.sin(axis)
        turned = hull @ np.array([[c, -s], [s, c]])
        low, high = turned.min(axis=0), turned.max(axis=0)
        rectangle = Rectangle(np.array([[c, -s], [s, c]]) @ ((low + high) / 2), high - low, axis)
    return Rectangle(rectangle.centre, rectangle.sides + roundness * 2.0 * pixel, rectangle.yaw)


def hidden_points(cloud: Matrix, depth: NDArray[np.float32], camera: CameraModel,
                  base_from_camera: Matrix) -> tuple[Matrix, bool]:
    """Return points of the unseen sides and back that point symmetry about the object's axis suggests.

    Under a top that shows the outline its sides are taken to be upright. A point stays only where the camera measured
    something in front of it: seen empty space is empty.

    Args:
        cloud: (M, 3) visible points in the planning frame.
        depth: (H, W) metres.
        camera: Intrinsics.
        base_from_camera: (4, 4).

    Returns:
        The points (K, 3), and whether the visible points show the whole outline already.
    """
    hull = hull_of(thin(cloud[:, :2]))
    known, axis = _outline(cloud, base_from_camera[:3, 3])
    mirrored = cloud.copy()
    mirrored[:, :2] = 2 * axis - cloud[:, :2]
    if known:
        mirrored = np.vstack([mirrored, _extruded(cloud)])
    uvd = camera.project(apply(invert(base_from_camera), mirrored))
    px = np.rint(camera.uv_to_pixels(uvd[:, :2]))
    h, w = depth.shape
    seen = np.isfinite(px).all(axis=1) & (px >= 0).all(axis=1) & (px[:, 0] < w) & (px[:, 1] < h)
    column, row = px[seen].astype(np.int64).T
    measured = depth[row, column]
    keep = np.zeros(len(mirrored), bool)
    keep[seen] = (measured > 0) & (measured < uvd[seen, 2] + 0.004)
    if known:
        keep &= inside(mirrored[:, :2], hull, 0.001)
    return mirrored[keep], known


def _extruded(cloud: Matrix, step: float = 0.004) -> Matrix:
    """Return points (K, 3) of upright sides under the outline of the top of a thing (M, 3)."""
    top = float(np.percentile(cloud[:, 2], 99))
    corners = hull_of(thin(_core(cloud[cloud[:, 2] > top - 0.006][:, :2])))
    edges = np.roll(corners, -1, axis=0) - corners
    line = np.concatenate([c + e * np.arange(0, 1, step / max(float(np.linalg.norm(e)), step))[:, None]
                           for c, e in zip(corners, edges, strict=True)])
    levels = np.arange(float(cloud[:, 2].min()), top, step)
    return np.column_stack([np.tile(line, (len(levels), 1)), np.repeat(levels, len(line))])


def _outline(cloud: Matrix, eye: Matrix) -> tuple[bool, Matrix]:
    """Tell whether the whole outline of a thing (M, 3) is seen from ``eye`` (3,), and where its axis (2,) is.

    The axis is in the middle of a top that shows the outline. Otherwise: seen from the side, the left and right edge of
    a symmetric thing lie opposite to each other about its axis.
    """
    view = cloud.mean(axis=0)[:2] - eye[:2]
    view = view / max(float(np.linalg.norm(view)), 1e-9)
    side = np.array([-view[1], view[0]])
    across, along = cloud[:, :2] @ side, cloud[:, :2] @ view
    order = np.argsort(across)
    k = max(2, len(order) // 60)
    bands = (order[:k], order[-k:])
    # A flat top or a rim as wide as the thing shows the whole outline, unless its far half was not found.
    # Handles stick out beyond it.
    rim = cloud[:, 2] > np.percentile(cloud[:, 2], 99) - 0.006
    middle = float(np.mean([np.median(along[i]) for i in bands]))
    wide = rim.sum() > 3 and np.ptp(across[rim]) > 0.70 * np.ptp(across)
    if wide and along.max() - middle > 0.7 * (middle - along.min()):
        return True, least_rectangle(hull_of(thin(_core(cloud[rim, :2])))).centre
    # Of a round side only the half in front of its outermost line is seen: there the view just grazes it.
    middle = float(np.mean([np.percentile(along[i], 85) for i in bands]))
    return False, middle * view + np.mean([np.median(across[i]) for i in bands]) * side


def _core(points: Matrix) -> Matrix:
    """Leave out the outermost 0.3 percent of points (N, 2) in 12 directions: depth noise widens every hull."""
    if len(points) < 300:
        return points
    angles = np.deg2rad(np.arange(0, 180, 15))
    along = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ points.T
    low, high = np.percentile(along, (0.3, 99.7), axis=1)
    return points[np.all((along >= low[:, None]) & (along <= high[:, None]), axis=0)]
