# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Small programs that pick one object of a scene, and their evaluation with margins.

Meaning, always as the camera sees it:

* left/right: the image's x. front/behind: nearer to / farther from the camera along the table.
  near/far: distance to it.
* a comparison holds only when it holds in the image **and** on the table, each by a margin, so that no person would
  dispute it; where a person could, :func:`evaluate` returns None and the phrase is never used.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from robotracer_ros.data.facts import ELSEWHERE, Fact, SceneFacts
from robotracer_ros.data.relations import (
    HEIGHT_GAP_M,
    HEIGHT_RATIO,
    RANKING,
    VOLUME_RATIO,
    apart,
    holds,
)

__all__ = [
    'Degree',
    'Expression',
    'Filter',
    'Ordinal',
    'Relative',
    'Side',
    'Superlative',
    'candidates',
    'evaluate',
    'holds',
    'relation_name',
]

Side = Literal['left', 'right', 'near', 'far', 'middle']
Degree = Literal['tallest', 'shortest', 'largest', 'smallest', 'widest', 'narrowest']

#: least difference along the table (m) and in the image (of 1000) between neighbours of an ordinal
ORDINAL_GAP_M, ORDINAL_GAP_UV = 0.03, 15.0
#: how much wider (m, ratio) a superlative must be than the runner-up; heights and volumes as in comparisons
WIDTH_GAP_M, WIDTH_RATIO = 0.015, 1.2
#: how much the volume differs at least where a size word is used within a kind
SIZE_WORD_RATIO = 1.3
#: how much nearer (m, ratio) the nearest must be than the second
NEAREST_GAP_M, NEAREST_RATIO = 0.03, 1.25


@dataclass(frozen=True)
class Filter:
    """Objects of a kind, colour and size; None means any."""

    kind: str | None = None
    color: str | None = None
    size: str | None = None


@dataclass(frozen=True)
class Ordinal:
    """The ``rank``-th (from 1) from a side; ``near`` and ``far`` count from and towards the camera."""

    side: Side
    rank: int = 1


@dataclass(frozen=True)
class Superlative:
    """The one that exceeds all others."""

    degree: Degree


@dataclass(frozen=True)
class Relative:
    """The one that stands in a relation to other objects.

    Attributes:
        relation: A name of :data:`robotracer_ros.data.relations.FULL`.
        anchors: The other objects: two for ``between``, else one.
        distance: Metres, for ``at a distance from``.
    """

    relation: str
    anchors: tuple[Expression, ...]
    distance: float | None = None


@dataclass(frozen=True)
class Expression:
    """A filter and, where that is not enough, a selector."""

    filter: Filter
    selector: Ordinal | Superlative | Relative | None = None


def candidates(f: Filter, facts: SceneFacts) -> list[Fact] | None:
    """Return the objects that pass a filter, or None where the size or colour word could be disputed."""
    passed = [
        o
        for o in facts.objects
        if (f.kind is None or o.kind == f.kind) and (f.color is None or o.color == f.color)
    ]
    if (
        f.kind is None
        and f.color is not None
        and any(f.color in o.accents for o in facts.objects if o.color != f.color)
    ):
        return None
    if f.size is None:
        return passed
    sized = [o for o in passed if o.object.size_name == f.size]
    if f.kind is None or f.size == 'medium' or not sized:
        return None
    for o in passed:
        if o in sized:
            continue
        for s in sized:
            ratio = o.volume / s.volume if f.size == 'small' else s.volume / o.volume
            if ratio < SIZE_WORD_RATIO:
                return None
    # A size word needs something of the other size to compare with.
    return sized if len(sized) < len(passed) else None


def evaluate(expression: Expression, facts: SceneFacts) -> int | None:
    """Return the index of the object that an expression means, or None when it is none, several or disputable."""
    pool = candidates(expression.filter, facts)
    if not pool:
        return None
    chosen = _select(expression.selector, pool, facts)
    if chosen is None:
        return None
    if expression.filter.kind is None:
        # Whether a wall is an "object" is a matter of taste: the answer must not hang on it.
        loose = [o for o in pool if not o.object.fixed]
        if len(loose) < len(pool) and _select(expression.selector, loose, facts) is not chosen:
            return None
    return chosen.index


def _select(
    selector: Ordinal | Superlative | Relative | None, pool: list[Fact], facts: SceneFacts
) -> Fact | None:
    match selector:
        case None:
            return pool[0] if len(pool) == 1 else None
        case Ordinal():
            return _ordinal(selector, pool)
        case Superlative():
            return _superlative(selector.degree, pool)
        case Relative():
            return _relative(selector, pool, facts)


