# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What makes a question hard, read from its words: how a thing is named, and how much of it training never showed.

Templates are found again by their fixed words, so that any question can be counted, whoever made it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache

from robotracer_ros.data import noun_phrases, qa, wording
from robotracer_ros.data.split import Split, Template, is_held_out
from robotracer_ros.data.task import Task
from robotracer_ros.data.words import templates_of
from robotracer_ros.sim.catalog import KINDS
from robotracer_ros.sim.spec import Scene

_SLOT = re.compile(r'\{\w+\}')
#: words that may stand between "the" and the kind of a thing: colour, size, ordinal
_ADJECTIVES = r'(?:[\w-]+ ){0,3}?'
_KIND = '|'.join(sorted(KINDS, key=len, reverse=True))
#: relations that a thing is named by or put in, whose compositions can be held out
_RELATIONS = tuple(noun_phrases.RELATIVE)


def held_out_features(
    text: str, split: Split, task: Task | None = None, scene: Scene | None = None
) -> int:
    """Count what a question holds that training never shows: phrasings or combinations, as the split has them.

    Args:
        text: The instruction, or the whole question when it asks for no task.
        split: Whose question it is.
        task: What it asks for, when it is one.
        scene: Of the task.
    """
    if split == 'wording':
        return held_out_wordings(text)
    if split == 'composition':
        # "Left of the leftmost thing" does not say what it is, but a task of the split holds one.
        return max(int(task is not None), held_out_compositions(text, task, scene))
    return 0


def held_out_wordings(text: str) -> int:
    """Count the held-out templates in a question."""
    rest = text.lower()
    count = 0
    for pattern in _held_out_patterns():
        while (found := pattern.search(rest)) is not None:
            count += 1
            for k in range(1, found.re.groups + 1):
                a, b = found.span(k)
                rest = rest[:a] + '#' * (b - a) + rest[b:]
    return count


def held_out_compositions(text: str, task: Task | None = None, scene: Scene | None = None) -> int:
    """Count the combinations of a relation and a kind in a question that training never shows.

    Args:
        text: The question.
        task: What it asks for, when it is one: knows references that the text does not name by their kind.
        scene: Of the task.
    """
    written = Counter(_written(text.lower()))
    meant: Counter[tuple[str, str]] = Counter()
    if task is not None and scene is not None:
        kinds = [scene.object(i).kind for i in task.references]
        stacked = task.primitive in ('M3', 'M5')
        meant.update(('stack' if stacked else task.relation, k) for k in kinds)
        if task.via:
            meant['bypass', scene.object(task.via).kind] += 1
        meant.update(('hover', scene.object(i).kind) for i in task.hover_targets)
        if stacked:
            written.subtract(('on', k) for k in kinds)
    pairs = set(written) | set(meant)
    return sum(max(written[p], meant[p]) for p in pairs if is_held_out(*p))


def way_of_naming(text: str) -> str:
    """Return how a thing is named: the outermost relation, ``ordinal``, ``superlative`` or ``plain``."""
    words = text.lower()
    tables: list[tuple[str, Iterable[Template]]] = [*noun_phrases.RELATIVE.items()]
    tables += [('ordinal', t) for t in noun_phrases.ORDINAL.values()]
    tables += [('superlative', t) for t in noun_phrases.SUPERLATIVE.values()]
    found: list[tuple[int, int, str]] = []
    for name, templates in tables:
        for template in templates:
            match = _pattern(template.text).search(words)
            if match is not None:
                # Of what begins at the same place the longest: "in front of" is not "in".
                last = match.span(match.re.groups)
                found.append((last[0], last[0] - last[1], name))
    return min(found)[2] if found else 'plain'


def _written(text: str) -> list[tuple[str, str]]:
    """Return the relations with the kind of their references as they stand in a text."""
    found = []
    for relation in _RELATIONS:
        for match in _reference(relation).finditer(text):
            found += [(relation, kind) for kind in match.groups() if kind]
    return found


@cache
def _reference(relation: str) -> re.Pattern[str]:
    """Return a pattern for words of a relation and the thing (between: both things) after them."""
    templates = [*noun_phrases.RELATIVE[relation], *wording.WHERE.get(relation, ())]
    templates += wording.WHERE_DISTANCE.get(relation, ())
    heads = set()
    for t in templates:
        # What stands between the thing and its reference: "the {n} left of {a}".
        text = re.sub(r'^the \{n\} |\{d\} ', '', t.text)
        heads.add(_SLOT.split(text)[0].removeprefix('that is ').strip())
    words = '|'.join(re.escape(h) for h in sorted(heads - {''}, key=len, reverse=True))
    thing = rf'the {_ADJECTIVES}({_KIND})\b'
    second = rf'(?:.*? (?:and|to) {thing})?' if relation == 'between' else ''
    # "around the left of" is a side to pass on, no relation.
    return re.compile(rf'(?<!around the )\b(?:{words}) {thing}{second}')


@cache
def _held_out_patterns() -> tuple[re.Pattern[str], ...]:
    texts = {
        t.text for module in (noun_phrases, qa, wording) for t in templates_of(module) if t.held_out
    }
    longest = sorted(texts, key=lambda t: (-len(_SLOT.sub('', t)), t))
    return tuple(_pattern(t) for t in longest)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    """Return a pattern of a template's fixed words, one group for each piece."""
    pieces = [p.strip() for p in _SLOT.split(template.lower())]
    bounded = [
        rf'(?<![\w-])({re.escape(p)})(?![\w-])' if p[-1:].isalnum() else rf'({re.escape(p)})'
        for p in pieces
        if p not in ('', ';', ',')
    ]
    return re.compile('.+?'.join(bounded))
