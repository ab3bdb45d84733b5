# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Answers are judged by what they say about the scene."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from handmade import scene, thing

from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.generate import renderer
from robotracer_ros.data.qa import Mention, Sample
from robotracer_ros.data.rates import Rate, Scores
from robotracer_ros.data.reading import centres_of, missed_target, to_world, with_sensor_depth
from robotracer_ros.data.score import Judge
from robotracer_ros.data.sweep import TOUCH_M, Sweep, densified
from robotracer_ros.data.task import GoalRegion, Task
from robotracer_ros.geometry.trace import TraceKind
from robotracer_ros.geometry.transforms import make_transform
from robotracer_ros.tracer.text import write_answer

#: camera at +x looking back at the robot: +y is right in the picture, +x is front
SCENE = scene(
    [
        thing('block', 'red', 0.45, -0.20),
        thing('carton', 'green', 0.45, 0.0),
        thing('bowl', 'blue', 0.45, 0.22),
        thing('block', 'yellow', 0.62, 0.15),
    ]
)
RED, GREEN, BLUE, YELLOW = SCENE.objects
#: centre of a small block on the table
LOW = RED.position[2]


@cache
def judge() -> Judge:
    image = renderer().render(SCENE)
    return Judge(SceneFacts(SCENE, image), image)


def region(x: float, y: float, size: float = 0.08, z: float = 0.0, height: float = 0.03):
    return GoalRegion(make_transform(None, (x, y, z)), np.array([size, size, height]))


def task(**changes) -> Task:
    """Put the red block right of the green carton."""
    values = {
        'instruction': 'put the red block right of the green carton',
        'primitive': 'M1',
        'relation': 'right of',
        'moved': RED.id,
        'references': (GREEN.id,),
        'kind': TraceKind.OBJECT_CENTRIC,
        'goal': region(0.45, 0.10),
        'hover_targets': (),
        'path': np.array([judge().facts.objects[0].surface, [0.45, 0.10, 0.0]]),
        'trace': np.zeros((2, 3)),
        'reasoning': (),
        'key_steps': (),
        'split': 'val',
    }
    return Task(**(values | changes))


def answer(way: np.ndarray, start: np.ndarray | None = None) -> str:
    """Write a way (N, 3) in the world as a trace that begins on the red block."""
    first = judge().facts.objects[0].surface if start is None else start
    return write_answer(judge().facts.project(np.vstack([first, way])))


def score(way, start=None, **changes):
    t = task(**changes)
    sample = Sample('?', '', 'trace_3d', (), (t.moved,), t)
    return judge().trace(sample, way if isinstance(way, str) else answer(np.array(way), start))


OVER = [[0.45, -0.20, 0.25], [0.45, 0.10, 0.25], [0.45, 0.10, 0.0]]


def test_a_good_trace_is_right_in_every_respect():
    out = score(OVER)
    assert out.note == ''
    assert set(out.hits.values()) == {1.0}
    assert out.errors['start distance to surface (m)'] < 0.003
    assert out.errors['end distance to true end (m)'] < 0.003


def test_the_path_counts_between_the_keypoints():
    out = score([[0.45, -0.20, 0.08], [0.45, 0.10, 0.08], [0.45, 0.10, 0.0]])
    assert out.hits['start+end'] == 1.0
    assert out.hits['path free'] == out.hits['overall'] == 0.0
    assert out.note.startswith(f'{GREEN.id} hit')


def test_start_and_end_are_judged_in_metres():
    beside = judge().facts.objects[0].surface + np.array([0, -0.06, 0])
    out = score(OVER, start=beside)
    assert (out.hits['start <3cm'], out.hits['end in goal']) == (0.0, 1.0)
    assert out.note == 'start not on the object'
    for off, inside in ((0.038, 1.0), (0.045, 0.0)):
        out = score([*OVER[:2], [0.45 - off, 0.10, 0.0]])
        assert (out.hits['end in goal'], out.hits['overall']) == (inside, inside), off


@pytest.mark.parametrize('text', ['', 'no', '<answer>[(1, 2, 0.5)]</answer>',
                                  '<answer>[(1, 2), (3, 4)]</answer>',
                                  '<answer>[(1, 2, 0.5), (3, 1004, 0.5)]</answer>',
                                  '<answer>[(1, 2, 0.5), (3, 4, 0.000)]</answer>'])  # fmt: skip
