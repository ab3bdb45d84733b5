# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Images, depth and camera intrinsics: sensor_msgs to numpy and back, no needless copies."""

from __future__ import annotations

import array
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image

from robotracer_ros.errors import (
    InputError,
    InvalidParameterError,
    NoDepthError,
    NoImageError,
    NoIntrinsicsError,
    UnsupportedEncodingError,
)
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.depth import DEPTH_ENCODINGS, decode_depth
from robotracer_ros.nodes.stamps import ns_to_stamp

#: channels of each colour encoding, and which of them are red, green and blue
COLOUR_ENCODINGS: dict[str, tuple[int, tuple[int, int, int]]] = {
    'rgb8': (3, (0, 1, 2)),
    'bgr8': (3, (2, 1, 0)),
    'rgba8': (4, (0, 1, 2)),
    'bgra8': (4, (2, 1, 0)),
    'mono8': (1, (0, 0, 0)),
    '8UC3': (3, (2, 1, 0)),
    '8UC1': (1, (0, 0, 0)),
}
_DEPTH_TYPES: dict[str, type[np.generic]] = {
    '16UC1': np.uint16, 'mono16': np.uint16, '32FC1': np.float32}


def _pixels(msg: Image, dtype: np.dtype[Any], channels: int,
            error: type[InputError] = NoImageError) -> NDArray[Any]:
    """View the bytes of an image as (H, W, C) in the message's own memory; row padding is skipped.

    Raises:
        InputError: (``error``) the size is zero, or there are fewer bytes than size and step say.
    """
    row = msg.width * channels * dtype.itemsize
    if msg.width == 0 or msg.height == 0:
        raise error(f"image in frame '{msg.header.frame_id}' is {msg.width}x{msg.height} px")
    # A driver that leaves step at 0 means tightly packed rows.
    step = msg.step or row
    needed = step * (msg.height - 1) + row
    data = np.frombuffer(msg.data, dtype=np.uint8)
    if step < row or data.size < needed:
        raise error(
            f"image in frame '{msg.header.frame_id}' ({msg.encoding}, {msg.width}x{msg.height}, "
            f'step {msg.step}) holds {data.size} bytes: needs {needed} with a step of at least '
            f'{row}', bytes=int(data.size), needed=needed)
    strides = (step, channels * dtype.itemsize, dtype.itemsize)
    return np.ndarray((msg.height, msg.width, channels), dtype, data, 0, strides)


def image_to_rgb(msg: Image) -> NDArray[np.uint8]:
    """Read a colour or grey image as (H, W, 3) uint8 RGB.

    The result of ``rgb8`` shares the message's memory and is read-only to callers by convention;
    other encodings reorder channels into a new array.

    Raises:
        UnsupportedEncodingError: the encoding is not in ``COLOUR_ENCODINGS``.
        NoImageError: the message holds no pixels or too few bytes.
    """
    if msg.encoding not in COLOUR_ENCODINGS:
        raise UnsupportedEncodingError(
            f"colour encoding '{msg.encoding}': must be one of {', '.join(COLOUR_ENCODINGS)}",
            encoding=msg.encoding)
    channels, order = COLOUR_ENCODINGS[msg.encoding]
    pixels = _pixels(msg, np.dtype(np.uint8), channels)
    return pixels if order == (0, 1, 2) and channels == 3 else pixels[..., list(order)]


def image_to_depth(msg: Image) -> NDArray[np.float32]:
    """Read a depth image as (H, W) float32 metres, 0 where invalid.

    Raises:
        UnsupportedEncodingError: neither 16UC1, mono16 nor 32FC1.
        NoDepthError: the message holds no pixels or too few bytes.
    """
    if msg.encoding not in DEPTH_ENCODINGS:
        return decode_depth(np.zeros((0, 0), np.float32), msg.encoding)
    dtype = np.dtype(_DEPTH_TYPES[msg.encoding]).newbyteorder('>' if msg.is_bigendian else '<')
    return decode_depth(_pixels(msg, dtype, 1, NoDepthError)[..., 0], msg.encoding)


def _image(pixels: NDArray[Any], encoding: str, frame_id: str, stamp_ns: int) -> Image:
    contiguous = np.ascontiguousarray(pixels)
    msg = Image()
    msg.header.frame_id = frame_id
    msg.header.stamp = ns_to_stamp(stamp_ns)
    msg.height, msg.width = contiguous.shape[:2]
    msg.encoding = encoding
    msg.is_bigendian = int(sys.byteorder == 'big')
    msg.step = contiguous.strides[0]
    # rclpy copies an array.array as a block; a numpy array would be walked element by element.
    data = array.array('B')
    data.frombytes(contiguous.data.cast('B'))
    msg.data = data
    return msg


