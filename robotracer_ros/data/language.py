# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Referring expressions: noun phrases that mean exactly one object of a scene, with the program behind them.

A phrase is found by trying programs of :mod:`robotracer_ros.data.program` until one evaluates to the wanted object.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from robotracer_ros.data.facts import Fact, SceneFacts
from robotracer_ros.data.noun_phrases import (
    OBJECT_NOUNS,
    ORDINAL,
    ORDINAL_WORDS,
    PLAIN,
    RELATIVE,
    SUPERLATIVE,
)
from robotracer_ros.data.program import (
    Expression,
    Filter,
    Ordinal,
    Relative,
    Superlative,
    candidates,
    evaluate,
)
from robotracer_ros.data.split import (
    Split,
    Template,
    is_held_out,
    pick_template,
    shuffled,
    weighted,
)

RELATIONS = tuple(RELATIVE)


@dataclass(frozen=True)
class Phrase:
    """A noun phrase.

    Attributes:
        text: As it stands in a sentence, without a capital, e.g. ``the second red mug from the left``.
        target: Index of the object that it means.
        expression: The program behind it.
        held_out_wording, held_out_composition: Something in it is kept out of training.
        anchors: Phrases of the objects that it mentions on the way.
    """

    text: str
    target: int
    expression: Expression
    held_out_wording: bool = False
    held_out_composition: bool = False
    anchors: tuple[Phrase, ...] = ()


def describe(
    facts: SceneFacts,
    target: int,
    rng: np.random.Generator,
    split: Split = 'train',
    *,
    avoid: Collection[int] = (),
    depth: int = 1,
    clause: bool = False,
    plain: bool = False,
) -> Phrase | None:
    """Find a phrase that means one object of the scene and no other.

    Args:
        facts: The scene.
        target: Index of the object.
        rng: Source of all choices.
        split: Decides about held-out phrasings and compositions.
        avoid: Indices of objects that may not serve as anchors.
        depth: How many relations may be nested; 0 gives phrases without another object.
        clause: Say "that is left of" and not "left of": for phrases that are followed by words for another place.
        plain: Use kind, colour and size only.

    Returns:
        The phrase, or None when the object is not visible or nothing tried means it alone.
    """
    fact = facts.objects[target]
    if not fact.visible:
        return None
    strategies = {'plain': 4.0}
    if not plain:
        strategies |= {'ordinal': 3.0, 'superlative': 1.0}
    if depth > 0 and not plain:
        strategies['relative'] = 3.0
    order = []
    while strategies:
        order.append(weighted(rng, list(strategies), list(strategies.values())))
        del strategies[order[-1]]
    for strategy in order:
        match strategy:
            case 'plain':
                phrase = _plain(facts, fact, rng, split)
            case 'ordinal':
                phrase = _ordinal(facts, fact, rng, split)
            case 'superlative':
                phrase = _superlative(facts, fact, rng, split)
            case _:
                phrase = _relative(facts, fact, rng, split, (*avoid, target), depth, clause)
        if phrase is not None:
            return phrase
    return None


def _filters(fact: Fact, rng: np.random.Generator, anything: bool = True) -> list[Filter]:
    """Return filters that let an object pass, in the order in which to try them."""
    kind, color = Filter(fact.kind), Filter(fact.kind, fact.color)
    options = [kind, color] if rng.random() < 0.45 else [color, kind]
    if anything:
        options.insert(
            0 if rng.random() < 0.25 else 2,
            Filter(None, fact.color) if rng.random() < 0.6 else Filter(),
        )
    return options


def _noun(f: Filter, rng: np.random.Generator, split: Split) -> tuple[str, bool]:
    words = [w for w in (f.size, f.color) if w]
    if f.kind is not None:
        return ' '.join([*words, f.kind]), False
    noun = pick_template(OBJECT_NOUNS, rng, split)
    return ' '.join([*words, noun.text]), noun.held_out


