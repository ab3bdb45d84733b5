# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Triangles of primitives and of the robot's links, with smooth normals, for the ray caster."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import ceil, pi

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.sim.spec import Primitive, SceneObject


@dataclass(frozen=True)
class Mesh:
    """Triangles that share vertices.

    Attributes:
        vertices: (V, 3) float32 metres.
        faces: (F, 3) int32 indices into ``vertices``.
        normals: (F, 3, 3) float32 unit shading normals at the corners.
        colors: (F, 3) float32 in 0..1.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    normals: NDArray[np.float32]
    colors: NDArray[np.float32]

    def moved(self, pose: NDArray[np.float64]) -> Mesh:
        """Return the mesh transformed by a rigid pose (4, 4)."""
        rotation = pose[:3, :3].T.astype(np.float32)
        shift = pose[:3, 3].astype(np.float32)
        return Mesh(self.vertices @ rotation + shift, self.faces,
                    (self.normals.reshape(-1, 3) @ rotation).reshape(-1, 3, 3), self.colors)


def join(meshes: list[Mesh]) -> Mesh:
    """Concatenate meshes in order."""
    offsets = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(np.concatenate([m.vertices for m in meshes]),
                np.concatenate([m.faces + o for m, o in zip(meshes, offsets, strict=True)],
                               dtype=np.int32),
                np.concatenate([m.normals for m in meshes]),
                np.concatenate([m.colors for m in meshes]))


def _indexed(triangles: NDArray[np.float32], normals: NDArray[np.float32],
             rgb: tuple[float, float, float]) -> Mesh:
    """Share the equal corners of triangles (F, 3, 3)."""
    vertices, index = np.unique(triangles.reshape(-1, 3), axis=0, return_inverse=True)
    colors = np.broadcast_to(np.array(rgb, np.float32), (len(triangles), 3))
    return Mesh(vertices, index.reshape(-1, 3).astype(np.int32), normals, colors)


def _sides(radius: float, error: float = 3e-4) -> int:
    """Return how many sides keep a polygon within ``error`` metres of a circle, a multiple of 4."""
    return 4 * int(np.clip(ceil(pi / np.arccos(1 - error / max(radius, 4 * error)) / 4), 2, 12))


@cache
def _box(size: tuple[float, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    triangles, normals = [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            corners = np.zeros((4, 3))
            corners[:, axis] = sign
            corners[:, u] = np.array([-1, 1, 1, -1]) * sign
            corners[:, v] = [-1, -1, 1, 1]
            corners = corners * size
            triangles += [corners[[0, 1, 2]], corners[[0, 2, 3]]]
            normal = np.zeros((3, 3))
            normal[:, axis] = sign
            normals += [normal, normal]
    return np.array(triangles, np.float32), np.array(normals, np.float32)


#: one end of a piece of a profile: radius and height in metres, radial and axial part of the shading normal
_End = tuple[float, float, float, float]


def _revolve(pieces: list[tuple[_End, _End]], sides: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Turn a profile, listed from the lowest piece up, around z."""
    angles = np.arange(sides + 1) * (2 * pi / sides)
    c, s, one = np.cos(angles), np.sin(angles), np.ones(sides + 1)
    triangles, normals = [], []
    for piece in pieces:
        (low, nlow), (high, nhigh) = [(np.stack([r * c, r * s, z * one], 1), np.stack([nr * c, nr * s, nz * one], 1))
                                      for r, z, nr, nz in piece]
        if piece[0][0] > 0:
            triangles.append(np.stack([low[:-1], low[1:], high[1:]], 1))
            normals.append(np.stack([nlow[:-1], nlow[1:], nhigh[1:]], 1))
        if piece[1][0] > 0:
            triangles.append(np.stack([low[:-1], high[1:], high[:-1]], 1))
            normals.append(np.stack([nlow[:-1], nhigh[1:], nhigh[:-1]], 1))
    return np.concatenate(triangles).astype(np.float32), np.concatenate(normals).astype(np.float32)


