# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A short animation of a run as a GIF, which every browser and README shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def save_animation(
    path: Path, frames: Sequence[NDArray[np.uint8]], fps: float = 10.0, width: int = 480
) -> None:
    """Write frames (H, W, 3) uint8 as a looping GIF with one palette, so that colours do not flicker.

    Raises:
        ValueError: there is no frame, or ``fps`` is not in (0, 50].
    """
    if not frames:
        raise ValueError('an animation needs at least one frame: got 0')
    if not 0 < fps <= 50:
        raise ValueError(f'fps={fps:g}: a GIF shows (0, 50] frames per second')
    images = [Image.fromarray(f) for f in frames]
    size = (width, round(images[0].height * width / images[0].width))
    images = [i.resize(size, Image.Resampling.LANCZOS) for i in images]
    sample = np.concatenate(
        [
            np.asarray(images[i])
            for i in np.linspace(0, len(images) - 1, min(len(images), 6)).astype(int)
        ]
    )
    palette = Image.fromarray(sample).quantize(256, kmeans=2)
    coded = [i.quantize(palette=palette, dither=Image.Dither.NONE) for i in images]
    coded[0].save(
        path,
        save_all=True,
        append_images=coded[1:],
        duration=round(1000 / fps),
        loop=0,
        optimize=False,
    )
