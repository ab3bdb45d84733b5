# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The kinds of things that stand on the simulated table, built from convex primitives.

Every builder works in a frame whose origin is the middle of the bottom (z up); :func:`make_object` moves it to the centre of
the bounding box. Hollow things are rings of boxes on a floor, so that things go into them and contacts are right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from math import atan2, cos, hypot, pi, sin, tan

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.geometry.transforms import make_transform, rotation_about
from robotracer_ros.sim.spec import Primitive, SceneObject, Shape

Rgb = tuple[float, float, float]
Parts = tuple[Primitive, ...]

#: colour words and what they look like
COLORS: dict[str, Rgb] = {
    'red': (0.80, 0.12, 0.11), 'orange': (0.95, 0.50, 0.07), 'yellow': (0.95, 0.82, 0.13), 'green': (0.16, 0.58, 0.22),
    'blue': (0.12, 0.30, 0.78), 'purple': (0.47, 0.18, 0.62), 'pink': (0.94, 0.52, 0.68), 'white': (0.93, 0.93, 0.91),
    'black': (0.10, 0.10, 0.11), 'brown': (0.42, 0.26, 0.14), 'gray': (0.50, 0.51, 0.53), 'cyan': (0.15, 0.72, 0.76)}
SIZES = ('small', 'medium', 'large')
#: how many slightly different shapes exist of each kind and size
VARIANTS = 4

_METAL: Rgb = (0.72, 0.73, 0.75)
_PAPER: Rgb = (0.93, 0.91, 0.85)
_SOIL: Rgb = (0.24, 0.16, 0.10)
_LEAF: Rgb = (0.20, 0.50, 0.18)
_BRIGHT = ('red', 'orange', 'yellow', 'green', 'blue', 'purple', 'pink', 'cyan')
_ALL = tuple(COLORS)


@dataclass(frozen=True)
class Body:
    """Shape of one thing, origin at the middle of its bottom.

    Attributes:
        parts: Convex parts.
        support_height: Height (m) of the surface that takes placed things.
        support_size: Half sides (m) of that surface.
    """

    parts: Parts
    support_height: float = 0.0
    support_size: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Kind:
    """A kind of thing.

    Attributes:
        build: Makes the body from a scale factor (1 is medium) and random numbers.
        mass: Kilograms at medium size.
        colors: Colour words it comes in.
        scales: Scale factors of small, medium and large.
        graspable, support, container, fixed: As in :class:`~robotracer_ros.sim.spec.SceneObject`.
        weight: How often it is drawn, relative to 1.
    """

    build: Callable[[float, np.random.Generator], Body]
    mass: float
    colors: tuple[str, ...] = _ALL
    scales: tuple[float, float, float] = (0.78, 1.0, 1.24)
    graspable: bool = False
    support: bool = False
    container: bool = False
    fixed: bool = False
    weight: float = 1.0