@cache
def _cylinder(radius: float, half: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return _revolve([((0, -half, 0, -1), (radius, -half, 0, -1)), ((radius, -half, 1, 0), (radius, half, 1, 0)),
                     ((radius, half, 0, 1), (0, half, 0, 1))], _sides(radius))


@cache
def _capsule(radius: float, half: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A sphere when ``half`` is 0."""
    sides = _sides(radius)
    rings = max(2, sides // 4)
    ends: list[_End] = []
    for sign in (-1.0, 1.0):
        for k in range(rings + 1):
            a = pi / 2 * (k / rings - (1 if sign < 0 else 0))
            r = radius * np.cos(a) if abs(a) < pi / 2 else 0.0
            ends.append((r, sign * half + radius * np.sin(a), np.cos(a), np.sin(a)))
    pieces = [(a, b) for a, b in pairwise(ends) if b[1] - a[1] > 1e-9]
    return _revolve(pieces, sides)


@cache
def _ellipsoid(size: tuple[float, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    # A unit sphere is as fine as one of the largest half axis; normals scale inversely.
    triangles, normals = _capsule(max(size), 0.0)
    stretched = triangles / max(size) * np.array(size, np.float32)
    n = normals / np.array(size, np.float32)
    return stretched, n / np.linalg.norm(n, axis=-1, keepdims=True)


def _round_wall(triangles: NDArray[np.float32], normals: NDArray[np.float32],
                local: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bend the normals of a box's inner and outer face (its local x) around the object's z axis."""
    level = np.hypot(normals[..., 0], normals[..., 1])
    radial = triangles[..., :2] / np.maximum(np.linalg.norm(triangles[..., :2], axis=-1, keepdims=True), 1e-9)
    radial = radial * np.sign(np.sum(radial * normals[..., :2], axis=-1, keepdims=True))
    bent = np.concatenate([radial * level[..., None], normals[..., 2:]], axis=-1)
    return np.where(np.abs(local[..., :1]) > 0.5, bent, normals).astype(np.float32)


def primitive_mesh(part: Primitive, rgb: tuple[float, float, float], axis: NDArray[np.float64] | None = None) -> Mesh:
    """Tessellate a part in the object frame.

    Args:
        part: The convex part.
        rgb: Colour used when the part has none of its own.
        axis: (2,) where the axis of its wall of revolution passes, for rounded parts; the origin when None.
    """
    if part.shape == 'box':
        triangles, normals = _box(part.size)
    elif part.shape == 'cylinder':
        triangles, normals = _cylinder(part.size[0], part.size[1])
    elif part.shape == 'capsule':
        triangles, normals = _capsule(part.size[0], part.size[1])
    elif part.shape == 'sphere':
        triangles, normals = _capsule(part.size[0], 0.0)
    else:
        triangles, normals = _ellipsoid(part.size)
    mesh = _indexed(triangles, normals, part.rgb or rgb).moved(part.pose)
    if part.rounded:
        centre = np.zeros(2) if axis is None else axis
        corners = mesh.vertices[mesh.faces] - np.array([centre[0], centre[1], 0], np.float32)
        return replace(mesh, normals=_round_wall(corners, mesh.normals, normals))
    return mesh


class MeshCache:
    """Keeps the meshes of recently drawn objects, in the object frame: a moving object is tessellated once."""

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[int, tuple[float, float, float]], tuple[object, Mesh]] = OrderedDict()

    def get(self, o: SceneObject) -> Mesh:
        """Return the mesh of an object in its own frame."""
        # The parts tuple is kept with its mesh, so its id cannot be taken by another one.
        key = (id(o.parts), o.rgb)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][1]
        rounded = [p.pose[:2, 3] for p in o.parts if p.rounded]
        axis = np.mean(rounded, axis=0) if rounded else None
        mesh = join([primitive_mesh(p, o.rgb, axis) for p in o.parts])
        self._kept[key] = (o.parts, mesh)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return mesh


def smooth_mesh(vertices: NDArray[np.float64], faces: NDArray[np.int64], rgb: tuple[float, float, float],
                crease_deg: float = 35.0) -> Mesh:
    """Make a mesh of vertices (V, 3) and faces (F, 3).

    Normals are averaged over neighbours that meet below the crease angle.
    """
    triangles = vertices[faces]
    cross = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    area = np.linalg.norm(cross, axis=1, keepdims=True)
    flat = cross / np.maximum(area, 1e-15)
    # Corners at the same place are one vertex, whatever the file says.
    _, same = np.unique(np.round(vertices * 1e5).astype(np.int64), axis=0, return_inverse=True)
    corner_vertex = same.reshape(-1)[faces]
    around: dict[int, list[int]] = {}
    for f, corners in enumerate(corner_vertex):
        for v in corners:
            around.setdefault(int(v), []).append(f)
    limit = np.cos(np.deg2rad(crease_deg))
    normals = np.empty_like(triangles)
    for f, corners in enumerate(corner_vertex):
        for k, v in enumerate(corners):
            near = np.array(around[int(v)])
            near = near[flat[near] @ flat[f] >= limit]
            n = cross[near].sum(axis=0) if len(near) else flat[f]
            normals[f, k] = n / max(float(np.linalg.norm(n)), 1e-15)
    return _indexed(triangles.astype(np.float32), normals.astype(np.float32), rgb)
