# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What real depth cameras do to depth: noise, holes, dropouts, whole millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.errors import InvalidParameterError


@dataclass(frozen=True)
class DepthNoise:
    """Depth errors, all off by default.

    Attributes:
        sigma: Standard deviation of the depth noise at 1 m, metres; it grows with the square of
            the distance, as in stereo and structured-light cameras.
        edge_jump: Neighbouring depths that differ by more than this (m) make holes; 0 turns it off.
        edge_probability: Chance that a pixel at such a jump is a hole.
        flying: Chance that a pixel at a jump that is no hole lies anywhere between both depths.
        dropout: Chance that any pixel is missing.
        quantum: Depth is rounded to multiples of this, metres; 0 turns it off.
    """

    sigma: float = 0.0
    edge_jump: float = 0.0
    edge_probability: float = 0.7
    flying: float = 0.0
    dropout: float = 0.0
    quantum: float = 0.0

    def __post_init__(self) -> None:
        for name in ('sigma', 'edge_jump', 'quantum'):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidParameterError(
                    f'depth noise {name} = {getattr(self, name)} m: must be in 0..1', name=name)
        for name in ('edge_probability', 'flying', 'dropout'):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidParameterError(
                    f'depth noise {name} = {getattr(self, name)}: must be in 0..1', name=name)


#: errors of the size that consumer RGB-D cameras show at table distance
TYPICAL = DepthNoise(sigma=0.0018, edge_jump=0.03, edge_probability=0.6, flying=0.25,
                     dropout=0.01, quantum=0.001)


def add_noise(depth: NDArray[np.float32], noise: DepthNoise, rng: np.random.Generator
              ) -> NDArray[np.float32]:
    """Return a depth image (H, W) in metres with errors; 0 stays and marks invalid pixels."""
    out = depth.astype(np.float32, copy=True)
    valid = out > 0
    if noise.edge_jump > 0:
        low, high = _neighbour_range(out)
        edge = valid & (high > low + noise.edge_jump)
        dice = rng.random(out.shape)
        holes = edge & (dice < noise.edge_probability)
        flying = edge & ~holes & (rng.random(out.shape) < noise.flying)
        share = rng.random(out.shape, np.float32)[flying]
        out[flying] = low[flying] + (high[flying] - low[flying]) * share
        out[holes] = 0
    if noise.sigma > 0:
        out += (noise.sigma * rng.standard_normal(out.shape, np.float32)) * out * out
    if noise.dropout > 0:
        out[rng.random(out.shape) < noise.dropout] = 0
    if noise.quantum > 0:
        out = np.round(out / np.float32(noise.quantum)) * np.float32(noise.quantum)
    return np.where(valid, np.maximum(out, 0), 0).astype(np.float32)


def _neighbour_range(depth: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the smallest and largest valid depth among each pixel and its four neighbours."""
    near = np.pad(np.where(depth > 0, depth, np.inf), 1, mode='edge')
    far = np.pad(depth, 1, mode='edge')
    shifts = ((slice(1, -1), slice(1, -1)), (slice(0, -2), slice(1, -1)),
              (slice(2, None), slice(1, -1)), (slice(1, -1), slice(0, -2)),
              (slice(1, -1), slice(2, None)))
    low = np.min([near[s] for s in shifts], axis=0)
    high = np.max([far[s] for s in shifts], axis=0)
    return low.astype(np.float32), high.astype(np.float32)
