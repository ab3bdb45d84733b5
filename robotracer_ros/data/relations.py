# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""When a relation between things holds, when it does not, and when a person could say either.

Every test has margins on both sides: True only where nobody would object, False only where nobody would agree,
None between. ``CORE`` is what robotracer-tiny was trained on, ``FULL`` everything; ``breadth`` arguments choose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import hypot
from typing import Literal

from robotracer_ros.data.facts import ELSEWHERE, Fact

Breadth = Literal['core', 'full']

#: how much taller (m, ratio) and larger (ratio of volume) one thing must be than another
HEIGHT_GAP_M, HEIGHT_RATIO, VOLUME_RATIO = 0.015, 1.15, 1.35
#: how much nearer to the camera (m)
CAMERA_GAP_M = 0.05
#: things with at most the first gap (m) between their outlines stand next to each other, from the second on not
NEXT_GAP_M = (0.05, 0.12)
#: centres (m) that differ by at most the first from a distance are "about" at it, from the second on not
ABOUT_M = (0.02, 0.06)

CORE = ('left of', 'right of', 'in front of', 'behind', 'nearest to', 'on', 'in', 'between')
#: relations that pick one of several by order, and not by themselves
RANKING = (
    'nearest to',
    'second nearest to',
    'farthest from',
    'first left of',
    'first right of',
    'first in front of',
    'first behind',
)
FULL = (
    *CORE,
    *(r for r in RANKING if r not in CORE),
    'above',
    'below',
    'under',
    'holding',
    'next to',
    'front left of',
    'front right of',
    'back left of',
    'back right of',
    'closer to the camera than',
    'farther from the camera than',
    'taller than',
    'lower than',
    'larger than',
    'smaller than',
    'same color as',
    'at a distance from',
)
#: relations between things whose distance is told along the surface that they share
_OF_ONE_SURFACE = ('above', 'below', 'between', 'next to', 'at a distance from')


def holds(
    relation: str,
    o: Fact,
    anchors: Sequence[Fact],
    objects: Sequence[Fact] = (),
    distance: float | None = None,
) -> bool | None:
    """Tell whether a relation holds between an object and its anchors; None where a person could say either.

    Args:
        relation: A name of ``FULL`` that is not in ``RANKING``.
        o: The object.
        anchors: Two for ``between``, else one.
        objects: All of the scene by index, for ``above`` and ``below``.
        distance: Metres, for ``at a distance from``.

    Raises:
        ValueError: the relation is unknown.
    """
    a = anchors[0]
    if relation in _OF_ONE_SURFACE and ELSEWHERE in (o.on, *(x.on for x in anchors)):
        # Nobody knows what these stand on, and how far up one is above the other.
        return None
    match relation:
        case 'on' | 'in':
            return None if o.on == ELSEWHERE else o.on == a.index
        case 'under' | 'holding':
            return None if a.on == ELSEWHERE else a.on == o.index
        case 'above':
            return _above(o, a, objects)
        case 'below':
            return _above(a, o, objects)
        case 'between':
            # What stands on one of the two does not stand between them.
            return False if o.on in [x.index for x in anchors] else _between(o, *anchors)
        case 'at a distance from':
            return None if distance is None else _about(o, a, distance)
    if relation in _PAIRS:
        return _PAIRS[relation](o, a)
    raise ValueError(f"relation '{relation}' is unknown")


def apart(o: Fact, a: Fact) -> float:
    """Return the horizontal distance between the centres of two objects, metres."""
    return hypot(o.x - a.x, o.y - a.y)


def _beside(along: float, seen: float, across: float) -> bool | None:
    """Judge a direction: ``along`` and ``across`` it in metres, ``seen`` in the image (of 1000)."""
    if along >= 0.04 and seen >= 20 and abs(across) <= 0.9 * along:
        return True
    if along <= 0.0 and seen <= 0:
        return False
    return False if abs(across) >= 2.5 * abs(along) else None


