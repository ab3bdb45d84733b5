# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Exact intersections of rays with the convex parts of a scene.

The height map (rays straight down) and the quick view (rays of the camera at low resolution) both rest on these few
formulas, so that tasks can be made without the renderer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.sim.spec import Primitive, SceneObject

Array = NDArray[np.float64]
_TINY = 1e-12


def _ball(o: Array, d: Array, radius: float) -> tuple[Array, Array]:
    """Return the interval of a ball around the origin."""
    a = np.einsum('ij,ij->i', d, d)
    b = np.einsum('ij,ij->i', o, d)
    c = np.einsum('ij,ij->i', o, o) - radius * radius
    return _quadratic(a, b, c)


def _quadratic(a: Array, b: Array, c: Array) -> tuple[Array, Array]:
    """Return the interval where a t^2 + 2 b t + c <= 0; (inf, -inf) where it is empty."""
    disc = b * b - a * c
    with np.errstate(invalid='ignore', divide='ignore'):
        root = np.sqrt(disc)
        near, far = (-b - root) / a, (-b + root) / a
    parallel = a < _TINY
    near = np.where(parallel, np.where(c <= 0, -np.inf, np.inf), near)
    far = np.where(parallel, np.where(c <= 0, np.inf, -np.inf), far)
    miss = ~parallel & (disc < 0)
    return np.where(miss, np.inf, near), np.where(miss, -np.inf, far)


def _slab(o: Array, d: Array, half: float) -> tuple[Array, Array]:
    """Return the interval where |o + t d| <= half along one axis."""
    safe = np.where(np.abs(d) < _TINY, _TINY, d)
    t1, t2 = (-half - o) / safe, (half - o) / safe
    return np.minimum(t1, t2), np.maximum(t1, t2)


def _interval(shape: str, size: tuple[float, ...], o: Array, d: Array) -> tuple[Array, Array]:
    """Return entry and exit of rays (N, 3) given in the part's frame; entry > exit where missed."""
    if shape == 'box':
        half = np.asarray(size[:3])
        safe = np.where(np.abs(d) < _TINY, _TINY, d)
        t1, t2 = (-half - o) / safe, (half - o) / safe
        return np.minimum(t1, t2).max(axis=1), np.maximum(t1, t2).min(axis=1)
    if shape == 'sphere':
        return _ball(o, d, size[0])
    if shape == 'ellipsoid':
        inverse = 1.0 / np.asarray(size[:3])
        return _ball(o * inverse, d * inverse, 1.0)
    radius, length = size[0], size[1]
    a = d[:, 0] ** 2 + d[:, 1] ** 2
    b = o[:, 0] * d[:, 0] + o[:, 1] * d[:, 1]
    c = o[:, 0] ** 2 + o[:, 1] ** 2 - radius * radius
    side, cap = _quadratic(a, b, c), _slab(o[:, 2], d[:, 2], length)
    near, far = np.maximum(side[0], cap[0]), np.minimum(side[1], cap[1])
    if shape == 'cylinder':
        return near, far
    if shape == 'capsule':
        near, far = np.where(near <= far, near, np.inf), np.where(near <= far, far, -np.inf)
        for z in (-length, length):
            n, f = _ball(o - np.array([0.0, 0.0, z]), d, radius)
            near, far = np.minimum(near, n), np.maximum(far, f)
        return near, far
    raise ValueError(
        f"shape '{shape}' is unknown: must be box, cylinder, sphere, capsule or ellipsoid"
    )


def part_entry(
    part: Primitive, world_from_object: Array, origins: Array, directions: Array
) -> Array:
    """Return the ray parameter (N,) where rays enter a part from outside, ``inf`` where they miss it.

    Args:
        part: The convex part.
        world_from_object: (4, 4) pose of its object.
        origins: (N, 3) or (3,) starts in the world, metres.
        directions: (N, 3) in the world, any length: the parameter counts in multiples of it.
    """
    pose = world_from_object @ part.pose
    o = np.broadcast_to((origins - pose[:3, 3]) @ pose[:3, :3], directions.shape)
    near, far = _interval(part.shape, part.size, o, directions @ pose[:3, :3])
    return np.where((near <= far) & (far > 0), np.maximum(near, 0.0), np.inf)


def object_entry(obj: SceneObject, origins: Array, directions: Array) -> Array:
    """Return the ray parameter (N,) where rays enter an object, ``inf`` where they miss it.

    Arguments as in :func:`part_entry`.
    """
    best = np.full(len(directions), np.inf)
    for part in obj.parts:
        np.minimum(best, part_entry(part, obj.pose, origins, directions), out=best)
    return best


def inside_part(part: Primitive, world_from_object: Array, points: Array) -> NDArray[np.bool_]:
    """Tell which world points (N, 3) lie inside a part."""
    pose = world_from_object @ part.pose
    p = (points - pose[:3, 3]) @ pose[:3, :3]
    s = part.size
    if part.shape == 'box':
        return np.all(np.abs(p) <= np.asarray(s[:3]), axis=1)
    if part.shape == 'sphere':
        return np.einsum('ij,ij->i', p, p) <= s[0] ** 2
    if part.shape == 'ellipsoid':
        q = p / np.asarray(s[:3])
        return np.einsum('ij,ij->i', q, q) <= 1.0
    r2 = p[:, 0] ** 2 + p[:, 1] ** 2
    if part.shape == 'cylinder':
        return (r2 <= s[0] ** 2) & (np.abs(p[:, 2]) <= s[1])
    if part.shape == 'capsule':
        z = np.maximum(np.abs(p[:, 2]) - s[1], 0.0)
        return r2 + z * z <= s[0] ** 2
    raise ValueError(
        f"shape '{part.shape}' is unknown: must be box, cylinder, sphere, capsule or ellipsoid"
    )