def _phrase(
    facts: SceneFacts,
    target: int,
    expression: Expression,
    templates: tuple[Template, ...],
    rng: np.random.Generator,
    split: Split,
    rank: int = 0,
    anchors: tuple[Phrase, ...] = (),
) -> Phrase | None:
    """Write an expression in words if it means the target."""
    if evaluate(expression, facts) != target:
        return None
    template = pick_template(templates, rng, split)
    noun, rare = _noun(expression.filter, rng, split)
    slots = dict(zip('ab', (p.text for p in anchors), strict=False))
    if rank:
        slots['k'] = ORDINAL_WORDS[rank]
    return Phrase(
        template.text.format(n=noun, **slots),
        target,
        expression,
        template.held_out or rare or any(p.held_out_wording for p in anchors),
        any(p.held_out_composition for p in anchors),
        anchors,
    )


def _plain(facts: SceneFacts, fact: Fact, rng: np.random.Generator, split: Split) -> Phrase | None:
    options = _filters(fact, rng, anything=rng.random() < 0.15)
    size = fact.object.size_name
    sized = [Filter(fact.kind, None, size), Filter(fact.kind, fact.color, size)]
    options = sized + options if rng.random() < 0.4 else options + sized
    for f in options:
        phrase = _phrase(facts, fact.index, Expression(f), PLAIN, rng, split)
        if phrase is not None:
            return phrase
    return None


def _ordinal(
    facts: SceneFacts, fact: Fact, rng: np.random.Generator, split: Split
) -> Phrase | None:
    for f in _filters(fact, rng):
        pool = candidates(f, facts)
        if pool is None or len(pool) < 2:
            continue
        for side in shuffled(rng, ('left', 'right', 'near', 'far', 'middle')):
            ranks = (
                (1,)
                if side == 'middle'
                else range(1, min(len(pool), 3 if f.kind is None else 4) + 1)
            )
            for rank in ranks:
                selector = Ordinal(side, rank)  # type: ignore[arg-type]
                templates = ORDINAL[side, min(rank, 2)]
                phrase = _phrase(
                    facts, fact.index, Expression(f, selector), templates, rng, split, rank - 1
                )
                if phrase is not None:
                    return phrase
    return None


def _superlative(
    facts: SceneFacts, fact: Fact, rng: np.random.Generator, split: Split
) -> Phrase | None:
    for f in _filters(fact, rng):
        for degree in shuffled(rng, ('tallest', 'shortest', 'largest', 'smallest')):
            selector = Superlative(degree)  # type: ignore[arg-type]
            phrase = _phrase(
                facts, fact.index, Expression(f, selector), SUPERLATIVE[degree], rng, split
            )
            if phrase is not None:
                return phrase
    return None


def _relative(
    facts: SceneFacts,
    fact: Fact,
    rng: np.random.Generator,
    split: Split,
    avoid: Collection[int],
    depth: int,
    clause: bool,
) -> Phrase | None:
    others = [
        o.index for o in facts.objects if o.visible and o.landmark and o.index not in avoid
    ]
    if not others:
        return None
    filters = _filters(fact, rng)
    for relation in shuffled(rng, RELATIONS):
        if relation in ('on', 'in'):
            fits = fact.on in others and facts.objects[fact.on].object.container == (
                relation == 'in'
            )
            tries: list[tuple[int, ...]] = [(fact.on,)] if fits else []
        elif relation == 'between':
            if len(others) < 2:
                continue
            tries = [tuple(int(i) for i in rng.permutation(others)[:2]) for _ in range(3)]
        else:
            tries = [(i,) for i in shuffled(rng, others)[:3]]
        for anchors in tries:
            rare = any(is_held_out(relation, facts.objects[i].kind) for i in anchors)
            if rare and split != 'composition':
                continue
            phrases = [
                describe(facts, i, rng, split, avoid=(*avoid, *anchors), depth=depth - 1)
                for i in anchors
            ]
            if any(p is None for p in phrases):
                continue
            named = tuple(p for p in phrases if p is not None)
            selector = Relative(relation, tuple(p.expression for p in named))
            templates = tuple(
                t for t in RELATIVE[relation] if not clause or t.held_out or ' that is ' in t.text
            )
            for f in filters:
                phrase = _phrase(
                    facts, fact.index, Expression(f, selector), templates, rng, split, 0, named
                )
                if phrase is not None:
                    return replace(phrase, held_out_composition=phrase.held_out_composition or rare)
    return None
