# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Vertices of PLY meshes, and the upright box around some of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from robotracer_ros.data.files import DatasetFileError, read_bytes

Array = NDArray[np.float64]

_TYPES = {
    'char': 'i1', 'uchar': 'u1', 'short': 'i2', 'ushort': 'u2', 'int': 'i4', 'uint': 'u4', 'float': 'f4',
    'double': 'f8', 'int8': 'i1', 'uint8': 'u1', 'int16': 'i2', 'uint16': 'u2', 'int32': 'i4', 'uint32': 'u4',
    'float32': 'f4', 'float64': 'f8',
}  # fmt: skip
_ORDERS = {'binary_little_endian': '<', 'binary_big_endian': '>'}
#: sides (m) that are less than this are noise of a mesh, not a box
_LEAST_SIDE = 0.005


def read_vertices(path: Path) -> Array:
    """Read the vertices (N, 3) of a PLY file, metres, binary or text. Raises DatasetFileError."""
    data = read_bytes(path)
    head, mark, body = data.partition(b'end_header\n')
    if not data.startswith(b'ply') or not mark:
        raise DatasetFileError(path, 'header', 'is no PLY header')
    encoding, count, element = '', 0, ''
    fields: list[tuple[str, str]] = []
    for words in (line.split() for line in head.decode('ascii', 'replace').splitlines()):
        match words:
            case ['format', kind, _]:
                encoding = kind
            case ['element', name, n]:
                if not n.isascii() or not n.isdigit():
                    raise DatasetFileError(path, f'element {name}', f"'{n}' is no number of them")
                if not fields and element == 'vertex':
                    break
                if name != 'vertex' and not element:
                    raise DatasetFileError(path, 'header', f"'{name}' stands before vertex")
                element, count = name, int(n) if name == 'vertex' else count
            case ['property', kind, name] if element == 'vertex':
                if kind not in _TYPES:
                    raise DatasetFileError(path, f'property {name}', f"type '{kind}' is unknown")
                fields.append((name, _TYPES[kind]))
    names = [name for name, _ in fields]
    if len(set(names)) < len(names):
        raise DatasetFileError(path, 'vertex', f'has properties {names}: each must be there once')
    if not {'x', 'y', 'z'} <= set(names):
        raise DatasetFileError(path, 'vertex', f'has properties {names}: x, y and z must be there')
    if encoding == 'ascii':
        rows = [line.split() for line in body.splitlines()[:count]]
        if len(rows) < count or any(len(r) < len(names) for r in rows):
            raise DatasetFileError(path, 'vertex', f'is cut off: {count} vertices must be there')
        try:
            table = np.array([[float(r[names.index(k)]) for k in 'xyz'] for r in rows])
        except ValueError as error:
            raise DatasetFileError(path, 'vertex', f'is no number: {error}') from error
        return _finite(table.reshape(count, 3), path)
    if encoding not in _ORDERS:
        raise DatasetFileError(path, 'format', f"'{encoding}' is unknown")
    dtype = np.dtype([(name, _ORDERS[encoding] + kind) for name, kind in fields])
    if len(body) < count * dtype.itemsize:
        raise DatasetFileError(
            path, 'vertex', f'is cut off: {len(body)} of {count * dtype.itemsize} bytes'
        )
    found = np.frombuffer(body, dtype, count)
    return _finite(np.stack([found[k].astype(float) for k in 'xyz'], axis=1), path)


def _finite(vertices: Array, path: Path) -> Array:
    wrong = np.flatnonzero(~np.isfinite(vertices).all(axis=1))
    if len(wrong):
        raise DatasetFileError(
            path, f'vertex {wrong[0]}', f'is at {vertices[wrong[0]].tolist()}: must be finite'
        )
    return vertices


def upright_box(points: Array) -> tuple[Array, Array, Array] | None:
    """Return centre (3,), sides (3,) and rotation (3, 3) of the smallest upright box around points (N, 3), z up.

    The rectangle of least area that lies along an edge of the hull of the floor plan; None for fewer than 4 points or
    points in a line.
    """
    if len(points) < 4:
        return None
    plan = points[:, :2]
    try:
        hull = plan[ConvexHull(plan).vertices]
    except QhullError:
        return None
    edges = np.roll(hull, -1, axis=0) - hull
    angles = np.unique(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2))
    axes = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    across = np.stack([-np.sin(angles), np.cos(angles)], axis=1)
    u, v = hull @ axes.T, hull @ across.T
    sizes = np.stack([np.ptp(u, axis=0), np.ptp(v, axis=0)], axis=1)
    k = int(np.argmin(sizes.prod(axis=1)))
    low, high = points[:, 2].min(), points[:, 2].max()
    middle = (
        (u[:, k].max() + u[:, k].min()) / 2 * axes[k]
        + (v[:, k].max() + v[:, k].min()) / 2 * across[k]
    )
    rotation = np.eye(3)
    rotation[:2, 0], rotation[:2, 1] = axes[k], across[k]
    sides = np.maximum([*sizes[k], high - low], _LEAST_SIDE)
    return np.array([*middle, (low + high) / 2]), sides, rotation
