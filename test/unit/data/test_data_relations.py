# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0

from collections import Counter

import numpy as np
import pytest
from handmade import scene, thing

from robotracer_ros.data import noun_phrases
from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.language import describe
from robotracer_ros.data.program import (
    Expression,
    Filter,
    Ordinal,
    Relative,
    Superlative,
    evaluate,
    relation_name,
)
from robotracer_ros.data.qa import measure, refer, refer_free
from robotracer_ros.data.relations import CORE, FULL, holds
from robotracer_ros.data.split import is_held_out
from robotracer_ros.sim.scenes import generate_scene

BOX = Expression(Filter('box'))


def facts_of(*things):
    return SceneFacts(scene(things))


def meant(facts, relation, f=None, anchor=BOX, distance=None):
    """Index that "the can <relation> the box" means."""
    return evaluate(
        Expression(f or Filter('can'), Relative(relation, (anchor,), distance)), facts
    )


def around(spots, box=('box', 'red', 0.5, 0.0)):
    """A box and cans of different colours at offsets (right, front) from it; camera: +y right, +x front."""
    colors = ('blue', 'green', 'white', 'black')
    cans = [
        thing('can', c, box[2] + front, box[3] + right)
        for c, (right, front) in zip(colors, spots, strict=False)
    ]
    return facts_of(thing(*box), *cans)


@pytest.mark.parametrize(
    ('relation', 'spot'),
    [
        ('front left of', (-0.12, 0.12)),
        ('front right of', (0.12, 0.12)),
        ('back left of', (-0.12, -0.12)),
        ('back right of', (0.12, -0.12)),
    ],
)
def test_diagonals(relation, spot):
    others = [(a, b) for a in (-0.12, 0.12) for b in (-0.12, 0.12) if (a, b) != spot]
    facts = around([spot, *others])
    assert meant(facts, relation) == 1
    # Straight beside is not diagonal, nearly straight beside could be said to be.
    right, front = spot
    assert meant(around([spot, (0.0, 2 * front)]), relation) == 1
    assert holds(relation, *pair(around([(right, 0.35 * front)]))) is None
    assert not holds(relation, *pair(around([(-right, front)])))


def pair(facts):
    return facts.objects[1], [facts.objects[0]]


def test_next_to_means_close_and_on_the_same_level():
    assert meant(around([(0.12, 0.0), (0.3, 0.0)]), 'next to') == 1
    assert meant(around([(0.12, 0.0), (-0.12, 0.0)]), 'next to') is None, 'two of them'
    assert meant(around([(0.12, 0.0), (-0.17, 0.0)]), 'next to') is None, 'disputable'
    box = thing('box', 'red', 0.5, 0.0)
    on_it = facts_of(box, thing('can', 'blue', 0.5, 0.0, 'small', on=box))
    assert holds('next to', on_it.objects[1], [on_it.objects[0]]) is None


def test_order_from_an_object():
    facts = around([(0.35, 0.0), (0.12, 0.0), (0.22, 0.0)])
    assert meant(facts, 'nearest to') == meant(facts, 'first right of') == 2
    assert meant(facts, 'second nearest to') == 3
    assert meant(facts, 'farthest from') == 1
    assert meant(facts, 'first left of') is None
    # On the left there are two, on the right the nearest of all.
    facts = around([(-0.35, 0.0), (0.1, 0.0), (-0.22, 0.0)])
    assert meant(facts, 'first left of') == 3
    assert meant(facts, 'first right of') is None, 'the only one is not the first'
    facts = around([(0.0, 0.18), (0.0, 0.1), (0.0, -0.1), (0.0, -0.2)])
    assert meant(facts, 'first in front of') == 2
    assert meant(facts, 'first behind') == 3
    close = around([(0.2, 0.0), (0.0, 0.21), (-0.1, 0.0)])
    assert meant(close, 'second nearest to') is None
    assert meant(close, 'farthest from') is None


def test_camera_comparisons():
    facts = around([(0.0, 0.15), (0.1, -0.15)])
    assert meant(facts, 'closer to the camera than') == 1
    assert meant(facts, 'farther from the camera than') == 2
    beside = around([(0.1, 0.01), (0.0, -0.15)])
    assert meant(beside, 'closer to the camera than') is None


def test_size_comparisons():
    small, large = thing('can', 'blue', 0.5, 0.15, 'small'), thing('can', 'white', 0.5, -0.15, 'large')
    cup = thing('can', 'green', 0.6, 0.0, 'medium')
    facts = facts_of(cup, small, large)
    green = Expression(Filter('can', 'green'))
    heights = [o.height for o in facts.objects]
    assert heights[1] < heights[0] < heights[2]
    assert meant(facts, 'taller than', anchor=green) == 2
    assert meant(facts, 'lower than', anchor=green) == 1
    assert meant(facts, 'larger than', anchor=green) == 2
    assert meant(facts, 'smaller than', anchor=green) == 1
    twins = facts_of(cup, thing('can', 'blue', 0.5, 0.15))
    for relation in ('taller than', 'lower than', 'larger than', 'smaller than'):
        assert meant(twins, relation, anchor=green) is None


