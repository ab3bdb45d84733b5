# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Hand-made table scenes of boxes: exact depth by ray casting, voxels, grasps from above."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import Trace, TraceKind
from robotracer_ros.geometry.transforms import (
    apply,
    invert,
    look_at,
    make_transform,
    rotation_about,
)
from robotracer_ros.planning.base import PlanRequest, RobotState
from robotracer_ros.planning.grasp_pose import GraspPose
from robotracer_ros.planning.ompl import OmplPlanner
from robotracer_ros.scene.base import ObjectSegment, OrientedBox, PlanningScene

CAMERA = CameraModel(160, 120, 140.0, 140.0, 79.5, 59.5)
BASE_FROM_CAMERA = look_at((1.35, 0.0, 0.75), (0.45, 0.0, 0.02))
VOXEL = 0.01


def axis_box(
    x: float, y: float, sides: Sequence[float], z: float = 0.0, yaw: float = 0.0
) -> OrientedBox:
    """Make a box standing at height z."""
    return OrientedBox(
        make_transform(rotation_about((0, 0, 1), yaw), (x, y, z + sides[2] / 2)),
        np.array(sides, float),
    )


def cast(boxes: Sequence[OrientedBox], camera: CameraModel = CAMERA) -> np.ndarray:
    """Return the depth image (H, W) of boxes on the table z = 0."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = camera.lift_pixels(np.stack([u, v], -1), np.ones(u.shape)) @ BASE_FROM_CAMERA[:3, :3].T
    eye = BASE_FROM_CAMERA[:3, 3]
    with np.errstate(divide='ignore', invalid='ignore'):
        depth = np.where(rays[..., 2] < 0, -eye[2] / rays[..., 2], np.inf)
        for b in boxes:
            inv = invert(b.pose)
            o, d = apply(inv, eye), rays @ inv[:3, :3].T
            a, c = (-b.extents / 2 - o) / d, (b.extents / 2 - o) / d
            near, far = np.minimum(a, c).max(-1), np.maximum(a, c).min(-1)
            depth = np.where((near <= far) & (near > 0) & (near < depth), near, depth)
    return np.where(np.isfinite(depth) & (depth < 5), depth, 0).astype(np.float32)


def voxels(boxes: Sequence[OrientedBox]) -> np.ndarray:
    """Return voxel centres (N, 3) that fill boxes."""
    out = [np.zeros((0, 3))]
    for b in boxes:
        axes = [np.arange(-s / 2 + 0.004, s / 2 - 0.003, 0.008) for s in b.extents]
        grid = np.stack(np.meshgrid(*axes, indexing='ij'), -1).reshape(-1, 3)
        out.append(apply(b.pose, grid))
    points = np.concatenate(out)
    return (
        np.unique(np.floor(points / VOXEL).astype(int), axis=0) * VOXEL + VOXEL / 2
        if len(points)
        else points
    )


def scene_of(moved: OrientedBox | None, obstacles: Sequence[OrientedBox] = ()) -> PlanningScene:
    """Return the planning scene of boxes."""
    segment = (
        None
        if moved is None
        else ObjectSegment(apply(moved.pose, np.array([[0, 0, moved.extents[2] / 2]])), moved)
    )
    return PlanningScene(voxels(obstacles), VOXEL, 0.0, segment)


def top_grasps(b: OrientedBox) -> list[GraspPose]:
    """Return grasps from above across both horizontal sides that fit the jaws, both ways round."""
    out = []
    depth = min(b.extents[2] / 2, 0.05)
    for axis in np.argsort(b.extents[:2]):
        if b.extents[axis] > 0.09:
            continue
        y = b.pose[:3, axis]
        z = np.array([0.0, 0.0, -1.0])
        for sign in (1, -1):
            r = np.stack([np.cross(sign * y, z), sign * y, z], axis=1)
            tcp = b.pose[:3, 3] + [0, 0, b.extents[2] / 2 - depth]
            tcp[2] = max(tcp[2], b.pose[2, 3] - b.extents[2] / 2 + 0.018)
            out.append(GraspPose(make_transform(r, tcp), float(b.extents[axis])))
    return out


def request_of(
    planner: OmplPlanner,
    points: np.ndarray,
    boxes: Sequence[OrientedBox],
    q: np.ndarray | None = None,
    kind: TraceKind = TraceKind.OBJECT_CENTRIC,
    **options: object,
) -> PlanRequest:
    """Return a request whose trace goes through points (N, 3) of the planning frame."""
    uvd = CAMERA.project(apply(invert(BASE_FROM_CAMERA), points))
    state = RobotState(planner.config.limits.names, planner.config.home if q is None else q)
    return PlanRequest(
        Trace(uvd, CAMERA, kind), BASE_FROM_CAMERA, cast(boxes), CAMERA, state, **options
    )


def pick_and_place(start: OrientedBox, goal: Sequence[float], height: float = 0.15) -> np.ndarray:
    """Return an object-centric path (4, 3) from the top of a box over two points to the surface
    point ``goal``.
    """
    c, top = start.pose[:3, 3], start.pose[:3, 3] + [0, 0, start.extents[2] / 2]
    g = np.asarray(goal, float)
    up = max(height, c[2] + 0.08)
    return np.array([top, [c[0], c[1], up], [g[0], g[1], max(up, g[2] + 0.12)], g])
