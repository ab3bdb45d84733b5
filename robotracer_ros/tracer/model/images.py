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
from robotracer_ros.tracer.pixels import pack_pixels

#: key of ``PIL.Image.info``
GEOMETRY_KEY = 'robotracer'
_GEOMETRY_PARTS = frozenset({'depth', 'K', 'pose'})


def pack_image(
    rgb: NDArray[np.uint8],
    depth: NDArray[np.floating] | None = None,
    camera: CameraModel | None = None,
    gravity_from_camera: NDArray[np.float64] | None = None,
    *,
    width: int = 320,
    height: int = 240,
) -> Tensor:
    """Return :func:`pack_pixels` as a tensor."""
    return torch.from_numpy(
        pack_pixels(rgb, depth, camera, gravity_from_camera, width=width, height=height)
    )


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
