# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Ask a tracer about image files: the suite without ROS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from robotracer_ros.errors import (
    InvalidParameterError,
    NoImageError,
    NoIntrinsicsError,
    ResolutionMismatchError,
    UnsupportedEncodingError,
)
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.depth import decode_depth
from robotracer_ros.tracer.base import Observation
from robotracer_ros.viz.overlay import draw_trace


def read_observation(image: Path, depth: Path | None, intrinsics: str | None) -> Observation:
    """Read an observation from files.

    Args:
        image: Any image that Pillow reads.
        depth: 16-bit PNG in millimetres, or .npy in metres, on the grid of the image.
        intrinsics: ``fx,fy,cx,cy`` in pixels of the image.

    Raises:
        InputError subclasses: a file cannot be read, sizes differ, or the intrinsics are not four numbers.
    """
    try:
        rgb = np.asarray(Image.open(image).convert('RGB'))
    except (OSError, UnidentifiedImageError) as error:
        raise NoImageError(f"image '{image}' cannot be read: {error}") from error
    height, width, _ = rgb.shape
    camera = None
    if intrinsics is not None:
        try:
            fx, fy, cx, cy = (float(x) for x in intrinsics.split(','))
        except ValueError as error:
            raise NoIntrinsicsError(
                f"intrinsics '{intrinsics}': must be four numbers fx,fy,cx,cy in pixels"
            ) from error
        camera = CameraModel(width, height, fx, fy, cx, cy)
    metres = None if depth is None else _read_depth(depth)
    if metres is not None and metres.shape != (height, width):
        raise ResolutionMismatchError(
            f"depth '{depth}' is {metres.shape[1]}x{metres.shape[0]}, image '{image}' is {width}x{height}"
        )
    return Observation(rgb, metres, camera, frame_id=image.name)


def _read_depth(path: Path) -> NDArray[np.float32]:
    try:
        if path.suffix == '.npy':
            return decode_depth(np.load(path, allow_pickle=False), '32FC1')
        raw = np.asarray(Image.open(path))
    except (OSError, ValueError) as error:
        raise UnsupportedEncodingError(f"depth '{path}' cannot be read: {error}") from error
    if raw.dtype not in (np.uint16, np.int32) or raw.ndim != 2:
        raise UnsupportedEncodingError(
            f"depth '{path}' holds {raw.dtype} {raw.shape}: needs a 16-bit grey PNG in millimetres"
        )
    return decode_depth(raw.astype(np.uint16), '16UC1')


def trace_files(
    image: Path,
    instruction: str,
    depth: Path | None,
    intrinsics: str | None,
    checkpoint: str,
    out: Path | None,
) -> str:
    """Predict a trace for image files with the local tracer; return the model's answer.

    Raises:
        NoIntrinsicsError: no intrinsics were given: a trace cannot be lifted without.
        InvalidParameterError: the folder of ``out`` does not exist.
        TracerError subclasses: as the tracer.
    """
    from robotracer_ros.tracer.local import LocalTracer

    if intrinsics is None:
        raise NoIntrinsicsError(
            'a metric trace needs the camera: give --intrinsics fx,fy,cx,cy in pixels'
        )
    if out is not None and not out.parent.is_dir():
        raise InvalidParameterError(f"folder '{out.parent}' of --out does not exist")
    observation = read_observation(image, depth, intrinsics)
    tracer = LocalTracer(checkpoint=checkpoint)
    tracer.load()
    try:
        trace = tracer.predict(observation, instruction)
    finally:
        tracer.close()
    if out is not None:
        Image.fromarray(draw_trace(observation.rgb, trace)).save(out)
    return trace.raw_text
