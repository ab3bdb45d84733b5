# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Asking models: what they see, what is kept of their answers, and how a run goes on."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tracespatial_folder as made

from robotracer_ros.bench.tracespatial.ask import ask, asker, observation
from robotracer_ros.bench.tracespatial.command import main, parse_options
from robotracer_ros.bench.tracespatial.parsing import official_points
from robotracer_ros.bench.tracespatial.samples import load_answers, load_dataset
from robotracer_ros.data.files import DatasetFileError
from robotracer_ros.errors import (
    CheckpointError,
    InvalidParameterError,
    TraceParseError,
    TracerTimeoutError,
)


@pytest.fixture
def data(tmp_path):
    return load_dataset(made.write(tmp_path / 'bench', [made.sample(0), made.sample(1)]))


def test_a_model_sees_what_its_inputs_say(data):
    sample = data.samples[0]
    assert observation(data, sample, 'RGB').camera is None
    assert observation(data, sample, 'RGB+I').depth is None
    full = observation(data, sample, 'RGB+I+D')
    assert full.camera is not None and full.camera.fx == 150 and full.depth is not None
    noisy = observation(data, sample, 'RGB+I+D+noise').depth
    again = observation(data, sample, 'RGB+I+D+noise').depth
    assert noisy is not None and (noisy != full.depth).mean() > 0.5
    np.testing.assert_array_equal(noisy, again)
    assert np.abs(noisy - full.depth)[noisy > 0].mean() < 0.02


def test_answers_are_kept_in_the_official_form_and_a_run_goes_on(data, tmp_path):
    out, asked, calls = tmp_path / 'x_3D.jsonl', {'model': 'm'}, []

    def answers(dataset, sample):
        calls.append(sample.id)
        if sample.id == 1 and len(calls) < 3:
            raise TracerTimeoutError('too slow')
        return '[(500, 500, 1.2), (800, 500, 1.2)]'

    steps = []
    assert ask(data, out, answers, asked, lambda: steps.append(1)) == 1 and len(steps) == 2
    lines = [json.loads(x) for x in out.read_text().splitlines()]
    assert [x['model_prediction'] for x in lines] == ['[(500, 500, 1.2), (800, 500, 1.2)]', '']
    assert lines[1]['error'] == 'TRACER_TIMEOUT: too slow'
    assert ask(data, out, answers, asked) == 0  # only what is empty is asked again
    assert calls == [0, 1, 1]
    found = load_answers(out)  # the lines hold all that scoring needs
    assert [a.sample.id for a in found.answers] == [0, 1] and found.answers[1].text
    with out.open('a') as file:
        file.write('{"question_id": 1, "model_pred')  # cut off by an interruption
    assert ask(data, out, answers, asked) == 0 and calls == [0, 1, 1]
    load_answers(out)
    with pytest.raises(DatasetFileError, match=r"is of another run, \{'model': 'm'\}"):
        ask(data, out, answers, {'model': 'other'})
    out.write_text('{"seed": 3}\n')
    with pytest.raises(DatasetFileError, match='line 1: is no answer'):
        ask(data, out, answers, asked)


def test_what_cannot_be_read_is_kept_as_it_was_written(data, tmp_path):
    def answers(dataset, sample):
        raise TraceParseError('no points', raw_text='I would rather not.')

    out = tmp_path / 'x.jsonl'
    assert ask(data, out, answers, {}) == 0
    assert json.loads(out.read_text().splitlines()[0])['model_prediction'] == 'I would rather not.'


def test_faults_of_ours_are_not_answers(data, tmp_path):
    def answers(dataset, sample):
        raise KeyError('bug')

    with pytest.raises(KeyError):
        ask(data, tmp_path / 'x.jsonl', answers, {})


def test_baselines_are_what_they_say(data):
    sample = data.samples[0]

    def points(model, dimensions='3D'):
        return official_points(asker(model, 'RGB', dimensions)(data, sample), 'robotracer')

    oracle, straight, lift = points('oracle'), points('straight'), points('lift')
    np.testing.assert_allclose(sample.lift(oracle, (160, 120)), sample.trajectory, atol=2e-3)
    np.testing.assert_array_equal(straight, oracle[[0, -1]])
    np.testing.assert_array_equal(lift[:, :2], oracle[:, :2])
    np.testing.assert_allclose(lift[:, 2], [1.2, 2.0, 2.0])  # behind the middle and the end is the wall
    np.testing.assert_array_equal(points('straight', '2D'), straight[:, :2])


