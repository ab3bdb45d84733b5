# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The bench gives the truth full marks, other answers none, and goes on where it was interrupted."""

import json
from pathlib import Path

import numpy as np
import pytest

from robotracer_ros.bench import tracer
from robotracer_ros.bench.tracer_features import (
    held_out_compositions,
    held_out_features,
    held_out_wordings,
    way_of_naming,
)
from robotracer_ros.bench.tracer_figures import ordering, tell
from robotracer_ros.data.facts import SceneFacts
from robotracer_ros.data.tasks import sample_tasks
from robotracer_ros.errors import InvalidParameterError
from robotracer_ros.sim.scenes import generate_scene
from robotracer_ros.tracer.model.tokenizer import build_tokenizer

SCENES = 6


def bench(capsys, *args, **options):
    assert tracer.main(*args, json_output=True, **options) == 0
    return json.loads(capsys.readouterr().out)


def rates(result, mode):
    return {k: v['rate'] for k, v in result['figures']['RGB+I+D+pose'][mode]['rates'].items()}


def test_the_truth_is_right_in_every_respect(capsys, tmp_path):
    result = bench(capsys, SCENES, answers='oracle', out=tmp_path / 'truth.jsonl')
    assert (result['scenes'], result['seeds']) == (SCENES, [0, SCENES - 1])
    for mode in ('think', 'direct'):
        assert set(rates(result, mode).values()) == {1.0}, rates(result, mode)
        assert result['figures']['RGB+I+D+pose'][mode]['rates']['overall']['n'] >= SCENES - 1
    assert rates(result, 'refer')['named <3cm'] == rates(result, 'measure')['within 15 %'] == 1.0
    assert rates(result, 'refer')['other <50 (control)'] < 0.1
    medians = result['figures']['RGB+I+D+pose']['think']['medians']
    assert medians['end distance to true end (m)']['median'] < 0.002
    parts = result['figures']['RGB+I+D+pose']['think']['parts']
    assert set(parts) == {'primitive', 'relation', 'reasoning steps', 'held-out features'}
    for values in parts.values():
        n = sum(v['overall']['n'] for v in values.values())
        assert n == result['figures']['RGB+I+D+pose']['think']['rates']['overall']['n']


def test_answers_about_another_scene_are_wrong(capsys):
    result = bench(capsys, SCENES, answers='shuffled')
    assert rates(result, 'think')['parsed'] == 1.0
    assert rates(result, 'think')['overall'] == rates(result, 'think')['sensor overall'] == 0.0
    assert rates(result, 'think')['start <3cm'] <= 0.25
    assert rates(result, 'think')['end in goal'] <= 0.25
    assert rates(result, 'refer')['named <3cm'] <= 0.25


def test_an_interrupted_run_goes_on(capsys, tmp_path, monkeypatch):
    whole = bench(capsys, 3, answers='oracle')
    out = tmp_path / 'results.jsonl'
    bench(capsys, 2, answers='oracle', out=out)
    with out.open('a') as file:
        file.write('{"seed": 2, "questions": [')
    asked = []
    real = tracer.ask_scene
    monkeypatch.setattr(tracer, 'ask_scene', lambda seed, *a: asked.append(seed) or real(seed, *a))
    resumed = bench(capsys, 3, answers='oracle', out=out)
    assert asked == [2]
    assert resumed['figures'] == whole['figures']
    assert len(out.read_text().splitlines()) == 4
    with pytest.raises(InvalidParameterError, match='another answers'):
        tracer.main(1, answers='shuffled', out=out)


@pytest.mark.parametrize(('options', 'words'), [
    ({'split': 'train'}, "split 'train'"), ({'conditions': ['RGB', 'D']}, "'D'"),
    ({'answers': 'luck'}, "answers 'luck'"), ({'first': 999, 'scenes': 2}, '999 to 1000'),
])  # fmt: skip
def test_arguments_are_checked(options, words):
    with pytest.raises(InvalidParameterError, match=words):
        tracer.main(**({'scenes': 1, 'answers': 'oracle'} | options))


