# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Noun phrases for referring expressions. Slots: {n} noun with adjectives, {k} ordinal word, {a} and {b} anchors."""

from __future__ import annotations

from robotracer_ros.data.split import Template

ORDINAL_WORDS = ('first', 'second', 'third', 'fourth', 'fifth')

_T = Template
PLAIN = (_T('the {n}'),)
OBJECT_NOUNS = (_T('object'), _T('thing', weight=0.5), _T('item', held_out=True))
ORDINAL = {
    ('left', 1): (
        _T('the leftmost {n}', weight=3),
        _T('the {n} furthest to the left'),
        _T('the {n} on the far left'),
        _T('the first {n} from the left'),
        _T('the {n} at the left end', True),
    ),
    ('right', 1): (
        _T('the rightmost {n}', weight=3),
        _T('the {n} furthest to the right'),
        _T('the {n} on the far right'),
        _T('the first {n} from the right'),
        _T('the {n} at the right end', True),
    ),
    ('left', 2): (
        _T('the {k} {n} from the left', weight=3),
        _T('the {n} that is {k} from the left'),
        _T('the {k} {n} counting from the left', True),
    ),
    ('right', 2): (
        _T('the {k} {n} from the right', weight=3),
        _T('the {n} that is {k} from the right'),
        _T('the {k} {n} counting from the right', True),
    ),
    ('near', 1): (
        _T('the {n} nearest to the camera', weight=2),
        _T('the {n} closest to the camera'),
        _T('the nearest {n}'),
        _T('the {n} closest to us'),
        _T('the frontmost {n}', True),
    ),
    ('far', 1): (
        _T('the {n} farthest from the camera', weight=2),
        _T('the farthest {n}'),
        _T('the {n} furthest away'),
        _T('the {n} at the very back'),
        _T('the rearmost {n}', True),
    ),
    ('near', 2): (
        _T('the {k} nearest {n}'),
        _T('the {k} closest {n} to the camera'),
        _T('the {k} {n} from the front'),
        _T('the {n} that comes {k} from the front', True),
    ),
    ('far', 2): (
        _T('the {k} farthest {n}'),
        _T('the {k} farthest {n} from the camera'),
        _T('the {k} {n} from the back'),
        _T('the {n} that comes {k} from the back', True),
    ),
    ('middle', 1): (_T('the middle {n}'), _T('the {n} in the middle'), _T('the central {n}', True)),
}
SUPERLATIVE = {
    'tallest': (
        _T('the tallest {n}', weight=2),
        _T('the {n} that is tallest'),
        _T('the highest {n}', True),
    ),
    'shortest': (
        _T('the shortest {n}', weight=2),
        _T('the lowest {n}'),
        _T('the {n} with the least height', True),
    ),
    'largest': (
        _T('the largest {n}'),
        _T('the biggest {n}'),
        _T('the {n} that is bigger than the others', True),
    ),
    'smallest': (
        _T('the smallest {n}', weight=2),
        _T('the {n} that is smallest'),
        _T('the littlest {n}', True),
    ),
}
RELATIVE = {
    'left of': (
        _T('the {n} to the left of {a}', weight=2),
        _T('the {n} left of {a}'),
        _T('the {n} that is left of {a}'),
        _T('the {n} standing on the left-hand side of {a}', True),
    ),
    'right of': (
        _T('the {n} to the right of {a}', weight=2),
        _T('the {n} right of {a}'),
        _T('the {n} that is right of {a}'),
        _T('the {n} standing on the right-hand side of {a}', True),
    ),
    'in front of': (
        _T('the {n} in front of {a}', weight=2),
        _T('the {n} that is in front of {a}'),
        _T('the {n} standing before {a}', True),
    ),
    'behind': (
        _T('the {n} behind {a}', weight=2),
        _T('the {n} that is behind {a}'),
        _T('the {n} at the back of {a}', True),
    ),
    'nearest to': (
        _T('the {n} nearest to {a}'),
        _T('the {n} closest to {a}'),
        _T('the {n} that is nearest to {a}'),
        _T('the {n} with the shortest way to {a}', True),
    ),
    'on': (
        _T('the {n} on {a}'),
        _T('the {n} that is on {a}'),
        _T('the {n} on top of {a}'),
        _T('the {n} resting upon {a}', True),
    ),
    'in': (
        _T('the {n} in {a}'),
        _T('the {n} inside {a}'),
        _T('the {n} that is in {a}'),
        _T('the {n} that {a} holds', True),
    ),
    'between': (
        _T('the {n} between {a} and {b}', weight=2),
        _T('the {n} that is between {a} and {b}'),
        _T('the {n} with {a} on one side and {b} on the other', True),
    ),
}
