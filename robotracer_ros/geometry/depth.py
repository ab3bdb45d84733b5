# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Depth images by encoding, and robust depth at a pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import InvalidDepthError, UnsupportedEncodingError

#: metres per unit of each depth encoding of REP-118 (and the OpenNI convention for 16UC1)
DEPTH_ENCODINGS = {'16UC1': 1e-3, 'mono16': 1e-3, '32FC1': 1.0}


def decode_depth(raw: NDArray[np.generic], encoding: str) -> NDArray[np.float32]:
    """Convert a raw depth image (H, W) to metres; 0 marks invalid pixels (0, negative, NaN, infinite in the input).

    Raises:
        UnsupportedEncodingError: the encoding is neither 16UC1, mono16 nor 32FC1.
    """
    if encoding not in DEPTH_ENCODINGS:
        raise UnsupportedEncodingError(
            f"depth encoding '{encoding}': must be one of {', '.join(DEPTH_ENCODINGS)}",
            encoding=encoding,
        )
    metres = raw.astype(np.float32) * np.float32(DEPTH_ENCODINGS[encoding])
    return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(0))


def depth_at(depth: NDArray[np.floating], u_px: float, v_px: float, radius: int = 2) -> float:
    """Return the median of the valid depths in a square window around a pixel, in metres.

    Raises:
        InvalidDepthError: the pixel is outside the image or the window holds no valid depth.
    """
    h, w = depth.shape
    col, row = round(u_px), round(v_px)
    if not (0 <= col < w and 0 <= row < h):
        raise InvalidDepthError(
            f'pixel ({u_px:.1f}, {v_px:.1f}) lies outside the {w}x{h} depth image'
        )
    window = depth[max(0, row - radius) : row + radius + 1, max(0, col - radius) : col + radius + 1]
    valid = window[np.isfinite(window) & (window > 0)]
    if valid.size == 0:
        raise InvalidDepthError(f'no valid depth within {radius} px of pixel ({col}, {row})')
    return float(np.median(valid))