def test_a_checkpoint_is_asked_with_each_kind_of_input(capsys, tmp_path, micro_model):
    model = micro_model()
    folder = tmp_path / 'micro'
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    result = bench(capsys, 1, checkpoint=str(folder), conditions=['RGB', 'RGB+I+D'])
    assert list(result['figures']) == ['RGB', 'RGB+I+D']
    for figures in result['figures'].values():
        assert figures['refer']['rates']['parsed']['n'] == 2
        assert figures['think']['rates']['overall']['rate'] == 0.0
        assert figures['scale']['medians']['log error']['median'] > 0
    scales = [f['scale']['medians']['log error']['median'] for f in result['figures'].values()]
    assert scales[0] != scales[1], 'depth and rays reach the model'
    assert len(result['weights']) == 64
    assert result['cpu_s']['answers RGB'] > 0


def test_order_of_inputs_is_checked(capsys):
    def entry(start, error):
        rate = {'rate': start, 'low': start - 0.1, 'high': start + 0.1, 'n': 100}
        return {
            'think': {
                'rates': {'start <3cm': rate},
                'medians': {'start depth error (m)': {'median': error, 'p90': error, 'n': 100}},
            }
        }

    inputs = ('RGB', 'RGB+I', 'RGB+I+D')
    good = ordering(
        dict(zip(inputs, map(entry, (0.2, 0.2, 0.9), (0.06, 0.05, 0.01)), strict=True))
    )
    assert [(e['name'], e['holds']) for e in good] == [
        ('start <3cm', True), ('start depth error (m)', True)]  # fmt: skip
    assert good[0]['separated'] is True
    bad = ordering(
        dict(zip(inputs, map(entry, (0.2, 0.1, 0.25), (0.06, 0.07, 0.01)), strict=True))
    )
    assert [e['holds'] for e in bad] == [False, False]
    assert bad[0]['separated'] is False
    assert ordering({'RGB': entry(0.1, 0.1)}) == []


def test_people_get_tables(capsys):
    from rich.console import Console

    settings = tracer.Settings(tracer.VERSION, 'val', ('RGB+I+D+pose',), 'oracle', '', '')
    tell(tracer.run(settings, range(2)), Console(width=200))
    shown = capsys.readouterr().out
    assert 'think: overall' in shown
    assert '100.0 [' in shown
    assert 'by primitive' in shown


@pytest.mark.parametrize('split', ['val', 'wording', 'composition'])
def test_held_out_features_of_tasks_are_found_in_their_words(split):
    tasks = 0
    for seed in range(8):
        facts = SceneFacts(generate_scene(seed))
        for task in sample_tasks(facts, np.random.default_rng(seed), 3, split=split):
            tasks += 1
            words = held_out_wordings(task.instruction)
            assert (words > 0) == (split == 'wording'), task.instruction
            count = held_out_features(task.instruction, split, task, facts.scene)
            assert (count > 0) == (split != 'val'), task.instruction
    assert tasks > 10


@pytest.mark.parametrize(('text', 'naming', 'wordings', 'compositions'), [
    ('Point to the white candle standing before the large candle.', 'in front of', 1, 0),
    ('Point to the tray on the far right.', 'ordinal', 0, 0),
    ('Point to the red cup.', 'plain', 0, 0),
    ('Point to the largest tray.', 'superlative', 0, 0),
    ('Point to the can left of the first blue bowl from the left.', 'left of', 0, 1),
    ('Put the box around the left of the bowl.', 'ordinal', 0, 0),
    ('Point to the cup between the red block and the green bottle.', 'between', 0, 1),
    ('Point to the cup nearest to the mug in front of the flower pot.', 'nearest to', 0, 2),
    ('Point to the cyan item standing on the left-hand side of the second box counting from '
     'the left.', 'left of', 3, 0),
    ('Point to the ball left of the watering can.', 'left of', 0, 0),
])  # fmt: skip
def test_words_tell_what_is_rare_in_them(text, naming, wordings, compositions):
    if 'Put' not in text:
        assert way_of_naming(text) == naming
    assert held_out_wordings(text) == wordings
    assert held_out_compositions(text) == compositions


@pytest.mark.slow
def test_the_truth_about_200_scenes(tmp_path: Path):
    """Every question of 200 scenes: a miss is an error of the generator or of the scoring."""
    settings = tracer.Settings(tracer.VERSION, 'val', ('RGB+I+D+pose',), 'oracle', '', '')
    result = tracer.run(settings, range(200))
    assert min(rates(result, 'think').values()) == 1.0, rates(result, 'think')
    assert min(rates(result, 'direct').values()) == 1.0, rates(result, 'direct')