def rgb_to_image(rgb: NDArray[np.uint8], frame_id: str = '', stamp_ns: int = 0) -> Image:
    """Write (H, W, 3) uint8 RGB as an ``rgb8`` image."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise UnsupportedEncodingError(
            f'an rgb8 image needs (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}')
    return _image(rgb, 'rgb8', frame_id, stamp_ns)


def depth_to_image(depth: NDArray[np.floating], encoding: str = '16UC1', frame_id: str = '',
                   stamp_ns: int = 0) -> Image:
    """Write (H, W) metres as a depth image, ``16UC1`` (millimetres, 0 invalid) or ``32FC1``.

    Raises:
        UnsupportedEncodingError: another encoding.
    """
    if encoding == '16UC1':
        valid = np.isfinite(depth) & (depth > 0)
        limit = np.iinfo(np.uint16).max
        millimetres = np.rint(np.where(valid, depth, 0) * 1000.0)
        # Further than 65.5 m does not fit: invalid, not wrapped around to near.
        raw = np.where(millimetres <= limit, millimetres, 0).astype(np.uint16)
        return _image(raw, encoding, frame_id, stamp_ns)
    if encoding == '32FC1':
        return _image(depth.astype(np.float32, copy=False), encoding, frame_id, stamp_ns)
    raise UnsupportedEncodingError(f"depth encoding '{encoding}': must be 16UC1 or 32FC1",
                                   encoding=encoding)


def distortion_px(msg: CameraInfo) -> float:
    """Return the largest displacement in pixels that lens distortion causes along the image border.

    Raises:
        NoIntrinsicsError: coefficients of a model other than plumb_bob or rational_polynomial.
    """
    d = np.asarray(msg.d, dtype=float)
    if d.size == 0 or not np.any(d):
        return 0.0
    if msg.distortion_model not in ('plumb_bob', 'rational_polynomial'):
        raise NoIntrinsicsError(
            f"camera_info in frame '{msg.header.frame_id}' has distortion model "
            f"'{msg.distortion_model}' with coefficients {d.tolist()}: subscribe to the rectified "
            'image and set camera_info.rectified')
    k1, k2, p1, p2, k3, k4, k5, k6 = np.pad(d, (0, max(0, 8 - d.size)))[:8]
    fx, fy, cx, cy = msg.k[0], msg.k[4], msg.k[2], msg.k[5]
    t = np.linspace(0.0, 1.0, 17)
    u = np.concatenate([t, t, np.zeros(17), np.ones(17)]) * (msg.width - 1)
    v = np.concatenate([np.zeros(17), np.ones(17), t, t]) * (msg.height - 1)
    x, y = (u - cx) / fx, (v - cy) / fy
    r2 = x * x + y * y
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    dx = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) - x
    dy = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y - y
    return float(np.max(np.hypot(dx * fx, dy * fy)))


def info_to_camera(msg: CameraInfo, *, rectified: bool = False,
                   max_distortion_px: float = float('inf')) -> CameraModel:
    """Read intrinsics; region of interest and binning are applied.

    Args:
        msg: The camera_info.
        rectified: The image is rectified: use the projection matrix P instead of K and D.
        max_distortion_px: Largest lens distortion (pixels, at the border) that may be ignored.

    Raises:
        NoIntrinsicsError: focal lengths are zero (an uncalibrated camera), the size is zero, or
            the raw image is distorted by more than ``max_distortion_px``.
    """
    name = f"camera_info in frame '{msg.header.frame_id}'"
    values = np.asarray(msg.p, float).reshape(3, 4)[:, :3] if rectified \
        else np.asarray(msg.k, float).reshape(3, 3)
    fx, fy, cx, cy = values[0, 0], values[1, 1], values[0, 2], values[1, 2]
    if not (np.isfinite([fx, fy, cx, cy]).all() and fx > 0 and fy > 0):
        raise NoIntrinsicsError(
            f'{name}: {"P" if rectified else "K"} has fx={fx:g}, fy={fy:g}, cx={cx:g}, cy={cy:g}: '
            'focal lengths must be finite and > 0 px (is the camera calibrated?)')
    if msg.width == 0 or msg.height == 0:
        raise NoIntrinsicsError(f'{name} gives an image of {msg.width}x{msg.height} px')
    if not rectified:
        bend = distortion_px(msg)
        if bend > max_distortion_px:
            raise NoIntrinsicsError(
                f'{name}: lens distortion moves pixels by up to {bend:.1f} px, more than '
                f'{max_distortion_px:g} px: subscribe to the rectified image and set '
                'camera_info.rectified', distortion_px=bend)
    bin_x, bin_y = max(1, msg.binning_x), max(1, msg.binning_y)
    roi = msg.roi
    width, height = roi.width or msg.width, roi.height or msg.height
    return CameraModel(width // bin_x, height // bin_y, float(fx / bin_x), float(fy / bin_y),
                       float((cx - roi.x_offset) / bin_x), float((cy - roi.y_offset) / bin_y))


def camera_to_info(camera: CameraModel, frame_id: str = '', stamp_ns: int = 0) -> CameraInfo:
    """Write intrinsics of a rectified camera: no distortion, R identity, P = [K 0]."""
    msg = CameraInfo()
    msg.header.frame_id = frame_id
    msg.header.stamp = ns_to_stamp(stamp_ns)
    msg.width, msg.height = camera.width, camera.height
    msg.distortion_model = 'plumb_bob'
    msg.d = array.array('d', [0.0] * 5)
    msg.k = camera.matrix.ravel()
    msg.r = np.eye(3).ravel()
    msg.p = np.hstack([camera.matrix, np.zeros((3, 1))]).ravel()
    return msg


def encode_rgb(rgb: NDArray[np.uint8], encoding: str, frame_id: str = '',
               stamp_ns: int = 0) -> Image:
    """Write (H, W, 3) uint8 RGB in any encoding of ``COLOUR_ENCODINGS`` (alpha is 255).

    Raises:
        InvalidParameterError: an unknown encoding.
    """
    if encoding not in COLOUR_ENCODINGS:
        raise InvalidParameterError(
            f"colour encoding '{encoding}': must be one of {', '.join(COLOUR_ENCODINGS)}")
    channels, order = COLOUR_ENCODINGS[encoding]
    if channels == 1:
        grey = np.rint(rgb @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
        return _image(grey[..., None], encoding, frame_id, stamp_ns)
    out = np.full((*rgb.shape[:2], channels), 255, np.uint8)
    out[..., list(order)] = rgb
    return _image(out, encoding, frame_id, stamp_ns)
