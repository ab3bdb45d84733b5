# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Distances of many capsules at once: to each other and to boxes; closed forms, no iteration.

Between strictly convex shapes distance and normal are smooth in the configuration, which is what a
barrier needs; hulls of meshes are not (their normals jump from feature to feature). All arrays are
over pairs, (K, ...), metres.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

#: squared lengths below this are points, m^2
_POINT = 1e-12
#: squared sine between axes, times squared lengths, below which they are taken as parallel, m^4
_PARALLEL = 1e-12
#: axes nearer than this have no normal, m
_TOUCHING = 1e-9


def segment_to_segment(p1: Matrix, q1: Matrix, p2: Matrix, q2: Matrix) -> tuple[Matrix, Matrix]:
    """Return the nearest points (K, 3) of segments p1..q1 and p2..q2, each (K, 3)."""
    d1, d2, r = q1 - p1, q2 - p2, p1 - p2
    a, e, b = _dot(d1, d1), _dot(d2, d2), _dot(d1, d2)
    c, f = _dot(d1, r), _dot(d2, r)
    a_safe, e_safe = np.maximum(a, _POINT), np.maximum(e, _POINT)
    denominator = a * e - b * b
    s = _unit((b * f - c * e) / np.maximum(denominator, _PARALLEL))
    # Parallel axes have many nearest points; the start of the first one is as good as any.
    s = np.where(denominator < _PARALLEL, 0.0, s)
    t = _unit((b * s + f) / e_safe)
    s = _unit((b * t - c) / a_safe)
    return p1 + s[:, None] * d1, p2 + t[:, None] * d2


def capsule_to_capsule(
    p1: Matrix, q1: Matrix, r1: Matrix, p2: Matrix, q2: Matrix, r2: Matrix
) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """Measure capsules with axes p..q and radii r (K,) against each other.

    Returns:
        Signed distance (K,), unit normal (K, 3) from the second to the first, and the points (K, 3)
        on both axes that are nearest. The distance's rate is the normal times the difference of
        those points' velocities.
    """
    x1, x2 = segment_to_segment(p1, q1, p2, q2)
    difference = x1 - x2
    length = np.sqrt(_dot(difference, difference))
    normal = difference / np.maximum(length, _TOUCHING)[:, None]
    return length - (r1 + r2), normal, x1, x2


def segment_to_box(p: Matrix, q: Matrix, half: Matrix) -> Matrix:
    """Return the point (K, 3) of segment p..q that is nearest to the box -half..half (K, 3).

    Along a segment half the squared distance has a derivative that is increasing and linear between
    the places where a coordinate enters or leaves the box: its zero is found exactly.
    """
    d = q - p
    safe = np.where(np.abs(d) < 1e-12, 1e-12, d)
    knots = np.empty((len(p), 8))
    knots[:, 0], knots[:, 7] = 0.0, 1.0
    knots[:, 1:4] = _unit((-half - p) / safe)
    knots[:, 4:7] = _unit((half - p) / safe)
    knots.sort(axis=1)
    points = p[:, None] + knots[:, :, None] * d[:, None]
    sides = half[:, None]
    outside = points - np.minimum(np.maximum(points, -sides), sides)
    slope = (outside * d[:, None]).sum(axis=2)
    # The first knot with a slope >= 0 ends the piece that holds the zero.
    after = np.argmax(slope >= 0.0, axis=1)
    after = np.where(slope[:, -1] < 0.0, 7, after)
    before = np.maximum(after - 1, 0)
    rows = np.arange(len(p))
    low, high = slope[rows, before], slope[rows, after]
    rise = high - low
    share = np.where(rise > 1e-15, _unit(-low / np.maximum(rise, 1e-15)), 1.0)
    t = knots[rows, before] + share * (knots[rows, after] - knots[rows, before])
    return p + t[:, None] * d


def point_to_box(x: Matrix, half: Matrix) -> tuple[Matrix, Matrix]:
    """Return signed distance (K,) and unit normal (K, 3) out of the box -half..half of points x.

    Inside the nearest face counts.
    """
    out = x - np.minimum(np.maximum(x, -half), half)
    distance = np.sqrt(_dot(out, out))
    normal = out / np.maximum(distance, _TOUCHING)[:, None]
    inside = np.flatnonzero(distance < _TOUCHING)
    if len(inside):
        depth = half[inside] - np.abs(x[inside])
        face = np.argmin(depth, axis=1)
        normal[inside] = 0.0
        normal[inside, face] = np.where(x[inside, face] < 0, -1.0, 1.0)
        distance[inside] = -depth[np.arange(len(inside)), face]
    return distance, normal


def capsule_to_box(
    p: Matrix, q: Matrix, radius: Matrix, half: Matrix
) -> tuple[Matrix, Matrix, Matrix]:
    """Measure capsules, and the balls at both of their ends, against boxes in the boxes' own frames.

    Of an axis parallel to a face the nearest point jumps from end to end: who keeps only that one
    off lets the other end dip in.

    Args:
        p: First ends of the axes (K, 3).
        q: Second ends.
        radius: Of the capsules (K,).
        half: Half sides of the boxes (K, 3).

    Returns:
        Signed distance (3 K,), unit normal (3 K, 3) out of the box, and point on the axis (3 K, 3)
        that it is of: the nearest points of all axes, then all first, then all second ends.
    """
    x = np.concatenate([segment_to_box(p, q, half), p, q])
    distance, normal = point_to_box(x, np.concatenate([half, half, half]))
    distance -= np.concatenate([radius, radius, radius])
    return distance, normal, x


def _unit(a: Matrix) -> Matrix:
    """Cut to 0..1; np.clip takes twice as long on small arrays."""
    return np.minimum(np.maximum(a, 0.0), 1.0)


def _dot(a: Matrix, b: Matrix) -> Matrix:
    product: Matrix = np.einsum('ij,ij->i', a, b)
    return product
