# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0

from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
from handmade import scene, thing

from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.hand import APPROACH, end_effector_task
from robotracer_ros.data.push import BEHIND, JAW, draft_push, pushable
from robotracer_ros.data.qa import sample_questions, trace
from robotracer_ros.data.rays import inside_part
from robotracer_ros.data.split import is_held_out
from robotracer_ros.data.tasks import FULL_PRIMITIVES, PRIMITIVE_WEIGHTS, sample_tasks
from robotracer_ros.geometry.trace import Measuring, Referring, TraceKind
from robotracer_ros.sim.scenes import generate_scene
from robotracer_ros.tracer.text import parse_answer

SEEDS = range(1740, 1752)


@cache
def pushes():
    found = []
    for seed in SEEDS:
        facts = SceneFacts(generate_scene(seed))
        rng = np.random.default_rng(seed)
        found += [(facts, t) for t in sample_tasks(facts, rng, 3, {'push': 1.0}, breadth='full')]
    return tuple(found)


def fact_of(facts, task):
    return next(o for o in facts.objects if o.object.id == task.moved)


def test_a_push_slides_the_thing_to_its_place():
    assert len(pushes()) > 15
    by_distance = 0
    for facts, t in pushes():
        assert t.kind == TraceKind.END_EFFECTOR_CENTRIC
        above, down, contact, last = t.path
        assert np.array_equal(above[:2], down[:2])
        assert above[2] > down[2] == contact[2] == last[2] > 0.01
        shift = last - contact
        fact = fact_of(facts, t)
        assert t.goal.contains(np.array([fact.x, fact.y, 0.0]) + shift), t.instruction
        assert not t.goal.contains(np.array([fact.x, fact.y, 0.0]))
        d = shift[:2] / np.linalg.norm(shift[:2])
        # The jaws come down behind the thing, touch its side, and push through its middle.
        offset = np.array([fact.x, fact.y]) - contact[:2]
        assert np.allclose(offset, d * (fact.half_along(d) + JAW))
        assert np.allclose(contact[:2] - down[:2], d * BEHIND)
        assert last[2] <= fact.top / 2 + 1e-9
        if t.distance is not None and not t.references:
            by_distance += 1
            assert abs(np.linalg.norm(shift) - t.distance) <= 0.03
    assert by_distance > 3


def test_nothing_is_in_the_way_of_a_push():
    for facts, t in pushes():
        s, moved = facts.scene, facts.scene.object(t.moved)
        shift = t.path[-1] - t.path[-2]
        rng = np.random.default_rng(0)
        box = (rng.random((60, 3)) - 0.5) * moved.extents
        body = box @ moved.pose[:3, :3].T + moved.position
        tool = t.path[1] + (rng.random((60, 3)) - 0.5) * (2 * JAW, 2 * JAW, 0.01)
        for o in s.objects:
            if o.id == t.moved:
                continue
            for share in np.linspace(0, 1, 12):
                places = np.concatenate(
                    [body + share * shift, tool + share * (t.path[-1] - t.path[1])]
                )
                for part in o.parts:
                    assert not inside_part(part, o.pose, places).any(), (t.instruction, o.id)


def test_what_rolls_or_carries_or_stands_on_something_is_not_pushed():
    tray = thing('tray', 'white', 0.5, -0.25)
    facts = SceneFacts(
        scene(
            [
                thing('ball', 'red', 0.5, 0.0),
                tray,
                thing('can', 'blue', 0.5, -0.25, 'small', on=tray),
                thing('wall', 'gray', 0.4, 0.3),
                thing('box', 'green', 0.6, 0.1),
            ]
        )
    )
    assert [o.kind for o in pushable(facts)] == ['box']
    turned = SceneFacts(scene([thing('box', 'green', 0.5, 0.0, yaw=np.pi / 4)]))
    rng = np.random.default_rng(0)
    assert all(draft_push(turned, turned.objects[0], rng, 'train') is None for _ in range(10))


