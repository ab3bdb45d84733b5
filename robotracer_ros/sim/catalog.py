# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The kinds of things that stand on the simulated table: their shapes, colours, sizes and uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from robotracer_ros.geometry.transforms import make_transform
from robotracer_ros.sim import bodies
from robotracer_ros.sim.bodies import COLORS, Body, Parts, Rgb
from robotracer_ros.sim.spec import Primitive, SceneObject

__all__ = ['COLORS', 'KINDS', 'SIZES', 'VARIANTS', 'Kind', 'bounds', 'half_extents', 'make_object']

SIZES = ('small', 'medium', 'large')
#: how many slightly different shapes exist of each kind and size
VARIANTS = 4

_BRIGHT = ('red', 'orange', 'yellow', 'green', 'blue', 'purple', 'pink', 'cyan')
_ALL = tuple(COLORS)


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


#: every kind by its name; insertion order is part of what a seed means
KINDS: dict[str, Kind] = {
    'box': Kind(bodies.make_box, 0.20, graspable=True, support=True),
    'block': Kind(bodies.make_block, 0.08, graspable=True, support=True),
    'carton': Kind(bodies.make_carton, 0.22, _BRIGHT, (0.80, 1.0, 1.2), graspable=True),
    'can': Kind(bodies.make_can, 0.25, (*_BRIGHT, 'white', 'black'), graspable=True),
    'jar': Kind(bodies.make_jar, 0.22, (*_BRIGHT, 'brown', 'white'), (0.80, 1.0, 1.2), graspable=True),
    'candle': Kind(bodies.make_candle, 0.10, ('red', 'orange', 'white', 'green', 'purple', 'blue', 'pink'),
                   graspable=True, weight=0.6),
    'ball': Kind(bodies.make_ball, 0.09, (*_BRIGHT, 'white', 'black'), graspable=True),
    'lemon': Kind(bodies.make_lemon, 0.10, ('yellow', 'green', 'orange'), (0.86, 1.0, 1.16), graspable=True,
                  weight=0.7),
    'sponge': Kind(bodies.make_sponge, 0.06, ('yellow', 'pink', 'orange', 'blue', 'cyan'), (0.82, 1.0, 1.2),
                   graspable=True, support=True, weight=0.6),
    'bowl': Kind(bodies.make_bowl, 0.20, graspable=True, container=True, weight=1.3),
    'mug': Kind(bodies.make_mug, 0.22, scales=(0.82, 1.0, 1.18), graspable=True, weight=1.6),
    'cup': Kind(bodies.make_cup, 0.10, (*_BRIGHT, 'white', 'gray'), (0.82, 1.0, 1.2), graspable=True),
    'plate': Kind(bodies.make_plate, 0.25, scales=(0.82, 1.0, 1.18), support=True, weight=1.5),
    'bottle': Kind(bodies.make_bottle, 0.28, scales=(0.84, 1.0, 1.18), graspable=True),
    'tray': Kind(bodies.make_tray, 0.38, scales=(0.86, 1.0, 1.14), support=True, container=True, weight=1.2),
    'basket': Kind(bodies.make_basket, 0.30, ('brown', 'white', 'gray', 'blue', 'green', 'red'), (0.84, 1.0, 1.15),
                   container=True),
    'watering can': Kind(bodies.make_watering_can, 0.26, (*_BRIGHT, 'gray'), (0.86, 1.0, 1.14), graspable=True),
    'flower pot': Kind(bodies.make_flower_pot, 0.32, ('brown', 'orange', 'white', 'gray', 'blue', 'black'),
                       (0.84, 1.0, 1.16), weight=1.2),
    'book': Kind(bodies.make_book, 0.36, scales=(0.86, 1.0, 1.14), support=True, weight=1.2),
    'wall': Kind(bodies.make_wall, 2.0, ('gray', 'white', 'brown', 'red', 'blue'), (0.82, 1.0, 1.2), fixed=True,
                 weight=0.0),
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
        raise ValueError(f"size '{size_name}', variant {variant}: "
                         f"must be one of {', '.join(SIZES)} and 0..{VARIANTS - 1}")
    spec = KINDS[kind]
    body, extents = _body(kind, size_name, variant)
    scale = spec.scales[SIZES.index(size_name)]
    return SceneObject(
        id=object_id or kind, kind=kind, color=color, rgb=rgb or COLORS[color], size_name=size_name, parts=body.parts,
        extents=extents, mass=round(float(np.clip(spec.mass * scale ** 2, 0.05, 0.4 if not spec.fixed else 9.0)), 4),
        pose=make_transform(translation=(0, 0, extents[2] / 2)) if pose is None else pose, graspable=spec.graspable,
        support=spec.support, container=spec.container, fixed=spec.fixed, support_height=body.support_height,
        support_size=body.support_size)

