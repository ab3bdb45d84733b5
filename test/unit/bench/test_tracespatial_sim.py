# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""TraceSpatial-Sim is frozen, held out, rebuilt from seeds, and its truth gets full marks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from robotracer_ros.bench.tracer_features import held_out_wordings
from robotracer_ros.bench.tracespatial import sim
from robotracer_ros.bench.tracespatial.command import build_sim, main
from robotracer_ros.bench.tracespatial.samples import load_dataset
from robotracer_ros.data.files import DatasetFileError
from robotracer_ros.data.generate import GenerateConfig
from robotracer_ros.data.generate import main as generate
from robotracer_ros.data.split import VALIDATION_SEEDS
from robotracer_ros.errors import InvalidParameterError

ROOT = Path(__file__).parents[3]
SMOKE = ROOT / 'test' / 'data' / 'tracespatial_sim'


@pytest.fixture(scope='module')
def frozen():
    return sim.index()


def test_there_are_300_different_samples_in_the_official_layout(frozen, tmp_path):
    assert [s['id'] for s in frozen] == list(range(300))
    assert len({s['seed'] for s in frozen}) == len({s['prompt'] for s in frozen}) == 300
    entries = [{k: s[k] for k in sim._FIELDS} for s in frozen]
    (tmp_path / 'trajectory_dataset.json').write_text(json.dumps(entries))
    (tmp_path / 'raw_data').mkdir()
    for sample in load_dataset(tmp_path).samples:
        assert sample.box is not None and 2 <= len(sample.trajectory) <= 8
        assert sample.box.distances(sample.trajectory[-1:])[0] == 0, 'the truth ends in its box'
        pixels = sample.project(sample.trajectory)
        assert ((pixels >= 0) & (pixels <= (320, 240))).all()
        assert sample.inferred_size(tmp_path) == (320, 240)
        assert sample.target in sample.prompt or sample.target.lower() in sample.prompt.lower()


def test_training_never_sees_seeds_or_words(frozen, tmp_path):
    assert max(s['seed'] for s in frozen) < VALIDATION_SEEDS
    for seed in (frozen[0]['seed'], frozen[-1]['seed']):
        with pytest.raises(InvalidParameterError, match='reserved for evaluation'):
            generate(tmp_path, 1, seed, 1, GenerateConfig(split='train'))
    without = [s['prompt'] for s in frozen if held_out_wordings(s['prompt']) == 0]
    assert not without, 'every instruction holds a phrasing that training never shows'
    # training watches itself on the first seeds
    for path in (ROOT / 'config' / 'train').glob('*.yaml'):
        watched = yaml.safe_load(path.read_text()).get('val_scenes', 0)
        assert watched <= min(s['seed'] for s in frozen), path


def test_pictures_from_seeds_are_the_frozen_ones_and_those_of_the_smoke_subset(frozen, tmp_path):
    chosen = [frozen[0], frozen[150]]
    assert [n for n, _ in sim.build(tmp_path, chosen)] == [0, 150]
    built, smoke = load_dataset(tmp_path), load_dataset(SMOKE)
    frame, committed = built.frame(built.samples[0]), smoke.frame(smoke.samples[0])
    assert np.abs(frame.depth - committed.depth).mean() < 1e-3
    assert (frame.mask != committed.mask).mean() < 0.002
    np.testing.assert_array_equal(built.samples[0].trajectory, smoke.samples[0].trajectory)
    assert built.samples[1].prompt == frozen[150]['prompt']


def test_the_command_says_how_many_pictures_are_the_same(tmp_path, capsys):
    assert build_sim(tmp_path, 1) == 0
    assert '1 samples' in capsys.readouterr().out
    for wrong in (0, 301):
        with pytest.raises(InvalidParameterError, match=r'must be in 1\.\.300'):
            build_sim(tmp_path, wrong)


def test_another_picture_is_refused_and_another_last_bit_is_not(frozen):
    first = frozen[0]
    pictures = sim.render(first['seed'], first['moved'])
    depth = pictures.depth.copy()
    depth[5, 5] += 1
    assert sim.check(first, sim.Pictures(pictures.image, depth, pictures.mask)) is False
    other = sim.render(frozen[1]['seed'], frozen[1]['moved'])
    with pytest.raises(InvalidParameterError, match='shows something else'):
        sim.check(first, other)
    with pytest.raises(InvalidParameterError, match="has no object 'ghost_7'"):
        sim.render(first['seed'], 'ghost_7')


def test_a_broken_index_is_named(tmp_path):
    path = tmp_path / 'x.json.gz'
    path.write_bytes(sim.INDEX.read_bytes()[:-30])
    with pytest.raises(DatasetFileError, match=r'x\.json\.gz.*cannot be read'):
        sim.index(path)


def test_freezing_again_gives_samples_of_the_same_kind(tmp_path):
    path = tmp_path / 'new.json.gz'
    assert sim.freeze(path, 1, range(400, 402)) == 1
    again = sim.index(path)[0]
    assert list(again) == list(sim.index()[0])
    assert sim.check(again, sim.render(again['seed'], again['moved']))


def test_the_truth_gets_full_marks_on_the_smoke_subset_and_a_straight_line_does_not(tmp_path, capsys):
    answers = tmp_path / 'answers'
    run = {'answers_folder': answers, 'json_output': True}
    main(SMOKE, (), model='oracle,straight,lift', **run)
    found = {r['name']: r['figures'] for r in json.loads(capsys.readouterr().out)['files']}
    truth = found['oracle_3D']['mended']['rates']
    assert all(truth[k]['rate'] == 1 for k in truth if not k.endswith('of 3D')), truth
    assert found['oracle_3D']['mended']['means']['DFD']['mean'] < 0.002
    assert found['straight_3D']['mended']['means']['DFD']['mean'] > 0.03
    assert found['lift_3D']['mended']['means']['DFD']['mean'] > 0.03
    # 2D of the same truth
    main(SMOKE, (), model='oracle', dimensions='2D', **run)
    flat = json.loads(capsys.readouterr().out)['files'][0]['figures']['mended']['rates']
    assert flat['end in box']['rate'] == flat['start in mask']['rate'] == 1


def test_the_truth_about_other_samples_gets_next_to_nothing(tmp_path, capsys):
    """The control: what scores without having looked is luck."""
    data = load_dataset(SMOKE)
    main(SMOKE, (), model='oracle', answers_folder=tmp_path, json_output=True)
    capsys.readouterr()
    path = tmp_path / 'oracle_3D.jsonl'
    lines = [json.loads(x) for x in path.read_text().splitlines()]
    answers = [x['model_prediction'] for x in lines]
    for line, answer in zip(lines, answers[1:] + answers[:1], strict=True):
        line['model_prediction'] = answer
    other = tmp_path / 'RoboTracer_shuffled_3D.jsonl'
    other.write_text('\n'.join(json.dumps(x) for x in lines))
    main(data.folder, [other], json_output=True, rules=None)
    rates = json.loads(capsys.readouterr().out)['files'][0]['figures']['mended']['rates']
    assert rates['overall']['rate'] <= 0.25
