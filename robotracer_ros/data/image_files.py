# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of other people's data sets, decoded with typed errors that name the file and the field."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robotracer_ros.data.files import DatasetFileError

#: what decoders raise for broken pictures, beside what OSError covers; bombs are pictures of absurd size
BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def decode_image(data: bytes, path: Path, field: str) -> Image.Image:
    """Decode a colour image. Raises DatasetFileError."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.convert('RGB')
    except BROKEN as error:
        raise DatasetFileError(path, field, f'cannot be read as an image: {error}') from error


def decode_depth(
    data: bytes, path: Path, field: str, unit: float = 1e-3, size: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """Decode a depth image of one channel of 16 bit to (H, W) metres, 0 invalid.

    Args:
        data: Encoded, PNG as a rule.
        path: The file that it comes from, for messages.
        field: What it is in there, empty for the file itself.
        unit: Metres per step.
        size: Width and height that it must have, pixels; any when None.

    Raises:
        DatasetFileError: broken, not 16 bit, or of another size.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            mode, values = image.mode, np.asarray(image)
    except BROKEN as error:
        raise DatasetFileError(path, field, f'cannot be read as an image: {error}') from error
    # Pillow reads 16-bit PNG as I;16 and, in versions and files, as I.
    if values.ndim != 2 or mode not in ('I;16', 'I;16B', 'I'):
        raise DatasetFileError(path, field, f'has pixels of type {mode}: must be 16 bit, one channel')
    height, width = values.shape
    if size is not None and (width, height) != size:
        raise DatasetFileError(
            path, field, f'is {width}x{height}: the colour frames are {size[0]}x{size[1]}'
        )
    return values.astype(np.float32) * np.float32(unit)