def test_what_carries_and_what_holds():
    plate, bowl = thing('plate', 'white', 0.45, -0.2), thing('bowl', 'blue', 0.5, 0.2)
    box = thing('box', 'red', 0.45, -0.2, 'small', on=plate)
    can = thing('block', 'green', 0.45, -0.2, 'small', on=box)
    lemon = thing('lemon', 'yellow', 0.5, 0.2, on=bowl)
    facts = facts_of(plate, bowl, box, can, lemon)
    plate_, block, lemon_ = (Expression(Filter(k)) for k in ('plate', 'block', 'lemon'))
    assert meant(facts, 'under', Filter('plate'), BOX) == 0
    assert meant(facts, 'under', Filter(), BOX) == 0
    assert meant(facts, 'under', Filter('plate'), block) is None, 'the box is between them'
    assert meant(facts, 'below', Filter('plate'), block) == 0
    assert meant(facts, 'below', Filter(), block) is None, 'plate and box'
    assert meant(facts, 'above', Filter('block'), plate_) == 3
    assert meant(facts, 'holding', Filter(), lemon_) == 1
    assert meant(facts, 'above', Filter('lemon'), Expression(Filter('bowl'))) is None, 'in, not above'


def test_color_and_distance():
    facts = facts_of(
        thing('box', 'red', 0.5, 0.0), thing('can', 'red', 0.5, 0.2), thing('can', 'blue', 0.58, -0.1)
    )
    assert meant(facts, 'same color as') == 1
    assert meant(facts, 'at a distance from', distance=0.2) == 1
    assert meant(facts, 'at a distance from', distance=0.15) is None, '13 and 20 cm'
    assert meant(facts, 'at a distance from') is None
    wide = evaluate(Expression(Filter(), Superlative('widest')), facts)
    assert wide == 0
    assert evaluate(Expression(Filter('can'), Superlative('narrowest')), facts) is None


def test_an_unknown_relation_is_refused():
    facts = around([(0.1, 0.0)])
    with pytest.raises(ValueError, match='astride'):
        holds('astride', *pair(facts))


def test_every_relation_has_words():
    relative = {**noun_phrases.RELATIVE, **noun_phrases.RELATIVE_MORE}
    assert set(relative) == set(FULL)
    assert set(noun_phrases.RELATIVE) == set(CORE)
    assert len(FULL) == len(set(FULL)) > 28
    for relation, templates in relative.items():
        seen = [t.text for t in templates if not t.held_out]
        assert any(' that is ' in t or relation in CORE for t in seen), relation
        assert any(t.held_out for t in templates), relation
        assert all('{n}' in t.text and '{a}' in t.text for t in templates)


def test_phrases_of_full_breadth_mean_what_they_say():
    named, rare = Counter(), 0
    for seed in range(1720, 1732):
        facts = SceneFacts(generate_scene(seed))
        rng = np.random.default_rng(seed)
        for target in range(len(facts.objects)):
            for split in ('train', 'wording', 'composition', 'composition'):
                p = describe(facts, target, rng, split, breadth='full')
                if p is None:
                    continue
                assert evaluate(p.expression, facts) == p.target == target
                assert p.relations[0] == relation_name(p.expression)
                named.update(p.relations)
                if p.held_out_composition:
                    rare += 1
                    assert split == 'composition'
                if isinstance(p.expression.selector, Relative):
                    kinds = [facts.objects[a.target].kind for a in p.anchors]
                    held = any(is_held_out(p.relations[0], k) for k in kinds)
                    assert held <= p.held_out_composition
    assert rare > 0
    assert len(named) > 28, sorted(named)


def test_core_breadth_says_what_it_always_said():
    facts = SceneFacts(generate_scene(1720))
    rng = np.random.default_rng(0)
    core = {*CORE, *(relation_name(Expression(Filter(), Ordinal(s, r))) for s, r in noun_phrases.ORDINAL)}
    core |= set(noun_phrases.SUPERLATIVE)
    for _ in range(150):
        q = refer(facts, rng)
        if q is not None:
            attributes = {'kind', 'color', 'size', 'and', 'only', 'object'}
            assert all(r in core or set(r.split()) <= attributes for r in q.relations), q.prompt


def test_free_places_and_lengths_of_full_breadth():
    asked, lengths = Counter(), Counter()
    for seed in range(1720, 1728):
        facts = SceneFacts(generate_scene(seed))
        by_id = {o.object.id: o for o in facts.objects}
        rng = np.random.default_rng(seed)
        for _ in range(10):
            q = refer_free(facts, rng, breadth='full')
            if q is not None:
                asked[q.relations[0]] += 1
            m = measure(facts, rng, breadth='full')
            if m is None:
                continue
            said = m.answer.removeprefix('<answer>')
            o = by_id[m.target_ids[0]]
            if said.startswith('The difference in height'):
                lengths['taller'] += 1
                assert m.metres == pytest.approx(o.height - by_id[m.target_ids[1]].height)
            elif said.startswith('The distance along'):
                lengths['level'] += 1
                p = by_id[m.target_ids[1]]
                assert m.metres == pytest.approx(np.hypot(o.x - p.x, o.y - p.y))
            elif said.startswith('The distance from the table'):
                lengths['up'] += 1
                assert m.metres == pytest.approx(o.top)
    assert set(lengths) == {'taller', 'level', 'up'}
    assert 'in' in asked
    assert any(r.startswith('at a distance ') for r in asked)
