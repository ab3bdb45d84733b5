# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From one depth image to the planner's scene: obstacles, support, and the object to be moved."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from robotracer_ros.errors import InvalidDepthError, InvalidParameterError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.transforms import apply, invert
from robotracer_ros.scene.base import ObjectSegment, PlanningScene
from robotracer_ros.scene.cloud import cloud_in_base, find_support, steady_pixels, upward, within
from robotracer_ros.scene.obstacles import occupied_voxels
from robotracer_ros.scene.robot_filter import RobotMask
from robotracer_ros.scene.segment import SegmentParameters, segment_object

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: upward part of the normal of what things can be put down on: slopes up to 40 degrees
_LEVEL = 0.77


@dataclass(frozen=True)
class SceneParameters:
    """How a scene is made from depth.

    Attributes:
        lower, upper: Corners of the workspace in the planning frame, metres; nothing outside is an obstacle.
        voxel_size: Edge of an obstacle voxel, metres.
        min_points: Points that make a voxel occupied, against noise.
        fill: Make things solid from their highest point down to the support.
        table_skin: Points nearer to the support than this are the table's, metres.
        steady_tolerance: Depth difference (m at 1 m) that neighbouring pixels of one surface may have.
        segment: How the object at the seed is found.
    """

    lower: tuple[float, float, float] = (-0.10, -0.70, -0.10)
    upper: tuple[float, float, float] = (1.00, 0.70, 0.90)
    voxel_size: float = 0.015
    min_points: int = 3
    fill: bool = True
    table_skin: float = 0.008
    steady_tolerance: float = 0.02
    segment: SegmentParameters = field(default_factory=SegmentParameters)

    def __post_init__(self) -> None:
        if not 0.004 <= self.voxel_size <= 0.1:
            raise InvalidParameterError(f'voxel size {self.voxel_size} m: must be in 0.004..0.1', name='voxel_size')
        if not all(a < b for a, b in zip(self.lower, self.upper, strict=True)):
            raise InvalidParameterError(f'workspace {self.lower} .. {self.upper} m: each lower value '
                                        'must be below the upper', name='lower')


class _Clock:
    """Collects the seconds of named stages."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.times[stage] = self.times.get(stage, 0.0) + time.perf_counter() - start


def build_scene(depth: NDArray[np.float32], camera: CameraModel, base_from_camera: Matrix,
                seed_uv: tuple[float, float] | None = None, robot_mask: RobotMask | None = None,
                parameters: SceneParameters | None = None, stamp_ns: int = 0) -> PlanningScene:
    """Make the planning scene of a depth image.

    Args:
        depth: (H, W) metres along the optical axis, 0 where invalid.
        camera: Intrinsics of this pixel grid.
        base_from_camera: (4, 4) pose of the optical frame in the planning frame, gravity along -z.
        seed_uv: u, v (0..1000) on the object to be moved, or None when nothing is.
        robot_mask: Tells which points (M, 3) belong to the robot or to what it carries.
        parameters: Workspace and thresholds.
        stamp_ns: Time of the depth image.

    Raises:
        ResolutionMismatchError: depth and intrinsics differ in size.
        InvalidDepthError: no valid depth in the image, in the workspace, or at the seed.
        ObjectNotFoundError: nothing stands up at the seed.
    """
    p = parameters or SceneParameters()
    clock = _Clock()
    lower, upper = np.array(p.lower), np.array(p.upper)
    with clock('cloud'):
        points = cloud_in_base(depth, camera, base_from_camera)
        usable = steady_pixels(depth, p.steady_tolerance)
        inside = usable & within(points, lower.astype(np.float32), upper.astype(np.float32))
        if not inside.any():
            raise InvalidDepthError(f'none of {int(usable.sum())} depth values lies in the workspace '
                                    f'{p.lower} .. {p.upper} m', valid=int(usable.sum()))
    with clock('support'):
        support_z = find_support(points, depth, camera.fx, lower, upper)
    with clock('robot'):
        floor = support_z if np.isfinite(support_z) else -np.inf
        standing = inside & (points[..., 2] > floor + min(p.table_skin, p.segment.min_height))
        if robot_mask is not None:
            rows, columns = np.nonzero(standing)
            own = robot_mask(points[rows, columns])
            standing[rows[own], columns[own]] = False
            usable = usable.copy()
            usable[rows[own], columns[own]] = False
    moved = None
    with clock('segment'):
        if seed_uv is not None:
            moved = segment_object(points, depth, camera, base_from_camera, support_z, seed_uv, usable, p.segment)
    with clock('voxels'):
        with np.errstate(invalid='ignore'):
            ground = inside & usable & (upward(points) > _LEVEL)
        obstacles = standing & (points[..., 2] > floor + p.table_skin)
        if moved is not None:
            own = _of_object(points, moved)
            obstacles &= ~own
            ground &= ~own
        centres = occupied_voxels(points[obstacles], p.voxel_size, lower, upper, support_z, p.min_points, p.fill)
    return PlanningScene(
        centres, p.voxel_size, support_z, moved, stamp_ns, clock.times, points[ground]
    )


def _of_object(points: NDArray[np.float32], moved: ObjectSegment) -> Mask:
    """Mark the pixels (H, W) that show the object: its segment, and the stray ones beside it that lie on its box."""
    assert moved.mask is not None
    mine = moved.mask.copy()
    # Half of a pixel at the outline is object: within two pixels of the mask, what lies on the box is the object's too.
    beside = ndimage.binary_dilation(mine, np.ones((5, 5), bool)) & ~mine & np.isfinite(points[..., 2])
    local = apply(invert(moved.box.pose), points[beside].astype(float))
    half = moved.box.extents / 2
    on_box = np.all(np.abs(local) <= half + 0.006, axis=1) & (local[:, 2] > -half[2] + 0.004)
    mine[beside] = on_box
    return mine | moved.mask