def _at(x: float = 0.0, y: float = 0.0, z: float = 0.0, rotation: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    return make_transform(rotation, (x, y, z))


def _box(sx: float, sy: float, sz: float, z: float, x: float = 0.0, y: float = 0.0, rgb: Rgb | None = None) -> Primitive:
    """Return an upright box of full sides (sx, sy, sz) with its bottom at z."""
    return Primitive('box', (sx / 2, sy / 2, sz / 2), _at(x, y, z + sz / 2), rgb)


def _disc(r: float, h: float, z: float, rgb: Rgb | None = None) -> Primitive:
    """Return an upright cylinder of radius r and height h with its bottom at z."""
    return Primitive('cylinder', (r, h / 2), _at(z=z + h / 2), rgb)


def _rod(a: tuple[float, float, float], b: tuple[float, float, float], r: float, rgb: Rgb | None = None,
         shape: Shape = 'capsule') -> Primitive:
    """Return a capsule (or cylinder) of radius r between two points."""
    p, q = np.array(a), np.array(b)
    d = q - p
    n = float(np.linalg.norm(d))
    axis = np.cross((0.0, 0.0, 1.0), d / n)
    s = float(np.linalg.norm(axis))
    if s < 1e-9:
        rotation = np.eye(3)
    else:
        rotation = rotation_about(axis, atan2(s, d[2] / n))
    return Primitive(shape, (r, n / 2), make_transform(rotation, (p + q) / 2), rgb)


def _ring(r0: float, z0: float, r1: float, z1: float, wall: float, n: int = 16, rgb: Rgb | None = None) -> list[Primitive]:
    """Return n boxes around z whose outer face goes from radius r0 at height z0 to r1 at z1, ``wall`` thick."""
    height, lean = hypot(r1 - r0, z1 - z0), atan2(r1 - r0, z1 - z0)
    width = max(r0, r1) * tan(pi / n)
    parts = []
    for i in range(n):
        a = 2 * pi * i / n
        # The box's x points outward (normal to the outer face), z along the wall.
        normal = np.array([cos(lean) * cos(a), cos(lean) * sin(a), -sin(lean)])
        along = np.array([sin(lean) * cos(a), sin(lean) * sin(a), cos(lean)])
        rotation = np.stack([normal, np.cross(along, normal), along], axis=1)
        middle = np.array([(r0 + r1) / 2 * cos(a), (r0 + r1) / 2 * sin(a), (z0 + z1) / 2]) - normal * wall / 2
        parts.append(Primitive('box', (wall / 2, width, height / 2), make_transform(rotation, middle), rgb, rounded=True))
    return parts


def _arc(centre: tuple[float, float], radii: tuple[float, float], start: float, stop: float, r: float, n: int,
         rgb: Rgb | None = None) -> list[Primitive]:
    """Return n capsules along an elliptic arc in the xz plane, angles from +x towards +z."""
    angles = np.linspace(start, stop, n + 1)
    points = [(centre[0] + radii[0] * cos(a), 0.0, centre[1] + radii[1] * sin(a)) for a in angles]
    return [_rod(p, q, r, rgb) for p, q in zip(points, points[1:], strict=False)]


def _make_box(s: float, rng: np.random.Generator) -> Body:
    x, y, z = s * rng.uniform(0.070, 0.085), s * rng.uniform(0.050, 0.062), s * rng.uniform(0.060, 0.080)
    return Body((_box(x, y, z, 0),), z, (x / 2, y / 2))


def _make_block(s: float, rng: np.random.Generator) -> Body:
    a = s * rng.uniform(0.043, 0.047)
    return Body((_box(a, a, a, 0),), a, (a / 2, a / 2))


def _make_carton(s: float, rng: np.random.Generator) -> Body:
    x, y, z = s * rng.uniform(0.060, 0.068), s * rng.uniform(0.046, 0.054), s * rng.uniform(0.125, 0.145)
    return Body((_box(x, y, z, 0), _box(x * 0.55, y * 1.004, z * 0.3, z * 0.45, rgb=_PAPER)), z, (x / 2, y / 2))


def _make_can(s: float, rng: np.random.Generator) -> Body:
    r, h = s * rng.uniform(0.030, 0.033), s * rng.uniform(0.095, 0.108)
    lip = 0.006 * s
    return Body((_disc(r * 0.94, lip, 0, _METAL), _disc(r, h - 2 * lip, lip), _disc(r * 0.94, lip, h - lip, _METAL)),
                h, (r * 0.6, r * 0.6))


def _make_jar(s: float, rng: np.random.Generator) -> Body:
    r, h = s * rng.uniform(0.032, 0.035), s * rng.uniform(0.062, 0.074)
    lid = 0.016 * s
    return Body((_disc(r, h, 0), _disc(r * 1.06, lid, h, (0.86, 0.80, 0.62))), h + lid, (r * 0.7, r * 0.7))


def _make_candle(s: float, rng: np.random.Generator) -> Body:
    r, h = s * rng.uniform(0.021, 0.024), s * rng.uniform(0.085, 0.105)
    return Body((_disc(r, h, 0), _rod((0, 0, h), (0, 0, h + 0.012), 0.002, COLORS['black'])))


def _make_ball(s: float, rng: np.random.Generator) -> Body:
    r = s * rng.uniform(0.031, 0.034)
    return Body((Primitive('sphere', (r,), _at(z=r)),))


def _make_lemon(s: float, rng: np.random.Generator) -> Body:
    a, b = s * rng.uniform(0.037, 0.041), s * rng.uniform(0.026, 0.029)
    tip = 0.010 * s
    return Body((Primitive('ellipsoid', (a, b, b), _at(z=b)),
                 Primitive('ellipsoid', (tip, tip * 0.7, tip * 0.7), _at(x=a * 0.95, z=b)),
                 Primitive('ellipsoid', (tip, tip * 0.7, tip * 0.7), _at(x=-a * 0.95, z=b))))


def _make_sponge(s: float, rng: np.random.Generator) -> Body:
    x, y, z = s * rng.uniform(0.088, 0.098), s * rng.uniform(0.056, 0.062), s * rng.uniform(0.026, 0.032)
    return Body((_box(x, y, z * 0.2, 0, rgb=(0.16, 0.26, 0.18)), _box(x, y, z * 0.8, z * 0.2)), z, (x / 2, y / 2))


def _make_bowl(s: float, rng: np.random.Generator) -> Body:
    r, h, wall = s * rng.uniform(0.066, 0.072), s * rng.uniform(0.046, 0.052), 0.005
    floor, foot = 0.006, r * 0.48
    knee_r, knee_z = r * 0.86, h * 0.45
    parts = [_disc(foot, floor, 0), *_ring(foot, 0.001, knee_r, knee_z, wall), *_ring(knee_r, knee_z, r, h, wall)]
    return Body(tuple(parts), floor, (foot * 0.68, foot * 0.68))


def _make_mug(s: float, rng: np.random.Generator) -> Body:
    r, h, wall = s * rng.uniform(0.034, 0.037), s * rng.uniform(0.080, 0.092), 0.005
    reach, thick = 0.022 * s, 0.0048
    parts = [_disc(r - wall / 2, 0.006, 0), *_ring(r, 0, r, h, wall),
             *_arc((r - 0.003, h * 0.52), (reach, h * 0.29), -pi / 2, pi / 2, thick, 6)]
    return Body(tuple(parts), 0.006, ((r - wall) * 0.7, (r - wall) * 0.7))


def _make_cup(s: float, rng: np.random.Generator) -> Body:
    r0, r1, h = s * rng.uniform(0.024, 0.027), s * rng.uniform(0.033, 0.037), s * rng.uniform(0.085, 0.100)
    parts = [_disc(r0 * 0.95, 0.006, 0), *_ring(r0, 0, r1, h, 0.004)]
    return Body(tuple(parts), 0.006, (r0 * 0.65, r0 * 0.65))


def _make_plate(s: float, rng: np.random.Generator) -> Body:
    r, h = s * rng.uniform(0.082, 0.090), 0.016
    foot, floor = r * 0.66, 0.007
    parts = [_disc(foot, floor, 0), *_ring(foot, 0.001, r, h, 0.0055, 20)]
    return Body(tuple(parts), floor, (foot * 0.7, foot * 0.7))


def _make_bottle(s: float, rng: np.random.Generator) -> Body:
    r, h, neck = s * rng.uniform(0.027, 0.030), s * rng.uniform(0.100, 0.120), s * rng.uniform(0.010, 0.012)
    top = h + r * 0.9
    length = 0.028 * s
    parts = (_disc(r, h, 0), Primitive('ellipsoid', (r, r, r * 1.05), _at(z=h)), _disc(neck, length, top),
             _disc(neck * 1.2, 0.016 * s, top + length, (0.90, 0.90, 0.88)), _disc(r * 1.012, h * 0.38, h * 0.32, _PAPER))
    return Body(parts)


def _walls(x: float, y: float, h: float, wall: float, floor: float) -> list[Primitive]:
    return [_box(x, y, floor, 0), _box(x, wall, h - floor, floor, y=(y - wall) / 2),
            _box(x, wall, h - floor, floor, y=-(y - wall) / 2),
            _box(wall, y - 2 * wall, h - floor, floor, x=(x - wall) / 2),
            _box(wall, y - 2 * wall, h - floor, floor, x=-(x - wall) / 2)]


def _make_tray(s: float, rng: np.random.Generator) -> Body:
    x, y, h, wall, floor = s * rng.uniform(0.20, 0.24), s * rng.uniform(0.145, 0.17), 0.022, 0.007, 0.007
    return Body(tuple(_walls(x, y, h, wall, floor)), floor, (x / 2 - wall, y / 2 - wall))


def _make_basket(s: float, rng: np.random.Generator) -> Body:
    x, y, h = s * rng.uniform(0.16, 0.18), s * rng.uniform(0.13, 0.145), s * rng.uniform(0.060, 0.075)
    wall, floor = 0.006, 0.006
    return Body(tuple(_walls(x, y, h, wall, floor)), floor, (x / 2 - wall, y / 2 - wall))


def _make_watering_can(s: float, rng: np.random.Generator) -> Body:
    r, h = s * rng.uniform(0.034, 0.037), s * rng.uniform(0.062, 0.070)
    thick = 0.0052
    tip = (r + 0.055 * s, 0.0, h * 1.12)
    parts = [_disc(r, h, 0), _disc(r * 0.72, 0.004, h, COLORS['black']),
             _rod((r * 0.75, 0, h * 0.30), tip, 0.0075 * s), _rod((tip[0] - 0.004, 0, tip[2] - 0.004),
                                                                (tip[0] + 0.009 * s, 0, tip[2] + 0.008 * s), 0.013 * s, shape='cylinder'),
             *_arc((-r * 0.25, h), (r * 0.72, 0.044 * s), 0.0, pi, thick, 7),
             *_arc((-r * 0.97, h * 0.60), (0.020 * s, h * 0.33), pi / 2, 3 * pi / 2, thick, 5)]
    return Body(tuple(parts))


def _make_flower_pot(s: float, rng: np.random.Generator) -> Body:
    r0, r1, h = s * rng.uniform(0.025, 0.028), s * rng.uniform(0.036, 0.040), s * rng.uniform(0.056, 0.064)
    bloom = COLORS[_BRIGHT[rng.integers(len(_BRIGHT))]] if rng.random() < 0.5 else COLORS['pink']
    stem = h + s * rng.uniform(0.045, 0.065)
    petal = 0.0125 * s
    parts = [_disc(r0 * 0.95, 0.006, 0), *_ring(r0, 0, r1, h * 0.82, 0.006, 14), _disc(r1 + 0.004, h * 0.20, h * 0.80),
             _disc(r1 - 0.002, 0.001, h, _SOIL),
             _rod((0, 0, h * 0.85), (0, 0, stem), 0.0035, _LEAF),
             Primitive('ellipsoid', (0.017 * s, 0.008 * s, 0.003), _at(0.014 * s, 0, h + 0.020 * s, rotation_about((0, 1, 0), -0.6)), _LEAF),
             Primitive('ellipsoid', (0.017 * s, 0.008 * s, 0.003), _at(-0.013 * s, 0.004, h + 0.014 * s, rotation_about((0, 1, 0), 0.7)), _LEAF),
             Primitive('sphere', (petal * 0.85,), _at(z=stem), COLORS['yellow'] if bloom != COLORS['yellow'] else COLORS['brown'])]
    for i in range(6):
        a = pi / 3 * i
        parts.append(Primitive('ellipsoid', (petal, petal * 0.72, petal * 0.5),
                               _at(petal * 1.35 * cos(a), petal * 1.35 * sin(a), stem, rotation_about((0, 0, 1), a)), bloom))
    return Body(tuple(parts))


def _make_book(s: float, rng: np.random.Generator) -> Body:
    x, y, z, cover = s * rng.uniform(0.17, 0.20), s * rng.uniform(0.125, 0.145), s * rng.uniform(0.024, 0.034), 0.003
    parts = (_box(x, y, cover, 0), _box(x - 0.006, y - 0.004, z - 2 * cover, cover, y=-0.002, rgb=_PAPER),
             _box(x, y, cover, z - cover), _box(x, cover, z - 2 * cover, cover, y=(y - cover) / 2))
    return Body(parts, z, (x / 2, y / 2))


def _make_wall(s: float, rng: np.random.Generator) -> Body:
    x, y, z = s * rng.uniform(0.20, 0.26), 0.024, s * rng.uniform(0.12, 0.15)
    return Body((_box(x, y, z, 0),))


#: every kind by its name; insertion order is part of what a seed means
KINDS: dict[str, Kind] = {
    'box': Kind(_make_box, 0.20, graspable=True, support=True),
    'block': Kind(_make_block, 0.08, graspable=True, support=True),
    'carton': Kind(_make_carton, 0.22, _BRIGHT, (0.80, 1.0, 1.2), graspable=True),
    'can': Kind(_make_can, 0.25, (*_BRIGHT, 'white', 'black'), graspable=True),
    'jar': Kind(_make_jar, 0.22, (*_BRIGHT, 'brown', 'white'), (0.80, 1.0, 1.2), graspable=True),
    'candle': Kind(_make_candle, 0.10, ('red', 'orange', 'white', 'green', 'purple', 'blue', 'pink'), graspable=True, weight=0.6),
    'ball': Kind(_make_ball, 0.09, (*_BRIGHT, 'white', 'black'), graspable=True),
    'lemon': Kind(_make_lemon, 0.10, ('yellow', 'green', 'orange'), (0.86, 1.0, 1.16), graspable=True, weight=0.7),
    'sponge': Kind(_make_sponge, 0.06, ('yellow', 'pink', 'orange', 'blue', 'cyan'), (0.82, 1.0, 1.2), graspable=True,
                   support=True, weight=0.6),
    'bowl': Kind(_make_bowl, 0.20, graspable=True, container=True, weight=1.3),
    'mug': Kind(_make_mug, 0.22, scales=(0.82, 1.0, 1.18), graspable=True, weight=1.6),
    'cup': Kind(_make_cup, 0.10, (*_BRIGHT, 'white', 'gray'), (0.82, 1.0, 1.2), graspable=True),
    'plate': Kind(_make_plate, 0.25, scales=(0.82, 1.0, 1.18), support=True, weight=1.5),
    'bottle': Kind(_make_bottle, 0.28, scales=(0.84, 1.0, 1.18), graspable=True),
    'tray': Kind(_make_tray, 0.38, scales=(0.86, 1.0, 1.14), support=True, container=True, weight=1.2),
    'basket': Kind(_make_basket, 0.30, ('brown', 'white', 'gray', 'blue', 'green', 'red'), (0.84, 1.0, 1.15), container=True),
    'watering can': Kind(_make_watering_can, 0.26, (*_BRIGHT, 'gray'), (0.86, 1.0, 1.14), graspable=True),
    'flower pot': Kind(_make_flower_pot, 0.32, ('brown', 'orange', 'white', 'gray', 'blue', 'black'), (0.84, 1.0, 1.16), weight=1.2),
    'book': Kind(_make_book, 0.36, scales=(0.86, 1.0, 1.14), support=True, weight=1.2),
    'wall': Kind(_make_wall, 2.0, ('gray', 'white', 'brown', 'red', 'blue'), (0.82, 1.0, 1.2), fixed=True, weight=0.0),
}


def half_extents(part: Primitive) -> NDArray[np.float64]:
    """Return the half sides (3,) of the axis-aligned box around a part, in the object frame, metres."""
    rotation, size = part.pose[:3, :3], part.size
    along = np.abs(rotation[:, 2])
    if part.shape == 'box':
        return np.abs(rotation) @ np.array(size)
    if part.shape == 'sphere':
        return np.full(3, size[0])
    if part.shape == 'ellipsoid':
        return np.linalg.norm(rotation * np.array(size), axis=1)
    if part.shape == 'capsule':
        return along * size[1] + size[0]
    return along * size[1] + size[0] * np.sqrt(np.maximum(0.0, 1 - along ** 2))


def bounds(parts: Parts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and highest corner (3,) of the box around parts, metres."""
    centres = np.stack([p.pose[:3, 3] for p in parts])
    halves = np.stack([half_extents(p) for p in parts])
    return (centres - halves).min(axis=0), (centres + halves).max(axis=0)


@cache
def _body(kind: str, size_name: str, variant: int) -> tuple[Body, NDArray[np.float64]]:
    """Build a shape once, centred on its bounding box; returns it with its full sides (3,)."""
    spec = KINDS[kind]
    # The same numbers for all sizes: a large one is larger in every direction.
    rng = np.random.default_rng([list(KINDS).index(kind), variant])
    body = spec.build(spec.scales[SIZES.index(size_name)], rng)
    low, high = bounds(body.parts)
    shift = make_transform(translation=-(low + high) / 2)
    extents = high - low
    extents.flags.writeable = False
    return replace(body, parts=tuple(replace(p, pose=shift @ p.pose) for p in body.parts)), extents


def make_object(kind: str, color: str, size_name: str = 'medium', variant: int = 0, object_id: str = '',
                pose: NDArray[np.float64] | None = None, rgb: Rgb | None = None) -> SceneObject:
    """Make a thing of the catalog.

    Args:
        kind: Key of :data:`KINDS`.
        color: Key of :data:`COLORS`.
        size_name: One of :data:`SIZES`.
        variant: 0 .. :data:`VARIANTS` - 1, a slightly different shape.
        object_id: Unique name, the kind by default.
        pose: (4, 4) world_from_object; by default it stands at the world's origin.
        rgb: Exact colour, by default the one of the word.

    Raises:
        KeyError: kind or colour is unknown.
        ValueError: size or variant is unknown.
    """
    if size_name not in SIZES or not 0 <= variant < VARIANTS:
        raise ValueError(f"size '{size_name}', variant {variant}: must be one of {', '.join(SIZES)} and 0..{VARIANTS - 1}")
    spec = KINDS[kind]
    body, extents = _body(kind, size_name, variant)
    scale = spec.scales[SIZES.index(size_name)]
    return SceneObject(
        id=object_id or kind, kind=kind, color=color, rgb=rgb or COLORS[color], size_name=size_name, parts=body.parts,
        extents=extents, mass=round(float(np.clip(spec.mass * scale ** 2, 0.05, 0.4 if not spec.fixed else 9.0)), 4),
        pose=make_transform(translation=(0, 0, extents[2] / 2)) if pose is None else pose, graspable=spec.graspable,
        support=spec.support, container=spec.container, fixed=spec.fixed, support_height=body.support_height,
        support_size=body.support_size)

