# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
import json
import threading

import numpy as np
import pytest

from robotracer_ros.errors import (
    CheckpointError,
    InvalidInstructionError,
    NoIntrinsicsError,
    TraceParseError,
    TracerBackendError,
    TracerCancelledError,
    TracerTimeoutError,
)
from robotracer_ros.geometry.camera import CameraModel
from robotracer_ros.geometry.trace import Referring
from robotracer_ros.tracer.base import Budget, Observation
from robotracer_ros.tracer.replay import ReplayTracer

CAMERA = CameraModel(32, 24, 30.0, 30.0, 15.5, 11.5)
TRACE = (
    '<think>\n[Scale] [Scene]: 1.250\n[Referring] [the mug]: [(100, 200, 0.9)]\n</think>\n'
    '<answer>[(100, 200, 0.9), (500, 500, 1.0)]</answer>'
)


@pytest.fixture
def observation():
    return Observation(
        np.zeros((24, 32, 3), np.uint8),
        np.full((24, 32), 0.8, np.float32),
        CAMERA,
        frame_id='cam',
        stamp_ns=7,
    )


@pytest.fixture
def tracer(tmp_path):
    answers = {
        'Move the mug': TRACE,
        'two d': '[(100, 200), (1000, 1000)]',
        'chatter': 'I cannot do that',
        'far': '[(0, 0, 1), (0, 1001, 1)]',
        'the mug': '[(100, 200, 0.9)]',
        'the height of the mug': '<answer>about 9 cm</answer>',
    }
    path = tmp_path / 'answers.jsonl'
    path.write_text(
        '\n'.join(json.dumps({'instruction': k, 'answer': v}) for k, v in answers.items()) + '\n'
    )
    made = ReplayTracer(str(path))
    made.load()
    return made


def test_a_trace_is_self_contained(tracer, observation):
    trace = tracer.predict(observation, '  move the  MUG ')
    assert trace.points.tolist() == [[100, 200, 0.9], [500, 500, 1.0]]
    assert trace.reasoning[1] == Referring('the mug', (100.0, 200.0, 0.9))
    assert (trace.metric_scale, trace.frame_id, trace.stamp_ns, trace.model) == (
        1.25,
        'cam',
        7,
        'replay:answers.jsonl',
    )
    assert np.allclose(trace.xyz[1], [(16 - 15.5) / 30, (12 - 11.5) / 30, 1.0])


def test_a_2d_answer_takes_the_sensor_depth(tracer, observation):
    assert np.allclose(tracer.predict(observation, 'two d').points[:, 2], 0.8)


def test_refer_and_measure(tracer, observation):
    assert tracer.refer(observation, 'the mug').point == (100.0, 200.0, 0.9)
    assert tracer.measure(observation, 'the height of the mug').metres == pytest.approx(0.09)


@pytest.mark.parametrize(
    ('instruction', 'error', 'words'),
    [
        ('', InvalidInstructionError, 'empty'),
        ('x' * 2001, InvalidInstructionError, '2001 characters'),
        ('dance', InvalidInstructionError, "no recorded answer for 'dance'"),
        ('chatter', TraceParseError, 'I cannot do that'),
        ('far', TraceParseError, '1001'),
        ('the mug', TraceParseError, '1 point'),
    ],
)
def test_bad_questions_and_answers(tracer, observation, instruction, error, words):
    with pytest.raises(error, match=words):
        tracer.predict(observation, instruction)


def test_no_intrinsics_is_an_error_not_a_guess(tracer, observation):
    with pytest.raises(NoIntrinsicsError):
        tracer.predict(Observation(observation.rgb, observation.depth), 'move the mug')


def test_deadline_and_cancel(tracer, observation, tmp_path):
    slow = ReplayTracer(str(tmp_path / 'answers.jsonl'), delay_s=30.0)
    slow.load()
    with pytest.raises(TracerTimeoutError, match=r'0\.050 s'):
        slow.predict(observation, 'move the mug', budget=Budget(0.05))
    budget = Budget()
    threading.Timer(0.05, budget.cancel).start()
    with pytest.raises(TracerCancelledError):
        slow.predict(observation, 'move the mug', budget=budget)


@pytest.mark.parametrize(
    'content', ['not json', '[]', '{"instruction": "x"}', '{"instruction": 3, "answer": "x"}']
)
def test_a_bad_file_is_named_with_its_line(tmp_path, content):
    path = tmp_path / 'bad.jsonl'
    path.write_text('{"instruction": "x", "answer": "y"}\n' + content)
    with pytest.raises(CheckpointError, match=r'bad\.jsonl.*line 2'):
        ReplayTracer(str(path)).load()


def test_missing_file_and_unloaded(tmp_path, observation):
    tracer = ReplayTracer(str(tmp_path / 'none.jsonl'))
    with pytest.raises(CheckpointError, match=r'none\.jsonl'):
        tracer.load()
    with pytest.raises(TracerBackendError, match='not loaded'):
        tracer.predict(observation, 'x')