def _ordinal(selector: Ordinal, pool: list[Fact]) -> Fact | None:
    if len(pool) < 2 or not all(o.visible for o in pool):
        return None
    rank = selector.rank - 1
    if selector.side == 'middle':
        if len(pool) % 2 == 0:
            return None
        rank = len(pool) // 2
    if not 0 <= rank < len(pool):
        return None
    if selector.side in ('near', 'far'):
        sign = 1.0 if selector.side == 'near' else -1.0
        keys = [lambda o: sign * o.distance, lambda o: -sign * o.front]
        gaps = (ORDINAL_GAP_M, ORDINAL_GAP_M)
    else:
        sign = -1.0 if selector.side == 'right' else 1.0
        keys = [lambda o: sign * o.right, lambda o: sign * o.u]
        gaps = (ORDINAL_GAP_M, ORDINAL_GAP_UV)
    chosen: Fact | None = None
    for key, gap in zip(keys, gaps, strict=True):
        order = sorted(pool, key=key)
        values = [key(o) for o in order]
        if (rank > 0 and values[rank] - values[rank - 1] < gap) or (
            rank + 1 < len(order) and values[rank + 1] - values[rank] < gap
        ):
            return None
        if chosen is not None and order[rank] is not chosen:
            return None
        chosen = order[rank]
    return chosen


def _superlative(degree: Degree, pool: list[Fact]) -> Fact | None:
    if len(pool) < 2 or not all(o.visible for o in pool):
        return None
    up = degree in ('tallest', 'largest')
    if degree in ('tallest', 'shortest'):
        a, b = sorted(pool, key=lambda o: o.height, reverse=up)[:2]
        taller, lower = (a.height, b.height) if up else (b.height, a.height)
        clear = taller - lower >= HEIGHT_GAP_M and taller >= HEIGHT_RATIO * lower
        return a if clear else None
    if degree in ('widest', 'narrowest'):
        a, b = sorted(pool, key=_width, reverse=degree == 'widest')[:2]
        wide, slim = max(_width(a), _width(b)), min(_width(a), _width(b))
        return a if wide - slim >= WIDTH_GAP_M and wide >= WIDTH_RATIO * slim else None
    a, b = sorted(pool, key=lambda o: o.volume, reverse=up)[:2]
    high, low = (a, b) if up else (b, a)
    # Volume alone is not what people see: the larger one must not be the shorter-looking one.
    clear = high.volume >= VOLUME_RATIO * low.volume and high.longest >= 1.05 * low.longest
    return a if clear else None


def _relative(selector: Relative, pool: list[Fact], facts: SceneFacts) -> Fact | None:
    found = [evaluate(a, facts) for a in selector.anchors]
    if any(i is None for i in found):
        return None
    anchors = [facts.objects[i] for i in found if i is not None]
    if len(set(found)) != len(found) or not all(a.visible for a in anchors):
        return None
    pool = [o for o in pool if all(o is not a for a in anchors)]
    relation = selector.relation
    if relation.startswith('first '):
        direction = relation.removeprefix('first ')
        beside = [holds(direction, o, anchors) for o in pool]
        if any(b is None for b in beside):
            return None
        pool = [o for o, b in zip(pool, beside, strict=True) if b]
        return _ranked(pool, anchors[0], 0)
    if relation in RANKING:
        rank = {'nearest to': 0, 'second nearest to': 1, 'farthest from': -1}[relation]
        return _ranked(pool, anchors[0], rank)
    verdicts = [holds(relation, o, anchors, facts.objects, selector.distance) for o in pool]
    if any(v is None for v in verdicts):
        return None
    yes = [o for o, v in zip(pool, verdicts, strict=True) if v]
    return yes[0] if len(yes) == 1 else None


def _ranked(pool: list[Fact], anchor: Fact, rank: int) -> Fact | None:
    """Return the object at a place in the order of distances from an anchor, if it stands clear of its neighbours."""
    if len(pool) < 2 or rank >= len(pool) or any(o.on == ELSEWHERE for o in (anchor, *pool)):
        return None
    order = sorted(pool, key=lambda o: apart(o, anchor))
    far = [apart(o, anchor) for o in order]
    place = rank % len(order)
    for a, b in pairwise(far[max(0, place - 1) : place + 2]):
        if b - a < NEAREST_GAP_M or b < NEAREST_RATIO * a:
            return None
    return order[place]


def _width(o: Fact) -> float:
    """Return the longer side of the footprint, metres."""
    return float(max(o.object.extents[:2]))


def relation_name(expression: Expression) -> str:
    """Return what tells an object apart: a relation, an order, a degree, or the attributes in the filter."""
    match expression.selector:
        case Ordinal(side, rank):
            if side == 'middle':
                return 'middle'
            where = {'near': 'nearest to the camera', 'far': 'farthest from the camera'}
            if rank == 1:
                return where.get(side, f'{side}most')
            return f'n-th {where.get(side, f"from the {side}")}'
        case Superlative(degree):
            return str(degree)
        case Relative(relation):
            return relation
    f = expression.filter
    named = [n for n, v in (('size', f.size), ('color', f.color), ('kind', f.kind)) if v]
    return ' and '.join(named) or 'only object'