@pytest.mark.parametrize('hover', [False, True])
def test_what_cannot_be_read_misses_everything(text, hover):
    changes = {'goal': None, 'hover_targets': (GREEN.id,), 'primitive': 'hover'} if hover else {}
    bad = score(text, **changes)
    assert set(bad.hits) == set(score(OVER, **changes).hits)
    assert set(bad.hits.values()) == {0.0}
    assert not bad.errors


def test_the_sensor_corrects_depth_at_contacts_only():
    uvd = judge().facts.project(np.vstack([judge().facts.objects[0].surface, OVER]))
    uvd[[0, -1], 2] += (0.06, -0.06)
    out = score(write_answer(uvd))
    assert (out.hits['start <3cm'], out.hits['end in goal']) == (0.0, 0.0)
    assert out.hits['sensor overall'] == 1.0
    assert out.errors['start depth error (m)'] == pytest.approx(0.06, abs=0.002)
    assert out.errors['end depth error (m)'] == pytest.approx(0.06, abs=0.002)
    uvd[1, 2] += 0.2  # in the air there is nothing to measure
    assert score(write_answer(uvd)).hits['sensor start+end'] == 1.0
    uvd[0, 2] += 0.2  # a planner refuses what lies that far off
    assert score(write_answer(uvd)).hits['sensor start <3cm'] == 0.0


def test_an_end_behind_what_is_moved_takes_the_height_of_the_table():
    facts, image = judge().facts, judge().image
    start = facts.project(facts.objects[0].surface[None])
    uvd = np.vstack([start, start])
    felt = with_sensor_depth(uvd, SCENE, image, (0, 1), moved=0)
    assert felt is not None
    world = to_world(SCENE, felt)
    assert world[0] == pytest.approx(facts.objects[0].surface, abs=0.004)
    assert world[1, 2] == pytest.approx(0.0, abs=1e-6)
    resting = with_sensor_depth(uvd, SCENE, image, (0, 1))
    assert resting is not None and resting[1, 2] == resting[0, 2]


def test_hovering_passes_every_target_at_its_height():
    top = GREEN.position[2] + GREEN.extents[2] / 2 + LOW
    hover = {'goal': None, 'hover_targets': (GREEN.id,), 'primitive': 'hover', 'relation': 'over'}
    for gap, right in ((0.03, 1.0), (0.08, 0.0)):
        out = score([[0.45, -0.20, 0.25], [0.45, 0.0, top + gap]], **hover)
        assert (out.hits['over targets'], out.hits['overall']) == (right, right), gap
        assert 'end in goal' not in out.hits
    order = task(**hover | {'hover_targets': (GREEN.id, YELLOW.id)})
    way = densified(np.array([[0.62, 0.15, 0.08], [0.45, 0.0, top + 0.03 - LOW]]))
    assert missed_target(order, SCENE, way).startswith(YELLOW.id)


def test_the_goals_support_may_be_touched_above_the_goal_only():
    floor = BLUE.position[2] - BLUE.extents[2] / 2 + BLUE.support_height
    inside = {
        'goal': region(0.45, 0.22, 0.07, floor + 0.02, 0.065),
        'references': (BLUE.id,),
        'relation': 'in',
    }
    over = [[0.45, -0.20, 0.25], [0.45, 0.22, 0.25]]
    # Off the middle it meets the wall, as things in bowls do.
    out = score([*over, [0.45, 0.245, floor]], **inside)
    assert out.hits['path free'] == 1.0
    assert score([*over, [0.45, 0.245, floor]], **inside | {'references': ()}).hits['path free'] == 0
    through = score([[0.45, -0.2, 0.25], [0.70, 0.22, LOW], [0.45, 0.22, floor]], **inside)
    assert through.hits['end in goal'] == 1.0
    assert through.hits['path free'] == 0.0, 'through the wall of the bowl from the side'


