# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A quick exact view of a scene at low resolution, for making tasks without the renderer.

It shows the table and the objects, not the robot: where the arm stands in front of something only a real
rendering tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.rays import object_entry
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import apply, invert
from robotracer_ros.sim.spec import FLOOR_Z, SEG_BACKGROUND, SEG_TABLE, TABLE_EDGES, Scene

WIDTH = 128
_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


@dataclass(frozen=True)
class View:
    """What the camera sees of a scene.

    Attributes:
        camera: Intrinsics of the images below.
        depth: (H, W) metres along the optical axis, 0 where nothing is hit.
        segmentation: (H, W) int16 as in :class:`~robotracer_ros.sim.spec.Rendering`.
        full_area: (M,) share of the image that each object would cover if nothing stood in front of it.
    """

    camera: CameraModel
    depth: NDArray[np.floating]
    segmentation: NDArray[np.int16]
    full_area: NDArray[np.float64]


def quick_view(scene: Scene, width: int = WIDTH) -> View:
    """Cast one ray per pixel of a small image against the exact shapes.

    Args:
        scene: What to look at.
        width: Image width in pixels; the height keeps the aspect of the scene's camera.
    """
    height = max(1, round(scene.camera.height * width / scene.camera.width))
    camera = scene.camera.resized(width, height)
    # resized() scales about pixel edges, this grid about pixel centres: cell (i, j) looks through its middle.
    px = np.arange(width) + 0.5 - 0.5 * width / scene.camera.width
    py = np.arange(height) + 0.5 - 0.5 * height / scene.camera.height
    gx, gy = np.meshgrid((px - camera.cx) / camera.fx, (py - camera.cy) / camera.fy)
    optical = np.stack([gx, gy, np.ones_like(gx)], axis=-1)
    world_from_camera = scene.world_from_camera
    directions = optical @ world_from_camera[:3, :3].T
    eye = world_from_camera[:3, 3]

    depth, segmentation = _ground(eye, directions)
    full = np.zeros(len(scene.objects))
    camera_from_world = invert(world_from_camera)
    for i, o in enumerate(scene.objects):
        corners = camera.project(apply(camera_from_world, apply(o.pose, _CORNERS * o.extents)))
        if not (corners[:, 2] > 0.05).all():
            continue
        c, r = corners[:, 0] * width / 1000, corners[:, 1] * height / 1000
        c0, c1 = max(0, int(c.min()) - 1), min(width, int(c.max()) + 2)
        r0, r1 = max(0, int(r.min()) - 1), min(height, int(r.max()) + 2)
        if c0 >= c1 or r0 >= r1:
            continue
        patch = (slice(r0, r1), slice(c0, c1))
        t = object_entry(o, eye, directions[patch].reshape(-1, 3)).reshape(r1 - r0, c1 - c0)
        full[i] = np.isfinite(t).sum() / (width * height)
        closer = t < np.where(depth[patch] > 0, depth[patch], np.inf)
        depth[patch][closer] = t[closer]
        segmentation[patch][closer] = i
    # Integer pixel coordinates of the returned camera are the centres of the cells above.
    grid = CameraModel(width, height, camera.fx, camera.fy, camera.cx - px[0], camera.cy - py[0])
    return View(grid, depth, segmentation, full)


def _ground(
    eye: NDArray[np.float64], directions: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """Return depth and segmentation of the table top and the floor alone."""
    down = np.where(directions[..., 2] < -1e-9, directions[..., 2], np.nan)
    table, floor = -eye[2] / down, (FLOOR_Z - eye[2]) / down
    x, y = eye[0] + table * directions[..., 0], eye[1] + table * directions[..., 1]
    x0, y0, x1, y1 = TABLE_EDGES
    on_table = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    depth = np.nan_to_num(np.where(on_table, table, floor), nan=0.0)
    return depth, np.where(on_table, SEG_TABLE, SEG_BACKGROUND).astype(np.int16)
