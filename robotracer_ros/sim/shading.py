# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Light, shadow and texture for ray hits."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

_SIZE = 256
#: weights of sky, sun and reflection
_AMBIENT, _SKY, _SUN, _GLOSS = 0.44, 0.13, 0.54, 0.16


@functools.lru_cache(maxsize=1)
def _noise() -> Float:
    """Return a (256, 256) tile of smooth noise in -1..1 that repeats without seams."""
    rng = np.random.default_rng(7)
    total = np.zeros((_SIZE, _SIZE))
    axis = np.arange(_SIZE) / _SIZE
    for cells, weight in ((8, 0.4), (32, 0.35), (96, 0.25)):
        grid = rng.uniform(-1, 1, (cells, cells))
        p = axis * cells
        i = p.astype(int)
        f = p - i
        f = f * f * (3 - 2 * f)
        j = (i + 1) % cells
        rows = grid[i] * (1 - f)[:, None] + grid[j] * f[:, None]
        total += weight * (rows[:, i] * (1 - f) + rows[:, j] * f)
    return (total / np.abs(total).max()).astype(np.float32)


def noise_at(x: Float, y: Float, tile: float) -> Float:
    """Return noise in -1..1 at coordinates in metres; the pattern repeats every ``tile`` metres."""
    scale = np.float32(_SIZE / tile)
    i = (x * scale).astype(np.int32) & (_SIZE - 1)
    j = (y * scale).astype(np.int32) & (_SIZE - 1)
    return _noise()[i, j]


def texture(points: Float, kinds: NDArray[np.int16], style: int) -> Float:
    """Return a brightness factor (M,) that keeps surfaces from being flat.

    Args:
        points: (M, 3) hits in the world, metres.
        kinds: (M,) segmentation values; -2 is the table.
        style: Pattern of the table: 0 mottled, 1 wood, 2 speckled, 3 plain.
    """
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    factor = 1 + 0.035 * noise_at(x + 0.7 * z, y + 0.6 * z, 0.35)
    table = kinds == -2
    tx, ty = x[table], y[table]
    if style == 0:
        pattern = 0.06 * noise_at(tx, ty, 0.9)
    elif style == 1:
        # Grain runs along y, plank joints every 14 cm.
        pattern = 0.10 * noise_at(tx * 6, ty * 0.5, 1.1)
        pattern = pattern - 0.10 * (np.abs((tx / 0.14) % 1 - 0.5) > 0.485)
    elif style == 2:
        pattern = 0.16 * np.maximum(noise_at(tx, ty, 0.22) - 0.35, 0)
    else:
        pattern = 0.015 * noise_at(tx, ty, 0.5)
    factor[table] += pattern.astype(np.float32)
    return factor


def shade(colors: Float, normals: Float, to_eye: Float, to_light: Float, lit: NDArray[np.bool_],
          gloss: Float) -> Float:
    """Return the light (M, 3) that hits send to the eye.

    Args:
        colors: (M, 3) surface colours in 0..1.
        normals: (M, 3) unit, towards the viewer's side.
        to_eye: (M, 3) unit.
        to_light: (3,) unit.
        lit: (M,) whether the sun reaches the hit.
        gloss: (M,) strength of the reflection of the sun, 0..1.
    """
    facing = np.maximum(normals @ to_light, 0) * lit
    half = to_eye + to_light
    # |half|^2 enters after three squarings: cos^24 without a root.
    # The floor keeps the 24th power out of the slow subnormal numbers.
    shine = np.maximum(np.einsum('ij,ij->i', normals, half), np.float32(0.06))
    shine = shine * shine / np.einsum('ij,ij->i', half, half)
    shine = shine * shine
    shine = shine * shine
    shine = (shine * shine * shine) * lit * gloss * np.float32(_GLOSS)
    light = np.float32(_AMBIENT) + np.float32(_SKY) * normals[:, 2] + np.float32(_SUN) * facing
    return colors * light[:, None] + shine[:, None]