def test_an_overlap_counts_from_the_tolerance_on():
    sweep = Sweep(SCENE, RED.id)
    touching = float(YELLOW.extents[1] + RED.extents[1]) / 2
    for depth, hits in ((TOUCH_M - 0.001, False), (TOUCH_M + 0.001, True)):
        side = YELLOW.position + np.array([0, touching - depth, 0.001])
        found = sweep.first_collision(side + np.array([[0, 0.1, 0], [0, 0, 0]]))
        assert (found is not None) == hits
        if found is not None:
            assert found.thing == YELLOW.id
            assert found.depth == pytest.approx(depth, abs=0.0015)
    assert sweep.first_collision(np.array([RED.position, RED.position])) is None
    sunk = sweep.first_collision(np.array([RED.position, RED.position - np.array([0, 0, 0.02])]))
    assert sunk is not None and sunk.thing == 'table'


def test_a_thing_is_passed_on_the_side_that_was_asked_for():
    told = {'via': GREEN.id, 'primitive': 'M4', 'goal': region(0.45, 0.12, 0.10)}
    # In front is towards the camera: larger x.
    front = [[0.58, -0.10, 0.06], [0.58, 0.08, 0.06], [0.45, 0.10, 0.0]]
    for way, side in ((front, 'in front of'), (OVER, 'over')):
        for asked in ('in front of', 'behind', 'left of', 'over'):
            out = score(way, **told, via_side=asked)
            assert out.hits['passed as told'] == float(asked == side), (side, asked)
    short = score([[0.45, -0.20, 0.1], [0.45, -0.12, 0.0]], **told, via_side='left of')
    assert short.hits['passed as told'] == 0.0, 'it does not come past at all'
    assert 'passed as told' not in score(OVER).hits


def test_centres_begin_where_the_thing_stands_and_end_on_its_bottom():
    world = np.array([[0.45, -0.2, 0.05], [0.4, 0, 0.2], [0.45, 0.1, 0.0]])
    centres = centres_of(task(), SCENE, world)
    assert centres[0] == pytest.approx(RED.position)
    assert centres[1] == pytest.approx(world[1])
    assert centres[2] == pytest.approx([0.45, 0.1, LOW])


def refer(uvd) -> dict[str, float]:
    fact = judge().facts.objects[1]
    mention = Mention(0, 1, GREEN.id, fact.surface, fact.uvd)
    sample = Sample('?', '', 'refer', (mention,), (GREEN.id,))
    return judge().refer(sample, uvd if isinstance(uvd, str) else write_answer([uvd])).hits


def test_pointing_is_held_against_the_other_things():
    right, other = refer(judge().facts.objects[1].uvd), refer(judge().facts.objects[0].uvd)
    assert right['named <3cm'] == right['named in mask'] == right['nearest is named'] == 1.0
    assert right['other <50 (control)'] == 0.0
    assert right['name-blind 1/n'] == 0.25
    assert other['named <3cm'] == other['named in mask'] == other['nearest is named'] == 0.0
    assert other['other <50 (control)'] == pytest.approx(1 / 3)
    u, v, d = judge().facts.objects[1].uvd
    far = refer((u, v, d + 0.05))
    assert (far['named <3cm'], far['sensor named <3cm'], far['named <50']) == (0.0, 1.0, 1.0)
    assert {k for k, x in refer('nothing').items() if x} == {'name-blind 1/n'}


def test_lengths_are_right_within_a_share():
    sample = Sample('?', '', 'measure', (), (GREEN.id,), metres=0.10)
    for text, close, double in (
        ('The height is 11.4 centimeters.', 1, 1),
        ('11.6 cm', 0, 1),
        ('0.049 meters', 0, 0),
        ('tall', 0, 0),
    ):
        hits = judge().score(sample, text).hits
        assert (hits['within 15 %'], hits['within x2']) == (close, double), text
        assert hits['parsed'] == (text != 'tall')


def test_other_types_are_no_silent_zero():
    with pytest.raises(ValueError, match='lift'):
        judge().score(replace(Sample('?', '', 'refer', (), ()), task_type='lift'), '')


def test_scores_sum_up():
    scores = Scores()
    for way in (OVER, [*OVER[:2], [0.45, 0.2, 0.0]]):
        scores.add(score(way), 'think ')
    assert scores.rates['think end in goal'].value == 0.5
    assert scores.summary()['think parsed'].startswith('100.0 %')
    assert scores.summary()['median think end distance to true end (m)'].endswith('(n=2)')
    assert Rate().interval == (0.0, 1.0)
