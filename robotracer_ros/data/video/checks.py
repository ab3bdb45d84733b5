# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Do the camera's pose, the depth images and the arm agree? Rules of the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.video.episode import Episode
from robotracer_ros.geometry.camera import UV_RANGE

Array = NDArray[np.float64]


@dataclass(frozen=True)
class AlignmentConfig:
    """When a recording counts as calibrated.

    At tested frames the depth image is read where the grip point is projected to.

    Attributes:
        tolerance: Largest difference (m) of depth and grip point.
        min_share: Share of tested frames that must agree.
        invalid: What no depth at the pixel means: ``aligned`` (a sensor that does not see dark or shiny arms) or
            ``untested``.
        frames: How many frames are tested at most, evenly over the recording.
        min_tested: With fewer tested frames nothing is known and the recording is rejected.
    """

    tolerance: float = 0.05
    min_share: float = 1 / 3
    invalid: Literal['aligned', 'untested'] = 'untested'
    frames: int = 60
    min_tested: int = 5


@dataclass(frozen=True)
class Alignment:
    """How many frames were tested and how many agreed."""

    tested: int
    aligned: int

    @property
    def share(self) -> float:
        """Share of the tested frames that agreed, 0 when none was tested."""
        return self.aligned / self.tested if self.tested else 0.0


def alignment(
    episode: Episode, points: Array, start: int, end: int, config: AlignmentConfig
) -> Alignment:
    """Compare depth images with an arm over frames ``start`` up to and without ``end``.

    Args:
        episode: With depth.
        points: (N, 3) grip points of the whole episode in the base frame.
        start: The first of the frames.
        end: One after the last.
        config: Limits.
    """
    if episode.depth is None:
        return Alignment(0, 0)
    count = min(config.frames, end - start)
    tested = aligned = 0
    for i in np.unique(np.linspace(start, end - 1, count).round().astype(int)):
        u, v, d = episode.in_view(points[i], int(i))
        if not (0 <= u <= UV_RANGE and 0 <= v <= UV_RANGE):  # NaN behind the camera, too
            continue
        depth = episode.depth.read(int(i))
        if depth is None:
            continue
        seen = _at(depth, u, v)
        if seen <= 0:
            if config.invalid == 'aligned':
                tested, aligned = tested + 1, aligned + 1
            continue
        tested += 1
        aligned += abs(seen - d) < config.tolerance
    return Alignment(tested, int(aligned))


def invalid_share(depth: NDArray[np.float32], u: float, v: float, radius_px: float) -> float:
    """Return the share of pixels without depth in a disc around (u, v) in 0..1000; 1.0 outside the image."""
    h, w = depth.shape
    x, y = u / UV_RANGE * w, v / UV_RANGE * h
    rows, columns = np.ogrid[:h, :w]
    disc = (columns - x) ** 2 + (rows - y) ** 2 <= radius_px**2
    return float((depth[disc] <= 0).mean()) if disc.any() else 1.0


def depth_at_uv(depth: NDArray[np.float32], u: float, v: float) -> float:
    """Return the median of the valid depth in 5x5 pixels around (u, v) in 0..1000, or 0 when there is none."""
    h, w = depth.shape
    c, r = _pixel(u, w), _pixel(v, h)
    near = depth[max(0, r - 2) : r + 3, max(0, c - 2) : c + 3]
    near = near[near > 0]
    return float(np.median(near)) if near.size else 0.0


def _at(depth: NDArray[np.float32], u: float, v: float) -> float:
    h, w = depth.shape
    return float(depth[_pixel(v, h), _pixel(u, w)])


def _pixel(x: float, size: int) -> int:
    return min(max(round(x / UV_RANGE * size), 0), size - 1)
