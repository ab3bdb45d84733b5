# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest

from robotracer_ros.bench import demo
from robotracer_ros.bench.closed_loop import Episode, oracle, run_episode, summary
from robotracer_ros.bench.figures import json_safe
from robotracer_ros.data.tasks import simple_task
from robotracer_ros.errors import InvalidParameterError, TraceParseError
from robotracer_ros.geometry.trace import Trace
from robotracer_ros.planning.ompl import OmplPlanner


@pytest.fixture(scope='module')
def planner():
    made = OmplPlanner()
    made.load()
    yield made
    made.close()


def test_the_true_trace_moves_the_object_into_its_goal_in_physics(planner):
    episode = run_episode(101, planner, oracle, simple_task)
    assert episode.success, episode
    assert episode.stage == 'done'
    assert episode.pointed_at == episode.moved
    assert episode.start_error_m < 0.005
    assert episode.contacts == []


def test_a_trace_that_starts_on_another_thing_fails_as_referring(planner):
    def wrong(scene, rendering, task):
        other = next(
            i
            for i, o in enumerate(scene.objects)
            if o.id != task.moved and (rendering.segmentation == i).sum() > 60
        )
        rows, columns = np.nonzero(rendering.segmentation == other)
        middle = len(rows) // 2
        uv = scene.camera.pixels_to_uv([columns[middle], rows[middle]])
        depth = rendering.depth[rows[middle], columns[middle]]
        points = np.array(task.trace)
        points[0] = (*uv, depth)
        return Trace(points, scene.camera, task.kind, task.instruction)

    episode = run_episode(101, planner, wrong, simple_task)
    assert not episode.success
    assert episode.stage == 'refer'
    assert episode.pointed_at != episode.moved


def test_an_answer_that_is_no_trace_fails_as_trace_and_nothing_moves(planner):
    def mute(scene, rendering, task):
        raise TraceParseError('the answer holds 0 point(s)')

    episode = run_episode(101, planner, mute, simple_task)
    assert (episode.stage, episode.error) == ('trace', 'TRACE_PARSE')
    assert episode.motion_s == 0.0


def test_failures_are_counted_by_stage():
    runs = [
        Episode(1, success=True, stage='done', plan_s=0.1),
        Episode(2, stage='plan', error='NO_GRASP', cause='x'),
        Episode(3, stage='task'),
    ]
    result = summary(runs)
    assert (result['episodes'], result['success'], result['without_task']) == (2, 1, 1)
    assert result['failures_by_stage'] == {'plan': 1}


def test_a_run_is_resumed_from_its_file(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'runs.jsonl'
    ran = []

    def run(jobs, workers):
        for seed, *_ in jobs:
            ran.append(seed)
            yield Episode(seed, success=True, stage='done', plan_s=0.1)

    monkeypatch.setattr(demo, '_run', run)
    demo.main(range(3), tracer='oracle', out=out)
    demo.main(range(5), tracer='oracle', out=out, json_output=True)
    assert ran == [0, 1, 2, 3, 4]
    printed = capsys.readouterr().out
    last = json.loads(printed[printed.index('{', printed.index('}')) :])
    assert last['success'] == 5
    assert last['runs'][0]['min_clearance_m'] is None


@pytest.mark.parametrize('option', [{'tracer': 'magic'}, {'tasks': 'hard'}])
def test_unknown_choices_are_refused(option):
    with pytest.raises(InvalidParameterError, match=next(iter(option.values()))):
        demo.main(range(1), **option)


def test_json_is_strict():
    value = json_safe({'a': float('nan'), 'b': [np.float64(1.5), float('inf')], 'c': (1, 'x')})
    assert json.loads(json.dumps(value, allow_nan=False)) == {'a': None, 'b': [1.5, None], 'c': [1, 'x']}
