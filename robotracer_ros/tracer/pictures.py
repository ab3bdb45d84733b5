# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Images on the wire: colour as PNG or JPEG, depth as 16-bit PNG in millimetres."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_DEPTH_MM = 65535


def shrunk(rgb: NDArray[np.uint8], longest_px: int) -> NDArray[np.uint8]:
    """Return the picture (H, W, 3), made smaller when a side is longer than ``longest_px``."""
    height, width, _ = rgb.shape
    factor = longest_px / max(height, width)
    if factor >= 1:
        return rgb
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def encode_colour(rgb: NDArray[np.uint8], form: str = 'png') -> bytes:
    """Return a picture (H, W, 3) as a PNG, or as a JPEG of quality 90."""
    out = io.BytesIO()
    if form == 'jpeg':
        Image.fromarray(rgb).save(out, 'JPEG', quality=90)
    else:
        Image.fromarray(rgb).save(out, 'PNG', compress_level=1)
    return out.getvalue()


def encode_depth(depth: NDArray[np.floating]) -> bytes:
    """Return depth (H, W) in metres as a 16-bit PNG in millimetres.

    0, NaN, infinity, negative depth and depth beyond 65.535 m become 0, which means invalid.
    """
    mm = np.where(np.isfinite(depth) & (depth > 0), depth, 0) * 1000.0
    mm = np.where(mm <= MAX_DEPTH_MM, np.rint(mm), 0).astype(np.uint16)
    out = io.BytesIO()
    Image.fromarray(mm).save(out, 'PNG', compress_level=1)
    return out.getvalue()


def text64(data: bytes) -> str:
    """Return bytes as base64 text."""
    return base64.b64encode(data).decode('ascii')


def data_uri(data: bytes, form: str = 'png') -> str:
    """Return an encoded picture as a ``data:`` address."""
    return f'data:image/{form};base64,{text64(data)}'