def test_pushes_speak_of_pushing_and_keep_their_splits():
    words = Counter()
    for facts, t in pushes():
        words.update(w for w in ('push', 'slide', 'without lifting') if w in t.instruction.lower())
        kinds = [facts.scene.object(r).kind for r in t.references]
        assert not any(is_held_out('push', k) or is_held_out(t.relation, k) for k in kinds)
        assert isinstance(t.reasoning[-1], Referring)
        if t.distance is not None:
            assert any(isinstance(s, Measuring) for s in t.reasoning)
        # The place is where the thing ends, and not where the jaws do.
        place = facts.camera.lift(np.array(t.reasoning[-1].point))
        world = (facts.scene.world_from_camera @ np.append(place, 1))[:3]
        assert t.goal.contains(world)
    assert set(words) == {'push', 'slide', 'without lifting'}
    rare = []
    for seed in SEEDS:
        f, rng = SceneFacts(generate_scene(seed)), np.random.default_rng(seed)
        rare += sample_tasks(f, rng, 1, {'push': 1.0}, split='wording', breadth='full')
    said = ' '.join(t.instruction.lower() for t in rare)
    assert 'shove' in said or 'nudge' in said


def test_the_hand_goes_where_the_thing_goes():
    made = Counter()
    for seed in SEEDS:
        facts = SceneFacts(generate_scene(seed))
        for t in sample_tasks(facts, np.random.default_rng(seed), 6):
            hand = end_effector_task(facts, t)
            if hand is None:
                continue
            made[t.primitive] += 1
            assert hand.kind == TraceKind.END_EFFECTOR_CENTRIC
            assert (hand.instruction, hand.goal, hand.reasoning) == (t.instruction, t.goal, t.reasoning)
            fact = fact_of(facts, t)
            above, grasp = hand.path[:2]
            assert np.allclose(grasp[:2], (fact.x, fact.y))
            assert fact.bottom < grasp[2] < fact.top
            assert np.allclose(above - grasp, (0, 0, APPROACH))
            assert len(hand.path) <= 8
            # From the grasp on it keeps its place relative to the thing.
            centres = t.path[1:] if t.goal is None else t.path[1:-1]
            held = hand.path[2 : 2 + len(centres)] - centres
            assert np.allclose(held, held[0])
            assert np.allclose(held[0][:2], 0)
            if t.goal is not None:
                rest = t.path[-1] + (0, 0, grasp[2] - fact.bottom)
                assert np.allclose(hand.path[-1], rest)
            assert end_effector_task(facts, hand) is hand
    assert {'M1', 'M2', 'hover'} <= set(made)
    assert sum(made.values()) > 20


def test_things_that_are_taken_at_the_rim_have_no_hand_trace():
    facts, t = next((f, t) for f, t in pushes())
    bowl = SceneFacts(scene([thing('bowl', 'red', 0.5, 0.0)]))
    carried = replace(t, kind=TraceKind.OBJECT_CENTRIC, moved='red_bowl')
    assert end_effector_task(bowl, carried) is None
    assert end_effector_task(facts, t) is t


def test_questions_of_full_breadth():
    assert set(FULL_PRIMITIVES) - set(PRIMITIVE_WEIGHTS) == {'push'}
    assert all(FULL_PRIMITIVES[k] == w for k, w in PRIMITIVE_WEIGHTS.items())
    kinds, primitives = Counter(), Counter()
    for seed in range(1740, 1746):
        facts = SceneFacts(generate_scene(seed))
        ids = {o.object.id for o in facts.objects}
        for q in sample_questions(facts, np.random.default_rng(seed), 24, breadth='full'):
            parsed = None if q.task_type == 'measure' else parse_answer(q.answer)
            assert set(q.target_ids) <= ids
            if q.task is None:
                assert q.relations, q.prompt
                continue
            kinds[q.task.kind] += 1
            primitives[q.task.primitive] += 1
            hand = q.task.kind == TraceKind.END_EFFECTOR_CENTRIC
            assert ('end-effector-centric' in q.prompt) == hand
            assert len(parsed.points) == len(q.task.trace) <= 8
            mentions = q.mentions[-len(q.task.trace) :]
            assert (mentions[0].object_id is None) == hand
            for m in q.mentions:
                lifted = facts.camera.lift(np.array(m.uvd))
                world = (facts.scene.world_from_camera @ np.append(lifted, 1))[:3]
                assert np.linalg.norm(world - m.world) < 0.012, q.answer
    assert kinds[TraceKind.END_EFFECTOR_CENTRIC] > 5
    assert kinds[TraceKind.OBJECT_CENTRIC] > 20
    assert 'push' in primitives
    facts, t = pushes()[0]
    think = trace(facts, t, 'trace_3d_think')
    assert think.mentions[-len(t.trace) - 1].uvd == t.reasoning[-1].point
