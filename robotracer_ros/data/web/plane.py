# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The plane that things stand on, found in estimated depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.data.rejection import Rejected
from robotracer_ros.data.web.config import WebConfig

Array = NDArray[np.float64]
_TRIALS = 200
_SAMPLE = 4000


@dataclass(frozen=True)
class Plane:
    """A plane in the optical frame.

    Attributes:
        up: (3,) unit normal, away from what is below.
        offset: ``up @ x == offset`` on the plane, metres.
        mask: (H, W) pixels that show it.
    """

    up: Array
    offset: float
    mask: NDArray[np.bool_]

    def height(self, points: NDArray[np.floating]) -> Array:
        """Return how high points (..., 3) are above the plane, metres."""
        return np.asarray(points @ self.up - self.offset)

    def foot(self, points: NDArray[np.floating]) -> Array:
        """Return the points (..., 3) of the plane straight below or above others."""
        return np.asarray(points - self.height(points)[..., None] * self.up)


def find_plane(
    points: NDArray[np.float32],
    things: NDArray[np.bool_],
    config: WebConfig,
    rng: np.random.Generator,
) -> Plane | Rejected:
    """Find the largest plane beside the things that could be a table or a floor.

    Args:
        points: (H, W, 3) in the optical frame, NaN without depth.
        things: (H, W) pixels of things, left out.
        config: Limits.
        rng: Draws the trials.
    """
    free = np.isfinite(points[..., 2]) & ~things
    candidates = points[free].astype(float)
    if free.mean() < config.min_plane_share:
        return Rejected('no plane', f'{free.mean():.2f} of the picture is beside the things')
    sample = candidates[rng.integers(len(candidates), size=min(_SAMPLE, len(candidates)))]
    tolerance = config.plane_tolerance * sample[:, 2]
    least = np.cos(np.radians(config.max_tilt_degrees))
    best: tuple[int, Array, float] = (0, np.zeros(3), 0.0)
    for _ in range(_TRIALS):
        a, b, c = sample[rng.integers(len(sample), size=3)]
        normal = np.cross(b - a, c - a)
        length = float(np.linalg.norm(normal))
        if length < 1e-9:
            continue
        normal = normal / length
        # Up in a picture is -y; a camera that looks at a table sees its upper side.
        normal = -normal if normal[1] > 0 else normal
        if -normal[1] < least:
            continue
        offset = float(normal @ a)
        count = int((np.abs(sample @ normal - offset) < tolerance).sum())
        if count > best[0]:
            best = (count, normal, offset)
    if best[0] == 0:
        return Rejected('no plane', 'no upright plane')
    normal, offset = _refined(sample, best[1], best[2], config)
    distance = np.abs(np.where(free, points @ normal - offset, np.inf))
    mask = distance < config.plane_tolerance * np.where(free, points[..., 2], 0)
    if mask.mean() < config.min_plane_share:
        return Rejected('no plane', f'the largest covers {mask.mean():.2f} of the picture')
    return Plane(normal, offset, mask)


def _refined(sample: Array, normal: Array, offset: float, config: WebConfig) -> tuple[Array, float]:
    """Fit the plane to all points near it, twice."""
    for _ in range(2):
        near = sample[np.abs(sample @ normal - offset) < config.plane_tolerance * sample[:, 2]]
        middle = near.mean(axis=0)
        fitted = np.linalg.svd(near - middle, full_matrices=False)[2][2]
        normal = fitted if fitted @ normal > 0 else -fitted
        offset = float(normal @ middle)
    return normal, offset