def test_a_lift_without_depth_keeps_the_true_one(tmp_path):
    depth = made.pictures()['gt_depth'].copy()
    depth[:, 100:] = 0
    data = load_dataset(made.write(tmp_path, [made.sample()], gt_depth=depth))
    found = official_points(asker('lift', 'RGB')(data, data.samples[0]), 'robotracer')
    np.testing.assert_allclose(found[:, 2], [1.2, 1.2, 1.2])


@pytest.mark.parametrize(
    ('arguments', 'error', 'words'),
    [
        (('oracle', 'XYZ'), InvalidParameterError, "inputs 'XYZ': must be one of RGB, RGB"),
        (('oracle', 'RGB', '4D'), InvalidParameterError, "task '4D'"),
        (('oracle', 'RGB', '3D', {'a': 1}), InvalidParameterError, "'oracle' takes no options: a"),
        (('openai', 'RGB'), InvalidParameterError, 'lifted with the camera'),
        (('no-such-model', 'RGB'), CheckpointError, "'no-such-model' is neither a folder"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, words):
    with pytest.raises(error, match=words):
        asker(*arguments)


def test_options_of_the_command():
    assert parse_options(['a=1', 'b=x=y', 'c=true']) == {'a': 1, 'b': 'x=y', 'c': True}
    with pytest.raises(InvalidParameterError, match="--set 'a': must be KEY=VALUE"):
        parse_options(['a'])


def test_without_answers_and_without_anybody_to_ask_there_is_nothing_to_do(data, tmp_path):
    for folder, model in ((None, 'oracle'), (data.folder, '')):
        with pytest.raises(InvalidParameterError, match='no answers to score'):
            main(folder, (), model=model)
    with pytest.raises(InvalidParameterError, match='samples 0: must be at least 1'):
        main(data.folder, (), model='oracle', samples=0, answers_folder=tmp_path)
    assert main(data.folder, (), model='oracle', samples=1, answers_folder=tmp_path / 'a') == 0
    assert len((tmp_path / 'a/oracle_3D.jsonl').read_text().splitlines()) == 1


@pytest.fixture
def query_server():
    """Serve the official /query protocol on loopback; yield its address and the requests that it got."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers['Content-Length']))))
            body = json.dumps({'answer': '[(500, 500, 1.2), (812, 500, 1.2)]'}).encode()
            self.send_response(200)
            self.send_header('Content-Type', 'application/json')
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}', got
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_model_behind_the_query_protocol_is_asked_and_scored(data, tmp_path, capsys, query_server):
    url, got = query_server
    main(
        data.folder,
        (),
        model='robotracer_server',
        inputs=['RGB+I', 'RGB+I+D'],
        options={'url': url},
        answers_folder=tmp_path / 'answers',
        json_output=True,
    )
    files = json.loads(capsys.readouterr().out)['files']
    assert [f['name'] for f in files] == ['robotracer_server_RGB+I_3D', 'robotracer_server_RGB+I+D_3D']
    for found in files:
        assert found['figures']['mended']['rates']['overall']['rate'] == 1
    asked = [r for r in got if '3D object-centric visual trace' in r['text']]
    assert len(asked) == 4 and all('move the cube to the right' in r['text'] for r in asked)
    assert [bool(r['depth_url']) for r in asked] == [False, False, True, True]
    assert all(r['intrinsics'][0][0] == 150 for r in asked)


@pytest.mark.slow
def test_the_shipped_checkpoint_answers_with_and_without_geometry(tmp_path, capsys):
    smoke = Path(__file__).parents[2] / 'data' / 'tracespatial_sim'
    main(smoke, (), model='robotracer-tiny', inputs=['RGB', 'RGB+I+D+noise'], answers_folder=tmp_path, json_output=True)
    for found in json.loads(capsys.readouterr().out)['files']:
        assert found['figures']['mended']['rates']['parsed']['rate'] >= 0.75
        assert found['figures']['mended']['means']['DFD']['mean'] < 1.0
    line = json.loads((tmp_path / 'robotracer-tiny_RGB_3D.jsonl').read_text().splitlines()[0])
    assert line['asked']['inputs'] == 'RGB' and len(line['asked']['weights']) == 12
    assert '<think>' not in line['model_prediction']
