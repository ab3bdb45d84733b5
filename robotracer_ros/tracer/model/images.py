# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From an observation to packed ``pixel_values``: resize to the model grid, intrinsics follow.

Where only a ``PIL.Image`` can travel (data sets, trainers, processors), geometry rides in its ``info``:
attributes and subclasses are lost when a trainer copies an image, ``info`` is not.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from robotracer_ros.errors import InvalidDepthError, NoTransformError, UnsupportedEncodingError
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.tracer.model.encoders import PACKED_CHANNELS

#: key of ``PIL.Image.info``
GEOMETRY_KEY = 'robotracer'
_GEOMETRY_PARTS = frozenset({'depth', 'K', 'pose'})


def quaternion_xyzw(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit quaternion (4,) with w >= 0 of a rotation matrix (3, 3)."""
    m = rotation
    # The largest eigenvector of Bar-Itzhack's matrix: stable for every rotation.
    k = (
        np.array(
            [
                [m[0, 0] - m[1, 1] - m[2, 2], 0, 0, 0],
                [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], 0, 0],
                [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], 0],
                [
                    m[2, 1] - m[1, 2],
                    m[0, 2] - m[2, 0],
                    m[1, 0] - m[0, 1],
                    m[0, 0] + m[1, 1] + m[2, 2],
                ],
            ]
        )
        / 3
    )
    q = np.linalg.eigh(k)[1][:, -1]
    return q if q[3] >= 0 else -q


def pose_vector(gravity_from_camera: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return (8,): quaternion xyzw, unit translation, log of its length (0 when there is none)."""
    t = gravity_from_camera[:3, 3]
    length = float(np.linalg.norm(t))
    direction = t / length if length > 1e-9 else np.zeros(3)
    return np.concatenate(
        [
            quaternion_xyzw(gravity_from_camera[:3, :3]),
            direction,
            [np.log(length) if length > 1e-9 else 0.0],
        ]
    ).astype(np.float32)


def pack_image(
    rgb: NDArray[np.uint8],
    depth: NDArray[np.floating] | None = None,
    camera: CameraModel | None = None,
    gravity_from_camera: NDArray[np.float64] | None = None,
    *,
    width: int = 320,
    height: int = 240,
) -> Tensor:
    """Return packed pixels (15, height, width) of one image; absent inputs are zero planes.

    Args:
        rgb: (H, W, 3).
        depth: (H', W') metres on the same view, 0 or NaN where invalid. Sampled, never blended
            across edges.
        camera: Intrinsics at any size of the same view.
        gravity_from_camera: (4, 4).
        width: Of the model grid.
        height: Of the model grid.
    """
    planes = torch.zeros(PACKED_CHANNELS, height, width)
    if rgb.shape[:2] != (height, width):
        rgb = np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))
    planes[:3] = torch.from_numpy(np.array(rgb)).permute(2, 0, 1).float() / 127.5 - 1
    if camera is not None:
        planes[3:6] = torch.from_numpy(camera.resized(width, height).rays()).permute(2, 0, 1)
    if depth is not None:
        d = np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)
        if d.shape != (height, width):
            rows = ((np.arange(height) + 0.5) * d.shape[0] / height).astype(int)
            cols = ((np.arange(width) + 0.5) * d.shape[1] / width).astype(int)
            d = d[rows][:, cols]
        planes[6] = torch.from_numpy(d)
    if gravity_from_camera is not None:
        planes[7:] = torch.from_numpy(pose_vector(gravity_from_camera))[:, None, None]
    return planes


def attach_geometry(
    image: Image.Image,
    depth: NDArray[np.floating] | None = None,
    camera: CameraModel | None = None,
    gravity_from_camera: NDArray[np.float64] | None = None,
) -> Image.Image:
    """Return a copy of an image that carries what is known of its geometry.

    Args:
        image: Any mode.
        depth: (H', W') metres on the same view, 0 or NaN where invalid.
        camera: Intrinsics at any size of the same view.
        gravity_from_camera: (4, 4).
    """
    geometry: dict[str, NDArray[np.floating]] = {}
    if depth is not None:
        geometry['depth'] = np.asarray(depth, np.float32)
    if camera is not None:
        geometry['K'] = camera.resized(*image.size).matrix
    if gravity_from_camera is not None:
        geometry['pose'] = np.asarray(gravity_from_camera, float)
    carrier = image.copy()
    carrier.info[GEOMETRY_KEY] = geometry
    return carrier


def pack_picture(image: Image.Image, *, width: int = 320, height: int = 240) -> Tensor:
    """Return packed pixels (15, height, width) of an image and the geometry in its ``info``.

    ``info['robotracer']`` holds any subset of ``depth`` ((H', W') metres), ``K`` ((3, 3) in pixels of
    this image) and ``pose`` ((4, 4) gravity_from_camera); what is left out or None is absent.

    Raises:
        UnsupportedEncodingError: the entry is no dictionary or holds another key.
        InvalidDepthError: depth is not two-dimensional or empty.
        NoIntrinsicsError: K is no intrinsic matrix.
        NoTransformError: the pose is not (4, 4) or not finite.
    """
    geometry = image.info.get(GEOMETRY_KEY) or {}
    if not isinstance(geometry, dict) or set(geometry) - _GEOMETRY_PARTS:
        raise UnsupportedEncodingError(
            f"image.info['{GEOMETRY_KEY}'] is {str(geometry)[:80]}: must be a dictionary with any of "
            f'{", ".join(sorted(_GEOMETRY_PARTS))}'
        )
    depth, k, pose = (geometry.get(name) for name in ('depth', 'K', 'pose'))
    if depth is not None:
        depth = np.asarray(depth, np.float32)
        if depth.ndim != 2 or depth.size == 0:
            raise InvalidDepthError(f'depth has shape {depth.shape}: must be (H, W)')
    if pose is not None:
        pose = np.asarray(pose, float)
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise NoTransformError(f'pose has shape {pose.shape}: must be (4, 4) and finite')
    return pack_image(
        np.asarray(image.convert('RGB')),
        depth,
        None if k is None else CameraModel.from_matrix(k, *image.size),
        pose,
        width=width,
        height=height,
    )