def _diagonal(o: Fact, a: Fact, right: int, front: int) -> bool | None:
    """Judge a diagonal; ``right`` and ``front`` are 1 or -1."""
    along, across = right * (o.right - a.right), front * (o.front - a.front)
    seen, nearer = right * (o.u - a.u), front * (a.distance - o.distance)
    if min(along, across) >= 0.05 and seen >= 20 and nearer >= 0.02:
        # Far more one than the other is no diagonal any more, but not plainly something else either.
        return True if 0.5 <= along / across <= 2.0 else None
    return False if min(along, across) <= 0.0 and (seen <= 0 or nearer <= 0) else None


def _between(o: Fact, a: Fact, b: Fact) -> bool | None:
    dx, dy = b.x - a.x, b.y - a.y
    length = hypot(dx, dy)
    if length < 0.12:
        return None
    t = ((o.x - a.x) * dx + (o.y - a.y) * dy) / length**2
    off = abs((o.x - a.x) * dy - (o.y - a.y) * dx) / length
    if 0.2 <= t <= 0.8 and off <= min(0.05, 0.25 * length):
        return True
    return False if t < 0.0 or t > 1.0 or off > max(0.12, 0.6 * length) else None


def _above(o: Fact, a: Fact, objects: Sequence[Fact]) -> bool | None:
    """Tell whether something stands on a thing, or on what stands on it; None inside of containers."""
    under, seen = o.on, 0
    while under >= 0 and seen < len(objects):
        carrier = objects[under]
        if carrier.object.container and not carrier.object.support:
            return None
        if under == a.index:
            return True
        under, seen = carrier.on, seen + 1
    return False


def _next_to(o: Fact, a: Fact) -> bool | None:
    if o.on != a.on:
        return False if a.index != o.on and o.index != a.on and apart(o, a) > 0.3 else None
    gap = apart(o, a) - o.radius - a.radius
    return True if gap <= NEXT_GAP_M[0] else False if gap >= NEXT_GAP_M[1] else None


def _about(o: Fact, a: Fact, distance: float) -> bool | None:
    off = abs(apart(o, a) - distance)
    return True if off <= ABOUT_M[0] else False if off >= ABOUT_M[1] else None


def _taller(o: Fact, a: Fact) -> bool | None:
    if o.height - a.height >= HEIGHT_GAP_M and o.height >= HEIGHT_RATIO * a.height:
        return True
    return False if o.height <= a.height else None


def _larger(o: Fact, a: Fact) -> bool | None:
    if o.volume >= VOLUME_RATIO * a.volume and o.longest >= 1.05 * a.longest:
        return True
    return False if o.volume <= a.volume and o.longest <= a.longest else None


def _closer(o: Fact, a: Fact) -> bool | None:
    if a.distance - o.distance >= CAMERA_GAP_M and o.front - a.front >= 0.03:
        return True
    return False if o.distance >= a.distance and o.front <= a.front else None


def _same_color(o: Fact, a: Fact) -> bool | None:
    if not o.color or not a.color:
        return None
    if o.color == a.color:
        return True
    # A white pot with a red flower is neither of the colour of a red box nor plainly not.
    return None if a.color in o.accents or o.color in a.accents else False


_PAIRS: Mapping[str, Callable[[Fact, Fact], bool | None]] = {
    'left of': lambda o, a: _beside(a.right - o.right, a.u - o.u, o.front - a.front),
    'right of': lambda o, a: _beside(o.right - a.right, o.u - a.u, o.front - a.front),
    'in front of': lambda o, a: _beside(
        o.front - a.front, (a.distance - o.distance) * 1000, o.right - a.right
    ),
    'behind': lambda o, a: _beside(
        a.front - o.front, (o.distance - a.distance) * 1000, o.right - a.right
    ),
    'front left of': lambda o, a: _diagonal(o, a, -1, 1),
    'front right of': lambda o, a: _diagonal(o, a, 1, 1),
    'back left of': lambda o, a: _diagonal(o, a, -1, -1),
    'back right of': lambda o, a: _diagonal(o, a, 1, -1),
    'next to': _next_to,
    'closer to the camera than': _closer,
    'farther from the camera than': lambda o, a: _closer(a, o),
    'taller than': _taller,
    'lower than': lambda o, a: _taller(a, o),
    'larger than': _larger,
    'smaller than': lambda o, a: _larger(a, o),
    'same color as': _same_color,
}
